//! A search for the highest rate on a page and as text.

use foretaste_report::Page;

use super::run::{by_percentile, over_time};
use super::svg::{Axis, Curve, Scale, curves};
use super::{aligned, ms, per_second};
use crate::find_max::{Bound, FindMaxResult, Probe};
use crate::result::RunResult;
use crate::scenario::Goals;

const SUBTITLE: &str = "The rate is doubled until a goal is missed, then halved towards the \
    highest rate that holds, which must hold again and again.";

/// A search as one HTML page.
pub fn find_max_page(result: &FindMaxResult) -> String {
    let mut page = Page::new(&format!("Highest rate: {}", result.scenario), SUBTITLE);
    let (class, text) = headline(result);
    page.banner(class, &text);
    page.facts(&[
        ("Target", result.target.clone()),
        ("Sustained means", goals_text(result.goals)),
        ("Length of a try", format!("{} s", result.settings.seconds)),
        ("Tries", result.probes.len().to_string()),
    ]);
    let runs = named_runs(result);
    let curves: Vec<(&str, &'static str, &RunResult)> = (runs.iter().copied())
        .zip(["one", "two", "three"])
        .map(|((name, run), class)| (name, class, run))
        .collect();
    let mut figures = vec![
        ("p99 by rate", p99_by_rate(result)),
        ("Latency by percentile", by_percentile(&curves)),
    ];
    figures.extend(runs.iter().map(|(name, run)| (*name, over_time(run))));
    page.figures(&figures);
    page.table("At the answer and below", &run_rows(&runs));
    page.table("All tries", &probe_rows(&result.probes));
    if let Some(run) = &result.at_most {
        page.list("To know", &run.notes);
    }
    page.finish()
}

/// A search for a terminal.
pub fn find_max_text(result: &FindMaxResult) -> String {
    let rows = aligned(&probe_rows(&result.probes));
    let runs = aligned(&run_rows(&named_runs(result)));
    format!("{rows}\n{runs}\n{}\n", headline(result).1)
}

fn headline(result: &FindMaxResult) -> (&'static str, String) {
    let means = goals_text(result.goals);
    let Some(rate) = result.finding.rate else {
        return ("bad", format!("no rate was sustained ({means})"));
    };
    let rate = per_second(rate);
    let bound = match result.bounded_by {
        Bound::Server => "the server missed a goal above it",
        Bound::Generator => "the generator could not send more: the server may do more",
        Bound::Allowed => "no higher rate was allowed",
    };
    match result.finding.is_confirmed {
        true => ("good", format!("{rate} sustained ({means}); {bound}")),
        false => ("warn", format!("{rate} held, but not as often as wanted ({means}); {bound}")),
    }
}

/// What is asked for, in words.
pub(super) fn goals_text(goals: Goals) -> String {
    let p99 = goals.p99_ms.map_or(String::new(), |most| format!("p99 up to {most} ms, "));
    format!(
        "{p99}failures up to {}%, answers to {}% of the requests in time",
        100.0 * goals.error_share,
        100.0 * goals.achieved_share
    )
}

fn named_runs(result: &FindMaxResult) -> Vec<(&'static str, &RunResult)> {
    let runs = [
        ("at the highest rate", &result.at_most),
        ("at half of it", &result.at_half),
        ("long, at 80% of it", &result.soak),
    ];
    runs.into_iter().filter_map(|(name, run)| run.as_ref().map(|run| (name, run))).collect()
}

fn p99_by_rate(result: &FindMaxResult) -> String {
    let points = |is_held: bool| {
        let some = result.probes.iter().filter(|probe| probe.is_held == is_held);
        let mut points: Vec<(f64, f64)> = some.map(|p| (p.rate, p.p99_ms)).collect();
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        points
    };
    let all = [
        Curve { name: "sustained", class: "one", points: points(true) },
        Curve { name: "not sustained", class: "bad", points: points(false) },
    ];
    let across = Axis { scale: Scale::Linear, unit: "requests per second" };
    let up = Axis { scale: Scale::Log, unit: "ms" };
    curves("p99 by rate", (&across, &up), &all, result.goals.p99_ms)
}

fn run_rows(runs: &[(&'static str, &RunResult)]) -> Vec<Vec<String>> {
    let head = ["", "offered", "achieved", "p50", "p90", "p99", "p99.9", "longest"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for (name, run) in runs {
        let (totals, latency) = (&run.totals, &run.latency);
        let mut row = vec![(*name).to_owned(), per_second(totals.offered_per_s)];
        row.push(per_second(totals.achieved_per_s));
        let times = [latency.p50_ms, latency.p90_ms, latency.p99_ms, latency.p999_ms];
        row.extend(times.map(ms));
        row.push(ms(latency.max_ms));
        rows.push(row);
    }
    rows
}

/// One line per rate that was tried.
pub(super) fn probe_rows(probes: &[Probe]) -> Vec<Vec<String>> {
    let head = ["rate", "p50", "p99", "failed", "answered in time", "verdict"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for probe in probes {
        let verdict = match probe.because.first() {
            None => "held",
            Some(_) if !probe.is_valid => "not valid",
            Some(reason) => reason.as_str(),
        };
        rows.push(vec![
            per_second(probe.rate),
            ms(probe.p50_ms),
            ms(probe.p99_ms),
            format!("{:.3}%", 100.0 * probe.error_share),
            format!("{:.1}%", 100.0 * probe.achieved_share),
            verdict.to_owned(),
        ]);
    }
    rows
}
