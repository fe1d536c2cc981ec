//! One pass over a table: bounds, pages, steps.

use std::collections::BTreeMap;
use std::path::PathBuf;

use foretaste_core::Result;
use foretaste_store::{Record, Row, RowChanges, RowOutcome, RowStep, RowStore};

use super::archive::ArchiveFolder;
use super::config::{SourceConfig, TableConfig};
use super::judge::{Head, Judge, write_name};
use super::kept::Kept;
use super::layout::Layout;
use super::open::{Open, Place, is_later};
use super::page::{self, Page};
use super::records::{Fields, Nothing, What, cells_of};
use super::schema::check_drift;
use super::sql::Range;
use super::state::TableState;
use crate::quarantine::Quarantine;
use crate::{Entity, Reason};

/// After so many full pages in one pass, the rest is loaded.
const STEPS_FIRST: u32 = 4;

/// Reads the tables of one source into a store.
pub struct Reader<'a> {
    /// Where rows go.
    pub store: &'a dyn RowStore,
    /// What is read.
    pub source: &'a SourceConfig,
    /// Where the database is, with the password.
    pub url: &'a str,
    /// Where its connection is kept between readings, if it is.
    pub kept: Option<&'a Kept>,
    /// Where rows were archived, which then are not in their tables, if any were.
    pub archive: Option<&'a ArchiveFolder>,
    /// Folder for rejected rows.
    pub quarantine: PathBuf,
    /// A pass stops when more than this share of at least 1,000 rows is bad.
    pub max_bad_share: f64,
    /// Take the types of the columns as they are now, whatever they were.
    pub accept_schema: bool,
    /// Asked between pages: true ends the pass early.
    pub stop: &'a dyn Fn() -> bool,
    /// Told what each page has changed in the store, where somebody wants to know.
    pub changed: Option<&'a dyn Fn(&RowChanges)>,
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
    /// Memory for one page of rows; for three loads of 50 pages when many are to be read.
    pub fn pass(&self, table: &TableConfig) -> Result<TableReport> {
        let mut open = self.open(table)?;
        let nothing = Nothing::new();
        let mut work = Work::new(self, &open, &nothing)?;
        let range = open.range();
        work.read(&mut open, range)?;
        if !work.report.stopped {
            open.is_read();
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
        let (pages, layout) = open.page(&range, n_rows)?;
        let preview = |row: page::Row<'_>| {
            let cells = cells_of(row, layout.fields());
            let record = match row.cell(layout.deleted()) {
                Some(b"1") => Ok(Record::Nothing),
                _ => fields.of_row(row, layout.fields()).map(What::into_record),
            };
            let mut name = String::new();
            write_name(table, row, &mut name)?;
            Ok(Preview { row: name, fields: fields.shown(&cells), record })
        };
        pages.iter().flat_map(Page::rows).map(preview).collect()
    }

    /// Stores a step, and tells what it has changed even when it failed half-way.
    pub(super) fn apply(&self, key: &str, step: RowStep) -> Result<RowOutcome> {
        let mut changes = RowChanges::default();
        let done = self.store.apply_rows_telling(key, step, &mut changes);
        if let Some(changed) = self.changed.filter(|_| !changes.is_empty()) {
            changed(&changes);
        }
        done
    }

    /// Opens a table in a snapshot of its own.
    pub(super) fn open<'t>(&'t self, table: &'t TableConfig) -> Result<Open<'t>> {
        let key = format!("{}/{}", self.source.name, table.name());
        self.open_named(&key, table).map_err(|e| e.context(key))
    }

    fn open_named<'t>(&'t self, key: &str, table: &'t TableConfig) -> Result<Open<'t>> {
        let state = self.store.watermark(key)?.map(|text| TableState::parse(&text)).transpose()?;
        let mut open = Open::begin(self.source, (self.url, self.kept), table)?;
        if let Some(state) = &state
            && !self.accept_schema
        {
            check_drift(&state.columns, &open.state.columns)?;
        }
        // Of a database that was restored, all transactions have to be read again.
        let state = state.filter(|_| !(table.exact && self.accept_schema)).unwrap_or_default();
        // A first reading that was interrupted is still one.
        let is_first = state.scan.is_some();
        open.bound(if is_first { String::new() } else { state.at.clone() })?;
        (open.state.at, open.state.scan) = (state.at, state.scan);
        Ok(open)
    }
}

/// A pass under way.
pub(super) struct Work<'a> {
    reader: &'a Reader<'a>,
    judge: Judge<'a>,
    pub(super) report: TableReport,
    /// Ids of all rows that were read, where a reconciliation wants them.
    pub(super) seen: Option<std::collections::HashSet<String>>,
}

/// The half of a pass that stores.
pub(super) struct Storing<'w, 'a> {
    pub(super) reader: &'a Reader<'a>,
    pub(super) report: &'w mut TableReport,
}

impl<'a> Work<'a> {
    pub(super) fn new(
        reader: &'a Reader<'a>,
        open: &Open<'a>,
        nothing: &'a Nothing,
    ) -> Result<Self> {
        let file = format!("{}-{}.jsonl", open.key.replace('/', "-"), open.now_ms);
        let rejected = Quarantine::new(reader.quarantine.join(file), reader.max_bad_share);
        let rejected = rejected.consequence("the pass ended before this page");
        Ok(Self {
            reader,
            judge: Judge::new(reader.store, open, nothing, rejected)?,
            report: TableReport {
                table: open.key.clone(),
                held_s: open.held_s,
                ..TableReport::default()
            },
            seen: None,
        })
    }

    /// Reads all pages of a range and stores them: step by step, or at once when they are many.
    pub(super) fn read(&mut self, open: &mut Open<'_>, mut range: Range) -> Result<()> {
        let limit = open.table.batch_rows;
        let may_load = self.seen.is_none() && open.table.entity()? == Entity::Events;
        let is_first = may_load && range.from.is_none() && open.state.at.is_empty();
        for n_full in 0.. {
            if (self.reader.stop)() {
                self.report.stopped = true;
                return Ok(());
            }
            if may_load && n_full == STEPS_FIRST {
                return self.load(open, range).map_err(|e| e.context(&open.key));
            }
            let read = open.page(&range, limit).map_err(|e| e.context(&open.key))?;
            let n_rows: usize = read.0.iter().map(Page::len).sum();
            if is_first && n_full == 0 && n_rows == limit as usize {
                // That page is read again with the rest: steps would cost more, here and now and in
                // every search among the rows that they leave.
                return self.load(open, range).map_err(|e| e.context(&open.key));
            }
            match self.pages(open, &read).map_err(|e| e.context(&open.key))? {
                (place, n) if n == limit as usize => range.after = Some(place.0),
                _ => return Ok(()),
            }
        }
        Ok(())
    }

    /// Stores what was read at once; returns where it ends and how many rows it has.
    fn pages(
        &mut self,
        open: &mut Open<'_>,
        (pages, layout): &(Vec<Page>, Layout),
    ) -> Result<(Place, usize)> {
        let (mut place, mut n) = (Place::default(), 0);
        for page in pages {
            place = Place::after(open.table, page)?;
            n += page.len();
            self.page(open, (page, layout), &place)?;
        }
        Ok((place, n))
    }

    /// Stores a page, which ends at `place`.
    fn page(
        &mut self,
        open: &mut Open<'_>,
        (page, layout): (&Page, &Layout),
        place: &Place,
    ) -> Result<()> {
        let mut rows = Vec::with_capacity(page.len());
        self.judge.page(page, layout, &mut |Head { name, bucket, digest }, what| {
            rows.push(Row { row: name.to_owned(), bucket, digest, record: what.into_record() });
            Ok(())
        })?;
        let class = open.writer().watermark_class()?;
        if self.seen.is_none() && is_later(class, &place.0[0], &open.state.at) {
            open.state.at.clone_from(&place.0[0]);
        }
        let watermark = self.seen.is_none().then(|| open.state.to_text());
        let step = RowStep { rows, gone: Vec::new(), watermark };
        if let Some(seen) = &mut self.seen {
            seen.extend(step.rows.iter().map(|row| row.row.clone()));
        }
        self.judge.rejected.flush()?;
        let outcome = self.reader.apply(&open.key, step)?;
        self.report.count(outcome, page.len());
        Ok(())
    }

    /// The half that judges rows and the half that stores them.
    pub(super) fn parts(&mut self) -> (&mut Judge<'a>, Storing<'_, 'a>) {
        (&mut self.judge, Storing { reader: self.reader, report: &mut self.report })
    }

    /// Stores the watermark and reports.
    pub(super) fn finish(mut self, open: &Open<'_>) -> Result<TableReport> {
        let watermark = Some(open.state.to_text());
        let step = RowStep { watermark, ..RowStep::default() };
        self.reader.apply(&open.key, step)?;
        let rejected = &mut self.judge.rejected;
        rejected.flush()?;
        self.report.watermark = Some(open.state.at.clone());
        self.report.bad = rejected.bad().clone();
        self.report.quarantine = rejected.written().map(std::path::Path::to_owned);
        Ok(self.report)
    }
}

impl TableReport {
    /// Counts what became of `n_rows` rows that were read.
    pub(super) fn count(&mut self, outcome: RowOutcome, n_rows: usize) {
        let all = &mut self.outcome;
        all.rows += n_rows as u64;
        all.added += outcome.added as u64;
        all.changed += outcome.changed as u64;
        all.unchanged += outcome.unchanged as u64;
        all.removed += outcome.removed as u64;
    }
}
