//! A comparison on a page and as text.

use foretaste_report::Page;

use super::aligned;
use super::run::by_percentile;
use crate::compare::{Comparison, Difference, Verdict};
use crate::result::RunResult;

const SUBTITLE: &str = "The run is the sample: a change counts when two tests over runs find it \
    unlikely to be noise and it is larger than the threshold.";

/// A comparison as one HTML page, with the middle run of each side in a plot.
pub fn compare_page(comparison: &Comparison, base: &[RunResult], now: &[RunResult]) -> String {
    let mut page = Page::new(&format!("Comparison: {}", comparison.scenario), SUBTITLE);
    let class = match comparison.verdict {
        Verdict::Regression => "bad",
        Verdict::Inconclusive => "warn",
        Verdict::NoChange | Verdict::Improvement => "good",
    };
    page.banner(class, word(comparison.verdict));
    page.list("Why", &comparison.because);
    let percent = |share: f64| format!("{:.0}%", 100.0 * share);
    page.facts(&[
        ("Baseline", format!("{} runs of {}", base.len(), comparison.base_target)),
        ("Now", format!("{} runs of {}", now.len(), comparison.now_target)),
        ("Smallest change that matters", percent(comparison.settings.threshold)),
        ("Chance of a false alarm", percent(comparison.settings.alpha)),
    ]);
    if let (Some(base), Some(now)) = (middle(base), middle(now)) {
        let curves = [("baseline", "two", base), ("now", "one", now)];
        page.figures(&[("Latency by percentile, middle runs", by_percentile(&curves))]);
    }
    page.table("Figures, medians of the runs", &rows(comparison));
    page.finish()
}

/// A comparison for a terminal.
pub fn compare_text(comparison: &Comparison) -> String {
    let mut out = aligned(&rows(comparison));
    out += &format!("\n{}\n", word(comparison.verdict));
    comparison.because.iter().for_each(|why| out += &format!("  {why}\n"));
    out
}

/// The run with the median p99.
fn middle(runs: &[RunResult]) -> Option<&RunResult> {
    let mut sorted: Vec<&RunResult> = runs.iter().collect();
    sorted.sort_by(|a, b| a.latency.p99_ms.total_cmp(&b.latency.p99_ms));
    sorted.get(sorted.len() / 2).copied()
}

fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Regression => "regression",
        Verdict::Inconclusive => "inconclusive",
        Verdict::NoChange => "no change that these runs can show",
        Verdict::Improvement => "improvement",
    }
}

fn rows(comparison: &Comparison) -> Vec<Vec<String>> {
    let head = ["", "baseline", "now", "ratio", "interval", "p", "could show", "verdict"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for difference in &comparison.differences {
        let Difference { base, now, interval, .. } = difference;
        rows.push(vec![
            difference.figure.clone(),
            format!("{:.3}", crate::statistics::median(base)),
            format!("{:.3}", crate::statistics::median(now)),
            format!("{:.3}", difference.ratio),
            format!("{:.3} to {:.3}", interval.0, interval.1),
            format!("{:.3}", difference.p_value),
            format!("{:.0}%", 100.0 * difference.detectable),
            word(difference.verdict).to_owned(),
        ]);
    }
    rows
}
