//! Erased users, whose events up to some moment are left out of every read until they are
//! dropped; and retracted events, which are left out by their keys.
//!
//! "Up to when" is a sequence number for events of the log, and the running number of the erasure
//! for segments of the lake: a segment carries the number up to which erasures are done in it.

use std::collections::HashMap;
use std::sync::Arc;

use foretaste_core::{Event, EventBatch, Result};
use rusqlite::{Transaction, params};

use super::Catalogue;
use crate::filter;

/// One erasure of a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Erasure {
    /// Its running number, from 1.
    pub(crate) number: u64,
    /// Events of the log up to this one are erased.
    pub(crate) seq: u64,
}

/// All erasures whose events may still be on disk.
#[derive(Clone, Debug, Default)]
pub(crate) struct Erasures {
    by_user: HashMap<String, Erasure>,
    /// Single events by their keys. Shared, as every read takes a copy.
    by_key: Arc<HashMap<u64, Erasure>>,
    /// Highest number in `by_key`.
    last_retraction: u64,
    last: u64,
}

impl Erasures {
    /// The number of the last erasure ever made.
    pub(crate) fn last(&self) -> u64 {
        self.last
    }

    /// True when a segment with this mark may hold erased events.
    pub(crate) fn concern(&self, erased_through: u64) -> bool {
        self.last_retraction > erased_through
            || self.by_user.values().any(|erasure| erasure.number > erased_through)
    }

    /// True when event `seq` of the log is erased.
    pub(crate) fn covers(&self, event: &Event, seq: u64) -> bool {
        self.by_user.get(&event.user).is_some_and(|erasure| seq <= erasure.seq)
            || !self.by_key.is_empty() && self.by_key.contains_key(&event.key())
    }

    /// A batch of a segment with this mark, without its erased events.
    pub(crate) fn apply(&self, batch: EventBatch, erased_through: u64) -> EventBatch {
        if !self.concern(erased_through) {
            return batch;
        }
        let erased: Vec<bool> = batch
            .users
            .iter()
            .map(|user| self.by_user.get(user).is_some_and(|e| e.number > erased_through))
            .collect();
        let retracted = |key: &u64| self.by_key.get(key).is_some_and(|e| e.number > erased_through);
        if !erased.contains(&true) && !batch.key.iter().any(retracted) {
            return batch;
        }
        filter::retain(batch, |batch, i| {
            !erased[batch.user[i] as usize] && !retracted(&batch.key[i])
        })
    }

    /// Takes single events back.
    pub(super) fn retract(&mut self, keys: impl Iterator<Item = u64>, erasure: Erasure) {
        let mut keys = keys.peekable();
        if keys.peek().is_none() {
            return;
        }
        self.last = self.last.max(erasure.number);
        self.last_retraction = self.last_retraction.max(erasure.number);
        Arc::make_mut(&mut self.by_key).extend(keys.map(|key| (key, erasure)));
    }

    fn add(&mut self, user: &str, erasure: Erasure) {
        self.last = self.last.max(erasure.number);
        self.by_user.insert(user.to_owned(), erasure);
    }
}

const LAST: &str = "erasure.last";

impl Catalogue {
    /// Removes a user's record and remembers the erasure; `known` is brought up to date. True
    /// when there was a record.
    pub(crate) fn erase_user(&self, id: &str, seq: u64, known: &mut Erasures) -> Result<bool> {
        let erasure = Erasure { number: known.last + 1, seq };
        let existed = self.transaction(|t| {
            let existed = t.execute("DELETE FROM users WHERE id = ?1", [id])? > 0;
            t.execute(
                "INSERT INTO erasures (user, number, seq) VALUES (?1, ?2, ?3)
                 ON CONFLICT (user) DO UPDATE SET number = excluded.number, seq = excluded.seq",
                params![id, erasure.number as i64, erasure.seq as i64],
            )?;
            note_last(t, erasure.number)?;
            Ok(existed)
        })?;
        known.add(id, erasure);
        Ok(existed)
    }

    /// All erasures that are remembered.
    pub(crate) fn erasures(&self) -> Result<Erasures> {
        let last = self.control(LAST)?.and_then(|text| text.parse().ok()).unwrap_or(0);
        let mut erasures = Erasures { last, ..Erasures::default() };
        self.scan("SELECT user, number, seq FROM erasures", &mut |row| {
            let (user, number, seq): (String, i64, i64) = self.named(row.try_into())?;
            erasures.add(&user, Erasure { number: number as u64, seq: seq as u64 });
            Ok(())
        })?;
        self.scan("SELECT key, number, seq FROM retractions", &mut |row| {
            let (key, number, seq): (i64, i64, i64) = self.named(row.try_into())?;
            let erasure = Erasure { number: number as u64, seq: seq as u64 };
            erasures.retract(std::iter::once(key as u64), erasure);
            Ok(())
        })?;
        Ok(erasures)
    }

    /// Forgets erasures that are done everywhere: number at most `number` and, in the log, all
    /// events up to `seq` gone.
    pub(crate) fn forget_erasures(
        &self,
        number: u64,
        seq: u64,
        known: &mut Erasures,
    ) -> Result<()> {
        self.transaction(|t| {
            for table in ["erasures", "retractions"] {
                let sql = format!("DELETE FROM {table} WHERE number <= ?1 AND seq <= ?2");
                t.execute(&sql, params![number as i64, seq as i64])?;
            }
            Ok(())
        })?;
        if !known.by_key.is_empty() {
            let by_key = Arc::make_mut(&mut known.by_key);
            by_key.retain(|_, erasure| erasure.number > number || erasure.seq > seq);
        }
        known.by_user.retain(|_, erasure| erasure.number > number || erasure.seq > seq);
        Ok(())
    }
}

/// Remembers the highest number ever given to an erasure.
pub(super) fn note_last(t: &Transaction<'_>, number: u64) -> rusqlite::Result<()> {
    let sql = "INSERT INTO control (key, value) VALUES (?1, ?2)
               ON CONFLICT (key) DO UPDATE SET value = excluded.value";
    t.execute(sql, params![LAST, number.to_string()]).map(|_| ())
}
