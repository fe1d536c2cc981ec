//! What rows hold: fields, copies, ranges, references, numbers of rows.

use std::collections::BTreeMap;

use super::{Bench, Figure, share};
use crate::profile::{Catalogue, Numbers, Profile};
use crate::report::Unit;

/// A learned range is wider than what was seen by this factor.
const LEARNED_TIMES: f64 = 10.0;
/// Share of the numbers on each side that does not count for a learned range.
const TAIL: f64 = 0.001;
/// Rows from which on a share says something.
const FEW_ROWS: u64 = 100;

pub(super) fn check(bench: &mut Bench<'_>, quarantined: Option<u64>) {
    required(bench);
    nulls(bench);
    copies(bench);
    ranges(bench);
    references(bench);
    shrinkage(bench);
    quarantine(bench, quarantined);
}

/// Fields that must be there.
fn required(bench: &mut Bench<'_>) {
    let config = bench.config;
    for (table, names, catalogue) in [
        ("items", &config.required.items, &bench.now.items),
        ("users", &config.required.users, &bench.now.users),
    ] {
        for name in names {
            let present = catalogue.fields.get(name).map_or(0, |field| field.present);
            let (lacking, rows) = (catalogue.rows - present, catalogue.rows);
            bench.add(Figure {
                check: "missing",
                subject: &format!("{table}.{name}"),
                value: share(lacking, rows),
                unit: Unit::Share,
                limit: bench.limits().missing,
                fails: true,
                detail: format!("{lacking} of {rows} {table} lack `{name}`, which is required"),
                advice: "fill the field at its source, or take it from quality.required",
            });
        }
    }
}

/// Fields that are empty more often than when data were last accepted.
fn nulls(bench: &mut Bench<'_>) {
    let Some(accepted) = bench.accepted else {
        bench.skip("nulls", "needs an accepted run to compare with");
        return;
    };
    let empty = |catalogue: &Catalogue, name: &str| {
        let present = catalogue.fields.get(name).map_or(0, |field| field.present);
        1.0 - share(present, catalogue.rows)
    };
    let tables = [
        ("items", &bench.now.items, &accepted.items),
        ("users", &bench.now.users, &accepted.users),
    ];
    for (table, now, before) in tables {
        if now.rows < FEW_ROWS || before.rows < FEW_ROWS {
            continue;
        }
        for name in before.fields.keys() {
            let (was, is) = (empty(before, name), empty(now, name));
            more_empty(bench, &format!("{table}.{name}"), was, is);
        }
    }
    let untimed = |p: &Profile| share(p.events.untimed, p.events.rows);
    if accepted.events.rows >= FEW_ROWS {
        more_empty(bench, "events.time_ms", untimed(accepted), untimed(bench.now));
    }
}

fn more_empty(bench: &mut Bench<'_>, field: &str, was: f64, is: f64) {
    let percent = |share| Unit::Share.show(share);
    bench.add(Figure {
        check: "nulls",
        subject: field,
        value: (is - was).max(0.0),
        unit: Unit::Share,
        limit: bench.limits().nulls,
        fails: true,
        detail: format!("empty in {} of the rows, {} before", percent(is), percent(was)),
        advice: "see whether the source or the mapping lost the field",
    });
}

fn copies(bench: &mut Bench<'_>) {
    let events = &bench.now.events;
    let (duplicates, repeats) = (events.duplicates, events.repeats);
    bench.add(Figure {
        check: "duplicates",
        subject: "events",
        value: duplicates,
        unit: Unit::Share,
        limit: bench.limits().duplicates,
        fails: true,
        detail: format!(
            "{} of the events equal another in user, item, kind, value and time, under an id of \
             their own",
            Unit::Share.show(duplicates)
        ),
        advice: "they count twice: look for data that were brought in twice under new ids",
    });
    bench.add(Figure {
        check: "repeats",
        subject: "events",
        value: repeats,
        unit: Unit::Share,
        limit: bench.limits().repeats,
        fails: false,
        detail: format!(
            "{} of the stored events are there more than once; they count once",
            Unit::Share.show(repeats)
        ),
        advice: "harmless for learning, but they take space: look for imports that are repeated",
    });
}

/// Prices, and values by kind, against declared bounds or a range learned from the accepted run.
fn ranges(bench: &mut Bench<'_>) {
    let no_kinds = BTreeMap::new();
    let before = bench.accepted.map_or(&no_kinds, |p| &p.events.kinds);
    let price = ("items.price".to_owned(), &bench.now.prices, bench.accepted.map(|p| &p.prices));
    let values = bench.now.events.kinds.iter().map(|(name, kind)| {
        (format!("events.value of {name}"), &kind.values, before.get(name).map(|k| &k.values))
    });
    let all: Vec<_> = std::iter::once(price).chain(values).collect();
    for (subject, now, before) in all {
        range(bench, &subject, now, before);
    }
    let negative = bench.now.prices.beyond(0.0, f64::INFINITY);
    if bench.now.prices.rows > 0 {
        let rows = bench.now.prices.rows;
        bench.add(Figure {
            check: "range",
            subject: "items.price below 0",
            value: share(negative, rows),
            unit: Unit::Share,
            limit: bench.limits().range,
            fails: true,
            detail: format!("{negative} of {rows} prices are negative"),
            advice: "correct the prices at their source",
        });
    }
}

fn range(bench: &mut Bench<'_>, subject: &str, now: &Numbers, before: Option<&Numbers>) {
    let learned = before.filter(|before| before.rows >= FEW_ROWS).map(|before| {
        let (low, high) = (before.quantile(TAIL), before.quantile(1.0 - TAIL));
        let low = if low > 0.0 { low / LEARNED_TIMES } else { low * LEARNED_TIMES };
        let high = if high > 0.0 { high * LEARNED_TIMES } else { high / LEARNED_TIMES };
        (low, high, now.beyond(low, high))
    });
    let (outside, said) = match (now.outside, learned) {
        (Some(outside), _) => (outside, "the bounds that are set".to_owned()),
        (None, Some((low, high, outside))) => {
            (outside, format!("{low:.4} to {high:.4}, ten times the range accepted before"))
        }
        (None, None) => return,
    };
    if now.rows == 0 {
        return;
    }
    bench.add(Figure {
        check: "range",
        subject,
        value: share(outside, now.rows),
        unit: Unit::Share,
        limit: bench.limits().range,
        fails: true,
        detail: format!(
            "{outside} of {} are outside of {said}; found {:.4} to {:.4}",
            now.rows, now.min, now.max
        ),
        advice: "correct them at their source, or declare the range in quality.bounds",
    });
}

/// Events whose item or user has no record. Fails only when it was better before.
fn references(bench: &mut Bench<'_>) {
    let (now, before) = (&bench.now.events, bench.accepted.map(|p| &p.events));
    let sides = [
        ("items", now.orphan_items, before.and_then(|e| e.orphan_items)),
        ("users", now.orphan_users, before.and_then(|e| e.orphan_users)),
    ];
    for (table, now, before) in sides {
        let Some(orphans) = now else {
            bench.skip("orphans", format!("there are no records of {table}"));
            continue;
        };
        let rise = before.map(|before| (orphans - before).max(0.0));
        bench.add(Figure {
            check: "orphans",
            subject: table,
            value: rise.unwrap_or(orphans),
            unit: Unit::Share,
            limit: bench.limits().orphans,
            fails: before.is_some(),
            detail: match before {
                Some(before) => format!(
                    "{} of the events are about {table} without a record, {} before",
                    Unit::Share.show(orphans),
                    Unit::Share.show(before)
                ),
                None => format!(
                    "{} of the events are about {table} without a record",
                    Unit::Share.show(orphans)
                ),
            },
            advice: "bring in the records that are missing, or see whether ids are written alike",
        });
    }
}

/// Tables that hold less than when data were last accepted.
fn shrinkage(bench: &mut Bench<'_>) {
    let Some(accepted) = bench.accepted else { return };
    let rows = |p: &Profile| {
        let kept = p.events.rows as f64 * (1.0 - p.events.repeats);
        [kept as u64, p.items.rows, p.users.rows]
    };
    let both = rows(bench.now).into_iter().zip(rows(accepted));
    for (table, (now, before)) in ["events", "items", "users"].into_iter().zip(both) {
        if before < FEW_ROWS {
            continue;
        }
        bench.add(Figure {
            check: "shrinkage",
            subject: table,
            value: 1.0 - (now as f64 / before as f64).min(1.0),
            unit: Unit::Share,
            limit: bench.limits().shrinkage,
            fails: true,
            detail: format!("{now} rows, {before} when data were last accepted"),
            advice: "see whether an extraction removed what it should have kept",
        });
    }
}

fn quarantine(bench: &mut Bench<'_>, quarantined: Option<u64>) {
    let Some(bad) = quarantined else { return };
    let Profile { events, items, users, .. } = bench.now;
    let rows = events.rows + items.rows + users.rows + bad;
    bench.add(Figure {
        check: "quarantine",
        subject: "rows",
        value: share(bad, rows),
        unit: Unit::Share,
        limit: bench.limits().quarantine,
        fails: false,
        detail: format!("{bad} rows lie in quarantine beside {} that were taken", rows - bad),
        advice: "read the files in the quarantine folder, correct the rows, import them, and \
                 remove the files",
    });
}
