//! A report as one self-contained HTML page.

use std::collections::BTreeMap;

use foretaste_report::Page;
use foretaste_report::svg::{Bar, Series, bars, columns, lines};

use crate::profile::{Profile, Skew};
use crate::report::{Check, Report, Verdict};

const SUBTITLE: &str = "What the store holds, measured in one pass, against limits, its own rhythm \
    and the last accepted run.";
/// Bars of one plot.
const MOST_BARS: usize = 16;
/// Days of one plot.
const DAYS: usize = 60;

/// A report with the profile that it is about and the one that it was compared with.
pub fn page(report: &Report, now: &Profile, accepted: Option<&Profile>) -> String {
    let mut page = Page::new("Data quality", SUBTITLE);
    let (class, said) = match report.verdict {
        Verdict::Ok => ("good", "Everything that was checked is within its limits."),
        Verdict::Warn => ("warn", "Fit for learning from; some of it is worth a look."),
        Verdict::Fail => ("bad", "Not fit for learning from: see what failed."),
    };
    page.banner(class, said);
    page.facts(&facts(report, now));
    page.table("Checks", &rows(report));
    let raised: Vec<String> = report.checks.iter().filter_map(raised).collect();
    page.list("What to do", &raised);
    page.figures(&figures(report, now, accepted));
    page.table("The most active", &largest(now));
    let skipped = report.skipped.iter().map(|s| format!("{}: {}", s.check, s.why));
    page.list("Not checked", &skipped.collect::<Vec<_>>());
    page.finish()
}

fn facts(report: &Report, now: &Profile) -> Vec<(&'static str, String)> {
    let n = |verdict| report.with(verdict).count();
    let spread = |skew: &Skew| format!("{:.3} / {:.1}%", skew.gini, 100.0 * skew.top_share);
    vec![
        ("Score", format!("{:.0} of 100", report.score)),
        (
            "ok / warn / fail",
            format!("{} / {} / {}", n(Verdict::Ok), n(Verdict::Warn), n(Verdict::Fail)),
        ),
        ("Events", report.events.to_string()),
        ("Items", report.items.to_string()),
        ("Users", report.users.to_string()),
        (
            "Active users / items",
            format!("{} / {}", now.user_skew.distinct, now.item_skew.distinct),
        ),
        ("Gini / top 1% of users", spread(&now.user_skew)),
        ("Gini / top 1% of items", spread(&now.item_skew)),
    ]
}

fn rows(report: &Report) -> Vec<Vec<String>> {
    let head = ["Check", "Verdict", "Value", "Warns from", "Fails from", "Weight"];
    let row = |check: &Check| {
        let fail = check.fail.map_or_else(|| "–".to_owned(), |fail| check.unit.show(fail));
        vec![
            check.name(),
            check.verdict.name().to_owned(),
            check.unit.show(check.value),
            check.unit.show(check.warn),
            fail,
            check.weight.to_string(),
        ]
    };
    let head = vec![head.map(str::to_owned).to_vec()];
    head.into_iter().chain(report.checks.iter().map(row)).collect()
}

fn raised(check: &Check) -> Option<String> {
    let is_raised = check.verdict != Verdict::Ok;
    is_raised.then(|| format!("{}: {}. {}", check.name(), check.detail, check.advice))
}

fn figures(
    report: &Report,
    now: &Profile,
    accepted: Option<&Profile>,
) -> Vec<(&'static str, String)> {
    let both = |of: &dyn Fn(&Profile) -> Vec<f64>| -> Vec<Series<'static>> {
        let now = series("now", "one", &of(now));
        let before = accepted.map(|p| series("accepted", "two", &of(p)));
        std::iter::once(now).chain(before).collect()
    };
    let hours: Vec<String> = (0..24).map(|h| h.to_string()).collect();
    let tenths: Vec<String> = (1..=10).map(|t| t.to_string()).collect();
    let steps: Vec<String> = (0..12).map(|step| (1u32 << step).to_string()).collect();
    let kinds: Vec<String> = now.events.kinds.keys().take(MOST_BARS).cloned().collect();
    vec![
        ("Value over the limit for warning", over_limits(report)),
        ("Events a day", per_day(now)),
        ("Share of events by hour (UTC)", columns("Hours", &hours, &both(&by_hour))),
        (
            "Share of events by kind",
            columns("Kinds", &kinds, &both(&|profile| by_kind(profile, &kinds))),
        ),
        (
            "Share of users by events in a week, from",
            columns("Events per user", &steps, &both(&|p| events_per_user(p, steps.len()))),
        ),
        (
            "Share of events by tenth of the items",
            columns("Popularity", &tenths, &both(&|p| p.week.popularity.clone())),
        ),
        ("Items by category", categories(&now.categories)),
    ]
}

fn series(name: &'static str, class: &'static str, values: &[f64]) -> Series<'static> {
    Series { name, class, values: values.iter().map(|v| Some((*v, 0.0))).collect() }
}

/// The checks that are nearest to their limits.
fn over_limits(report: &Report) -> String {
    let mut checks: Vec<&Check> = report.checks.iter().collect();
    let ratio = |check: &Check| check.value / check.warn;
    checks.sort_by(|a, b| ratio(b).total_cmp(&ratio(a)));
    let names: Vec<String> = checks.iter().take(MOST_BARS).map(|check| check.name()).collect();
    let mut all = Vec::new();
    for (check, name) in checks.into_iter().zip(&names) {
        let class = match check.verdict {
            Verdict::Ok => "good",
            Verdict::Warn => "two",
            Verdict::Fail => "bad",
        };
        let (value, text) = (ratio(check), format!("{:.2}", ratio(check)));
        // One bar that is far out must not hide how far the others are.
        all.push(Bar { label: name, value: value.min(5.0), error: 0.0, class, text });
    }
    bars("Value over limit", &all)
}

fn per_day(profile: &Profile) -> String {
    let days = &profile.events.days;
    let Some((&last, _)) = days.last_key_value() else {
        return "<p class=\"soft\">no event has a time</p>".to_owned();
    };
    let first = days.keys().next().copied().unwrap_or(last).max(last - DAYS as i64 + 1);
    let count = |day: i64| days.get(&day).map_or(0.0, |counts| counts.total() as f64);
    let values: Vec<f64> = (first..=last).map(count).collect();
    let label = |at: usize| match (values.len() - 1 - at) % 14 {
        0 => format!("-{}", values.len() - 1 - at),
        _ => String::new(),
    };
    let ticks: Vec<String> = (0..values.len()).map(label).collect();
    lines("Events a day", &ticks, &[series("days before the newest event", "one", &values)])
}

fn by_hour(profile: &Profile) -> Vec<f64> {
    let mut hours = [0.0; 24];
    for day in profile.events.days.values() {
        hours.iter_mut().zip(day.hours).for_each(|(sum, n)| *sum += f64::from(n));
    }
    shares(&hours)
}

fn by_kind(profile: &Profile, kinds: &[String]) -> Vec<f64> {
    let rows = |kind: &String| profile.events.kinds.get(kind).map_or(0.0, |k| k.rows as f64);
    shares(&kinds.iter().map(rows).collect::<Vec<_>>())
}

fn events_per_user(profile: &Profile, steps: usize) -> Vec<f64> {
    let counts = profile.week.events_per_user.iter().map(|&n| n as f64);
    shares(&counts.collect::<Vec<_>>()).into_iter().take(steps).collect()
}

fn shares(counts: &[f64]) -> Vec<f64> {
    let total = counts.iter().sum::<f64>().max(1.0);
    counts.iter().map(|n| n / total).collect()
}

fn categories(counts: &BTreeMap<String, u64>) -> String {
    let mut all: Vec<(&String, u64)> = counts.iter().map(|(name, n)| (name, *n)).collect();
    all.sort_by_key(|(_, n)| std::cmp::Reverse(*n));
    if all.is_empty() {
        return "<p class=\"soft\">no item has a category</p>".to_owned();
    }
    all.truncate(MOST_BARS);
    let bars_of: Vec<Bar<'_>> = all
        .iter()
        .map(|(name, n)| Bar {
            label: if name.is_empty() { "rare ones" } else { name },
            value: *n as f64,
            error: 0.0,
            class: "one",
            text: n.to_string(),
        })
        .collect();
    bars("Categories", &bars_of)
}

fn largest(now: &Profile) -> Vec<Vec<String>> {
    let mut rows = vec![["User", "Events", "Item", "Events"].map(str::to_owned).to_vec()];
    let (users, items) = (&now.user_skew.largest, &now.item_skew.largest);
    let cells = |one: Option<&crate::Largest>| {
        one.map_or([String::new(), String::new()], |one| [one.id.clone(), one.events.to_string()])
    };
    for at in 0..users.len().max(items.len()) {
        rows.push([cells(users.get(at)), cells(items.get(at))].concat());
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{QualityConfig, check};

    #[test]
    fn a_page_of_nothing_is_still_a_page() {
        let profile = Profile::default();
        let report = check(&profile, None, None, &QualityConfig::default());
        let html = page(&report, &profile, None);
        assert!(html.starts_with("<!doctype html>") && html.ends_with("</html>\n"));
        assert!(!html.contains("NaN") && !html.contains("inf"), "{html}");
    }

    #[test]
    fn names_of_the_data_cannot_break_out_of_the_page() {
        let mut profile = Profile::default();
        profile.categories.insert("<script>".to_owned(), 3);
        profile.user_skew.largest =
            vec![crate::Largest { id: "<img src=x>".to_owned(), events: 9 }];
        let report = check(&profile, Some(&profile), None, &QualityConfig::default());
        let html = page(&report, &profile, Some(&profile));
        assert!(!html.contains("<script") && !html.contains("<img"), "{html}");
        assert!(html.contains("&lt;script&gt;"));
    }
}
