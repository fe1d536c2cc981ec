//! One run on a page and as text.

use foretaste_report::Page;

use super::svg::{Axis, Curve, Scale, curves};
use super::{aligned, ms, per_second};
use crate::result::{RunResult, Summary};
use crate::scenario::Pace;

const OPEN: &str = "Latency counts from the moment at which a request was meant to be sent, \
    so a server that stands still is seen by everyone who would have asked.";

const CLOSED: &str = "A fixed number of users, each waiting for its answer: latency counts from \
    the moment at which a user was ready to ask.";

/// A run as one HTML page.
pub fn run_page(result: &RunResult) -> String {
    let subtitle = if matches!(result.pace, Pace::Open(_)) { OPEN } else { CLOSED };
    let mut page = Page::new(&format!("Load: {}", result.scenario), subtitle);
    banners(&mut page, result);
    page.facts(&facts(result));
    let latency = [("latency", "one", result)];
    page.figures(&[
        ("Latency by percentile", by_percentile(&latency)),
        ("Latency over time", over_time(result)),
        ("Requests over time", requests_over_time(result)),
        ("Requests by latency", histogram(result)),
    ]);
    page.table("By kind of request", &kind_rows(result));
    page.table("Times", &time_rows(result));
    page.table("Answers", &answer_rows(result));
    page.list("To know", &result.notes);
    page.finish()
}

fn banners(page: &mut Page, result: &RunResult) {
    for reason in &result.invalid_because {
        page.banner("bad", &format!("Not valid: {reason}"));
    }
    for missed in &result.missed {
        page.banner("warn", &format!("Goal missed: {missed}"));
    }
}

/// What the run was, and its main figures.
fn facts(result: &RunResult) -> Vec<(&'static str, String)> {
    let totals = &result.totals;
    let share = |share: f64| format!("{:.2}%", 100.0 * share);
    let mut facts = vec![
        ("Target", result.target.clone()),
        ("Pace", pace_text(result.pace)),
        ("Measured for", format!("{:.1} s", result.seconds)),
        ("Requests", totals.requests.to_string()),
        ("Offered", per_second(totals.offered_per_s)),
        ("Achieved", per_second(totals.achieved_per_s)),
        ("Failed", share(totals.error_share)),
        ("p50", ms(result.latency.p50_ms)),
        ("p99", ms(result.latency.p99_ms)),
        ("p99.9", ms(result.latency.p999_ms)),
        ("Longest", ms(result.latency.max_ms)),
    ];
    if let Some(goodput) = totals.goodput_per_s {
        facts.push(("Within the p99 asked for", per_second(goodput)));
    }
    if let Some(cache) = &result.cache {
        facts.push(("Cache hits", share(cache.hit_rate)));
    }
    if let Some(warm_up) = &result.warm_up {
        facts.push(("Warm-up", format!("{:.0} s", warm_up.seconds)));
        facts.push(("p99 of its first second", ms(warm_up.first_second_p99_ms)));
    }
    facts.push(("Generator's own delay, p99", ms(result.generator.lag.p99_ms)));
    facts.push(("Generator's CPU", share(result.generator.cpu_share)));
    facts.push(("Seed", result.seed.to_string()));
    facts
}

fn pace_text(pace: Pace) -> String {
    match pace {
        Pace::Open(open) => format!("open loop, {} {:?}", per_second(open.rate), open.arrivals),
        Pace::Closed(closed) => {
            format!("closed loop, {} users, {} ms thinking", closed.users, closed.think_ms)
        }
    }
}

/// One curve per run: name, colour, result.
pub(super) fn by_percentile(runs: &[(&str, &'static str, &RunResult)]) -> String {
    let all: Vec<Curve<'_>> = runs
        .iter()
        .map(|(name, class, result)| Curve { name, class, points: percentiles(result) })
        .collect();
    let limit = runs.first().and_then(|(_, _, result)| result.goals.p99_ms);
    let across = Axis { scale: Scale::Nines, unit: "share of the requests" };
    let up = Axis { scale: Scale::Log, unit: "ms" };
    curves("Latency by percentile", (&across, &up), &all, limit)
}

/// The share of requests that were faster than each class of latencies, and the class.
fn percentiles(result: &RunResult) -> Vec<(f64, f64)> {
    let all: u64 = result.distribution.iter().map(|(_, n)| n).sum();
    let mut below = 0;
    let points = result.distribution.iter().map(|(ms, n)| {
        let share = below as f64 / all as f64;
        below += n;
        (share, *ms)
    });
    points.collect()
}

pub(super) fn over_time(result: &RunResult) -> String {
    let curve = |name, class, pick: fn(&crate::result::WindowResult) -> f64| Curve {
        name,
        class,
        points: result.windows.iter().map(|w| (w.second, pick(w))).collect(),
    };
    let all = [
        curve("longest", "three", |w| w.max_ms),
        curve("p99", "two", |w| w.p99_ms),
        curve("p50", "one", |w| w.p50_ms),
    ];
    let across = Axis { scale: Scale::Linear, unit: "s since the start" };
    let up = Axis { scale: Scale::Log, unit: "ms" };
    curves("Latency over time", (&across, &up), &all, result.goals.p99_ms)
}

pub(super) fn requests_over_time(result: &RunResult) -> String {
    let length = window_seconds(result);
    let curve = |name, class, pick: fn(&crate::result::WindowResult) -> u64| Curve {
        name,
        class,
        points: result.windows.iter().map(|w| (w.second, pick(w) as f64 / length)).collect(),
    };
    let all = [
        curve("offered", "two", |w| w.offered),
        curve("answered", "one", |w| w.ok),
        curve("failed", "bad", |w| w.failed),
    ];
    let across = Axis { scale: Scale::Linear, unit: "s since the start" };
    let up = Axis { scale: Scale::Linear, unit: "per second" };
    curves("Requests over time", (&across, &up), &all, None)
}

/// Length of the windows of a result in seconds.
fn window_seconds(result: &RunResult) -> f64 {
    match result.windows.as_slice() {
        [first, second, ..] => second.second - first.second,
        _ => result.seconds,
    }
    .min(result.seconds)
}

/// Share of the requests in classes that each reach 1.25 times as far as the one before.
fn histogram(result: &RunResult) -> String {
    let all: u64 = result.distribution.iter().map(|(_, n)| n).sum();
    let mut classes: Vec<(i32, u64)> = Vec::new();
    for (ms, n) in &result.distribution {
        let class = (ms.ln() / 1.25f64.ln()).ceil() as i32;
        match classes.last_mut() {
            Some(last) if last.0 == class => last.1 += n,
            _ => classes.push((class, *n)),
        }
    }
    let points = classes
        .iter()
        .map(|(class, n)| (1.25f64.powi(*class), 100.0 * *n as f64 / all as f64))
        .collect();
    let curve = Curve { name: "share of the requests", class: "one", points };
    let across = Axis { scale: Scale::Log, unit: "ms" };
    let up = Axis { scale: Scale::Linear, unit: "%" };
    curves("Requests by latency", (&across, &up), &[curve], None)
}

fn kind_rows(result: &RunResult) -> Vec<Vec<String>> {
    let head = ["", "answered", "failed", "mean", "p50", "p90", "p99", "p99.9", "longest"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for kind in &result.kinds {
        let counts = vec![kind.name.clone(), kind.ok.to_string(), kind.failed.to_string()];
        rows.push([counts, time_cells(&kind.latency)].concat());
    }
    rows
}

fn time_cells(times: &Summary) -> Vec<String> {
    let Summary { mean_ms, p50_ms, p90_ms, p99_ms, p999_ms, max_ms, .. } = *times;
    [mean_ms, p50_ms, p90_ms, p99_ms, p999_ms, max_ms].map(ms).to_vec()
}

fn time_rows(result: &RunResult) -> Vec<Vec<String>> {
    let mut rows =
        vec![["", "mean", "p50", "p90", "p99", "p99.9", "longest"].map(str::to_owned).to_vec()];
    for (name, times) in [
        ("latency, from the intended time", &result.latency),
        ("service time, from the first byte sent", &result.service),
        ("waiting for a connection", &result.connection_wait),
        ("generator's own delay", &result.generator.lag),
    ] {
        rows.push([vec![name.to_owned()], time_cells(times)].concat());
    }
    rows
}

fn answer_rows(result: &RunResult) -> Vec<Vec<String>> {
    let mut rows = vec![vec!["".to_owned(), "requests".to_owned()]];
    let mut row = |name: String, n: u64| rows.push(vec![name, n.to_string()]);
    result.statuses.iter().for_each(|(status, n)| row(format!("status {status}"), *n));
    result.failures.iter().for_each(|(why, n)| row(format!("no answer: {why}"), *n));
    row("slates that fell back".to_owned(), result.slates.fallbacks);
    row("slates that are degraded".to_owned(), result.slates.degraded);
    row("connections opened".to_owned(), result.connections.opened);
    row("requests that waited for one".to_owned(), result.connections.waited);
    rows
}

/// A run for a terminal.
pub fn run_text(result: &RunResult) -> String {
    let totals = &result.totals;
    let mut out = format!(
        "{}: {}, {:.1} s, {} requests\n",
        result.scenario,
        pace_text(result.pace),
        result.seconds,
        totals.requests
    );
    out += &format!(
        "offered {}, achieved {}, failed {:.3}%",
        per_second(totals.offered_per_s),
        per_second(totals.achieved_per_s),
        100.0 * totals.error_share
    );
    if let Some(cache) = &result.cache {
        out += &format!(", cache hits {:.1}%", 100.0 * cache.hit_rate);
    }
    out.push('\n');
    let mut rows = kind_rows(result);
    let all = vec!["all".to_owned(), totals.ok.to_string(), totals.failed.to_string()];
    rows.push([all, time_cells(&result.latency)].concat());
    out += &aligned(&rows);
    for (why, n) in result.statuses.iter().filter(|(status, _)| !status.starts_with('2')) {
        out += &format!("status {why}: {n}\n");
    }
    result.failures.iter().for_each(|(why, n)| out += &format!("no answer, {why}: {n}\n"));
    result.missed.iter().for_each(|line| out += &format!("goal missed: {line}\n"));
    result.invalid_because.iter().for_each(|line| out += &format!("NOT VALID: {line}\n"));
    result.notes.iter().for_each(|line| out += &format!("note: {line}\n"));
    out
}
