//! Rows as they were read to what they are here; those that are nothing go to the quarantine.

use foretaste_core::Result;
use foretaste_store::{Record, RowStore, UNDATED};

use super::config::TableConfig;
use super::connection::Dialect;
use super::digest::Digests;
use super::layout::Layout;
use super::moment;
use super::open::Open;
use super::page::{Page, Row};
use super::records::{Fields, Nothing, What, cells_of};
use super::schema::Class;
use crate::Reason;
use crate::quarantine::Quarantine;

/// Judges the rows of one table.
pub(super) struct Judge<'a> {
    store: &'a dyn RowStore,
    key: String,
    table: &'a TableConfig,
    /// Of its watermark, and of its server.
    kind: (Class, Dialect),
    fields: Fields<'a>,
    digests: Digests,
    pub(super) rejected: Quarantine,
}

/// What identifies a row and its content.
pub(super) struct Head<'r> {
    /// Its id columns as one text.
    pub(super) name: &'r str,
    /// Where it is counted.
    pub(super) bucket: i64,
    /// Digest of its content.
    pub(super) digest: u64,
}

/// A row that is nothing here.
struct Bad {
    name: String,
    digest: u64,
    shown: serde_json::Value,
    reason: Reason,
}

impl<'a> Judge<'a> {
    pub(super) fn new(
        store: &'a dyn RowStore,
        open: &Open<'a>,
        nothing: &'a Nothing,
        rejected: Quarantine,
    ) -> Result<Self> {
        Ok(Self {
            store,
            key: open.key.clone(),
            table: open.table,
            kind: (open.writer().watermark_class()?, open.snapshot.dialect()),
            fields: Fields::new(open.table, nothing, open.now_ms)?,
            digests: Digests::default(),
            rejected,
        })
    }

    /// Hands every row of a page to `take`, bad ones as nothing, and notes the bad ones that were
    /// not rejected before.
    ///
    /// # Errors
    /// `Invalid` when too many rows are bad.
    pub(super) fn page<'p>(
        &'p mut self,
        page: &'p Page,
        layout: &Layout,
        take: &mut dyn FnMut(Head<'_>, What<'p>) -> Result<()>,
    ) -> Result<()> {
        let (mut name, mut bad, rows) = (String::new(), Vec::new(), page.rows());
        let Self { store, key, table, kind, fields, digests, rejected } = self;
        let fields: &'p Fields<'_> = fields;
        for row in rows.clone() {
            let own = [row.cell(0), row.cell(layout.deleted())];
            digests.push(own.into_iter().chain(row.cells(layout.fields())));
        }
        let mut days = Days::default();
        for (row, digest) in rows.zip(digests.take()) {
            write_name(table, row, &mut name)?;
            let bucket = days.bucket_of(row.text(0)?, *kind, table);
            let head = Head { name: &name, bucket, digest };
            if row.cell(layout.deleted()) == Some(b"1") {
                take(head, What::Record(Record::Nothing))?;
                continue;
            }
            match fields.of_row(row, layout.fields()) {
                Ok(what) => take(head, what)?,
                Err(reason) => {
                    let shown = fields.shown(&cells_of(row, layout.fields()));
                    bad.push(Bad { name: name.clone(), digest, shown, reason });
                    take(head, What::Record(Record::Nothing))?;
                }
            }
        }
        settle((*store, key), (page.len(), bad), rejected)
    }
}

/// What was rejected before is not reported again.
fn settle(
    (store, key): (&dyn RowStore, &str),
    (n_rows, mut bad): (usize, Vec<Bad>),
    rejected: &mut Quarantine,
) -> Result<()> {
    if !bad.is_empty() {
        let names: Vec<&str> = bad.iter().map(|bad| bad.name.as_str()).collect();
        let mut known = store.row_digests(key, &names)?.into_iter();
        bad.retain(|bad| known.next().flatten() != Some(bad.digest));
    }
    rejected.settle_good((n_rows - bad.len()) as u64);
    for Bad { name, shown, reason, .. } in bad {
        let raw = serde_json::json!({ "id": name, "fields": shown }).to_string();
        let line = rejected.rows() + 1;
        rejected.settle(line, raw.as_bytes(), Err(reason.into()))?;
    }
    Ok(())
}

/// Remembers the day of the last watermark, which is most often that of the next one.
#[derive(Default)]
struct Days<'w> {
    /// Its date and the blank behind it.
    date: &'w str,
    bucket: i64,
}

impl<'w> Days<'w> {
    /// As [`bucket_of`].
    fn bucket_of(
        &mut self,
        watermark: &'w str,
        kind: (Class, Dialect),
        table: &TableConfig,
    ) -> i64 {
        let date = watermark.get(.."2000-01-01 ".len());
        let Some(date) = date.filter(|date| date.ends_with(' ') && !watermark.ends_with("BC"))
        else {
            return bucket_of(watermark, kind, table);
        };
        if self.date != date {
            *self = Self { date, bucket: bucket_of(watermark, kind, table) };
        }
        self.bucket
    }
}

/// The part of the table in which a row with this watermark is counted, as
/// [`super::sql::Writer::buckets`] has it.
pub(super) fn bucket_of(
    watermark: &str,
    (class, dialect): (Class, Dialect),
    table: &TableConfig,
) -> i64 {
    let bucket = if class == Class::Time {
        moment::day_of(watermark, dialect == Dialect::MySql)
    } else {
        let number = watermark.parse::<i128>().ok();
        number.and_then(|n| i64::try_from(n / i128::from(table.bucket_ids)).ok())
    };
    bucket.unwrap_or(UNDATED)
}

/// The id columns of a row as one text.
pub(super) fn write_name(table: &TableConfig, row: Row<'_>, name: &mut String) -> Result<()> {
    name.clear();
    for at in 1..=table.id.len() {
        if at > 1 {
            name.push('\u{1f}');
        }
        name.push_str(row.text(at)?);
    }
    Ok(())
}
