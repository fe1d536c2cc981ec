//! Archived rows back into their table, with their original columns.

use std::collections::BTreeSet;

use foretaste_core::{Error, ErrorKind, Progress, Result};

use super::columns::{Column, columns_of};
use super::copy::database;
use super::file::read_file;
use super::rows::{Filed, Rows};
use super::segment::{Files, Segment, Stage};

/// Values of one statement at most, as servers count parameters by 16 bits.
const VALUES: usize = 20_000;

/// Puts the rows of files back.
pub struct Restoring<'a> {
    /// The table, on a connection that may change it.
    pub rows: Rows<'a>,
    /// Where files are.
    pub files: &'a Files<'a>,
    /// Rows of one transaction.
    pub batch_rows: usize,
    /// Told of rows that are back.
    pub progress: &'a dyn Progress,
}

impl Restoring<'_> {
    /// Puts the rows of the file `number` back, but for those that are there already, then removes
    /// the file. Gives how many it has put back.
    ///
    /// # Errors
    /// `Corrupt` naming the file, `Conflict` when the table does not take them as they were,
    /// `Config` where the right to insert is missing, `Unavailable`. It may be repeated.
    pub fn file(&mut self, number: u32, mut segment: Segment) -> Result<u64> {
        let Some(left) = segment.stage.left().cloned() else { return Ok(0) };
        let own = database(&mut self.rows.connection)?;
        if own != segment.database {
            let text = format!("the archive is of the database {}, not {own}", segment.database);
            return Err(Error::new(ErrorKind::Conflict, text));
        }
        let path = self.files.path(number);
        segment.verify(&path)?;
        self.check_columns(&segment.columns)?;
        segment.stage = Stage::Restoring { left: left.clone() };
        self.files.save(number, &segment)?;
        let id = self.rows.target.aged.id.clone();
        let n = self.batch_rows.min(VALUES / segment.columns.len().max(1)).max(1);
        let (mut at, mut n_back) = (0, 0);
        read_file(&path, &segment.columns, &|_| true, n, &mut |page| {
            let mut batch = Vec::new();
            for row in page.rows() {
                if !left.contains(&at) {
                    batch.push(Filed::new(at, row, &segment.columns, &id)?);
                }
                at += 1;
            }
            let done = self.batch(&segment.columns, &batch);
            n_back += done.map_err(|e| self.refused(e))?;
            self.progress.advance(page.len() as u64);
            Ok(())
        })?;
        self.files.announce(number, false)?;
        self.files.remove(number)?;
        Ok(n_back)
    }

    /// The table must still have the columns that were archived; others get their defaults.
    fn check_columns(&mut self, columns: &[Column]) -> Result<()> {
        let table = self.rows.target.table;
        let now = columns_of(&mut self.rows.connection, table, &BTreeSet::new())?;
        let is_gone = |own: &&Column| now.iter().all(|other| other.name != own.name);
        match columns.iter().filter(|own| !own.generated).find(is_gone) {
            None => Ok(()),
            Some(own) => {
                let (name, sql_type) = (&own.name, &own.sql_type);
                let text = format!(
                    "`{table}` has no column `{name}` any more, which archived rows have; add it \
                     ({sql_type}) before they are put back"
                );
                Err(Error::new(ErrorKind::Conflict, text))
            }
        }
    }

    fn batch(&mut self, columns: &[Column], batch: &[Filed]) -> Result<u64> {
        if batch.is_empty() {
            return Ok(0);
        }
        let all: Vec<&Filed> = batch.iter().collect();
        self.rows.begin()?;
        let found = self.rows.find(columns, false, &all)?;
        let missing: Vec<_> =
            all.into_iter().filter(|row| !found.contains_key(&row.name)).collect();
        if !missing.is_empty() {
            self.rows.insert(columns, &missing)?;
            let found = self.rows.find(columns, true, &missing)?;
            let differs = |row: &&&Filed| found.get(&row.name) != Some(&Some(row.digest));
            if let Some(row) = missing.iter().find(differs) {
                let text = format!(
                    "the row {} is not what it was when it is put back; a trigger changes it, or \
                     a column has another type",
                    row.name.replace('\u{1f}', ", ")
                );
                return Err(Error::new(ErrorKind::Conflict, text));
            }
        }
        self.rows.connection.execute("COMMIT")?;
        Ok(missing.len() as u64)
    }

    fn refused(&mut self, error: Error) -> Error {
        // The connection ends with the run, and the transaction with it.
        let _ = self.rows.connection.execute("ROLLBACK");
        let table = self.rows.target.table;
        if error.kind() == ErrorKind::Config {
            let text =
                format!("rows cannot be put back: GRANT INSERT, DELETE ON {table} is needed");
            return Error::new(ErrorKind::Config, text).with_source(error);
        }
        error.context(format!("rows cannot be put back into `{table}`"))
    }
}
