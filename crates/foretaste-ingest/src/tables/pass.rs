//! One pass over a table: bounds, pages, steps.

use std::collections::BTreeMap;
use std::path::PathBuf;

use foretaste_core::Result;
use foretaste_store::{Record, Row, RowChanges, RowOutcome, RowStep, RowStore, UNDATED};

use super::config::{SourceConfig, TableConfig};
use super::connection::{Cells, number, text};
use super::open::Open;
use super::records::{Fields, Nothing};
use super::schema::check_drift;
use super::sql::{AFTER_ID, Range};
use super::state::TableState;
use crate::Reason;
use crate::quarantine::Quarantine;

/// Reads the tables of one source into a store.
pub struct Reader<'a> {
    /// Where rows go.
    pub store: &'a dyn RowStore,
    /// What is read.
    pub source: &'a SourceConfig,
    /// Where the database is, with the password.
    pub url: &'a str,
    /// Folder for rejected rows.
    pub quarantine: PathBuf,
    /// A pass stops when more than this share of at least 1,000 rows is bad.
    pub max_bad_share: f64,
    /// Take the types of the columns as they are now, whatever they were.
    pub accept_schema: bool,
    /// Asked between pages: true ends the pass early.
    pub stop: &'a dyn Fn() -> bool,
    /// Told what each page has changed in the store.
    pub changed: &'a dyn Fn(&RowChanges),
}

/// What became of the rows of a table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Rows read.
    pub rows: u64,
    /// Of these, rows that had not been here.
    pub added: u64,
    /// Rows whose content differed.
    pub changed: u64,
    /// Rows that were here already.
    pub unchanged: u64,
    /// Rows that were here and are gone from the table.
    pub removed: u64,
}

/// What a pass or a reconciliation did.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TableReport {
    /// `source/table`.
    pub table: String,
    /// What became of the rows.
    pub outcome: Outcome,
    /// Rows that were rejected now, by reason.
    pub bad: BTreeMap<Reason, u64>,
    /// Where they are.
    pub quarantine: Option<PathBuf>,
    /// How far the table has been read.
    pub watermark: Option<String>,
    /// Seconds for which the oldest transaction that writes has been open; what it and those after
    /// it wrote is read when it has ended (exact tables only).
    pub held_s: u64,
    /// True when it was asked to stop before the end.
    pub stopped: bool,
    /// Buckets that differed (reconciliation only).
    pub differing: u64,
    /// Rows without watermark or id, which no pass can read (reconciliation only).
    pub unreadable: u64,
}

/// A row as it would be stored.
#[derive(Clone, Debug, PartialEq)]
pub struct Preview {
    /// Its id columns.
    pub row: String,
    /// Its fields as they were read.
    pub fields: serde_json::Value,
    /// The record, or why there is none.
    pub record: Result<Record, Reason>,
}

impl Reader<'_> {
    /// Reads what is new in a table.
    ///
    /// # Errors
    /// `Conflict` naming the column or table that is gone or changed; `Invalid` when too many
    /// rows are bad; `Unavailable` when the database is not there or too far behind. What was
    /// stored before stays, and the next pass goes on from there.
    ///
    /// # Cost
    /// Memory for one page of rows.
    pub fn pass(&self, table: &TableConfig) -> Result<TableReport> {
        let mut open = self.open(table)?;
        let nothing = Nothing::new();
        let mut work = Work::new(self, &open, &nothing)?;
        let range = open.range();
        work.read(&mut open, range)?;
        if !work.report.stopped {
            open.state.at = open.later.clone();
        }
        work.finish(&open)
    }

    /// The first rows of a table as they would be stored. Stores nothing.
    ///
    /// # Errors
    /// As [`Reader::pass`].
    pub fn preview(&self, table: &TableConfig, n_rows: u32) -> Result<Vec<Preview>> {
        let mut open = self.open(table)?;
        let nothing = Nothing::new();
        let fields = Fields::new(table, &nothing, open.now_ms)?;
        let range = Range { from: None, ..open.range() };
        let page = open.page(&range, n_rows)?;
        let preview = |cells: &Cells| {
            let own = own_cells(table, cells);
            let record =
                if is_deleted(table, cells) { Ok(Record::Nothing) } else { fields.record(&own) };
            Ok(Preview { row: row_id(table, cells)?, fields: fields.shown(&own), record })
        };
        page.iter().map(preview).collect()
    }

    /// Stores a step, and tells what it has changed even when it failed half-way.
    pub(super) fn apply(&self, key: &str, step: RowStep) -> Result<RowOutcome> {
        let mut changes = RowChanges::default();
        let done = self.store.apply_rows_telling(key, step, &mut changes);
        if !changes.is_empty() {
            (self.changed)(&changes);
        }
        done
    }

    /// Opens a table in a snapshot of its own.
    pub(super) fn open<'t>(&self, table: &'t TableConfig) -> Result<Open<'t>> {
        let key = format!("{}/{}", self.source.name, table.name());
        self.open_named(&key, table).map_err(|e| e.context(key))
    }

    fn open_named<'t>(&self, key: &str, table: &'t TableConfig) -> Result<Open<'t>> {
        let state = self.store.watermark(key)?.map(|text| TableState::parse(&text)).transpose()?;
        let mut open = Open::begin(self.source, self.url, table)?;
        if let Some(state) = &state
            && !self.accept_schema
        {
            check_drift(&state.columns, &open.state.columns)?;
        }
        // Of a database that was restored, all transactions have to be read again.
        let state = state.filter(|_| !(table.exact && self.accept_schema));
        open.bound(state.map(|state| state.at).unwrap_or_default())?;
        Ok(open)
    }
}

/// A pass under way.
pub(super) struct Work<'a> {
    reader: &'a Reader<'a>,
    fields: Fields<'a>,
    rejected: Quarantine,
    pub(super) report: TableReport,
    /// Ids of all rows that were read, where a reconciliation wants them.
    pub(super) seen: Option<std::collections::HashSet<String>>,
}

impl<'a> Work<'a> {
    pub(super) fn new(
        reader: &'a Reader<'a>,
        open: &Open<'a>,
        nothing: &'a Nothing,
    ) -> Result<Self> {
        let file = format!("{}-{}.jsonl", open.key.replace('/', "-"), open.now_ms);
        let rejected = Quarantine::new(reader.quarantine.join(file), reader.max_bad_share);
        Ok(Self {
            reader,
            fields: Fields::new(open.table, nothing, open.now_ms)?,
            rejected: rejected.consequence("the pass ended before this page"),
            report: TableReport {
                table: open.key.clone(),
                held_s: open.held_s,
                ..TableReport::default()
            },
            seen: None,
        })
    }

    /// Reads all pages of a range and stores them.
    pub(super) fn read(&mut self, open: &mut Open<'_>, mut range: Range) -> Result<()> {
        let limit = open.table.batch_rows;
        loop {
            if (self.reader.stop)() {
                self.report.stopped = true;
                return Ok(());
            }
            let done = open.page(&range, limit).and_then(|page| self.page(open, &page));
            let last = done.map_err(|e| e.context(&open.key))?;
            match last {
                Some((place, n)) if n == limit as usize => range.after = Some(place),
                _ => return Ok(()),
            }
        }
    }

    /// Stores a page; returns where it ends and how many rows it has.
    fn page(
        &mut self,
        open: &mut Open<'_>,
        page: &[Cells],
    ) -> Result<Option<(Vec<String>, usize)>> {
        let Some(last) = page.last() else { return Ok(None) };
        let place = open.place(last)?;
        let rows: Result<Vec<Row>> = page.iter().map(|cells| self.row(open, cells)).collect();
        if self.seen.is_none() && open.is_later(&place[0])? {
            open.state.at.clone_from(&place[0]);
        }
        let watermark = self.seen.is_none().then(|| open.state.to_text());
        let step = RowStep { rows: rows?, gone: Vec::new(), watermark };
        if let Some(seen) = &mut self.seen {
            seen.extend(step.rows.iter().map(|row| row.row.clone()));
        }
        self.rejected.flush()?;
        let outcome = self.reader.apply(&open.key, step)?;
        self.count(outcome, page.len());
        Ok(Some((place, page.len())))
    }

    fn row(&mut self, open: &Open<'_>, cells: &Cells) -> Result<Row> {
        let after = 1 + open.table.id.len();
        let row = row_id(open.table, cells)?;
        let bucket = number(cells, after + 1)?.unwrap_or(UNDATED);
        let digest = number(cells, after + 2)?.unwrap_or(0);
        let own = own_cells(open.table, cells);
        let record = if is_deleted(open.table, cells) {
            Ok(Record::Nothing)
        } else {
            self.fields.record(&own)
        };
        let line = self.report.outcome.rows + self.rejected.rows() + 1;
        let record = match record {
            Ok(record) => {
                self.rejected.settle_good(1);
                record
            }
            // What was rejected before is not reported again.
            Err(_) if self.reader.store.row_digest(&open.key, &row)? == Some(digest) => {
                self.rejected.settle_good(1);
                Record::Nothing
            }
            Err(reason) => {
                let raw = serde_json::json!({ "id": row, "fields": self.fields.shown(&own) });
                self.rejected.settle(line, raw.to_string().as_bytes(), Err(reason.into()))?;
                Record::Nothing
            }
        };
        Ok(Row { row, bucket, digest, record })
    }

    pub(super) fn count(&mut self, outcome: RowOutcome, n_rows: usize) {
        let all = &mut self.report.outcome;
        all.rows += n_rows as u64;
        all.added += outcome.added as u64;
        all.changed += outcome.changed as u64;
        all.unchanged += outcome.unchanged as u64;
        all.removed += outcome.removed as u64;
    }

    /// Stores the watermark and reports.
    pub(super) fn finish(mut self, open: &Open<'_>) -> Result<TableReport> {
        let watermark = Some(open.state.to_text());
        let step = RowStep { watermark, ..RowStep::default() };
        self.reader.apply(&open.key, step)?;
        self.rejected.flush()?;
        self.report.watermark = Some(open.state.at.clone());
        self.report.bad = self.rejected.bad().clone();
        self.report.quarantine = self.rejected.written().map(std::path::Path::to_owned);
        Ok(self.report)
    }
}

/// The id columns of a row as one text.
pub(super) fn row_id(table: &TableConfig, cells: &Cells) -> Result<String> {
    let own = |at| Ok(text(cells, at)?.unwrap_or_default().to_owned());
    let parts: Result<Vec<String>> = (1..=table.id.len()).map(own).collect();
    Ok(parts?.join("\u{1f}"))
}

fn is_deleted(table: &TableConfig, cells: &Cells) -> bool {
    cells[1 + table.id.len()].as_deref() == Some(b"1")
}

fn own_cells<'c>(table: &TableConfig, cells: &'c Cells) -> Vec<&'c [u8]> {
    let fields = cells[1 + table.id.len() + AFTER_ID..].iter();
    fields.map(|cell| cell.as_deref().unwrap_or_default()).collect()
}
