//! Events by day, kind and hour (UTC).

use std::collections::BTreeMap;

use foretaste_core::TimeMs;

use crate::profile::DayCounts;
use crate::{DAY_MS, HOUR_MS};

/// Days that a profile keeps.
const KEPT_DAYS: usize = 100;

/// Counts by day, from the first day that is believed on.
pub(super) struct Days {
    first: i64,
    days: Vec<Option<Box<Day>>>,
}

#[derive(Default)]
struct Day {
    kinds: Vec<u32>,
    hours: [u32; 24],
}

impl Days {
    pub(super) fn new(first_ms: TimeMs) -> Self {
        Self { first: first_ms.div_euclid(DAY_MS), days: Vec::new() }
    }

    /// Counts an event of a known time.
    #[inline]
    pub(super) fn add(&mut self, time_ms: TimeMs, kind: usize) {
        let at = (time_ms.div_euclid(DAY_MS) - self.first) as usize;
        if at >= self.days.len() {
            self.days.resize_with(at + 1, || None);
        }
        let day = self.days[at].get_or_insert_default();
        if kind >= day.kinds.len() {
            day.kinds.resize(kind + 1, 0);
        }
        day.kinds[kind] += 1;
        day.hours[(time_ms.rem_euclid(DAY_MS) / HOUR_MS) as usize] += 1;
    }

    fn with_events(&self) -> impl DoubleEndedIterator<Item = (i64, &Day)> {
        let days = self.days.iter().enumerate();
        days.filter_map(|(at, day)| Some((self.first + at as i64, day.as_deref()?)))
    }

    /// The first day with an event.
    pub(super) fn first(&self) -> Option<i64> {
        self.with_events().next().map(|(day, _)| day)
    }

    /// Days with events of a kind, and the longest run of days without any between them.
    pub(super) fn rhythm(&self, kind: usize) -> (u64, i64) {
        let has = |day: &Day| day.kinds.get(kind).is_some_and(|&n| n > 0);
        let days: Vec<i64> = self.with_events().filter(|(_, d)| has(d)).map(|d| d.0).collect();
        let silences = days.windows(2).map(|pair| pair[1] - pair[0] - 1);
        (days.len() as u64, silences.max().unwrap_or(0))
    }

    /// The latest days, by names of kinds.
    pub(super) fn latest(&self, kinds: &[&str]) -> BTreeMap<i64, DayCounts> {
        let named = |day: &Day| {
            let counted = kinds.iter().zip(&day.kinds).filter(|(_, n)| **n > 0);
            counted.map(|(kind, &n)| ((*kind).to_owned(), n)).collect()
        };
        let latest = self.with_events().rev().take(KEPT_DAYS);
        latest.map(|(at, day)| (at, DayCounts { kinds: named(day), hours: day.hours })).collect()
    }
}

/// The number of the week (Monday to Sunday) of a time, counted from the one of 1970-01-01; from 1
/// on, as 0 says that there is no time.
#[inline]
pub(super) fn week_of(time_ms: TimeMs) -> u16 {
    ((time_ms.div_euclid(DAY_MS) + 3).div_euclid(7) + 1).clamp(1, i64::from(u16::MAX)) as u16
}

/// The Monday of a week.
pub(super) fn first_day_of_week(week: u16) -> i64 {
    (i64::from(week) - 1) * 7 - 3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weeks_begin_on_mondays() {
        // 2026-06-01 is a Monday: day 20,605.
        let week = week_of(20_605 * DAY_MS);
        assert_eq!(first_day_of_week(week), 20_605);
        assert_eq!((week_of(20_605 * DAY_MS - 1), week_of(20_612 * DAY_MS)), (week - 1, week + 1));
        assert_eq!(week_of(1), 1);
    }

    #[test]
    fn days_kinds_and_hours_are_counted() {
        let mut days = Days::new(10 * DAY_MS);
        days.add(12 * DAY_MS + HOUR_MS, 1);
        days.add(12 * DAY_MS + HOUR_MS, 0);
        days.add(16 * DAY_MS, 1);
        assert_eq!((days.first(), days.rhythm(1), days.rhythm(0)), (Some(12), (2, 3), (1, 0)));
        let latest = days.latest(&["view", "order"]);
        assert_eq!(latest[&12].hours[1], 2);
        assert_eq!(latest[&16].kinds, BTreeMap::from([("order".to_owned(), 1)]));
    }
}
