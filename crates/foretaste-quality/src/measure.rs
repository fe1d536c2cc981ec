//! One pass over a store: items and users first or last, events in any order, each batch once.
//!
//! Memory is bounded whatever the size of the data (about 100 MB where there are millions of
//! users): ids are counted exactly up to 900,000, beyond that in a uniform sample of them;
//! duplicates are looked for in a sample of contents; days, kinds and fields are few.

mod catalogue;
mod content;
mod days;
mod events;
mod sample;
mod tally;

use foretaste_core::{EventBatch, Item, TimeMs, User, time};

use crate::profile::{Profile, Week};
use crate::{DAY_MS, HOUR_MS, QualityConfig};
use catalogue::{ItemTable, Records};
use events::EventTable;
use sample::Sample;
use tally::Tally;

/// The measuring of one store.
pub struct Measure {
    now_ms: TimeMs,
    items: ItemTable,
    users: Records,
    events: EventTable,
}

/// Which times are believed.
#[derive(Clone, Copy, Debug)]
struct Times {
    first_ms: TimeMs,
    last_ms: TimeMs,
}

/// What a time is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum When {
    Unknown,
    Ancient,
    Future,
    Known,
}

impl Times {
    #[inline]
    fn of(self, time_ms: TimeMs) -> When {
        match time_ms {
            0 => When::Unknown,
            t if t < self.first_ms => When::Ancient,
            t if t > self.last_ms => When::Future,
            _ => When::Known,
        }
    }
}

impl Measure {
    /// Begins; `now_ms` is the time that ages are measured from.
    pub fn new(config: &QualityConfig, now_ms: TimeMs) -> Self {
        let ahead = (config.ahead_hours * HOUR_MS as f64) as TimeMs;
        let first_ms = time::day_of(config.first_year.into(), 1, 1).unwrap_or_default() * DAY_MS;
        let times = Times { first_ms, last_ms: now_ms.saturating_add(ahead).max(first_ms) };
        Self {
            now_ms,
            items: ItemTable::new(times, config),
            users: Records::new(times),
            events: EventTable::new(times, config),
        }
    }

    /// Takes a record of the catalogue.
    pub fn item(&mut self, item: &Item) {
        self.items.add(item);
    }

    /// Takes a record of a user.
    pub fn user(&mut self, user: &User) {
        self.users.add(&user.user_id, user.created_ms);
        self.users.attributes(&user.attributes);
    }

    /// Takes a batch of events. Contexts are not looked at.
    ///
    /// # Cost
    /// Less than 130 ns an event, which reading and measuring take together.
    pub fn events(&mut self, batch: &EventBatch) {
        self.events.add(batch);
    }

    /// What was found.
    pub fn finish(self) -> Profile {
        let Self { now_ms, items, users, events } = self;
        let week = events.latest_week();
        let mut found = events.finish();
        found.orphan_items = orphans(&events.items, &items.records.known);
        found.orphan_users = orphans(&events.users, &users.known);
        let (categories, prices) = items.finish();
        Profile {
            version: Profile::VERSION,
            measured_ms: now_ms,
            events: found,
            items: items.records.finish(),
            users: users.finish(),
            categories,
            prices,
            user_skew: events.users.skew(),
            item_skew: events.items.skew(),
            week: in_week(&events.users, &events.items, week),
        }
    }
}

/// Share of the counted events whose id has no record; `None` when there are no records.
fn orphans(counted: &Tally, known: &Sample<()>) -> Option<f64> {
    if known.len() == 0 {
        return None;
    }
    let level = known.level();
    let both = counted.sample().iter().filter(|(hash, _)| hash.leading_zeros() >= level);
    let (mut all, mut lost) = (0u64, 0u64);
    for (hash, one) in both {
        all += u64::from(one.total);
        lost += if known.get(*hash).is_none() { u64::from(one.total) } else { 0 };
    }
    Some(lost as f64 / all.max(1) as f64)
}

/// How events are spread over users and items in a week (counted from 1970), or in all.
fn in_week(users: &Tally, items: &Tally, week: Option<u16>) -> Week {
    let (per_user, per_item) = (users.counts(week), items.counts(week));
    let mut events_per_user = vec![0u64; 20];
    for count in &per_user {
        events_per_user[(count.ilog2() as usize).min(19)] += 1;
    }
    let total: f64 = per_item.iter().map(|&n| f64::from(n)).sum();
    let mut popularity = vec![0.0; 10];
    for (at, &n) in per_item.iter().enumerate() {
        popularity[at * 10 / per_item.len()] += f64::from(n) / total;
    }
    Week {
        first_day: week.map(days::first_day_of_week),
        users: per_user.len() as u64,
        items: per_item.len() as u64,
        events_per_user,
        popularity,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_believed_within_their_bounds() {
        let times = Times { first_ms: 100, last_ms: 200 };
        let found = [0, -5, 99, 100, 200, 201].map(|t| times.of(t));
        assert_eq!(
            found,
            [When::Unknown, When::Ancient, When::Ancient, When::Known, When::Known, When::Future]
        );
    }
}
