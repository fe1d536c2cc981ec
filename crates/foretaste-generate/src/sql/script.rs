//! A file of SQL statements, one a line, with rows gathered into large inserts.

use std::io::{BufWriter, Write};
use std::path::Path;

use foretaste_core::{Result, TimeMs};

use super::Dialect;

/// Rows of one insert.
const ROWS: usize = 500;

/// A script under way.
pub(super) struct Script {
    out: BufWriter<fs_err::File>,
    dialect: Dialect,
    /// By table: the beginning of its inserts, and the rows that wait.
    tables: Vec<(&'static str, Vec<String>)>,
}

impl Script {
    pub(super) fn create(path: &Path, dialect: Dialect) -> Result<Self> {
        let out = BufWriter::new(fs_err::File::create(path)?);
        Ok(Self { out, dialect, tables: Vec::new() })
    }

    /// One statement; whitespace at the beginnings of its lines goes.
    pub(super) fn run(&mut self, statement: &str) -> Result<()> {
        let lines: Vec<_> = statement.lines().map(str::trim).collect();
        writeln!(self.out, "{};", lines.join(" ").trim())?;
        Ok(())
    }

    /// A row `(...)` of an insert that begins with `head`.
    pub(super) fn row(&mut self, head: &'static str, row: String) -> Result<()> {
        let found = self.tables.iter().position(|(known, _)| *known == head);
        let at = found.unwrap_or_else(|| {
            self.tables.push((head, Vec::new()));
            self.tables.len() - 1
        });
        self.tables[at].1.push(row);
        if self.tables[at].1.len() >= ROWS { self.write(at) } else { Ok(()) }
    }

    fn write(&mut self, at: usize) -> Result<()> {
        let (head, rows) = &mut self.tables[at];
        if !rows.is_empty() {
            writeln!(self.out, "{head} VALUES {};", rows.join(","))?;
            rows.clear();
        }
        Ok(())
    }

    /// Writes what waits.
    pub(super) fn finish(mut self) -> Result<()> {
        (0..self.tables.len()).try_for_each(|at| self.write(at))?;
        self.out.flush()?;
        Ok(())
    }

    /// A text as it stands in SQL.
    pub(super) fn text(&self, text: &str) -> String {
        let quoted = text.replace('\'', "''");
        match self.dialect {
            Dialect::MySql => format!("'{}'", quoted.replace('\\', "\\\\")),
            Dialect::Postgres => format!("'{quoted}'"),
        }
    }

    /// A moment (UTC), to the second.
    pub(super) fn time(&self, ms: TimeMs) -> String {
        let seconds = ms.div_euclid(1000);
        match self.dialect {
            Dialect::MySql => format!("DATE_ADD('1970-01-01', INTERVAL {seconds} SECOND)"),
            Dialect::Postgres => format!("to_timestamp({seconds})"),
        }
    }
}
