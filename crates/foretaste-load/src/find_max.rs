//! The highest rate that a server sustains within its goals: the search of `search`, each try a
//! measured run; then a run at half of it, which is what a user should plan for, and, if wanted, a
//! long one at 80%.

use foretaste_core::Result;
use serde::{Deserialize, Serialize};

use crate::result::RunResult;
use crate::run::{Generator, Plan, Watch};
use crate::scenario::{Goals, WarmUp};
use crate::schedule::{Arrivals, Step};
use crate::search::{Finding, Next, Search, SearchSettings};

/// What to find, and how carefully.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct FindMaxSettings {
    /// The search.
    pub search: SearchSettings,
    /// Length of each try.
    pub seconds: f64,
    /// How far apart requests are.
    pub arrivals: Arrivals,
    /// Length of a run at 80% of the answer; 0 = none.
    pub soak_seconds: f64,
}

/// One rate that was tried.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Probe {
    /// The rate that was asked for.
    pub rate: f64,
    /// Whether it was sustained.
    pub is_held: bool,
    /// Why not: goals that were missed, or what made the run invalid.
    pub because: Vec<String>,
    /// Whether the figures are the server's.
    pub is_valid: bool,
    /// Median latency.
    pub p50_ms: f64,
    /// 99th percentile of the latency.
    pub p99_ms: f64,
    /// Share of the requests that failed.
    pub error_share: f64,
    /// Share of the requests answered in time.
    pub achieved_share: f64,
    /// The generator's own CPU.
    pub generator_cpu_share: f64,
}

/// What ended the search upwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Bound {
    /// The server missed a goal.
    Server,
    /// The generator could not send more, so the server may well do.
    Generator,
    /// The highest rate that was allowed held.
    Allowed,
}

/// The answer of a search and the way to it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FindMaxResult {
    /// Name of the scenario.
    pub scenario: String,
    /// Where requests went.
    pub target: String,
    /// What sustained means.
    pub goals: Goals,
    /// How it was searched.
    pub settings: FindMaxSettings,
    /// What was found.
    pub finding: Finding,
    /// What kept it from being higher.
    pub bounded_by: Bound,
    /// All rates tried, in order.
    pub probes: Vec<Probe>,
    /// The last run at the answer.
    pub at_most: Option<RunResult>,
    /// A run at half of it.
    pub at_half: Option<RunResult>,
    /// The long run at 80% of it.
    pub soak: Option<RunResult>,
}

/// Between tries, requests only have to reopen connections and refill what the last try left cold.
const SHORT_WARM_UP: WarmUp =
    WarmUp { seconds_at_least: 1.0, seconds_at_most: 3.0, windows: 2, tolerance: 0.2 };

/// How often a try is made again whose run is not valid.
const TRIES_OF_INVALID: usize = 2;

impl Probe {
    /// What a run at a rate says.
    pub fn of(rate: f64, run: &RunResult) -> Self {
        Self {
            rate,
            is_held: run.missed.is_empty() && run.is_valid(),
            because: [run.missed.as_slice(), &run.invalid_because].concat(),
            is_valid: run.is_valid(),
            p50_ms: run.latency.p50_ms,
            p99_ms: run.latency.p99_ms,
            error_share: run.totals.error_share,
            achieved_share: run.totals.achieved_share.unwrap_or(0.0),
            generator_cpu_share: run.generator.cpu_share,
        }
    }
}

/// Searches. A try whose run is invalid is made once more, and counts as failed when that is
/// invalid, too.
///
/// # Errors
/// As [`Generator::run_plan`].
pub fn find_max(
    generator: &mut Generator,
    settings: FindMaxSettings,
    now_ms: &dyn Fn() -> i64,
    watch: &dyn Watch,
) -> Result<FindMaxResult> {
    let mut search = Search::new(settings.search);
    let (mut probes, mut at_most) = (Vec::<Probe>::new(), None);
    let at = |generator: &mut Generator, rate: f64, seconds: f64| {
        let steps = vec![Step { rate, seconds }];
        let plan = Plan::Open { steps, arrivals: settings.arrivals };
        let run = generator.run_plan(&plan, now_ms(), watch);
        if generator.scenario().warm_up.seconds_at_most > 0.0 {
            generator.set_warm_up(SHORT_WARM_UP);
        }
        run
    };
    let finding = loop {
        let rate = match search.next() {
            Next::Done(finding) => break finding,
            Next::Try(rate) => rate,
        };
        let mut run = at(generator, rate, settings.seconds)?;
        // What it missed may be the generator's own delay.
        for _ in 0..TRIES_OF_INVALID {
            if run.is_valid() {
                break;
            }
            run = at(generator, rate, settings.seconds)?;
        }
        let probe = Probe::of(rate, &run);
        search.tell(rate, probe.is_held);
        if probe.is_held {
            at_most = Some(run);
        }
        probes.push(probe);
    };
    let at_half = match finding.rate {
        Some(rate) => Some(at(generator, rate / 2.0, settings.seconds)?),
        None => None,
    };
    let soak = match finding.rate.filter(|_| settings.soak_seconds > 0.0) {
        Some(rate) => Some(at(generator, 0.8 * rate, settings.soak_seconds)?),
        None => None,
    };
    Ok(FindMaxResult {
        scenario: generator.scenario().name.clone(),
        target: generator.target().url.clone(),
        goals: generator.scenario().limits,
        settings,
        finding,
        bounded_by: bound(&finding, &probes),
        probes,
        at_most: at_most.filter(|_| finding.rate.is_some()),
        at_half,
        soak,
    })
}

/// Who is to blame for the lowest rate that failed.
fn bound(finding: &Finding, probes: &[Probe]) -> Bound {
    let Some(failing) = finding.failing else { return Bound::Allowed };
    let last = probes.iter().rev().find(|probe| probe.rate == failing && !probe.is_held);
    match last {
        Some(probe) if !probe.is_valid => Bound::Generator,
        _ => Bound::Server,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn probe(rate: f64, is_held: bool, is_valid: bool) -> Probe {
        Probe {
            rate,
            is_held,
            because: Vec::new(),
            is_valid,
            p50_ms: 1.0,
            p99_ms: 1.0,
            error_share: 0.0,
            achieved_share: 1.0,
            generator_cpu_share: 0.1,
        }
    }

    #[test]
    fn the_generator_is_blamed_where_it_was_the_limit() {
        let found = |failing| Finding { rate: Some(1.0), failing, is_confirmed: true };
        let probes = [probe(4.0, false, true), probe(3.0, false, false), probe(2.0, true, true)];
        assert_eq!(bound(&found(Some(4.0)), &probes), Bound::Server);
        assert_eq!(bound(&found(Some(3.0)), &probes), Bound::Generator);
        assert_eq!(bound(&found(None), &probes), Bound::Allowed);
    }
}
