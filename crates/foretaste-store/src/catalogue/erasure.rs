//! Erased users: whose events, up to when, are left out of every read until they are dropped.
//!
//! "Up to when" is a sequence number for events of the log, and the running number of the erasure
//! for segments of the lake: a segment carries the number up to which erasures are done in it.

use std::collections::HashMap;

use foretaste_core::{EventBatch, Result};
use rusqlite::params;

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
    last: u64,
}

impl Erasures {
    /// The number of the last erasure ever made.
    pub(crate) fn last(&self) -> u64 {
        self.last
    }

    /// True when a segment with this mark may hold erased events.
    pub(crate) fn concern(&self, erased_through: u64) -> bool {
        self.by_user.values().any(|erasure| erasure.number > erased_through)
    }

    /// True when event `seq` of `user` in the log is erased.
    pub(crate) fn covers(&self, user: &str, seq: u64) -> bool {
        self.by_user.get(user).is_some_and(|erasure| seq <= erasure.seq)
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
        if !erased.contains(&true) {
            return batch;
        }
        filter::retain(batch, |batch, i| !erased[batch.user[i] as usize])
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
            t.execute(
                "INSERT INTO control (key, value) VALUES (?1, ?2)
                 ON CONFLICT (key) DO UPDATE SET value = excluded.value",
                params![LAST, erasure.number.to_string()],
            )?;
            Ok(existed)
        })?;
        known.add(id, erasure);
        Ok(existed)
    }

    /// All erasures that are remembered.
    pub(crate) fn erasures(&self) -> Result<Erasures> {
        let last = self.control(LAST)?.and_then(|text| text.parse().ok()).unwrap_or(0);
        let mut erasures = Erasures { by_user: HashMap::new(), last };
        self.scan("SELECT user, number, seq FROM erasures", &mut |row| {
            let (user, number, seq): (String, i64, i64) = self.named(row.try_into())?;
            erasures.add(&user, Erasure { number: number as u64, seq: seq as u64 });
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
            let sql = "DELETE FROM erasures WHERE number <= ?1 AND seq <= ?2";
            t.execute(sql, params![number as i64, seq as i64])?;
            Ok(())
        })?;
        known.by_user.retain(|_, erasure| erasure.number > number || erasure.seq > seq);
        Ok(())
    }
}
