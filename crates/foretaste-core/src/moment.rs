//! Features of the moment: what a user has just done, beside one candidate item. Pure functions of
//! the user's last events and a time, so that training rows and requests get the same numbers
//! from the same code.
//!
//! They know no model and no storage; ids are whatever the caller has, as long as equal means
//! the same.

use crate::TimeMs;

/// A pause after which events belong to another visit.
pub const SESSION_PAUSE_MS: TimeMs = 30 * 60_000;
/// Most events that are looked at; a caller need not keep more.
pub const MAX_STEPS: usize = 256;
/// Last events whose categories are compared with the candidate's.
const TASTE_STEPS: usize = 10;

const HOUR_MS: TimeMs = 3_600_000;
const DAY_MS: TimeMs = 24 * HOUR_MS;

/// One event of the user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step<Id> {
    /// When it happened.
    pub time_ms: TimeMs,
    /// The item.
    pub item: Id,
    /// The item's category, where it has one.
    pub category: Option<Id>,
}

/// The item that the numbers are about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate<Id> {
    /// The item.
    pub item: Id,
    /// Its category, where it has one.
    pub category: Option<Id>,
    /// When it became available; 0 when not known.
    pub created_ms: TimeMs,
}

/// Names of the numbers of [`features`], in order.
pub const NAMES: [&str; 13] = [
    "now_hour",
    "now_weekday",
    "now_seconds_since_event",
    "now_events_10m",
    "now_events_1h",
    "now_events_24h",
    "now_session_events",
    "now_session_seconds",
    "now_session_items",
    "now_category_matches",
    "now_item_events",
    "now_seconds_since_item",
    "now_item_age_days",
];

/// What the names mean, in the same order.
pub const DESCRIPTIONS: [&str; 13] = [
    "Hour of the day (UTC), 0 to 23.",
    "Day of the week (UTC), 0 is Monday.",
    "Seconds since the user's last event; missing without one.",
    "The user's events of the last 10 minutes.",
    "The user's events of the last hour.",
    "The user's events of the last 24 hours.",
    "Events of this visit; a visit ends with a pause of 30 minutes.",
    "Seconds since this visit began; missing outside of a visit.",
    "Different items in this visit.",
    "Of the user's last 10 events, those with items of the candidate's category.",
    "The user's last events with the candidate.",
    "Seconds since the last of these; missing without one.",
    "Days since the candidate became available; missing where that is not known.",
];

/// The numbers for a candidate at `now_ms`. `steps` are the user's last events, oldest first; of
/// those before `now_ms`, the last [`MAX_STEPS`] count, and none at or after it does.
///
/// # Units
/// As [`DESCRIPTIONS`] says; `None` is a missing value.
///
/// # Cost
/// One pass over at most [`MAX_STEPS`] events, and over the square of a visit's items. For many
/// candidates of one moment see [`Past`].
pub fn features<Id: PartialEq>(
    now_ms: TimeMs,
    steps: &[Step<Id>],
    candidate: &Candidate<Id>,
) -> [Option<f32>; NAMES.len()] {
    Past::of(now_ms, steps).beside(candidate)
}

/// What a user had done at one moment: the numbers that do not depend on the candidate are computed
/// once.
#[derive(Clone, Debug)]
pub struct Past<'a, Id> {
    now_ms: TimeMs,
    steps: &'a [Step<Id>],
    alone: [Option<f32>; NAMES.len()],
}

impl<'a, Id: PartialEq> Past<'a, Id> {
    /// The past at `now_ms`, with the bounds of [`features`].
    pub fn of(now_ms: TimeMs, steps: &'a [Step<Id>]) -> Self {
        let past = &steps[..steps.partition_point(|step| step.time_ms < now_ms)];
        let past = &past[past.len().saturating_sub(MAX_STEPS)..];
        let visit = visit(now_ms, past);
        let within = |ms: TimeMs| {
            Some((past.len() - past.partition_point(|s| now_ms - s.time_ms > ms)) as f32)
        };
        let alone = [
            Some(now_ms.div_euclid(HOUR_MS).rem_euclid(24) as f32),
            // 1970 began on a Thursday.
            Some((now_ms.div_euclid(DAY_MS) + 3).rem_euclid(7) as f32),
            past.last().map(|step| since(now_ms, step)),
            within(10 * 60_000),
            within(HOUR_MS),
            within(DAY_MS),
            Some(visit.len() as f32),
            visit.first().map(|step| since(now_ms, step)),
            Some(different_items(visit) as f32),
            None,
            None,
            None,
            None,
        ];
        Self { now_ms, steps: past, alone }
    }

    /// All numbers, for a candidate.
    ///
    /// # Cost
    /// One pass over the events.
    pub fn beside(&self, candidate: &Candidate<Id>) -> [Option<f32>; NAMES.len()] {
        let Self { now_ms, steps, mut alone } = *self;
        let with_item = || steps.iter().filter(|step| step.item == candidate.item);
        let taste = &steps[steps.len().saturating_sub(TASTE_STEPS)..];
        let matches =
            |step: &&Step<Id>| candidate.category.is_some() && step.category == candidate.category;
        let age_ms = || (now_ms - candidate.created_ms) as f32;
        let [.., category_matches, item_events, since_item, item_age] = &mut alone;
        *category_matches = Some(taste.iter().filter(matches).count() as f32);
        *item_events = Some(with_item().count() as f32);
        *since_item = with_item().next_back().map(|step| since(now_ms, step));
        *item_age = (candidate.created_ms > 0).then(|| age_ms() / DAY_MS as f32);
        alone
    }
}

fn since<Id>(now_ms: TimeMs, step: &Step<Id>) -> f32 {
    (now_ms - step.time_ms) as f32 / 1e3
}

/// The events of the visit that `now_ms` belongs to; none when the last one is too long ago.
fn visit<Id>(now_ms: TimeMs, past: &[Step<Id>]) -> &[Step<Id>] {
    let mut later = now_ms;
    let of_visit = past.iter().rev().take_while(|step| {
        let near = later - step.time_ms < SESSION_PAUSE_MS;
        later = step.time_ms;
        near
    });
    &past[past.len() - of_visit.count()..]
}

fn different_items<Id: PartialEq>(steps: &[Step<Id>]) -> usize {
    let is_first = |at: &usize| steps[..*at].iter().all(|s| s.item != steps[*at].item);
    (0..steps.len()).filter(is_first).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: TimeMs = 20_605 * DAY_MS + 9 * HOUR_MS; // Monday 2026-06-01, 9:00

    fn step(seconds_ago: i64, item: u32, category: u32) -> Step<u32> {
        Step { time_ms: NOW - seconds_ago * 1_000, item, category: Some(category) }
    }

    fn at(steps: &[Step<u32>]) -> impl Fn(&str) -> Option<f32> + use<> {
        let candidate = Candidate { item: 7, category: Some(1), created_ms: NOW - 3 * DAY_MS / 2 };
        let found = features(NOW, steps, &candidate);
        move |name: &str| found[NAMES.iter().position(|n| *n == name).unwrap()]
    }

    #[test]
    fn a_visit_in_numbers() {
        let of = at(&[
            step(90_000, 7, 1),
            step(5_000, 3, 2),
            step(1_700, 7, 1),
            step(60, 4, 1),
            step(30, 4, 1),
        ]);
        assert_eq!((of("now_hour"), of("now_weekday")), (Some(9.0), Some(0.0)));
        assert_eq!(of("now_seconds_since_event"), Some(30.0));
        assert_eq!((of("now_events_10m"), of("now_events_1h")), (Some(2.0), Some(3.0)));
        assert_eq!(of("now_events_24h"), Some(4.0));
        assert_eq!((of("now_session_events"), of("now_session_items")), (Some(3.0), Some(2.0)));
        assert_eq!(of("now_session_seconds"), Some(1_700.0));
        assert_eq!((of("now_category_matches"), of("now_item_events")), (Some(4.0), Some(2.0)));
        assert_eq!(of("now_seconds_since_item"), Some(1_700.0));
        assert_eq!(of("now_item_age_days"), Some(1.5));
    }

    #[test]
    fn nothing_yet_is_missing_and_not_zero() {
        let of = at(&[]);
        assert_eq!((of("now_seconds_since_event"), of("now_session_seconds")), (None, None));
        assert_eq!((of("now_session_events"), of("now_seconds_since_item")), (Some(0.0), None));
        let stranger = Candidate { item: 7, category: None, created_ms: 0 };
        let found = features(NOW, &[Step { category: None, ..step(5, 1, 0) }], &stranger);
        assert_eq!((found[9], found[12]), (Some(0.0), None), "no category matches none");
    }

    #[test]
    fn now_and_later_do_not_count_nor_does_what_is_long_ago() {
        let past = [step(10, 1, 1)];
        let with_future = [step(10, 1, 1), step(0, 7, 1), step(-5, 7, 1)];
        let of = |steps: &[Step<u32>]| {
            let of = at(steps);
            NAMES.map(&of)
        };
        assert_eq!(of(&past), of(&with_future));
        let many = (0..1_000).rev().map(|n| step(n + 1, n as u32 + 10, 1));
        let many: Vec<Step<u32>> = many.collect();
        assert_eq!(of(&many), of(&many[1_000 - MAX_STEPS..]));
        assert_eq!(at(&many)("now_session_items"), Some(MAX_STEPS as f32));
    }
}
