//! Rows of a source's own tables into Parquet files, and back: what is old, and here as there.
//!
//! A row goes when the store has it in its present form, so nothing that was not extracted can go.
//! It is written as it is, all columns, read back and compared; deleting is asked for separately,
//! and compares every row with the file once more, in the transaction that deletes it. What a row
//! gave to the store stays: reconciliation counts archived rows as if they were in their table.
//! `docs/decisions/0016-archive-of-sources.md` says why it is as it is.

mod columns;
mod copy;
mod drain;
mod file;
mod guard;
mod known;
mod restore;
mod rows;
mod segment;
mod target;
mod value;

use foretaste_core::time::{DAY_MS, date};
use foretaste_core::{Error, ErrorKind, Progress, Result};
use foretaste_store::RowStore;

use super::config::SourceConfig;
use super::connection::{Connection, Dialect, number};
use super::open::now_ms;
use super::slow::Watch;
use columns::schema_and_name;
use copy::Copying;
use drain::Draining;
pub(super) use known::Archived;
use restore::Restoring;
use rows::Rows;
pub use segment::ArchiveFolder;
pub(super) use segment::Files;
use segment::{Segment, Stage};
use target::{Old, Target};

/// Archives the tables of one source.
pub struct Archiver<'a> {
    /// Where extraction has put rows; it is read.
    pub store: &'a dyn RowStore,
    /// What is read from which table.
    pub source: &'a SourceConfig,
    /// Where the database is, with the password.
    pub url: &'a str,
    /// Where files go.
    pub folder: &'a ArchiveFolder,
    /// Rows of whole days (UTC) that are older go.
    pub older_than_days: u32,
    /// Rows that one transaction deletes or puts back.
    pub batch_rows: usize,
    /// Told of rows.
    pub progress: &'a dyn Progress,
}

/// What a run would look at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RowPlan {
    /// Rows by day (since 1970) that are in the table and old enough.
    pub days: Vec<(i64, u64)>,
    /// About how many bytes such rows take on the server, with their share of its indexes.
    pub bytes: u64,
}

/// What a run has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RowReport {
    /// Rows that were written to new files.
    pub copied: u64,
    /// Size of those files.
    pub bytes: u64,
    /// Rows that were deleted from the table, because they are in a file.
    pub deleted: u64,
    /// Rows that are old enough, but not in the store as they are in the table.
    pub waiting: u64,
}

/// What lies in the archive of a table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RowStatus {
    /// Number of files.
    pub files: usize,
    /// Rows in them.
    pub rows: u64,
    /// Of these, rows that are not in the table any more.
    pub moved: u64,
    /// Size of the files.
    pub bytes: u64,
    /// Age of the first and the last row.
    pub range: Option<(String, String)>,
    /// Whether a restore was cut off.
    pub restoring: bool,
}

impl Archiver<'_> {
    /// The tables of events of the source, each once.
    pub fn tables(&self) -> Vec<&str> {
        Target::names(self.source)
    }

    /// What [`Archiver::run`] would look at. Changes nothing.
    ///
    /// # Errors
    /// As [`Archiver::run`].
    ///
    /// # Cost
    /// The server counts the old rows.
    pub fn plan(&self, table: &str) -> Result<RowPlan> {
        let target = Target::new(self.source, table)?;
        let mut connection = self.snapshot(&target)?;
        let before = self.before(&mut connection)?;
        let schemas = target.schemas(&mut connection)?;
        let dialect = connection.dialect();
        let old = Old { target: &target, schemas: &schemas, dialect, before: &before };
        let statement = old.days()?;
        let mut days = Vec::new();
        for row in connection.rows(&statement.sql, &statement.values)? {
            days.push((number(&row, 0)?.unwrap_or(0), number(&row, 1)?.unwrap_or(0)));
        }
        days.sort_unstable();
        let rows: u64 = days.iter().map(|(_, rows)| rows).sum();
        let bytes = rows * row_bytes(&mut connection, target.table)?;
        Ok(RowPlan { days, bytes })
    }

    /// Copies old rows into files, and deletes from the table what is in files where `delete` says
    /// so. A run may be killed at any moment; the next one goes on.
    ///
    /// # Errors
    /// `Config` for a table whose rows must not go or a right that is missing, `Conflict` when the
    /// database refuses or another run is at work, `Corrupt` naming a file that is damaged, `Io`
    /// when the disk is full, `Unavailable` when the database or the archive is not there. Every
    /// row is in the table or in a file that was compared with it.
    ///
    /// # Cost
    /// Each old row is read once, looked up in the store, and read twice from its file; deleting
    /// reads it once more. Memory for a group of 131,072 rows at most.
    pub fn run(&self, table: &str, delete: bool) -> Result<RowReport> {
        let target = Target::new(self.source, table)?;
        let files = self.folder.files(self.store, &self.source.name, target.table);
        let mut connection = self.snapshot(&target)?;
        let before = self.before(&mut connection)?;
        connection.close();
        let _lock = files.lock()?;
        let mut report = RowReport::default();
        if delete {
            self.drain(&target, &files, &mut report)?;
        }
        self.refuse_restoring(&files)?;
        let copying = Copying { archiver: self, target: &target, files: &files, before: &before };
        let copies = files.load()?.into_values().filter(|own| own.stage == Stage::Copied);
        // Without deleting, old rows that were copied are still there: the run goes on behind them.
        let mut after = copies.map(|segment| segment.last).next_back();
        loop {
            self.progress.start("copying old rows", None, "rows");
            let copied = copying.file(files.next()?, after)?;
            self.progress.finish();
            report.waiting += copied.waiting;
            if let Some(segment) = copied.segment {
                report.copied += segment.rows;
                report.bytes += segment.bytes;
                if delete {
                    self.drain(&target, &files, &mut report)?;
                }
            }
            after = copied.next;
            if after.is_none() {
                return Ok(report);
            }
        }
    }

    /// Deletes the rows of all files that are still to be deleted.
    fn drain(&self, target: &Target<'_>, files: &Files<'_>, report: &mut RowReport) -> Result<()> {
        let is_due = |own: &Segment| matches!(own.stage, Stage::Copied | Stage::Moving { .. });
        self.refuse_restoring(files)?;
        let due: Vec<_> = files.load()?.into_iter().filter(|(_, own)| is_due(own)).collect();
        if due.is_empty() {
            return Ok(());
        }
        let mut connection = self.connection(target)?;
        guard::check(&mut connection, target)?;
        let rows = Rows::new(connection, target)?;
        let (batch_rows, progress) = (self.batch_rows, self.progress);
        let mut draining = Draining { rows, files, batch_rows, progress };
        for (number, segment) in due {
            let before = segment.stage.moved(segment.rows);
            let total = segment.rows;
            self.progress.start("deleting rows that are in files", Some(total), "rows");
            draining.file(number, segment)?;
            self.progress.finish();
            let now = files.load()?.remove(&number);
            report.deleted += now.map_or(0, |own| own.stage.moved(own.rows) - before);
        }
        Ok(())
    }

    /// Puts all rows that have left the table back, and removes their files. Gives how many came
    /// back; rows with the same key that are there already stay as they are.
    ///
    /// # Errors
    /// As [`Archiver::run`]; `Conflict` when the table does not take a row as it was.
    pub fn restore(&self, table: &str) -> Result<u64> {
        let target = Target::new(self.source, table)?;
        let files = self.folder.files(self.store, &self.source.name, target.table);
        let segments = files.load()?;
        if segments.is_empty() {
            return Ok(0);
        }
        let _lock = files.lock()?;
        let rows = Rows::new(self.connection(&target)?, &target)?;
        let (batch_rows, progress) = (self.batch_rows, self.progress);
        let mut restoring = Restoring { rows, files: &files, batch_rows, progress };
        let total = segments.values().map(|own| own.stage.moved(own.rows)).sum();
        self.progress.start("putting rows back", Some(total), "rows");
        let mut n_back = 0;
        for (number, segment) in segments {
            n_back += restoring.file(number, segment)?;
        }
        self.progress.finish();
        Ok(n_back)
    }

    /// What lies in the archive of a table; with `verify`, every file is read and compared. Asks
    /// the database nothing.
    ///
    /// # Errors
    /// `Corrupt` naming a file that is damaged, `Unavailable` when the archive is not there.
    pub fn status(&self, table: &str, verify: bool) -> Result<RowStatus> {
        let target = Target::new(self.source, table)?;
        let files = self.folder.files(self.store, &self.source.name, target.table);
        let mut status = RowStatus::default();
        for (number, segment) in files.load()? {
            if verify {
                let path = files.path(number);
                segment.verify(&path)?;
                let expected = (segment.rows, segment.rows_blake3.clone());
                file::compare(&path, &segment.columns, &expected)?;
            }
            status.files += 1;
            status.rows += segment.rows;
            status.moved += segment.stage.moved(segment.rows);
            status.bytes += segment.bytes;
            status.restoring |= matches!(segment.stage, Stage::Restoring { .. });
            let (first, last) = (segment.first.first().cloned(), segment.last.first().cloned());
            if let Some((first, last)) = first.zip(last) {
                status.range = Some(match status.range.take() {
                    Some((a, b)) => (a.min(first), b.max(last)),
                    None => (first, last),
                });
            }
        }
        Ok(status)
    }

    /// A connection in a snapshot, for reading.
    fn snapshot(&self, target: &Target<'_>) -> Result<Connection> {
        let mut connection = Connection::snapshot(self.url, self.source.patience())?;
        self.ready(&mut connection, target)?;
        Ok(connection)
    }

    /// A connection for changing rows.
    fn connection(&self, target: &Target<'_>) -> Result<Connection> {
        let mut connection = Connection::settled(self.url, self.source.patience())?;
        self.ready(&mut connection, target)?;
        Ok(connection)
    }

    /// Readies a connection for whole rows.
    fn ready(&self, connection: &mut Connection, target: &Target<'_>) -> Result<()> {
        let key = format!("{}/{}", self.source.name, target.table);
        connection.watch = Watch::new(&key, self.source.slow_statement_ms);
        match connection.dialect() {
            // Else a role whose floats are shown with fewer digits would lose some.
            Dialect::Postgres => connection.execute("SET extra_float_digits = 1"),
            Dialect::MySql => Ok(()),
        }
    }

    /// The first day whose rows are too young.
    fn before(&self, connection: &mut Connection) -> Result<String> {
        let today = now_ms(connection)?.div_euclid(DAY_MS);
        Ok(date(today - i64::from(self.older_than_days)))
    }

    fn refuse_restoring(&self, files: &Files<'_>) -> Result<()> {
        let is_half = |own: &Segment| matches!(own.stage, Stage::Restoring { .. });
        if !files.load()?.values().any(is_half) {
            return Ok(());
        }
        let name = &self.source.name;
        let text = format!("`foretaste archive restore --source {name}` was cut off; let it end");
        Err(Error::new(ErrorKind::Conflict, text))
    }
}

/// About how many bytes of the server a row takes.
fn row_bytes(connection: &mut Connection, table: &str) -> Result<u64> {
    let row = match connection.dialect() {
        Dialect::Postgres => {
            let sql = "SELECT CAST(CAST(pg_total_relation_size(oid) / GREATEST(reltuples, 1)
                                   AS bigint) AS text)
                       FROM pg_class WHERE oid = to_regclass($1)";
            connection.row(sql, &[Dialect::Postgres.quoted_table(table)])?
        }
        Dialect::MySql => {
            let sql =
                "SELECT CAST((data_length + index_length) DIV GREATEST(table_rows, 1) AS CHAR)
                       FROM information_schema.tables
                       WHERE table_schema = COALESCE(NULLIF(?, ''), DATABASE())
                         AND table_name = ?";
            connection.row(sql, &schema_and_name(table))?
        }
    };
    Ok(number(&row, 0)?.unwrap_or(0))
}
