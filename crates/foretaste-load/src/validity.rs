//! When figures may be used, and what they are good for. Pure.

use crate::result::RunResult;
use crate::scenario::Pace;

/// Why the figures of a run must not be used; empty for a valid run.
pub fn invalid_because(result: &RunResult) -> Vec<String> {
    let mut reasons = Vec::new();
    let (generator, goals) = (&result.generator, &result.goals);
    let is_open = matches!(result.pace, Pace::Open(_));
    if is_open && generator.lag.p99_ms > goals.generator_lag_ms {
        reasons.push(format!(
            "the generator lagged: p99 of its own delay is {:.2} ms, {} ms is allowed; \
             lower the rate, add --threads or --spin, or give it a machine of its own",
            generator.lag.p99_ms, goals.generator_lag_ms
        ));
    }
    if generator.cpu_share > goals.generator_cpu_share {
        reasons.push(format!(
            "the generator was starved: a thread computed {:.0}% of the time, {:.0}% is allowed; \
             it measured itself; add --threads or lower the rate",
            100.0 * generator.cpu_share,
            100.0 * goals.generator_cpu_share
        ));
    }
    if result.totals.requests == 0 {
        reasons.push("no request was due; raise the rate or the time".to_owned());
    }
    reasons
}

/// Goals that were missed.
pub fn missed(result: &RunResult) -> Vec<String> {
    let (goals, totals) = (&result.goals, &result.totals);
    let mut missed = Vec::new();
    if let Some(most) = goals.p99_ms.filter(|most| result.latency.p99_ms > *most) {
        missed.push(format!("p99 is {:.2} ms, {most} ms was asked for", result.latency.p99_ms));
    }
    if totals.error_share > goals.error_share {
        missed.push(format!(
            "{:.3}% of the requests failed, {:.3}% may",
            100.0 * totals.error_share,
            100.0 * goals.error_share
        ));
    }
    if let Some(share) = totals.achieved_share.filter(|share| *share < goals.achieved_share) {
        missed.push(format!(
            "{:.1}% of the requests were answered in time, {:.1}% must be",
            100.0 * share,
            100.0 * goals.achieved_share
        ));
    }
    missed
}

/// What a reader should know besides.
pub fn notes(result: &RunResult) -> Vec<String> {
    let mut notes = Vec::new();
    if let Some(warm_up) = result.warm_up.filter(|warm_up| !warm_up.is_stable) {
        notes.push(format!(
            "medians had not settled after {:.0} s of warm-up; the figures may still fall",
            warm_up.seconds
        ));
    }
    if result.warm_up.is_none() {
        notes.push("without warm-up: a cold start is part of the figures".to_owned());
    }
    if matches!(result.pace, Pace::Closed(_)) {
        notes.push(
            "closed loop: while the server stands still nobody asks, so stalls hardly show in the \
             percentiles; use it to model a fixed pool of callers"
                .to_owned(),
        );
    }
    let totals = &result.totals;
    if result.connections.waited as f64 > 0.01 * totals.requests as f64 {
        notes.push(format!(
            "{} requests waited for a connection; the wait is part of their latency",
            result.connections.waited
        ));
    }
    if result.machine.is_shared {
        notes.push(format!(
            "server and generator share {} core(s): latencies are upper bounds and the highest \
             rate is a lower bound",
            result.machine.cores
        ));
    }
    notes
}
