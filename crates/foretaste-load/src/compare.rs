//! Two sets of runs of the same scenario: is one worse? The verdict counts runs, not requests, asks
//! for a difference that is both unlikely to be noise and large enough to matter, and says how
//! small a difference it could have seen. Pure, apart from reading a baseline.

use std::path::Path;

use foretaste_core::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};

use crate::result::{FORMAT, RunResult};
use crate::statistics::{bootstrap_ratio, detectable_change, holm, mann_whitney, median, ratio};

/// What counts as a difference.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct CompareSettings {
    /// Smallest relative change that matters.
    pub threshold: f64,
    /// Highest chance of calling noise a change, over all figures together.
    pub alpha: f64,
    /// The bootstrap follows from it.
    pub seed: u64,
}

impl Default for CompareSettings {
    fn default() -> Self {
        Self { threshold: 0.1, alpha: 0.05, seed: 1 }
    }
}

/// The word on a figure, or on all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Worse by more than the threshold, and not by chance.
    Regression,
    /// Too few or invalid runs.
    Inconclusive,
    /// Neither better nor worse, as far as these runs can tell.
    NoChange,
    /// Better by more than the threshold, and not by chance.
    Improvement,
}

/// One figure on both sides.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Difference {
    /// Name of the figure.
    pub figure: String,
    /// Whether higher values are worse.
    pub is_cost: bool,
    /// The runs of the baseline.
    pub base: Vec<f64>,
    /// The runs now.
    pub now: Vec<f64>,
    /// Median now to median of the baseline.
    pub ratio: f64,
    /// Confidence interval of the ratio.
    pub interval: (f64, f64),
    /// Mann-Whitney, corrected for the number of figures (Holm).
    pub p_value: f64,
    /// Smallest relative change that these runs would show in four cases of five.
    pub detectable: f64,
    /// The word on it.
    pub verdict: Verdict,
}

/// All figures, and the word on all of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// Name of the scenario.
    pub scenario: String,
    /// Where the baseline was measured.
    pub base_target: String,
    /// Where it was measured now.
    pub now_target: String,
    /// What counts as a difference.
    pub settings: CompareSettings,
    /// The figures.
    pub differences: Vec<Difference>,
    /// The word on all of them: the worst.
    pub verdict: Verdict,
    /// Why nothing can be concluded, where that is so.
    pub because: Vec<String>,
}

/// A figure of a run, and whether higher is worse.
type Figure = (&'static str, bool, fn(&RunResult) -> f64);

const FIGURES: [Figure; 3] = [
    ("p50 of the latency, ms", true, |run| run.latency.p50_ms),
    ("p99 of the latency, ms", true, |run| run.latency.p99_ms),
    ("good answers per second", false, |run| run.totals.achieved_per_s),
];

/// Compares runs with those of a baseline.
///
/// # Errors
/// `Config` where the two are not runs of the same load, `Invalid` where one side has none.
pub fn compare(
    base: &[RunResult],
    now: &[RunResult],
    settings: CompareSettings,
) -> Result<Comparison> {
    let (Some(first_base), Some(first_now)) = (base.first(), now.first()) else {
        return Err(Error::invalid("a comparison needs runs on both sides"));
    };
    check_same_load(first_base, base, now)?;
    let mut differences: Vec<Difference> =
        FIGURES.iter().map(|figure| difference(figure, base, now, settings)).collect();
    let corrected = holm(&differences.iter().map(|d| d.p_value).collect::<Vec<_>>());
    for (difference, p_value) in differences.iter_mut().zip(corrected) {
        difference.p_value = p_value;
        difference.verdict = judge(difference, settings);
    }
    let because = doubts(base, now, settings);
    let worst = differences.iter().map(|d| d.verdict).min_by_key(|v| *v as u8);
    let verdict = match worst {
        Some(verdict) if because.is_empty() => verdict,
        _ => Verdict::Inconclusive,
    };
    Ok(Comparison {
        scenario: first_now.scenario.clone(),
        base_target: first_base.target.clone(),
        now_target: first_now.target.clone(),
        settings,
        differences,
        verdict,
        because,
    })
}

fn difference(
    (name, is_cost, figure): &Figure,
    base: &[RunResult],
    now: &[RunResult],
    settings: CompareSettings,
) -> Difference {
    let base: Vec<f64> = base.iter().map(figure).collect();
    let now: Vec<f64> = now.iter().map(figure).collect();
    Difference {
        figure: (*name).to_owned(),
        is_cost: *is_cost,
        ratio: ratio(median(&base), median(&now)),
        interval: bootstrap_ratio(&base, &now, 1.0 - settings.alpha, settings.seed),
        p_value: mann_whitney(&base, &now),
        detectable: detectable_change(&base, &now),
        verdict: Verdict::NoChange,
        base,
        now,
    }
}

/// A change must be unlikely by both tests and larger than the threshold.
fn judge(difference: &Difference, settings: CompareSettings) -> Verdict {
    let (low, high) = difference.interval;
    let is_unlikely = difference.p_value < settings.alpha && (low > 1.0 || high < 1.0);
    let change = difference.ratio - 1.0;
    if !is_unlikely || change.abs() <= settings.threshold {
        return Verdict::NoChange;
    }
    if (change > 0.0) == difference.is_cost { Verdict::Regression } else { Verdict::Improvement }
}

/// Why these runs cannot decide.
fn doubts(base: &[RunResult], now: &[RunResult], settings: CompareSettings) -> Vec<String> {
    let mut doubts = Vec::new();
    for (side, runs) in [("baseline", base), ("now", now)] {
        let invalid = runs.iter().filter(|run| !run.is_valid()).count();
        let first = runs.iter().find_map(|run| run.invalid_because.first());
        if let Some(reason) = first {
            doubts.push(format!("{invalid} of {} runs ({side}) are invalid: {reason}", runs.len()));
        }
    }
    let floor = floor(base.len(), now.len()) * FIGURES.len() as f64;
    if floor >= settings.alpha {
        doubts.push(format!(
            "{} and {} runs can at best show p = {floor:.3} over {} figures; take 5 or more a side",
            base.len(),
            now.len(),
            FIGURES.len()
        ));
    }
    doubts
}

/// The smallest p-value that so many runs can show.
fn floor(n_base: usize, n_now: usize) -> f64 {
    let low: Vec<f64> = (0..n_base).map(|i| i as f64).collect();
    let high: Vec<f64> = (0..n_now).map(|i| (n_base + i) as f64).collect();
    mann_whitney(&low, &high)
}

fn check_same_load(first: &RunResult, base: &[RunResult], now: &[RunResult]) -> Result<()> {
    for run in base.iter().chain(now) {
        let mut differing = Vec::new();
        let mut compare = |name: &str, a: String, b: String| {
            if a != b {
                differing.push(format!("{name}: {a} in the baseline, {b} now"));
            }
        };
        compare("scenario", first.scenario.clone(), run.scenario.clone());
        compare("seed", first.seed.to_string(), run.seed.to_string());
        compare("pace", format!("{:?}", first.pace), format!("{:?}", run.pace));
        let kinds = |run: &RunResult| run.kinds.iter().map(|k| k.name.clone()).collect::<Vec<_>>();
        compare("requests", kinds(first).join(", "), kinds(run).join(", "));
        if !differing.is_empty() {
            let text = format!("runs of different loads; {}", differing.join("; "));
            return Err(Error::new(ErrorKind::Config, text));
        }
    }
    Ok(())
}

/// Reads the runs of a baseline file: a list of runs, or one.
///
/// # Errors
/// `NotFound`, `Unsupported` for another format, `Corrupt` for something else.
pub fn read_baseline(path: &Path) -> Result<Vec<RunResult>> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Either {
        Many(Vec<serde_json::Value>),
        One(serde_json::Value),
    }
    let text = fs_err::read_to_string(path)?;
    let place = path.display();
    let broken = |error: serde_json::Error| {
        Error::corrupt(format!("{place}: not runs of `foretaste load run --save`"))
            .with_source(error)
    };
    let values = match serde_json::from_str(&text).map_err(broken)? {
        Either::Many(values) => values,
        Either::One(value) => vec![value],
    };
    for value in &values {
        let format = value.get("format").and_then(serde_json::Value::as_u64);
        if format.is_some_and(|format| format != u64::from(FORMAT)) {
            let text = format!("{place}: format {format:?}, this build reads {FORMAT}");
            return Err(Error::new(ErrorKind::Unsupported, text));
        }
    }
    values.into_iter().map(|value| serde_json::from_value(value).map_err(broken)).collect()
}

/// A side of an interleaved comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// What is compared with.
    Base,
    /// What is judged.
    Now,
}

/// In which order to run both sides `n` times each: ABBA, so that what changes slowly on the
/// machine meets both alike.
pub fn interleaved(n: usize) -> Vec<Side> {
    let pair = |at: usize| {
        if at.is_multiple_of(2) { [Side::Base, Side::Now] } else { [Side::Now, Side::Base] }
    };
    (0..n).flat_map(pair).collect()
}

#[cfg(test)]
mod tests;
