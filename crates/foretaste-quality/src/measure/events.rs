//! Events: their times, kinds and values, who and what they are about.

use foretaste_core::ids::id_hash;
use foretaste_core::{EventBatch, IdTable};

use super::catalogue::Counter;
use super::content::{Contents, content_hash};
use super::days::{Days, first_day_of_week, week_of};
use super::tally::{Counted, Tally};
use super::{Times, When};
use crate::profile::{Events, Kind};
use crate::{DAY_MS, HOUR_MS, QualityConfig};

/// A week counts as whole when its newest event is at most so far from its end.
const WEEK_END_MS: i64 = 6 * HOUR_MS;

/// All events so far.
pub(super) struct EventTable {
    times: Times,
    config: QualityConfig,
    found: Events,
    names: IdTable,
    kinds: Vec<OneKind>,
    days: Days,
    contents: Contents,
    pub(super) users: Tally,
    pub(super) items: Tally,
}

struct OneKind {
    hash: u64,
    rows: u64,
    newest_ms: i64,
    values: Counter,
}

impl EventTable {
    pub(super) fn new(times: Times, config: &QualityConfig) -> Self {
        Self {
            times,
            config: config.clone(),
            found: Events::default(),
            names: IdTable::new(),
            kinds: Vec::new(),
            days: Days::new(times.first_ms),
            contents: Contents::new(),
            users: Tally::new(),
            items: Tally::new(),
        }
    }

    pub(super) fn add(&mut self, batch: &EventBatch) {
        let kind_of: Vec<usize> = batch.kinds.iter().map(|kind| self.kind(kind)).collect();
        let user_hashes: Vec<u64> = batch.users.iter().map(id_hash).collect();
        let item_hashes: Vec<u64> = batch.items.iter().map(id_hash).collect();
        let mut users = vec![Counted::default(); user_hashes.len()];
        let mut items = vec![Counted::default(); item_hashes.len()];
        self.found.rows += batch.len() as u64;
        for at in 0..batch.len() {
            let (user, item) = (batch.user[at] as usize, batch.item[at] as usize);
            let (kind, value, time) =
                (kind_of[usize::from(batch.kind[at])], batch.value[at], batch.time_ms[at]);
            let week = self.settle_time(time, kind);
            users[user].add(week, 1);
            items[item].add(week, 1);
            let one = &mut self.kinds[kind];
            one.rows += 1;
            one.values.add(value);
            let rest = (u64::from(value.to_bits()) << 32) ^ time as u64;
            let hash = content_hash(user_hashes[user], item_hashes[item], one.hash, rest);
            self.contents.add(hash, batch.key[at], time);
        }
        self.users.add(&batch.users, &user_hashes, &users);
        self.items.add(&batch.items, &item_hashes, &items);
    }

    /// Counts a time and returns its week; 0 for a time that is not believed.
    #[inline]
    fn settle_time(&mut self, time_ms: i64, kind: usize) -> u16 {
        match self.times.of(time_ms) {
            When::Known => {
                let one = &mut self.kinds[kind];
                one.newest_ms = one.newest_ms.max(time_ms);
                self.days.add(time_ms, kind);
                return week_of(time_ms);
            }
            When::Unknown => self.found.untimed += 1,
            When::Ancient => self.found.ancient += 1,
            When::Future => self.found.future += 1,
        }
        0
    }

    fn kind(&mut self, name: &str) -> usize {
        let at = self.names.intern(name) as usize;
        if at == self.kinds.len() {
            self.kinds.push(OneKind {
                hash: id_hash(name),
                rows: 0,
                newest_ms: 0,
                values: Counter::new(self.config.values(name)),
            });
        }
        at
    }

    fn newest_ms(&self) -> i64 {
        self.kinds.iter().map(|kind| kind.newest_ms).max().unwrap_or(0)
    }

    /// The latest week that is over and had begun when events began.
    pub(super) fn latest_week(&self) -> Option<u16> {
        let newest = self.newest_ms();
        let first = self.days.first()?;
        let running = week_of(newest);
        let end = (first_day_of_week(running) + 7) * DAY_MS;
        let week = if newest >= end - WEEK_END_MS { running } else { running.checked_sub(1)? };
        (week > 0 && first <= first_day_of_week(week)).then_some(week)
    }

    pub(super) fn finish(&self) -> Events {
        let copied = self.contents.copied();
        let names: Vec<&str> = self.names.iter().collect();
        let kind = |(at, one): (usize, &OneKind)| {
            let (active_days, longest_silence_days) = self.days.rhythm(at);
            let kind = Kind {
                rows: one.rows,
                newest_ms: one.newest_ms,
                values: one.values.finish(),
                longest_silence_days,
                active_days,
            };
            (names[at].to_owned(), kind)
        };
        Events {
            repeats: copied.repeats,
            duplicates: copied.duplicates,
            newest_ms: self.newest_ms(),
            kinds: self.kinds.iter().enumerate().filter(|(_, k)| k.rows > 0).map(kind).collect(),
            days: self.days.latest(&names),
            ..self.found.clone()
        }
    }
}
