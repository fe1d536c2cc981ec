//! A table opened in a snapshot: its columns as they are, its bounds, its pages.

use foretaste_core::{Error, ErrorKind, Result, TimeMs};

use super::config::{SourceConfig, TableConfig};
use super::connection::{Cells, Connection, Dialect, number, text};
use super::schema::{Class, Schema};
use super::sql::{Range, Statement, Writer};
use super::state::TableState;

/// A table opened in a snapshot, with its bounds.
pub(super) struct Open<'a> {
    /// `source/table`.
    pub(super) key: String,
    pub(super) table: &'a TableConfig,
    pub(super) snapshot: Connection,
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
    pub(super) fn begin(source: &SourceConfig, url: &str, table: &'a TableConfig) -> Result<Self> {
        let mut snapshot = Connection::snapshot(url, source.statement_timeout_s)?;
        let behind_s = snapshot.behind_s()?;
        if behind_s > u64::from(source.max_lag_s) {
            let text = format!("the replica is {behind_s} s behind; `max_lag_s` allows fewer");
            return Err(Error::new(ErrorKind::Unavailable, text));
        }
        let schema = Schema::read(&mut snapshot, table)?;
        let state = TableState { at: String::new(), columns: schema.used(table)? };
        let now_ms = now_ms(&mut snapshot)?;
        let key = format!("{}/{}", source.name, table.name());
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

    pub(super) fn page(&mut self, range: &Range, limit: u32) -> Result<Vec<Cells>> {
        if range.to.as_deref() == Some("") {
            return Ok(Vec::new());
        }
        let statement = self.writer().page(range, limit)?;
        self.rows(&statement)
    }

    /// Watermark and ids of a row: where the next page begins.
    pub(super) fn place(&self, cells: &Cells) -> Result<Vec<String>> {
        let own = |at| Ok(text(cells, at)?.unwrap_or_default().to_owned());
        let ids = self.table.id.iter().enumerate();
        let ids = ids.filter(|(_, id)| **id != self.table.watermark).map(|(at, _)| at + 1);
        std::iter::once(0).chain(ids).map(own).collect()
    }

    pub(super) fn is_later(&self, watermark: &str) -> Result<bool> {
        let at = &self.state.at;
        if at.is_empty() || self.writer().watermark_class()? == Class::Time {
            return Ok(watermark > at.as_str());
        }
        Ok(watermark.parse::<i128>().ok() > at.parse::<i128>().ok())
    }
}

fn now_ms(snapshot: &mut Connection) -> Result<TimeMs> {
    let sql = match snapshot.dialect() {
        Dialect::Postgres => {
            "SELECT CAST(floor(extract(epoch FROM clock_timestamp()) * 1000) AS text)"
        }
        Dialect::MySql => "SELECT CAST(FLOOR(UNIX_TIMESTAMP(NOW(6)) * 1000) AS CHAR)",
    };
    let row = snapshot.row(sql, &[])?;
    number(&row, 0)?.ok_or_else(|| Error::internal("the database has no time"))
}
