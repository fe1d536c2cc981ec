//! What reconciliation has to know of the archive: rows that are not in the table any more, and
//! were not deleted by anybody else.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::Path;

use foretaste_core::{Error, ErrorKind, Result};

use super::copy::name_of;
use super::file::read_file;
use super::segment::{Buckets, Files, Segment, Stage};
use crate::tables::config::TableConfig;
use crate::tables::connection::Dialect;
use crate::tables::judge::bucket_of;
use crate::tables::page::Row;
use crate::tables::schema::{Class, class_of};

/// Rows of a file that are read at once.
const PAGE_ROWS: usize = 5_000;

/// The archived rows of one reading.
pub struct Archived<'a> {
    files: &'a Files<'a>,
    segments: BTreeMap<u32, Segment>,
    /// Their count and digests in buckets that are exact.
    pub sums: Buckets,
    /// Buckets that have to be read whatever they sum up to.
    pub loose: BTreeSet<i64>,
}

impl<'a> Archived<'a> {
    /// Of the reading `key`. `before` are the records as they were before the snapshot began: what
    /// has come back since is not in it.
    ///
    /// # Errors
    /// `Unavailable` when the archive is not there, or rows are being put back.
    pub fn new(files: &'a Files<'a>, before: &BTreeMap<u32, Segment>, key: &str) -> Result<Self> {
        let mut segments = files.load()?;
        let came_back = |number: &u32| !segments.contains_key(number);
        if before.iter().any(|(number, own)| own.stage != Stage::Copied && came_back(number)) {
            let text = "archived rows are being put back; they are compared when that is done";
            return Err(Error::new(ErrorKind::Unavailable, text));
        }
        segments.retain(|_, segment| {
            segment.stage != Stage::Copied && segment.readings.contains_key(key)
        });
        let (mut sums, mut loose) = (Buckets::new(), BTreeSet::new());
        for segment in segments.values() {
            let buckets = &segment.readings[key];
            let own = match &segment.stage {
                Stage::Moved { loose, .. } => loose.get(key).cloned().unwrap_or_default(),
                // Some rows are in the table, some in the file.
                _ => buckets.keys().copied().collect(),
            };
            loose.extend(own);
            for (bucket, (rows, sum)) in buckets {
                let all = sums.entry(*bucket).or_default();
                *all = (all.0 + rows, all.1 + sum);
            }
        }
        Ok(Self { files, segments, sums, loose })
    }

    /// The names of all archived rows of these buckets.
    ///
    /// # Errors
    /// `Corrupt` or `NotFound` naming a file.
    pub fn names(
        &self,
        (table, dialect): (&TableConfig, Dialect),
        buckets: &BTreeSet<i64>,
    ) -> Result<HashSet<String>> {
        let mut names = HashSet::new();
        for (number, segment) in &self.segments {
            let no_left = BTreeSet::new();
            let left = segment.stage.left().unwrap_or(&no_left);
            let Some(watermark) = Watermark::of(segment, table, dialect) else {
                let text = format!(
                    "{} has no column `{}`; restore the archive before that is the watermark",
                    self.files.path(*number).display(),
                    table.watermark
                );
                return Err(Error::new(ErrorKind::Conflict, text));
            };
            let (path, mut at, mut name) = (self.files.path(*number), 0, String::new());
            watermark.each(&path, segment, &table.id, &mut |row, bucket| {
                if buckets.contains(&bucket) && !left.contains(&at) {
                    name_of(&segment.columns, &table.id, row, &mut name)?;
                    names.insert(name.clone());
                }
                at += 1;
                Ok(())
            })?;
        }
        Ok(names)
    }
}

/// The watermark of a reading in a file.
pub struct Watermark<'a> {
    table: &'a TableConfig,
    place: usize,
    kind: (Class, Dialect),
}

impl<'a> Watermark<'a> {
    /// `None` when the file has no such column.
    pub fn of(segment: &Segment, table: &'a TableConfig, dialect: Dialect) -> Option<Self> {
        let place = segment.columns.iter().position(|own| own.name == table.watermark)?;
        let kind = (class_of(dialect, &segment.columns[place].sql_type), dialect);
        Some(Self { table, place, kind })
    }

    /// Every row with its bucket, and the columns `also`.
    pub fn each(
        &self,
        path: &Path,
        segment: &Segment,
        also: &[String],
        take: &mut dyn FnMut(Row<'_>, i64) -> Result<()>,
    ) -> Result<()> {
        let wanted = |name: &str| *name == self.table.watermark || also.iter().any(|a| a == name);
        read_file(path, &segment.columns, &wanted, PAGE_ROWS, &mut |page| {
            page.rows().try_for_each(|row| {
                take(row, bucket_of(row.text(self.place)?, self.kind, self.table))
            })
        })
    }
}
