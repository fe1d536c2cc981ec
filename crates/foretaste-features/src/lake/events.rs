//! Events of a store into the lake: only the days whose events have changed are written.
//!
//! The store is read twice: first for a digest of each day, which shows every difference (late
//! arrivals, erasures and retractions, too), then for the rows of the days that differ. Of several
//! events with one key the first counts, as everywhere.

use std::collections::{BTreeMap, HashMap, HashSet};

use datafusion::arrow::array::UInt32Array;
use datafusion::arrow::compute::take_record_batch;
use foretaste_core::{EventBatch, Result};
use foretaste_lake::parquet::event_record;

use super::{EVENTS, FeatureLake};
use crate::failure;
use crate::table::{Change, DAY_MS, Grain, Removal, TableState, TableWriter, partition_name};

/// Prefix of the marks that hold the digests of days.
const MARK: &str = "day ";

/// Number of events of each day and a digest that does not depend on their order.
#[derive(Debug, Default)]
pub struct DayDigests {
    seen: HashSet<u64>,
    /// By the number of the day since 1970.
    days: BTreeMap<i64, (u64, u64)>,
}

/// What a copy did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EventsCopied {
    /// Days that were written anew, or left because no event of theirs is left.
    pub days: usize,
    /// Events of these days.
    pub rows: u64,
    /// Events in the lake now.
    pub total: u64,
}

impl DayDigests {
    /// Adds events; contexts need not be there.
    ///
    /// # Cost
    /// About 16 bytes of memory an event, to know duplicates.
    pub fn add(&mut self, batch: &EventBatch) {
        for (&key, &time) in batch.key.iter().zip(&batch.time_ms) {
            self.first(key, time);
        }
    }

    /// Whether an event is the first of its key; counts it then.
    fn first(&mut self, key: u64, time_ms: i64) -> bool {
        if !self.seen.insert(key) {
            return false;
        }
        let (rows, sum) = self.days.entry(time_ms.div_euclid(DAY_MS)).or_default();
        *rows += 1;
        *sum = sum.wrapping_add(mixed(key));
        true
    }

    /// The days that differ from those in the lake, gone ones included.
    pub fn changed(&self, events: &TableState) -> HashSet<String> {
        let now = self.marks();
        let differs = |(day, mark): &(&String, &String)| {
            events.marks().get(&format!("{MARK}{day}")) != Some(*mark)
        };
        let changed = now.iter().filter(differs).map(|(day, _)| day.clone());
        let stored = events.marks().keys().filter_map(|mark| mark.strip_prefix(MARK));
        let gone = stored.filter(|day| !now.contains_key(*day)).map(str::to_owned);
        changed.chain(gone).collect()
    }

    /// Each day by its name, with number and digest of its events.
    fn marks(&self) -> BTreeMap<String, String> {
        let mark = |(&day, (rows, sum)): (&i64, &(u64, u64))| {
            (partition_name(Grain::Day, day * DAY_MS), format!("{rows}:{sum:016x}"))
        };
        self.days.iter().map(mark).collect()
    }
}

/// Spreads the bits of a key, so that sums of keys of neighbouring events do not collide.
fn mixed(key: u64) -> u64 {
    let once = (key ^ (key >> 31)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    once ^ (once >> 29)
}

/// Takes the rows of the changed days.
#[derive(Debug)]
pub struct EventCopy {
    lake: FeatureLake,
    changed: HashSet<String>,
    /// Whether a day, by its number, is among the changed ones.
    is_changed: HashMap<i64, bool>,
    found: DayDigests,
    writer: TableWriter,
    base: u64,
}

impl EventCopy {
    /// A copy of the days `changed` ([`DayDigests::changed`]) on top of `events`.
    ///
    /// # Errors
    /// `Conflict` when the table holds events of another form.
    pub fn new(lake: &FeatureLake, events: &TableState, changed: HashSet<String>) -> Result<Self> {
        let schema = event_record(&EventBatch::default())?.schema();
        let (base, found) = (events.generation(), DayDigests::default());
        let writer = TableWriter::new(events, &schema)?;
        let is_changed = HashMap::new();
        Ok(Self { lake: lake.clone(), changed, is_changed, found, writer, base })
    }

    /// Takes the events of `batch` that happened on changed days. All events of the store must
    /// come, in the store's order.
    pub async fn write(&mut self, batch: &EventBatch) -> Result<()> {
        let mut rows = Vec::new();
        for (row, (&key, &time)) in batch.key.iter().zip(&batch.time_ms).enumerate() {
            if self.found.first(key, time) && self.is_changed(time) {
                rows.push(row as u32);
            }
        }
        if rows.is_empty() {
            return Ok(());
        }
        let all = event_record(batch)?;
        let rows = take_record_batch(&all, &UInt32Array::from(rows)).map_err(failure::arrow)?;
        self.writer.write(&rows).await
    }

    fn is_changed(&mut self, time_ms: i64) -> bool {
        let (day, changed) = (time_ms.div_euclid(DAY_MS), &self.changed);
        let look = || changed.contains(&partition_name(Grain::Day, day * DAY_MS));
        *self.is_changed.entry(day).or_insert_with(look)
    }

    /// Commits: the changed days are now as the store has them.
    ///
    /// # Errors
    /// `Conflict` when another copy came in between; nothing has changed then.
    pub async fn finish(self) -> Result<EventsCopied> {
        let (add, columns) = self.writer.finish().await?;
        let found = self.found.marks();
        let mark = |day: &String| (format!("{MARK}{day}"), found.get(day).cloned());
        let (days, rows) = (self.changed.len(), add.iter().map(|file| file.rows).sum());
        let change = Change {
            add,
            columns,
            marks: self.changed.iter().map(mark).collect(),
            remove: Removal::Partitions(self.changed),
            expected: Some(self.base),
        };
        let state = self.lake.table(EVENTS)?.commit(&change).await?;
        Ok(EventsCopied { days, rows, total: state.rows() })
    }
}
