//! Search of hyper-parameters: which settings to try next, and a table of what was tried.
//!
//! Parameters are named by their dotted path in the settings (`ials.alpha`). The first trial is the
//! settings as they are, so the result is never worse than those; some random trials follow, then
//! the tree-structured Parzen estimator. Every trial is appended to a JSONL table, from which a
//! search is taken up again. What a trial does is the caller's function, and so is the clock.

use std::time::Duration;

use foretaste_core::{Error, Progress, Result, Rng};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub use settings::{get, overlay, set};
pub use space::{Parameter, Range};
pub use table::{Trial, TrialTable};

mod settings;
mod space;
mod table;
#[cfg(test)]
mod tests;
mod tpe;

/// How to choose the next settings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// Uniform over the ranges.
    Random,
    /// Tree-structured Parzen estimator after [`SearchConfig::startup`] random trials.
    #[default]
    Tpe,
}

/// Budget and method of a search.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SearchConfig {
    /// Trials in the table at the end, at most (earlier ones of the same search count).
    pub trials: usize,
    /// No trial starts after so many seconds.
    pub seconds: f64,
    /// Random trials before the estimator takes over.
    pub startup: usize,
    /// How to choose.
    pub method: Method,
    /// Everything random follows from it.
    pub seed: u64,
}

impl Default for SearchConfig {
    fn default() -> Self {
        Self { trials: 30, seconds: 1800.0, startup: 8, method: Method::Tpe, seed: 42 }
    }
}

/// With the estimator, one trial in so many is random, so that no wrong turn is final.
const EXPLORE_EVERY: usize = 4;

/// What a trial found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Figures {
    /// What is maximised.
    pub objective: f64,
    /// Other figures for the table, by name.
    pub others: Map<String, Value>,
}

/// What is outside of a search: the function to maximise and the clock.
pub struct Run<'a> {
    /// Tries nested settings (a fragment to lay over the defaults).
    pub objective: &'a mut dyn FnMut(&Value) -> Result<Figures>,
    /// Time since the search began.
    pub elapsed: &'a dyn Fn() -> Duration,
    /// Who looks.
    pub progress: &'a dyn Progress,
}

/// Searches `space` and returns the best trial of the table. `defaults` is the nested settings
/// that apply where a trial says nothing; a trial that fails is kept with its error and is never
/// the best.
///
/// # Errors
/// When the table cannot be written, when the space is empty or inconsistent, and when no trial
/// at all succeeded.
pub fn search(
    space: &[Parameter],
    defaults: &Value,
    config: &SearchConfig,
    table: &mut TrialTable,
    run: Run<'_>,
) -> Result<Trial> {
    space::check(space)?;
    run.progress.start("trials", Some(config.trials as u64), "trials");
    run.progress.advance(table.trials().len() as u64);
    while table.trials().len() < config.trials && (run.elapsed)().as_secs_f64() < config.seconds {
        let settings = propose(space, defaults, config, table.trials());
        let began = (run.elapsed)();
        let outcome = (run.objective)(&settings::nested(&settings));
        let seconds = ((run.elapsed)() - began).as_secs_f64();
        let trial = Trial::new(table.trials().len(), settings, outcome, seconds);
        table.append(trial)?;
        run.progress.advance(1);
    }
    run.progress.finish();
    let best = table.best().cloned();
    best.ok_or_else(|| match table.trials().last().and_then(|t| t.error.clone()) {
        Some(error) => Error::invalid(format!("tune: no trial succeeded; the last said: {error}")),
        None => Error::invalid("tune: the budget allows no trial; give more trials or time"),
    })
}

/// The settings of the next trial: a function of the seed and of all trials before.
fn propose(
    space: &[Parameter],
    defaults: &Value,
    config: &SearchConfig,
    trials: &[Trial],
) -> Map<String, Value> {
    if trials.is_empty() {
        let known = |p: &Parameter| Some((p.name.clone(), get(defaults, &p.name)?.clone()));
        return space.iter().filter_map(known).collect();
    }
    let mut rng = Rng::stream(config.seed, trials.len() as u64);
    let guided = config.method == Method::Tpe
        && trials.len() > config.startup
        && !trials.len().is_multiple_of(EXPLORE_EVERY);
    let points = if guided { tpe::propose(space, trials, &mut rng) } else { None };
    let points = points.unwrap_or_else(|| space.iter().map(|_| rng.f64()).collect());
    space.iter().zip(points).map(|(p, at)| (p.name.clone(), p.range.value(at))).collect()
}
