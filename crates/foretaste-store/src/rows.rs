//! Rows of outside tables: which of them are here, as what, and how far a table has been read.
//!
//! Extraction reads rows again and again: the lookback of every pass, and whole days when a
//! reconciliation found that counts differ. A step of rows is compared with what earlier steps
//! left, so that repeating it changes nothing, a changed row replaces what it was, and a row that
//! is gone takes its event or record along. A crash at any point leaves rows that the next step
//! knows to be uncertain; reading them again repairs them.

mod load;

use std::collections::HashSet;

use foretaste_core::{Error, Event, Item, Limits, Result, User};

use crate::store::Store;
pub use load::{RowLoad, Texts};

/// The bucket of rows that have none (no time, a zero date).
pub const UNDATED: i64 = i64::MIN;

/// What a row of an outside table is here.
#[derive(Clone, Debug, PartialEq)]
pub enum Record {
    /// An event. Its `event_id` is set by the store.
    Event(Event),
    /// An item.
    Item(Item),
    /// A user.
    User(User),
    /// Nothing: the row is bad or marked as deleted. It is remembered, so that it counts and is
    /// not reported again.
    Nothing,
}

/// One row as it was read.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Its primary key as text.
    pub row: String,
    /// The part of the table (a day, a range of ids) in which it is counted.
    pub bucket: i64,
    /// Digest of its content, as the source's database computed it; at most 62 bits.
    pub digest: u64,
    /// What it is here.
    pub record: Record,
}

/// What is stored in one step.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RowStep {
    /// Rows that are there, at most [`Limits::batch_writes`], each once.
    pub rows: Vec<Row>,
    /// Primary keys of rows that are no longer there.
    pub gone: Vec<String>,
    /// How far the table has been read once this step is stored. `None`: as far as before.
    pub watermark: Option<String>,
}

/// What became of the rows of a step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RowOutcome {
    /// Rows that had not been here.
    pub added: usize,
    /// Rows whose content differed.
    pub changed: usize,
    /// Rows that were here already.
    pub unchanged: usize,
    /// Rows that were here and are gone.
    pub removed: usize,
}

/// What a step has changed here, for whoever keeps a picture of the store.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RowChanges {
    /// Events that are here now, with their ids.
    pub events: Vec<Event>,
    /// Keys of events that are here no longer.
    pub retracted: Vec<u64>,
    /// Ids of items whose records were put or removed.
    pub items: Vec<String>,
    /// Ids of users whose records were put or removed.
    pub users: Vec<String>,
}

impl RowChanges {
    /// True when nothing changed.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Count and checksum of the rows of one bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowBucket {
    /// Its number, or [`UNDATED`].
    pub bucket: i64,
    /// Rows in it.
    pub rows: u64,
    /// Sum of their digests.
    pub sum: i128,
}

/// A store that remembers the rows of outside tables.
pub trait RowStore: Store {
    /// Stores a step of rows of `table`: events, records and removals, then the watermark. Rows
    /// that are here with the same digest are left alone. When it returns `Ok`, all of it is
    /// durable; after a crash or an error, repeating the step gives the same end.
    ///
    /// Removing a user's row removes the record; the user's events stay until their own rows go.
    ///
    /// # Errors
    /// `Invalid` when a record breaks a limit or a primary key stands twice in the step (nothing
    /// is stored then), and what [`Store::append_events`] returns.
    ///
    /// # Cost
    /// Two transactions and one fdatasync; one transaction when there is no event among the rows.
    fn apply_rows(&self, table: &str, step: RowStep) -> Result<RowOutcome> {
        self.apply_rows_telling(table, step, &mut RowChanges::default())
    }

    /// As [`RowStore::apply_rows`], and tells what has changed. A step that fails half-way adds
    /// to `changes` what it has changed all the same.
    fn apply_rows_telling(
        &self,
        table: &str,
        step: RowStep,
        changes: &mut RowChanges,
    ) -> Result<RowOutcome>;

    /// Stores many rows of `table` at once; afterwards all is as if steps had stored them. When
    /// it returns `Ok`, all of it is durable; after a crash either all of it or nothing is there,
    /// but for rows that had been here before. `tell` hears what has changed. What is left in the
    /// load means nothing; [`RowLoad::clear`] makes it ready for the next rows.
    ///
    /// # Errors
    /// As [`RowStore::apply_rows`]; `Invalid` also when a primary key stands twice.
    ///
    /// # Cost
    /// Under 0.5 us for each row that is new, two transactions and two fsyncs; others as in steps.
    fn load_rows(
        &self,
        table: &str,
        load: &mut RowLoad,
        tell: Option<&dyn Fn(&RowChanges)>,
    ) -> Result<RowOutcome> {
        load::in_steps(self, table, load, tell)
    }

    /// The watermark of `table`, if a step has set one.
    fn watermark(&self, table: &str) -> Result<Option<String>>;

    /// The digests of rows of `table`; `None` for those that are unknown or uncertain.
    fn row_digests(&self, table: &str, rows: &[&str]) -> Result<Vec<Option<u64>>>;

    /// Count and checksum of every bucket of `table`, ascending. Uncertain rows count with a
    /// digest of 0.
    fn row_buckets(&self, table: &str) -> Result<Vec<RowBucket>>;

    /// Primary key and digest of the rows of one bucket; uncertain rows have no digest.
    fn bucket_rows(&self, table: &str, bucket: i64) -> Result<Vec<(String, Option<u64>)>>;
}

impl RowStep {
    /// Checks what every store has to check.
    pub(crate) fn check(&self) -> Result<()> {
        let limit = Limits::DEFAULT.batch_writes;
        if self.rows.len() > limit {
            let n = self.rows.len();
            return Err(Error::invalid(format!("{n} rows in one step; at most {limit}")));
        }
        let mut seen = HashSet::new();
        let mut all = self.rows.iter().map(|row| &row.row).chain(&self.gone);
        match all.find(|row| !seen.insert(*row)) {
            None => Ok(()),
            Some(row) => Err(twice(row, "step")),
        }
    }
}

/// The error of a primary key that is none.
pub(crate) fn twice(row: &str, whole: &str) -> Error {
    let text = "the id columns must identify a row";
    Error::invalid(format!("the id {row:?} stands twice in one {whole}; {text}"))
}

impl RowStep {
    /// Gives the events their ids.
    pub(crate) fn name_events(&mut self, table: &str, batch: u64) {
        let mut ids = EventIds::new(table, batch);
        for row in &mut self.rows {
            if let Record::Event(event) = &mut row.record {
                event.event_id = Some(ids.of(&row.row).to_owned());
            }
        }
    }
}

impl Record {
    /// The event, where it is one.
    pub(crate) fn event(&self) -> Option<&Event> {
        match self {
            Self::Event(event) => Some(event),
            _ => None,
        }
    }

    /// The id of the catalogue record, where it is one.
    pub(crate) fn id(&self) -> Option<&str> {
        match self {
            Self::Item(item) => Some(&item.item_id),
            Self::User(user) => Some(&user.user_id),
            Self::Event(_) | Self::Nothing => None,
        }
    }
}

/// Makes the ids of the events of one step.
pub(crate) struct EventIds {
    /// Table and number of the step, then the row of the last id.
    id: String,
    prefix: usize,
    batch: u64,
}

impl EventIds {
    pub(crate) fn new(table: &str, batch: u64) -> Self {
        let id = format!("{table}#{batch}/");
        Self { prefix: id.len(), id, batch }
    }

    /// The id of the event that row `row` becomes. No two steps give the same id, so what a crash
    /// left behind can be taken back by its key for good.
    pub(crate) fn of(&mut self, row: &str) -> &str {
        self.id.truncate(self.prefix);
        self.id.push_str(row);
        let is_plain = |byte| (b' '..=b'~').contains(&byte);
        let is_odd = |id: &str| !id.bytes().all(is_plain) && id.chars().any(char::is_control);
        if self.id.len() > Limits::DEFAULT.id_bytes || is_odd(&self.id) {
            let half = |half: &str| foretaste_core::event::id_key(half, &self.id);
            let text = format!("#{}/{:016x}{:016x}", self.batch, half("1"), half("2"));
            // What is kept must still begin with the prefix for the next row.
            self.id.truncate(self.prefix);
            self.id.push_str(&text);
            return &self.id[self.prefix..];
        }
        &self.id
    }
}
