//! A table opened in a snapshot: its columns as they are, its bounds, its pages.

use foretaste_core::{Error, ErrorKind, Result, TimeMs};

use super::advise::index::{Index, fits_pages, indexes_of};
use super::config::{Condition, SourceConfig, TableConfig};
use super::connection::{Cells, Connection, Dialect, number, text};
use super::judge::bucket_of;
use super::kept::{Kept, Snapshot};
use super::layout::Layout;
use super::page::Page;
use super::schema::{Class, Schema};
use super::slow::Watch;
use super::sql::{Range, Statement, Writer};
use super::state::{Scan, TableState};

/// The name of the index of a primary key on MySQL.
const PRIMARY: &str = "PRIMARY";

/// A table opened in a snapshot, with its bounds.
pub(super) struct Open<'a> {
    /// `source/table`.
    pub(super) key: String,
    pub(super) table: &'a TableConfig,
    pub(super) snapshot: Snapshot<'a>,
    pub(super) schema: Schema,
    pub(super) state: TableState,
    /// Lowest watermark that is read.
    from: Option<String>,
    /// Highest watermark that is read; empty when there is nothing to read.
    to: String,
    /// The later of `to` and what was read before.
    pub(super) later: String,
    pub(super) now_ms: TimeMs,
    behind_s: u64,
    /// Seconds since the oldest transaction that writes began, where the watermark is exact.
    pub(super) held_s: u64,
}

impl<'a> Open<'a> {
    /// Opens `table` in a snapshot of its own, still without bounds.
    ///
    /// # Errors
    /// `Unavailable` when the database is not there or a replica is too far behind, `Conflict`
    /// naming a table or column that is gone.
    pub(super) fn begin(
        source: &SourceConfig,
        (url, kept): (&str, Option<&'a Kept>),
        table: &'a TableConfig,
    ) -> Result<Self> {
        let mut snapshot = Snapshot::begin(source, url, kept)?;
        let key = format!("{}/{}", source.name, table.name());
        snapshot.watch = Watch::new(&key, source.slow_statement_ms);
        let behind_s = snapshot.behind_s()?;
        if behind_s > u64::from(source.max_lag_s) {
            let text = format!("the replica is {behind_s} s behind; `max_lag_s` allows fewer");
            return Err(Error::new(ErrorKind::Unavailable, text));
        }
        let schema = Schema::read(&mut snapshot, table)?;
        let state = TableState { columns: schema.used(table)?, ..TableState::default() };
        let now_ms = now_ms(&mut snapshot)?;
        let (from, to, later) = (None, String::new(), String::new());
        Ok(Self {
            key,
            table,
            snapshot,
            schema,
            state,
            from,
            to,
            later,
            now_ms,
            behind_s,
            held_s: 0,
        })
    }

    /// Sets the bounds of a table that was read up to `at`; empty: never.
    pub(super) fn bound(&mut self, at: String) -> Result<()> {
        let before = (!at.is_empty()).then_some(at.as_str());
        let statement = self.writer().bounds(before, self.behind_s)?;
        let row = self.snapshot.row(&statement.sql, &statement.values)?;
        let own = |place| Ok::<_, Error>(text(&row, place)?.map(str::to_owned));
        let (mut low, high, mut later) = (own(0)?, own(1)?, own(2)?);
        let class = self.writer().watermark_class()?;
        if class != Class::Time {
            let parse = |text: &str| text.parse::<i128>().ok();
            let at = before.and_then(parse);
            // A transaction is read whole again, as a pass may have been killed in its middle.
            let lookback = if class == Class::Integer { self.table.lookback_ids } else { 0 };
            // MySQL's unsigned columns know no parameter below 0.
            let from = at.map(|at| (at - i128::from(lookback)).max(0).to_string());
            low = from.filter(|_| at >= Some(0));
            later = high.as_deref().and_then(parse).max(at).map(|later| later.to_string());
        }
        if class == Class::Transaction {
            self.check_transactions(&at)?;
        }
        self.from = low;
        self.to = high.unwrap_or_default();
        self.later = later.unwrap_or_default();
        self.state.at = at;
        Ok(())
    }

    /// Numbers of transactions grow for ever, unless the database is another one than it was. On a
    /// replica they may be behind.
    fn check_transactions(&mut self, at: &str) -> Result<()> {
        let sql = "SELECT CAST(pg_snapshot_xmax(pg_current_snapshot()) AS text),
                          CAST(pg_is_in_recovery() AS text),
                          CAST(floor(extract(epoch FROM clock_timestamp() - (
                            SELECT MIN(xact_start) FROM pg_stat_activity
                            WHERE backend_xid IS NOT NULL))) AS text)";
        let row = self.snapshot.row(sql, &[])?;
        self.held_s = number(&row, 2)?.unwrap_or(0);
        let next: i128 = number(&row, 0)?.unwrap_or(0);
        let is_replica = text(&row, 1)? == Some("true");
        if is_replica || at.is_empty() || at.parse::<i128>().is_ok_and(|at| at < next) {
            return Ok(());
        }
        let text = format!(
            "the table was read up to transaction {at}, and the next one will be {next}: the \
             database was restored or has failed over. `foretaste extract --accept-schema` reads \
             it from the beginning"
        );
        Err(Error::new(ErrorKind::Conflict, text))
    }

    /// What a pass reads.
    pub(super) fn range(&self) -> Range {
        Range { from: self.from.clone(), to: Some(self.to.clone()), ..Range::default() }
    }

    pub(super) fn writer(&self) -> Writer<'_> {
        Writer { dialect: self.snapshot.dialect(), table: self.table, schema: &self.schema }
    }

    pub(super) fn rows(&mut self, statement: &Statement) -> Result<Vec<Cells>> {
        self.snapshot.rows(&statement.sql, &statement.values)
    }

    /// At most `limit` rows of a range, and what they consist of.
    pub(super) fn page(&mut self, range: &Range, limit: u32) -> Result<(Vec<Page>, Layout)> {
        if range.to.as_deref() == Some("") {
            return Ok(Default::default());
        }
        let (statement, layout) = self.writer().page(range, limit)?;
        let mut pages = Vec::new();
        self.snapshot.pages(&statement, (&layout, limit as usize), &mut |page| {
            let next = page.next();
            pages.push(page);
            Some(next)
        })?;
        Ok((pages, layout))
    }

    /// Where the first page of a range ends, and the bucket of its last row.
    pub(super) fn page_end(&mut self, range: &Range) -> Result<Option<(Place, i64)>> {
        let (pages, _) = self.page(range, self.table.batch_rows)?;
        let Some(page) = pages.last() else { return Ok(None) };
        let place = Place::after(self.table, page)?;
        let writer = self.writer();
        let bucket =
            bucket_of(&place.0[0], (writer.watermark_class()?, writer.dialect), self.table);
        Ok(Some((place, bucket)))
    }

    /// What is left of a range to be loaded, in the order that costs the server least.
    ///
    /// MySQL has to be told by which index. It keeps rows in the order of the primary key, and
    /// finding each by another index costs it four times as much: a first reading of all of them
    /// takes that order, and its state says how far it came.
    pub(super) fn loading(&mut self, range: Range) -> Result<Range> {
        let before = self.state.scan.take();
        if self.snapshot.dialect() == Dialect::Postgres {
            return Ok(range);
        }
        let indexes = indexes_of(&mut self.snapshot, &self.table.table)?;
        let fitting = indexes.iter().find(|own| fits_pages(own, self.table));
        let fitting = fitting.map(|own| own.name.clone());
        let is_primary = |own: &Index| own.name == PRIMARY && own.columns == self.table.id;
        // Those that `where` picks may be few, and together in the other order.
        let picks = |condition: &Condition| matches!(condition, Condition::Is(_));
        let is_scan = self.from.is_none()
            && fitting.as_deref() != Some(PRIMARY)
            && indexes.iter().any(|own| own.usable && is_primary(own))
            && !self.table.filter.values().any(picks);
        if !is_scan {
            return Ok(Range { index: fitting, ..range });
        }
        let from_the_start = Scan { to: self.later.clone(), after: Vec::new() };
        let scan = before.unwrap_or(from_the_start);
        let after_ids = (scan.after.len() == self.table.id.len()).then(|| scan.after.clone());
        self.state.scan = Some(scan);
        Ok(Range { index: Some(PRIMARY.to_owned()), by_id: true, after_ids, ..range })
    }

    /// All of what was to be read has been.
    pub(super) fn is_read(&mut self) {
        let scan = self.state.scan.take();
        self.state.at = scan.map_or_else(|| self.later.clone(), |scan| scan.to);
    }
}

/// Whether a watermark is behind that up to which the table has been read.
pub(super) fn is_later(class: Class, watermark: &str, at: &str) -> bool {
    if at.is_empty() || class == Class::Time {
        return watermark > at;
    }
    watermark.parse::<i128>().ok() > at.parse::<i128>().ok()
}

/// Watermark and ids of a row: where the next page begins.
#[derive(Default)]
pub(super) struct Place(pub(super) Vec<String>);

impl Place {
    /// Behind the last row of a page.
    pub(super) fn after(table: &TableConfig, page: &Page) -> Result<Self> {
        let ids = table.id.iter().enumerate();
        let ids = ids.filter(|(_, id)| **id != table.watermark).map(|(at, _)| at + 1);
        Self::of(page, std::iter::once(0).chain(ids))
    }

    /// As [`Place::after`], for pages in the order of the ids.
    pub(super) fn after_ids(table: &TableConfig, page: &Page) -> Result<Self> {
        Self::of(page, 1..=table.id.len())
    }

    fn of(page: &Page, cells: impl Iterator<Item = usize>) -> Result<Self> {
        let Some(last) = page.last() else { return Ok(Self::default()) };
        cells.map(|at| Ok(last.text(at)?.to_owned())).collect::<Result<_>>().map(Self)
    }
}

/// The server's time.
pub(super) fn now_ms(snapshot: &mut Connection) -> Result<TimeMs> {
    let sql = match snapshot.dialect() {
        Dialect::Postgres => {
            "SELECT CAST(floor(extract(epoch FROM clock_timestamp()) * 1000) AS text)"
        }
        Dialect::MySql => "SELECT CAST(FLOOR(UNIX_TIMESTAMP(NOW(6)) * 1000) AS CHAR)",
    };
    let row = snapshot.row(sql, &[])?;
    number(&row, 0)?.ok_or_else(|| Error::internal("the database has no time"))
}
