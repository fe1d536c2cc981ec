//! When things happened: age of tables, kinds that stopped, days that are missing, times that
//! cannot be.

use foretaste_core::TimeMs;
use foretaste_core::time::date;

use super::{Bench, Figure, median, share};
use crate::profile::{Events, Profile};
use crate::report::Unit;
use crate::{DAY_MS, HOUR_MS, QualityConfig};

/// A learned age is never stricter than this.
const LEARNED_HOURS: f64 = 48.0;
/// A learned age is this often the age at the last accepted run.
const LEARNED_TIMES: f64 = 3.0;
/// A kind is missed only when so many of its events should have come.
const MISSED_EVENTS: f64 = 30.0;
/// Days are judged where so many events are usual.
const USUAL_EVENTS: f64 = 50.0;
/// Days that are judged, and weeks before a day that say what is usual on it.
const JUDGED_DAYS: i64 = 7;
const WEEKS: i64 = 4;

pub(super) fn check(bench: &mut Bench<'_>) {
    freshness(bench);
    silence(bench);
    rate(bench);
    impossible(bench);
}

/// Age of the newest row of each table, in parts of the age that is allowed.
fn freshness(bench: &mut Bench<'_>) {
    let newest: fn(&Profile) -> [TimeMs; 3] =
        |p| [p.events.newest_ms, p.items.newest_ms, p.users.newest_ms];
    let QualityConfig { max_age_hours: limits, .. } = bench.config;
    let declared = [limits.events, limits.items, limits.users];
    let tables = ["events", "items", "users"].into_iter().zip(newest(bench.now)).zip(declared);
    for (at, ((table, newest_ms), declared)) in tables.enumerate() {
        let age = hours(bench.now.measured_ms - newest_ms);
        // How often items and users are made says nothing about whether their records are fed.
        let accepted = bench.accepted.filter(|_| table == "events");
        let before = accepted.map(|p| (newest(p)[at], p.measured_ms));
        let learned = before.filter(|(newest, _)| *newest > 0).map(|(newest, measured)| {
            (LEARNED_TIMES * hours(measured - newest)).max(LEARNED_HOURS)
        });
        let allowed = if declared > 0.0 { Some(declared) } else { learned };
        let Some(allowed) = allowed else {
            bench.skip("freshness", format!("{table}: no limit is set in quality.max_age_hours"));
            continue;
        };
        if newest_ms == 0 {
            bench.skip("freshness", format!("{table}: no row has a time"));
            continue;
        }
        let source = if declared > 0.0 { "set" } else { "learned" };
        bench.add(Figure {
            check: "freshness",
            subject: table,
            value: age / allowed,
            unit: Unit::Times,
            limit: bench.limits().freshness,
            fails: declared > 0.0,
            detail: format!(
                "the newest row is {age:.1} h old; {allowed:.1} h are allowed ({source})"
            ),
            advice: "see whether import, extract or the sender of events still runs",
        });
    }
}

fn hours(ms: TimeMs) -> f64 {
    ms.max(0) as f64 / HOUR_MS as f64
}

/// Kinds of events that have stopped while others go on: days without any, in parts of twice the
/// longest earlier silence and a day.
fn silence(bench: &mut Bench<'_>) {
    let events = &bench.now.events;
    for (name, kind) in events.kinds.iter().filter(|(_, kind)| kind.newest_ms > 0) {
        let silent = events.newest_ms.div_euclid(DAY_MS) - kind.newest_ms.div_euclid(DAY_MS);
        let known = bench.accepted.and_then(|p| p.events.kinds.get(name));
        if known.is_some_and(|before| before.newest_ms == kind.newest_ms && silent > 0) {
            bench.skip("silence", format!("{name}: had stopped when data were last accepted"));
            continue;
        }
        let usual = kind.rows as f64 / kind.active_days.max(1) as f64;
        let span = kind.active_days as f64 / (kind.active_days as f64 + silent as f64);
        let is_missed = usual * silent as f64 * span >= MISSED_EVENTS && kind.active_days >= 7;
        let allowed = 2.0 * kind.longest_silence_days as f64 + 1.0;
        // The newest day may have only begun.
        let value = if is_missed { (silent as f64 - 1.0).max(0.0) / allowed } else { 0.0 };
        bench.add(Figure {
            check: "silence",
            subject: name,
            value,
            unit: Unit::Times,
            limit: bench.limits().silence,
            fails: bench.accepted.is_some(),
            detail: format!(
                "the newest `{name}` is {silent} days older than the newest event; its longest \
                 earlier silence was {} days",
                kind.longest_silence_days
            ),
            advice: "see whether this kind of event is still sent and mapped",
        });
    }
}

/// One of the latest days beside what is usual on its weekday.
struct Deviation {
    day: i64,
    found: f64,
    usual: f64,
}

/// The latest whole days against the same weekday of the weeks before.
fn rate(bench: &mut Bench<'_>) {
    let Some((days, scatter)) = deviations(&bench.now.events) else {
        bench.skip("gap", "needs events of three weeks, many enough a day");
        return;
    };
    let significant = |d: &&Deviation| {
        let distance = ((d.found + 1.0) / (d.usual + 1.0)).ln().abs();
        distance > 4.0 * scatter + 3.0 / (d.found.min(d.usual) + 1.0).sqrt()
    };
    let low = |d: &Deviation| 1.0 - d.found / d.usual;
    let (gap, surge) = (
        days.iter().filter(significant).max_by(|a, b| low(a).total_cmp(&low(b))),
        days.iter().filter(significant).min_by(|a, b| low(a).total_cmp(&low(b))),
    );
    let said = |d: Option<&Deviation>| match d {
        Some(Deviation { day, found, usual }) => {
            format!("{}: {found:.0} events where {usual:.0} are usual", date(*day))
        }
        None => "each of the latest days is within the usual scatter".to_owned(),
    };
    bench.add(Figure {
        check: "gap",
        subject: "events",
        value: gap.map_or(0.0, |d| low(d).max(0.0)),
        unit: Unit::Share,
        limit: bench.limits().gap,
        fails: bench.accepted.is_some(),
        detail: said(gap),
        advice: "bring in what is missing of that day (import or extract again), then train",
    });
    bench.add(Figure {
        check: "surge",
        subject: "events",
        value: surge.map_or(1.0, |d| d.found / d.usual),
        unit: Unit::Times,
        limit: bench.limits().surge,
        fails: bench.accepted.is_some(),
        detail: said(surge),
        advice: "look for robots and for data that were brought in twice",
    });
}

/// The latest whole days, and the usual scatter of days around what is usual on their weekday (as a
/// logarithm); `None` when there are too few days or events.
fn deviations(events: &Events) -> Option<(Vec<Deviation>, f64)> {
    let newest = events.newest_ms.div_euclid(DAY_MS);
    let is_over = events.newest_ms.rem_euclid(DAY_MS) >= DAY_MS - HOUR_MS;
    let last = if is_over { newest } else { newest - 1 };
    let first = *events.days.keys().next()?;
    let count = |day: i64| events.days.get(&day).map_or(0.0, |counts| counts.total() as f64);
    let deviation = |day: i64| {
        let before: Vec<f64> =
            (1..=WEEKS).map(|w| day - 7 * w).filter(|d| *d >= first).map(count).collect();
        let usual = (before.len() >= 2).then(|| median(before))?;
        Some(Deviation { day, found: count(day), usual })
    };
    let judged = (last - JUDGED_DAYS + 1)..=last;
    let days: Vec<Deviation> =
        judged.clone().filter_map(deviation).filter(|d| d.usual >= USUAL_EVENTS).collect();
    let residuals: Vec<f64> = (first..*judged.start())
        .filter_map(deviation)
        .map(|d| ((d.found + 1.0) / (d.usual + 1.0)).ln().abs())
        .collect();
    let scatter = (1.4826 * median(residuals)).max(0.1);
    (!days.is_empty()).then_some((days, scatter))
}

fn impossible(bench: &mut Bench<'_>) {
    let Profile { events, items, users, .. } = bench.now;
    let year = bench.config.first_year;
    for (table, part, all) in [
        ("events", events.future, events.rows),
        ("items", items.future, items.rows),
        ("users", users.future, users.rows),
    ] {
        bench.add(Figure {
            check: "future",
            subject: table,
            value: share(part, all),
            unit: Unit::Share,
            limit: bench.limits().future,
            fails: true,
            detail: format!("{part} of {all} rows are ahead of the clock"),
            advice: "correct the writer's clock, time zone or unit; quality.ahead_hours is the \
                     tolerance",
        });
    }
    bench.add(Figure {
        check: "ancient",
        subject: "events",
        value: share(events.ancient, events.rows),
        unit: Unit::Share,
        limit: bench.limits().ancient,
        fails: true,
        detail: format!("{} of {} events are from before {year}", events.ancient, events.rows),
        advice: "seconds taken for milliseconds look so; correct the mapping, or lower \
                 quality.first_year",
    });
}
