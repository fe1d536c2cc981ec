//! Some rows of a table by their keys: looked at, deleted, or put back, within one transaction.

use std::collections::HashMap;

use foretaste_core::{Error, ErrorKind, Result};

use super::columns::Column;
use super::copy::{name_of, row_of, rows_of};
use super::file::{RowDigest, digest_of, words};
use super::target::Target;
use crate::tables::connection::{Connection, Dialect, number};
use crate::tables::page::{Page, Row};
use crate::tables::schema::Schema;
use crate::tables::sql::{Statement, Writer};

/// A row of a file.
pub struct Filed {
    /// Its place in the file.
    pub at: u64,
    /// Its name, as extraction writes it.
    pub name: String,
    /// What it was when it was copied.
    pub digest: RowDigest,
    /// All its texts.
    pub page: Page,
}

impl Filed {
    /// The row in the place `at` of a file.
    pub fn new(at: u64, row: Row<'_>, columns: &[Column], id: &[String]) -> Result<Self> {
        let (mut name, mut page) = (String::new(), Page::new(columns.len()));
        name_of(columns, id, row, &mut name)?;
        for cell in row.cells(0) {
            page.push(|out| {
                out.extend_from_slice(cell.unwrap_or_default());
                Ok::<_, Error>(cell.is_some())
            })?;
        }
        let digest = digest_of(row, &mut Vec::new());
        Ok(Self { at, name, digest, page })
    }

    fn row(&self) -> Row<'_> {
        row_of(&self.page)
    }
}

/// Rows of a table, on a connection that may change them.
pub struct Rows<'a> {
    /// The connection.
    pub connection: Connection,
    /// The table.
    pub target: &'a Target<'a>,
    schema: Schema,
}

/// What is there by name; `None` when it is not as any file would have it.
pub type Found = HashMap<String, Option<RowDigest>>;

impl<'a> Rows<'a> {
    /// Readies a connection that waits for locks no longer than a moment.
    pub fn new(mut connection: Connection, target: &'a Target<'a>) -> Result<Self> {
        let settings: &[&str] = match connection.dialect() {
            Dialect::Postgres => &["SET lock_timeout = '1s'"],
            Dialect::MySql => &[
                "SET SESSION innodb_lock_wait_timeout = 1, SESSION lock_wait_timeout = 1",
                // What cannot be put back as it was is an error; zero dates and ids are not.
                "SET SESSION sql_mode = \
                 'STRICT_ALL_TABLES,NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES'",
            ],
        };
        settings.iter().try_for_each(|sql| connection.execute(sql))?;
        let schema = target.schemas(&mut connection)?.swap_remove(0);
        Ok(Self { connection, target, schema })
    }

    /// Begins a transaction.
    pub fn begin(&mut self) -> Result<()> {
        match self.connection.dialect() {
            Dialect::Postgres => self.connection.execute("BEGIN ISOLATION LEVEL READ COMMITTED"),
            Dialect::MySql => self.connection.execute("START TRANSACTION"),
        }
    }

    /// The rows with the keys of `rows` as they are now, or only which there are; MySQL's stay
    /// locked.
    pub fn find(&mut self, columns: &[Column], whole: bool, rows: &[&Filed]) -> Result<Found> {
        let mut out = Statement::default();
        let dialect = self.connection.dialect();
        let keyed = self.keyed(columns, rows, &mut out)?;
        let ids = &self.target.aged.id;
        let wanted = columns.iter().filter(|own| whole || ids.contains(&own.name));
        let wanted: Vec<Column> = wanted.cloned().collect();
        let (select, from) = (self.select(&wanted), self.table());
        let lock = if dialect == Dialect::MySql { " FOR UPDATE" } else { "" };
        out.sql = format!("SELECT {select} FROM {from} AS base WHERE {keyed}{lock}");
        self.found(&out, &wanted)
    }

    /// Deletes the rows with these keys. `true` when each of them was as it is in the file; else
    /// the transaction must be taken back.
    pub fn delete(&mut self, columns: &[Column], rows: &[&Filed]) -> Result<bool> {
        let mut out = Statement::default();
        let keyed = self.keyed(columns, rows, &mut out)?;
        let table = self.table();
        if self.connection.dialect() == Dialect::MySql {
            out.sql = format!("DELETE base FROM {table} AS base WHERE {keyed}");
            self.connection.rows(&out.sql, &out.values)?;
            return Ok(self.changed()? == rows.len() as u64);
        }
        let select = self.select(columns);
        out.sql = format!("DELETE FROM {table} AS base WHERE {keyed} RETURNING {select}");
        let found = self.found(&out, columns)?;
        Ok(found.len() == rows.len()
            && rows.iter().all(|row| found.get(&row.name) == Some(&Some(row.digest))))
    }

    /// Puts rows into the table.
    pub fn insert(&mut self, columns: &[Column], rows: &[&Filed]) -> Result<()> {
        let dialect = self.connection.dialect();
        let own: Vec<usize> = (0..columns.len()).filter(|&at| !columns[at].generated).collect();
        let (mut values, mut lines) = (Vec::new(), Vec::new());
        for row in rows {
            let mut line = Vec::with_capacity(own.len());
            for &at in &own {
                if row.row().cell(at).is_none() {
                    line.push("NULL".to_owned());
                    continue;
                }
                values.push(row.row().text(at)?.to_owned());
                line.push(columns[at].restored(dialect, values.len()));
            }
            lines.push(format!("({})", line.join(", ")));
        }
        let names: Vec<_> = own.iter().map(|&at| dialect.quoted(&columns[at].name)).collect();
        let overriding = if dialect == Dialect::Postgres { "OVERRIDING SYSTEM VALUE " } else { "" };
        let (table, names, lines) = (self.table(), names.join(", "), lines.join(", "));
        let sql = format!("INSERT INTO {table} ({names}) {overriding}VALUES {lines}");
        self.connection.rows(&sql, &values).map(|_| ())
    }

    /// Rows that the last statement has changed.
    fn changed(&mut self) -> Result<u64> {
        let rows = self.connection.plain("SELECT CAST(ROW_COUNT() AS CHAR)")?;
        let count = rows.first().map(|row| number(row, 0)).transpose()?.flatten();
        count.ok_or_else(|| Error::internal("the server does not say what it changed"))
    }

    fn found(&mut self, statement: &Statement, columns: &[Column]) -> Result<Found> {
        let pages = rows_of(&mut self.connection, statement, columns)?;
        let (mut found, mut scratch) = (Found::new(), Vec::new());
        for row in pages.iter().flat_map(Page::rows) {
            let name = self.name_of_sent(columns, row)?;
            let digest = words(columns, row).ok();
            let digest = digest.map(|(_, page)| digest_of(row_of(&page), &mut scratch));
            found.insert(name, digest);
        }
        Ok(found)
    }

    /// The name of a row of which other columns may not fit their types any more.
    fn name_of_sent(&self, columns: &[Column], row: Row<'_>) -> Result<String> {
        let mut page = Page::new(columns.len());
        for (at, column) in columns.iter().enumerate() {
            let is_id = self.target.aged.id.contains(&column.name);
            let value = row.cell(at).filter(|_| is_id).and_then(|cell| column.kind.read(cell));
            page.push(|out| {
                if let Some(value) = &value {
                    column.kind.write(value, out);
                }
                Ok::<_, Error>(value.is_some())
            })?;
        }
        let mut name = String::new();
        name_of(columns, &self.target.aged.id, row_of(&page), &mut name)?;
        Ok(name)
    }

    fn select(&self, columns: &[Column]) -> String {
        let dialect = self.connection.dialect();
        let all: Vec<_> = columns.iter().map(|own| own.select(dialect)).collect();
        all.join(", ")
    }

    fn table(&self) -> String {
        self.connection.dialect().quoted_table(self.target.table)
    }

    /// The condition that a row's key is one of these.
    fn keyed(&self, columns: &[Column], rows: &[&Filed], out: &mut Statement) -> Result<String> {
        let dialect = self.connection.dialect();
        let writer = Writer { dialect, table: &self.target.aged, schema: &self.schema };
        let mut places = Vec::new();
        for id in &self.target.aged.id {
            let place = columns.iter().position(|own| own.name == *id);
            let gone = || {
                let text = format!("the archive has no column `{id}`; restore it first");
                Error::new(ErrorKind::Conflict, text)
            };
            places.push((id, place.ok_or_else(gone)?));
        }
        let mut all = Vec::with_capacity(rows.len());
        for row in rows {
            let mut one = Vec::with_capacity(places.len());
            for (id, place) in &places {
                let value = writer.value(id, row.row().text(*place)?, out)?;
                one.push(match places.len() {
                    1 => value,
                    _ => format!("{} = {value}", writer.quoted(id)),
                });
            }
            all.push(one.join(" AND "));
        }
        Ok(match &places[..] {
            [(id, _)] => format!("{} IN ({})", writer.quoted(id), all.join(", ")),
            _ => format!("(({}))", all.join(") OR (")),
        })
    }
}
