//! The table of rows that came from outside tables, and the transactions of a step.
//!
//! A step is marked as open in the transaction that notes its rows, and closed when its events
//! are durable. What an open step has noted is uncertain: its events may or may not be in the
//! log. The next step takes the keys of all of them back and forgets their digests, so that they
//! are stored anew when they are read again. What a load brought is in [`super::blocks`].

use std::collections::HashMap;

use foretaste_core::Result;
use rusqlite::{OptionalExtension, Transaction, params};

use super::blocks::{self, Hit};
use super::erasure::{Erasure, Erasures, note_last};
use super::{BY_DELETE, Catalogue, Fault, put_items_in, put_users_in};
use crate::rows::{Record, Row, RowBucket, RowOutcome, RowStep};

/// What the first transaction of a step has decided.
#[derive(Default)]
pub(crate) struct Noted {
    pub(crate) outcome: RowOutcome,
    /// Places in `step.rows` of the events that have to be appended.
    pub(crate) append: Vec<usize>,
    /// Keys of events that were taken back.
    pub(crate) retracted: Vec<u64>,
    /// Ids of items and of users whose records were put or removed.
    pub(crate) items: Vec<String>,
    pub(crate) users: Vec<String>,
}

/// A row as it is remembered.
struct Known {
    digest: Option<i64>,
    key: Option<i64>,
    record: Option<(i64, String)>,
    /// Where it is, when a block knows it.
    place: Option<Hit>,
}

const IS_ITEM: i64 = 1;
const IS_USER: i64 = 2;

impl Catalogue {
    /// The number that the next step of `table` will have.
    pub(crate) fn next_batch(&self, table: &str) -> Result<u64> {
        let sql = "SELECT batch FROM row_tables WHERE name = ?1";
        let connection = super::lock(&self.reading);
        let found = super::prepared(&connection, sql, |s| {
            s.query_row([table], |row| row.get::<_, i64>(0)).optional()
        });
        Ok(self.named(found)?.unwrap_or(0) as u64 + 1)
    }

    /// Notes the rows of a step whose events have their ids already; `seq` is the last sequence
    /// number given. Without events to append, the step is closed at once.
    pub(crate) fn note_rows(
        &self,
        table: &str,
        (step, batch): (&RowStep, u64),
        (seq, known): (u64, &mut Erasures),
    ) -> Result<Noted> {
        let erasure = Erasure { number: known.last() + 1, seq };
        let noted = self.transaction(|t| {
            let id = table_id(t, table)?;
            let names = step.rows.iter().map(|row| &row.row).chain(&step.gone);
            let names: Vec<&str> = names.map(String::as_str).collect();
            let hits = blocks::hits(t, id, &names)?.into_iter();
            let mut noting = Noting {
                t,
                table: id,
                batch: batch as i64,
                hits: hits.map(|(at, hit)| (names[at as usize], hit)).collect(),
                noted: Noted::default(),
            };
            noting.take_back_open()?;
            noting.step(step)?;
            let noted = noting.noted;
            let open = if noted.append.is_empty() { 0 } else { batch as i64 };
            t.execute(
                "UPDATE row_tables SET batch = ?2, open = ?3 WHERE id = ?1",
                params![id, batch as i64, open],
            )?;
            if open == 0 {
                set_watermark(t, id, step.watermark.as_deref())?;
            }
            note_retractions(t, &noted.retracted, erasure)?;
            Ok(noted)
        })?;
        known.retract(noted.retracted.iter().copied(), erasure);
        Ok(noted)
    }

    /// The events of the open step are durable.
    pub(crate) fn close_step(&self, table: &str, watermark: Option<&str>) -> Result<()> {
        self.transaction(|t| {
            let id = table_id(t, table)?;
            t.execute("UPDATE row_tables SET open = 0 WHERE id = ?1", [id])?;
            Ok(set_watermark(t, id, watermark)?)
        })
    }

    pub(crate) fn watermark(&self, table: &str) -> Result<Option<String>> {
        let sql = "SELECT watermark FROM row_tables WHERE name = ?1";
        let connection = super::lock(&self.reading);
        let found = super::prepared(&connection, sql, |s| {
            s.query_row([table], |row| row.get::<_, Option<String>>(0)).optional()
        });
        Ok(self.named(found)?.flatten())
    }

    pub(crate) fn row_digests(&self, table: &str, rows: &[&str]) -> Result<Vec<Option<u64>>> {
        let sql = "SELECT digest FROM source_rows WHERE tab = ?1 AND row = ?2";
        let connection = super::lock(&self.reading);
        let found = || -> rusqlite::Result<Vec<Option<u64>>> {
            let Some(tab) = blocks::find_table(&connection, table)? else {
                return Ok(vec![None; rows.len()]);
            };
            let hits = blocks::hits(&connection, tab, rows)?;
            let mut select = connection.prepare_cached(sql)?;
            let digest = |(at, row): (u32, &&str)| {
                let own = select.query_row(params![tab, row], |row| row.get::<_, Option<i64>>(0));
                let own = own.optional()?.flatten().map(|digest| digest as u64);
                Ok(own.or(hits.get(&at).map(|hit| hit.digest)))
            };
            (0..).zip(rows).map(digest).collect()
        };
        self.named(found())
    }

    pub(crate) fn row_buckets(&self, table: &str) -> Result<Vec<RowBucket>> {
        // In two halves, as a sum in SQLite must not leave 64 bits.
        let low = blocks::LOW_BITS;
        let sql = format!(
            "WITH own AS (SELECT id FROM row_tables WHERE name = ?1)
             SELECT bucket, sum(n), sum(low), sum(high) FROM (
               SELECT bucket, count(*) AS n, coalesce(sum(digest & ((1 << {low}) - 1)), 0) AS low,
                      coalesce(sum(digest >> {low}), 0) AS high
               FROM source_rows WHERE tab = (SELECT id FROM own) GROUP BY bucket
               UNION ALL
               SELECT bucket, rows, low, high FROM row_block_buckets
               WHERE tab = (SELECT id FROM own)
             ) GROUP BY bucket HAVING sum(n) > 0 ORDER BY bucket"
        );
        let connection = super::lock(&self.reading);
        let found = super::prepared(&connection, &sql, |s| {
            let rows = s.query_map([table], |row| {
                let (low, high): (i64, i64) = (row.get(2)?, row.get(3)?);
                let sum = i128::from(low) + (i128::from(high) << blocks::LOW_BITS);
                let rows = row.get::<_, i64>(1)? as u64;
                Ok(RowBucket { bucket: row.get(0)?, rows, sum })
            })?;
            rows.collect()
        });
        self.named(found)
    }

    pub(crate) fn bucket_rows(
        &self,
        table: &str,
        bucket: i64,
    ) -> Result<Vec<(String, Option<u64>)>> {
        let sql = "SELECT row, digest FROM source_rows
                   WHERE tab = (SELECT id FROM row_tables WHERE name = ?1) AND bucket = ?2";
        let connection = super::lock(&self.reading);
        let found = super::prepared(&connection, sql, |s| {
            let rows = s.query_map(params![table, bucket], |row| {
                Ok((row.get(0)?, row.get::<_, Option<i64>>(1)?.map(|digest| digest as u64)))
            })?;
            let mut rows = rows.collect::<rusqlite::Result<Vec<_>>>()?;
            rows.extend(blocks::bucket(&connection, (table, bucket))?);
            Ok(rows)
        });
        self.named(found)
    }
}

/// The first transaction of a step at work.
struct Noting<'a> {
    t: &'a Transaction<'a>,
    table: i64,
    batch: i64,
    /// Rows of the step that blocks know.
    hits: HashMap<&'a str, Hit>,
    noted: Noted,
}

impl Noting<'_> {
    /// What an interrupted step noted becomes uncertain.
    fn take_back_open(&mut self) -> Result<(), Fault> {
        let open: i64 =
            self.t.query_row("SELECT open FROM row_tables WHERE id = ?1", [self.table], |row| {
                row.get(0)
            })?;
        if open == 0 {
            return Ok(());
        }
        let mut select = self.t.prepare(
            "SELECT key FROM source_rows WHERE tab = ?1 AND batch = ?2 AND key IS NOT NULL",
        )?;
        let keys = select.query_map([self.table, open], |row| row.get::<_, i64>(0))?;
        let keys = keys.collect::<rusqlite::Result<Vec<_>>>()?;
        self.noted.retracted.extend(keys.into_iter().map(|key| key as u64));
        self.t.execute(
            "UPDATE source_rows SET digest = NULL, key = NULL WHERE tab = ?1 AND batch = ?2",
            [self.table, open],
        )?;
        Ok(())
    }

    fn step(&mut self, step: &RowStep) -> Result<(), Fault> {
        let (mut items, mut users) = (Vec::new(), Vec::new());
        for (at, row) in step.rows.iter().enumerate() {
            let known = self.known(&row.row)?;
            match &known {
                Some(known) if known.digest == Some(row.digest as i64) => {
                    self.noted.outcome.unchanged += 1;
                    continue;
                }
                Some(_) => self.noted.outcome.changed += 1,
                None => self.noted.outcome.added += 1,
            }
            if let Some(known) = known {
                self.undo(known, row.record.id())?;
            }
            self.remember(row)?;
            match &row.record {
                Record::Event(_) => self.noted.append.push(at),
                Record::Item(item) => items.push(item),
                Record::User(user) => users.push(user),
                Record::Nothing => {}
            }
        }
        self.noted.items.extend(items.iter().map(|item| item.item_id.clone()));
        self.noted.users.extend(users.iter().map(|user| user.user_id.clone()));
        put_items_in(self.t, items.into_iter())?;
        put_users_in(self.t, users.into_iter())?;
        for row in &step.gone {
            self.noted.outcome.removed += usize::from(self.remove(row)?);
        }
        Ok(())
    }

    fn known(&self, row: &str) -> rusqlite::Result<Option<Known>> {
        let mut select = self.t.prepare_cached(
            "SELECT digest, key, kind, record_id FROM source_rows WHERE tab = ?1 AND row = ?2",
        )?;
        let known = |row: &rusqlite::Row<'_>| {
            let record = row.get::<_, Option<i64>>(2)?.zip(row.get::<_, Option<String>>(3)?);
            Ok(Known { digest: row.get(0)?, key: row.get(1)?, record, place: None })
        };
        let known = select.query_row(params![self.table, row], known).optional()?;
        Ok(known.or_else(|| {
            let hit = *self.hits.get(row)?;
            let (digest, key) = (Some(hit.digest as i64), hit.key.map(|key| key as i64));
            Some(Known { digest, key, record: None, place: Some(hit) })
        }))
    }

    /// Takes back what the row was; a record stays when the row still is the same one.
    fn undo(&mut self, known: Known, still: Option<&str>) -> rusqlite::Result<()> {
        self.noted.retracted.extend(known.key.map(|key| key as u64));
        if let Some(hit) = known.place {
            blocks::move_out(self.t, self.table, &hit)?;
        }
        match known.record {
            Some((_, id)) if Some(id.as_str()) == still => {}
            Some((IS_ITEM, id)) => {
                self.t.prepare_cached("DELETE FROM items WHERE id = ?1")?.execute([&id])?;
                let sql = "INSERT OR IGNORE INTO hidden (id, reason) VALUES (?1, ?2)";
                self.t.prepare_cached(sql)?.execute(params![id, BY_DELETE])?;
                self.noted.items.push(id);
            }
            Some((_, id)) => {
                self.t.prepare_cached("DELETE FROM users WHERE id = ?1")?.execute([&id])?;
                self.noted.users.push(id);
            }
            None => {}
        }
        Ok(())
    }

    fn remember(&self, row: &Row) -> rusqlite::Result<()> {
        let key = match &row.record {
            Record::Event(event) => Some(event.key() as i64),
            _ => None,
        };
        let kind = match &row.record {
            Record::Item(_) => Some(IS_ITEM),
            Record::User(_) => Some(IS_USER),
            Record::Event(_) | Record::Nothing => None,
        };
        let mut put = self.t.prepare_cached(
            "INSERT OR REPLACE INTO source_rows
               (tab, row, bucket, digest, key, kind, record_id, batch)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )?;
        let (digest, id) = (row.digest as i64, row.record.id());
        put.execute(params![self.table, row.row, row.bucket, digest, key, kind, id, self.batch])?;
        Ok(())
    }

    fn remove(&mut self, row: &str) -> rusqlite::Result<bool> {
        let Some(known) = self.known(row)? else { return Ok(false) };
        self.undo(known, None)?;
        let sql = "DELETE FROM source_rows WHERE tab = ?1 AND row = ?2";
        self.t.prepare_cached(sql)?.execute(params![self.table, row])?;
        Ok(true)
    }
}

pub(super) fn table_id(t: &Transaction<'_>, table: &str) -> rusqlite::Result<i64> {
    t.execute("INSERT OR IGNORE INTO row_tables (name) VALUES (?1)", [table])?;
    t.query_row("SELECT id FROM row_tables WHERE name = ?1", [table], |row| row.get(0))
}

fn set_watermark(t: &Transaction<'_>, id: i64, watermark: Option<&str>) -> rusqlite::Result<()> {
    let sql = "UPDATE row_tables SET watermark = coalesce(?2, watermark) WHERE id = ?1";
    t.execute(sql, params![id, watermark]).map(|_| ())
}

fn note_retractions(t: &Transaction<'_>, keys: &[u64], erasure: Erasure) -> rusqlite::Result<()> {
    if keys.is_empty() {
        return Ok(());
    }
    let mut put = t.prepare_cached(
        "INSERT OR REPLACE INTO retractions (key, number, seq) VALUES (?1, ?2, ?3)",
    )?;
    for key in keys {
        put.execute(params![*key as i64, erasure.number as i64, erasure.seq as i64])?;
    }
    note_last(t, erasure.number)
}
