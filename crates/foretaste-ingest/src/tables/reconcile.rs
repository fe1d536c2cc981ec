//! Reconciliation: what no cursor sees. Late commits, updates that did not touch the watermark,
//! and deletes show in the count or the checksum of their bucket; such buckets are read again.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use foretaste_core::time::DAY_MS;
use foretaste_core::{Error, Limits, Result};
use foretaste_store::{RowStep, UNDATED};

use super::archive::{Archived, Files};
use super::config::TableConfig;
use super::connection::number;
use super::judge::write_name;
use super::open::{Open, Place};
use super::page::Page;
use super::pass::{Reader, TableReport, Work};
use super::records::Nothing;
use super::schema::Class;
use super::sql::Range;

impl Reader<'_> {
    /// Compares every bucket of a table up to its watermark with the store, and repairs those
    /// that differ: afterwards both hold the same rows, as of one moment.
    ///
    /// # Errors
    /// As [`Reader::pass`].
    ///
    /// # Cost
    /// One scan of the table on the server, and the ids of the rows of differing buckets in
    /// memory.
    pub fn reconcile(&self, table: &TableConfig) -> Result<TableReport> {
        let (name, store) = (&self.source.name, self.store);
        let files = self.archive.map(|place| place.files(store, name, &table.table));
        let before = files.as_ref().map(Files::load).transpose()?;
        let mut open = self.open(table)?;
        let archived = match files.as_ref().zip(before.as_ref()) {
            Some((files, before)) => Some(Archived::new(files, before, &open.key)?),
            None => None,
        };
        let nothing = Nothing::new();
        let mut work = Work::new(self, &open, &nothing)?;
        if open.later.is_empty() {
            return work.finish(&open);
        }
        let differing =
            self.differing(&mut open, archived.as_ref()).map_err(|e| e.context(&open.key))?;
        work.report.differing = differing.len() as u64;
        work.seen = Some(HashSet::new());
        for &bucket in &differing {
            let range = open.range_of(bucket)?;
            work.read(&mut open, range)?;
            if work.report.stopped {
                return work.finish(&open);
            }
        }
        // Only now, so that a row that moved between buckets is not removed on its way.
        self.remove_gone(&mut work, (&mut open, archived.as_ref()), &differing)?;
        let statement = open.writer().unreadable()?;
        let row = open.rows(&statement)?.into_iter().next().unwrap_or_default();
        work.report.unreadable = number(&row, 0)?.unwrap_or(0);
        work.finish(&open)
    }

    /// Buckets whose count or checksum differ. What was archived counts as if it were in the table.
    fn differing(
        &self,
        open: &mut Open<'_>,
        archived: Option<&Archived<'_>>,
    ) -> Result<BTreeSet<i64>> {
        let range = Range { to: Some(open.later.clone()), ..Range::default() };
        let statement = open.writer().buckets(&range)?;
        let mut theirs = archived.map(|own| own.sums.clone()).unwrap_or_default();
        for row in open.rows(&statement)? {
            let bucket = number(&row, 0)?.unwrap_or(UNDATED);
            let rows: u64 = number(&row, 1)?.unwrap_or(0);
            let sum: i128 = number(&row, 2)?.unwrap_or(0);
            let all = theirs.entry(bucket).or_default();
            *all = (all.0 + rows, all.1 + sum);
        }
        let ours = self.store.row_buckets(&open.key)?;
        let ours: BTreeMap<_, _> = ours.into_iter().map(|b| (b.bucket, (b.rows, b.sum))).collect();
        let all: BTreeSet<i64> = ours.keys().chain(theirs.keys()).copied().collect();
        let is_loose = |bucket: &i64| archived.is_some_and(|own| own.loose.contains(bucket));
        let differs = |bucket: &i64| ours.get(bucket) != theirs.get(bucket) || is_loose(bucket);
        Ok(all.into_iter().filter(differs).collect())
    }

    fn remove_gone(
        &self,
        work: &mut Work<'_>,
        (open, archived): (&mut Open<'_>, Option<&Archived<'_>>),
        differing: &BTreeSet<i64>,
    ) -> Result<()> {
        let seen = work.seen.take().unwrap_or_default();
        let mut gone = Vec::new();
        for &bucket in differing {
            let rows = self.store.bucket_rows(&open.key, bucket)?.into_iter();
            gone.extend(rows.map(|(row, _)| row).filter(|row| !seen.contains(row)));
        }
        if !gone.is_empty() {
            let later = open.later_rows()?;
            gone.retain(|row| !later.contains(row));
        }
        if let Some(archived) = archived.filter(|_| !gone.is_empty()) {
            let names = archived.names((open.table, open.snapshot.dialect()), differing)?;
            gone.retain(|row| !names.contains(row));
        }
        for gone in gone.chunks(Limits::DEFAULT.batch_writes) {
            let step = RowStep { gone: gone.to_vec(), ..RowStep::default() };
            work.report.count(self.apply(&open.key, step)?, 0);
        }
        Ok(())
    }
}

impl Open<'_> {
    /// The ids of rows whose watermark is not to be read yet. They are there, and what they were
    /// stays until a pass reads them.
    fn later_rows(&mut self) -> Result<HashSet<String>> {
        let mut ids = HashSet::new();
        let mut range = Range { above: Some(self.later.clone()), ..Range::default() };
        let limit = self.table.batch_rows;
        let mut name = String::new();
        loop {
            let (pages, _) = self.page(&range, limit)?;
            for row in pages.iter().flat_map(Page::rows) {
                write_name(self.table, row, &mut name)?;
                ids.insert(name.clone());
            }
            match pages.last() {
                Some(last) if pages.iter().map(Page::len).sum::<usize>() == limit as usize => {
                    range.after = Some(Place::after(self.table, last)?.0);
                }
                _ => return Ok(ids),
            }
        }
    }

    /// The rows of a bucket.
    pub(super) fn range_of(&self, bucket: i64) -> Result<Range> {
        let to = Some(self.later.clone());
        if bucket == UNDATED {
            return Ok(Range { to, undated: true, ..Range::default() });
        }
        let (from, below) = if self.writer().watermark_class()? == Class::Time {
            (Some(date(bucket)?), Some(date(bucket + 1)?))
        } else {
            let size = i128::from(self.table.bucket_ids);
            let first = i128::from(bucket) * size;
            // Division rounds towards 0: bucket 0 has the small negative numbers, too.
            let from = (bucket > 0).then(|| first.to_string());
            (from, Some((first + size).to_string()))
        };
        Ok(Range { from, to, below, ..Range::default() })
    }
}

fn date(day: i64) -> Result<String> {
    let time = chrono::DateTime::from_timestamp_millis(day.saturating_mul(DAY_MS));
    let text = time.map(|time| time.format("%Y-%m-%d").to_string());
    text.ok_or_else(|| Error::internal(format!("day {day} has no date")))
}
