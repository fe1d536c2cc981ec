//! Rows that are in a file out of the table, some at a time. What is about to go is written down
//! before it goes, so that after a kill only those few rows are in doubt; and of these all or none
//! have gone, as one transaction deletes them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, Instant};

use foretaste_core::{Error, ErrorKind, Progress, Result};

use super::columns::{Column, columns_of};
use super::copy::database;
use super::file::read_file;
use super::known::Watermark;
use super::rows::{Filed, Rows};
use super::segment::{Files, Segment, Stage};
use crate::tables::connection::Dialect;

/// Attempts at rows that others hold.
const ATTEMPTS: u32 = 6;
/// The first wait for them; it doubles.
const WAIT: Duration = Duration::from_millis(200);
/// Rows of a file that are read at once.
const PAGE_ROWS: usize = 1_000;

/// Deletes the rows of files.
pub struct Draining<'a> {
    /// The table, on a connection that may change it.
    pub rows: Rows<'a>,
    /// Where files are.
    pub files: &'a Files<'a>,
    /// Rows of one transaction.
    pub batch_rows: usize,
    /// Told of rows that are settled.
    pub progress: &'a dyn Progress,
}

/// A file whose rows go.
struct Going {
    number: u32,
    segment: Segment,
    next: u64,
    until: u64,
    left: BTreeSet<u64>,
    /// False when the table has other columns now, so that its rows are not what is in the file.
    same: bool,
}

impl Draining<'_> {
    /// Deletes the rows of the file `number` from the table, but for those that have changed since.
    /// A copy of a table that has other columns now is thrown away.
    ///
    /// # Errors
    /// `Corrupt` naming a file that is damaged, `Config` where the right to delete is missing,
    /// `Conflict` where the database refuses, `Unavailable`. Rows are in the table or in the file.
    pub fn file(&mut self, number: u32, segment: Segment) -> Result<()> {
        let now = columns_of(&mut self.rows.connection, self.rows.target.table, &BTreeSet::new())?;
        let same = is_same(&segment.columns, &now);
        let (next, until, left) = match &segment.stage {
            Stage::Copied if !same => return self.files.remove(number),
            Stage::Copied => (0, 0, BTreeSet::new()),
            Stage::Moving { next, until, left } => (*next, *until, left.clone()),
            Stage::Moved { .. } | Stage::Restoring { .. } => return Ok(()),
        };
        let own = database(&mut self.rows.connection)?;
        if own != segment.database {
            let text = format!("the archive is of the database {}, not {own}", segment.database);
            return Err(Error::new(ErrorKind::Conflict, text));
        }
        segment.verify(&self.files.path(number))?;
        // Before the first row goes, so that whoever misses it knows why.
        self.files.announce(number, true)?;
        let mut going = Going { number, segment, next, until, left, same };
        self.all(&mut going)?;
        let loose = self.loose(&going)?;
        going.segment.stage = Stage::Moved { left: going.left, loose };
        self.files.save(number, &going.segment)
    }

    fn all(&mut self, going: &mut Going) -> Result<()> {
        let (columns, path) = (going.segment.columns.clone(), self.files.path(going.number));
        let id = self.rows.target.aged.id.clone();
        let (mut at, mut batch) = (0, Vec::new());
        let total = going.segment.rows;
        read_file(&path, &columns, &|_| true, PAGE_ROWS, &mut |page| {
            for row in page.rows() {
                if at >= going.next {
                    batch.push(Filed::new(at, row, &columns, &id)?);
                }
                at += 1;
                // What is in doubt is settled as the one transaction that it was.
                let end = match going.until > going.next {
                    true => going.until,
                    false => total.min(going.next + self.batch_rows as u64),
                };
                if at == end && !batch.is_empty() {
                    let began = Instant::now();
                    self.batch(going, &std::mem::take(&mut batch))?;
                    // Others have the server for as long as this took.
                    std::thread::sleep(began.elapsed());
                }
            }
            Ok(())
        })
    }

    /// Settles the rows from `next` on, `until` included in what is in doubt.
    fn batch(&mut self, going: &mut Going, batch: &[Filed]) -> Result<()> {
        let in_doubt = going.until > going.next;
        going.until = going.next + batch.len() as u64;
        self.note(going)?;
        let gone = match self.settle(going, batch, in_doubt) {
            Ok(gone) => gone,
            Err(error) => {
                let is_back = self.rows.connection.execute("ROLLBACK").is_ok();
                if is_back && !in_doubt {
                    self.take_back(going)?;
                }
                let path = self.files.path(going.number);
                return Err(self.refused(error, &path));
            }
        };
        let path = self.files.path(going.number);
        self.rows.connection.execute("COMMIT").map_err(|e| self.refused(e, &path))?;
        going.left.extend(batch.iter().map(|row| row.at).filter(|at| !gone.contains(at)));
        going.next = going.until;
        self.progress.advance(batch.len() as u64);
        Ok(())
    }

    /// Deletes the rows that are still as they are in the file, within a transaction that is open
    /// afterwards; gives the places of all that have left the table for the file.
    fn settle(&mut self, going: &Going, batch: &[Filed], in_doubt: bool) -> Result<BTreeSet<u64>> {
        let mut wait = WAIT;
        for attempt in 1..=ATTEMPTS {
            match self.attempt(going, batch, in_doubt) {
                Ok(Some(gone)) => return Ok(gone),
                Ok(None) => {}
                Err(e) if e.kind() != ErrorKind::Unavailable || attempt == ATTEMPTS => {
                    return Err(e);
                }
                Err(e) if self.rows.connection.execute("ROLLBACK").is_err() => return Err(e),
                Err(_) => {
                    std::thread::sleep(wait);
                    wait *= 2;
                    continue;
                }
            }
            self.rows.connection.execute("ROLLBACK")?;
        }
        let text = "the server deletes other rows than it is told to; a trigger or rule keeps some";
        Err(Error::new(ErrorKind::Conflict, text))
    }

    /// `None`: a row changed in this moment, so it has to be tried again.
    fn attempt(
        &mut self,
        going: &Going,
        batch: &[Filed],
        in_doubt: bool,
    ) -> Result<Option<BTreeSet<u64>>> {
        let columns = &going.segment.columns;
        let all: Vec<&Filed> = batch.iter().collect();
        self.rows.begin()?;
        let found = self.rows.find(columns, going.same, &all)?;
        let mut same = all.clone();
        same.retain(|row| going.same && found.get(&row.name) == Some(&Some(row.digest)));
        if same.is_empty() {
            // Had the transaction not been committed, one would be there. Those that are not there
            // at all went with it.
            let gone = all.iter().filter(|row| in_doubt && !found.contains_key(&row.name));
            return Ok(Some(gone.map(|row| row.at).collect()));
        }
        let is_done = self.rows.delete(columns, &same)?;
        Ok(is_done.then(|| same.iter().map(|row| row.at).collect()))
    }

    fn note(&self, going: &mut Going) -> Result<()> {
        let Going { next, until, .. } = *going;
        going.segment.stage = Stage::Moving { next, until, left: going.left.clone() };
        self.files.save(going.number, &going.segment)
    }

    /// Nothing of what was about to go has gone.
    fn take_back(&self, going: &mut Going) -> Result<()> {
        going.until = going.next;
        if going.next > 0 {
            return self.note(going);
        }
        going.segment.stage = Stage::Copied;
        self.files.save(going.number, &going.segment)?;
        self.files.announce(going.number, false)
    }

    fn refused(&self, error: Error, path: &Path) -> Error {
        let table = self.rows.target.table;
        let kept = format!("{} is a copy that is kept", path.display());
        if error.kind() == ErrorKind::Config {
            let text = format!(
                "rows of `{table}` cannot be deleted: GRANT DELETE ON {table} to the user of the \
                 source's URL, or let the URL name one that has it; {kept}"
            );
            return Error::new(ErrorKind::Config, text).with_source(error);
        }
        error.context(format!("rows of `{table}` cannot be deleted; {kept}"))
    }

    /// By reading, the buckets of rows that were left.
    fn loose(&self, going: &Going) -> Result<BTreeMap<String, BTreeSet<i64>>> {
        let mut loose = BTreeMap::new();
        if going.left.is_empty() {
            return Ok(loose);
        }
        let path = self.files.path(going.number);
        for reading in &self.rows.target.readings {
            let Some(watermark) = Watermark::of(&going.segment, reading.table, self.dialect())
            else {
                continue;
            };
            let (mut at, mut buckets) = (0, BTreeSet::new());
            watermark.each(&path, &going.segment, &[], &mut |_, bucket| {
                if going.left.contains(&at) {
                    buckets.insert(bucket);
                }
                at += 1;
                Ok(())
            })?;
            loose.insert(reading.key.clone(), buckets);
        }
        Ok(loose)
    }

    fn dialect(&self) -> Dialect {
        self.rows.connection.dialect()
    }
}

/// Whether a row of a file is still a whole row of the table.
fn is_same(then: &[Column], now: &[Column]) -> bool {
    let word = |own: &Column| (own.name.clone(), own.sql_type.clone(), own.generated);
    then.iter().map(word).eq(now.iter().map(word))
}
