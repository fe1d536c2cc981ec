//! To the break and back: rates rise until a goal is missed; then one run that goes from calm to
//! twice the breaking rate and back says what still gets through, and how fast the server recovers.

use foretaste_core::Result;
use serde::{Deserialize, Serialize};

use crate::find_max::Probe;
use crate::result::{RunResult, WindowResult};
use crate::run::{Generator, Plan, Watch};
use crate::scenario::Goals;
use crate::schedule::{Arrivals, Step};

/// How hard, how long.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct StressSettings {
    /// First rate.
    pub start: f64,
    /// From one step to the next.
    pub factor: f64,
    /// Highest rate.
    pub most: f64,
    /// Length of a step upwards.
    pub step_seconds: f64,
    /// The rate of the overload, as a multiple of the breaking rate.
    pub overload: f64,
    /// Length of the overload.
    pub overload_seconds: f64,
    /// How long recovery is watched.
    pub recovery_seconds: f64,
    /// How far apart requests are.
    pub arrivals: Arrivals,
}

impl Default for StressSettings {
    fn default() -> Self {
        Self {
            start: 100.0,
            factor: 1.5,
            most: 1e6,
            step_seconds: 10.0,
            overload: 2.0,
            overload_seconds: 10.0,
            recovery_seconds: 30.0,
            arrivals: Arrivals::Poisson,
        }
    }
}

/// Where a server broke, and how it came back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StressResult {
    /// Name of the scenario.
    pub scenario: String,
    /// Where requests went.
    pub target: String,
    /// What good enough means.
    pub goals: Goals,
    /// How hard, how long.
    pub settings: StressSettings,
    /// The steps upwards.
    pub steps: Vec<Probe>,
    /// The first rate at which a goal was missed; absent where none was.
    pub broke_at: Option<f64>,
    /// Why.
    pub broke_because: Vec<String>,
    /// The highest rate that held.
    pub held: Option<f64>,
    /// The overload and what followed; absent where nothing broke.
    pub aftermath: Option<Aftermath>,
}

/// What the overload did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Aftermath {
    /// Rate before and after the overload.
    pub calm_rate: f64,
    /// Rate of the overload.
    pub overload_rate: f64,
    /// Good answers per second within the p99 that was asked for, during the overload.
    pub goodput_per_s: f64,
    /// The same as a share of the highest rate that held.
    pub goodput_share: f64,
    /// From the end of the overload until every second is good again; absent where it was not
    /// within the time watched.
    pub recovered_after_seconds: Option<f64>,
    /// The whole run.
    pub run: RunResult,
}

/// Drives a server to its break and watches it come back.
///
/// # Errors
/// As [`Generator::run_plan`].
pub fn stress(
    generator: &mut Generator,
    settings: StressSettings,
    now_ms: &dyn Fn() -> i64,
    watch: &dyn Watch,
) -> Result<StressResult> {
    let mut steps: Vec<Probe> = Vec::new();
    let mut rate = settings.start;
    while steps.last().is_none_or(|step| step.is_held) && rate <= settings.most {
        let one = vec![Step { rate, seconds: settings.step_seconds }];
        let plan = Plan::Open { steps: one, arrivals: settings.arrivals };
        let run = generator.run_plan(&plan, now_ms(), watch)?;
        generator.set_warm_up(crate::scenario::WarmUp::NONE);
        steps.push(Probe::of(rate, &run));
        rate *= settings.factor;
    }
    let held = steps.iter().rev().find(|step| step.is_held).map(|step| step.rate);
    let broken = steps.last().filter(|step| !step.is_held).cloned();
    let aftermath = match &broken {
        Some(step) => {
            let calm = held.unwrap_or(settings.start / 2.0) / 2.0;
            let rates = (calm, step.rate * settings.overload);
            Some(overload(generator, settings, (rates, held), (now_ms(), watch))?)
        }
        None => None,
    };
    Ok(StressResult {
        scenario: generator.scenario().name.clone(),
        target: generator.target().url.clone(),
        goals: generator.scenario().limits,
        settings,
        steps,
        broke_at: broken.as_ref().map(|step| step.rate),
        broke_because: broken.map(|step| step.because).unwrap_or_default(),
        held,
        aftermath,
    })
}

fn overload(
    generator: &mut Generator,
    settings: StressSettings,
    ((calm_rate, overload_rate), held): ((f64, f64), Option<f64>),
    (now_ms, watch): (i64, &dyn Watch),
) -> Result<Aftermath> {
    let step = |rate, seconds| Step { rate, seconds };
    let steps = vec![
        step(calm_rate, settings.step_seconds),
        step(overload_rate, settings.overload_seconds),
        step(calm_rate, settings.recovery_seconds),
    ];
    let plan = Plan::Open { steps, arrivals: settings.arrivals };
    let run = generator.run_plan(&plan, now_ms, watch)?;
    let from = settings.step_seconds;
    let to = from + settings.overload_seconds;
    let during = run.windows.iter().filter(|w| w.second >= from && w.second < to);
    let good: u64 = during.map(|w| w.good).sum();
    let goodput_per_s = good as f64 / settings.overload_seconds;
    let goals = generator.scenario().limits;
    Ok(Aftermath {
        calm_rate,
        overload_rate,
        goodput_per_s,
        goodput_share: held.map_or(0.0, |held| goodput_per_s / held),
        recovered_after_seconds: recovered_after(&run.windows, to, goals),
        run,
    })
}

/// From `end` until the first window from which on all are good; `None` where the last is not.
pub fn recovered_after(windows: &[WindowResult], end: f64, goals: Goals) -> Option<f64> {
    let after: Vec<&WindowResult> = windows.iter().filter(|w| w.second >= end).collect();
    let bad = after.iter().rposition(|w| !is_good(w, goals));
    let first_good = bad.map_or(0, |at| at + 1);
    after.get(first_good).map(|window| (window.second - end).max(0.0))
}

fn is_good(window: &WindowResult, goals: Goals) -> bool {
    let most_failed = goals.error_share * window.offered as f64;
    let is_quick = goals.p99_ms.is_none_or(|most| window.p99_ms <= most);
    is_quick && window.failed as f64 <= most_failed
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOALS: Goals = Goals {
        p99_ms: Some(10.0),
        error_share: 0.01,
        achieved_share: 0.99,
        generator_lag_ms: 1.0,
        generator_cpu_share: 0.8,
    };

    fn windows(p99s: &[f64]) -> Vec<WindowResult> {
        let one = |(at, &p99_ms): (usize, &f64)| WindowResult {
            second: at as f64,
            offered: 100,
            ok: 100,
            failed: 0,
            p50_ms: 1.0,
            p99_ms,
            max_ms: p99_ms,
            good: 100,
        };
        p99s.iter().enumerate().map(one).collect()
    }

    #[test]
    fn recovery_counts_to_the_last_bad_second() {
        let check = |p99s: &[f64], expected| {
            assert_eq!(recovered_after(&windows(p99s), 2.0, GOALS), expected, "{p99s:?}");
        };
        check(&[1.0, 99.0, 99.0, 50.0, 1.0, 1.0], Some(2.0));
        check(&[1.0, 99.0, 1.0, 1.0], Some(0.0));
        check(&[1.0, 99.0, 1.0, 50.0, 1.0], Some(2.0));
        check(&[1.0, 99.0, 50.0, 50.0], None);
        check(&[1.0, 1.0], None);
    }

    #[test]
    fn failures_keep_a_server_from_having_recovered() {
        let mut windows = windows(&[1.0, 99.0, 1.0, 1.0]);
        windows[2].failed = 2;
        assert_eq!(recovered_after(&windows, 2.0, GOALS), Some(1.0));
        windows[2].failed = 1;
        assert_eq!(recovered_after(&windows, 2.0, GOALS), Some(0.0));
    }
}
