//! Users and items that are far from all others.
//!
//! Events per user or item are spread over orders of magnitude, about as a lognormal. On the plain
//! scale mean + 3 sigma calls one or two in a hundred of any healthy data abnormal; on the
//! logarithm it is the rare one. A heavy user alone harms nothing, so a verdict also asks for a
//! share of all events that matters, and that no small data set reaches by itself.

use super::{Bench, Figure};
use crate::config::Limit;
use crate::profile::{Profile, Skew};
use crate::report::Unit;

/// So often the mean share an abnormal user or item must have at least.
const USER_TIMES: f64 = 50.0;
const ITEM_TIMES: f64 = 200.0;
/// An item may have so often the share that the first one had when data were last accepted.
const ACCEPTED_TIMES: f64 = 2.0;
/// Users or items from which on their spread says something.
const FEW: u64 = 100;

pub(super) fn check(bench: &mut Bench<'_>) {
    let limits = *bench.limits();
    let users: fn(&Profile) -> &Skew = |p| &p.user_skew;
    let items: fn(&Profile) -> &Skew = |p| &p.item_skew;
    largest(bench, ("abnormal_users", "user", users), limits.abnormal_users, USER_TIMES);
    largest(bench, ("abnormal_items", "item", items), limits.abnormal_items, ITEM_TIMES);
    for (table, of) in [("users", users), ("items", items)] {
        concentration(bench, table, of);
    }
}

fn largest(
    bench: &mut Bench<'_>,
    (check, noun, of): (&'static str, &str, fn(&Profile) -> &Skew),
    limit: Limit,
    times: f64,
) {
    let skew = of(bench.now);
    if skew.distinct < FEW {
        return bench.skip(check, format!("fewer than {FEW} {noun}s"));
    }
    let kept = bench.now.events.rows as f64 * (1.0 - bench.now.events.repeats);
    let before = bench.accepted.and_then(|p| Some((of(p).largest.first()?, p)));
    let known = before.map_or(0.0, |(one, p)| f64::from(one.events) / p.events.rows.max(1) as f64);
    let floor = (times / skew.distinct as f64).max(ACCEPTED_TIMES * known);
    let limit = Limit { warn: limit.warn.max(floor), fail: limit.fail.max(floor), ..limit };
    let abnormal = skew.largest.first().filter(|one| f64::from(one.events) > skew.above);
    let top = skew.largest.first();
    bench.add(Figure {
        check,
        subject: abnormal.map_or("all", |one| one.id.as_str()),
        value: abnormal.map_or(0.0, |one| f64::from(one.events) / kept.max(1.0)),
        unit: Unit::Share,
        limit,
        fails: true,
        detail: format!(
            "{} of {} {noun}s have more than {:.0} events, the mean + 3 sigma of the logarithm; \
             most has {}",
            skew.n_above,
            skew.distinct,
            skew.above,
            top.map_or_else(String::new, |one| format!("{} ({})", one.id, one.events)),
        ),
        advice: "look at who that is; erase a robot's events, and correct what sends them",
    });
}

/// The share of the events with the most active hundredth, against the accepted run.
fn concentration(bench: &mut Bench<'_>, table: &str, of: fn(&Profile) -> &Skew) {
    let Some(before) = bench.accepted.map(of).filter(|skew| skew.distinct >= FEW) else { return };
    let now = of(bench.now);
    bench.add(Figure {
        check: "concentration",
        subject: table,
        value: (now.top_share - before.top_share).max(0.0),
        unit: Unit::Share,
        limit: bench.limits().concentration,
        fails: true,
        detail: format!(
            "the most active 1% of {table} have {} of the events, {} before; Gini {:.3}, {:.3} \
             before",
            Unit::Share.show(now.top_share),
            Unit::Share.show(before.top_share),
            now.gini,
            before.gini
        ),
        advice: "look for robots and for items that are shown everywhere",
    });
}
