//! Many rows of an outside table as columns: what a first reading stores at once.

use foretaste_core::{Error, EventBatch, Limits, Result};
use foretaste_lake::GroupWriter;

use crate::catalogue::Block;

use super::{Record, Row, RowChanges, RowOutcome, RowStep, RowStore};

/// Texts one after another.
#[derive(Clone, Debug, Default)]
pub struct Texts {
    bytes: String,
    ends: Vec<u32>,
}

impl Texts {
    /// Appends a text.
    ///
    /// # Panics
    /// Beyond 4 GiB; whoever gathers rows stops long before.
    pub fn push(&mut self, text: &str) {
        self.bytes.push_str(text);
        self.ends.push(u32::try_from(self.bytes.len()).expect("texts of more than 4 GiB"));
    }

    /// Text `at`.
    pub fn get(&self, at: usize) -> &str {
        let from = at.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.bytes[from as usize..self.ends[at] as usize]
    }

    /// Number of texts.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// True when there is none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Takes all behind the first `n` away.
    pub fn truncate(&mut self, n: usize) {
        self.ends.truncate(n);
        self.bytes.truncate(self.ends.last().map_or(0, |&end| end as usize));
    }

    /// All texts in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &str> {
        (0..self.len()).map(|at| self.get(at))
    }
}

/// Rows that are events or nothing, in columns of one length.
#[derive(Debug, Default)]
pub struct RowLoad {
    /// Primary keys as texts, each once.
    pub names: Texts,
    /// Part of the table in which each row is counted.
    pub bucket: Vec<i64>,
    /// Digest of each row's content, at most 62 bits.
    pub digest: Vec<u64>,
    /// Place in `events` of what each row is, if it is an event.
    pub event: Vec<Option<u32>>,
    /// The events. Their keys are set by the store.
    pub events: EventBatch,
    /// How far the table has been read once all of this is stored.
    pub watermark: Option<String>,
    /// Room that storing took.
    pub(crate) room: LoadRoom,
}

/// What storing works with: new memory is cleared by the system first, which took longer than what
/// was done with it.
#[derive(Debug, Default)]
pub(crate) struct LoadRoom {
    pub(crate) block: Block,
    pub(crate) group: Option<GroupWriter>,
}

impl RowLoad {
    /// The most rows of one load: one row group of a segment.
    pub const MAX_ROWS: usize = 1 << 20;

    /// Without rows, with room for `n`.
    pub fn with_capacity(n: usize) -> Self {
        Self {
            names: Texts { bytes: String::with_capacity(n * 8), ends: Vec::with_capacity(n) },
            bucket: Vec::with_capacity(n),
            digest: Vec::with_capacity(n),
            event: Vec::with_capacity(n),
            events: EventBatch::with_capacity(n),
            watermark: None,
            room: LoadRoom::default(),
        }
    }

    /// Without rows again, with the room that it has.
    pub fn clear(&mut self) {
        self.names.truncate(0);
        self.bucket.clear();
        self.digest.clear();
        self.event.clear();
        self.events.clear();
        self.watermark = None;
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// True when there is no row.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// Takes all rows behind the first `n` away. Ids that only they used may stay.
    pub fn truncate(&mut self, n: usize) {
        self.names.truncate(n);
        self.bucket.truncate(n);
        self.digest.truncate(n);
        self.event.truncate(n);
        let events = self.event.iter().flatten().max().map_or(0, |&last| last as usize + 1);
        let all = &mut self.events;
        all.user.truncate(events);
        all.item.truncate(events);
        all.kind.truncate(events);
        all.value.truncate(events);
        all.time_ms.truncate(events);
        all.context.truncate(events);
    }

    /// Checks what every store has to check.
    pub(crate) fn check(&self) -> Result<()> {
        let n = self.len();
        if n > Self::MAX_ROWS {
            return Err(Error::invalid(format!(
                "{n} rows in one load; at most {}",
                Self::MAX_ROWS
            )));
        }
        let events = self.events.len();
        let even = [self.bucket.len(), self.digest.len(), self.event.len()] == [n; 3]
            && self.event.iter().flatten().all(|&at| (at as usize) < events);
        if even { Ok(()) } else { Err(Error::invalid("the columns of a load disagree")) }
    }

    /// Some of its rows as a step without watermark.
    pub(crate) fn step(&self, rows: &[u32]) -> RowStep {
        let row = |&at: &u32| {
            let at = at as usize;
            let record = match self.event[at] {
                Some(event) => Record::Event(self.events.get(event as usize)),
                None => Record::Nothing,
            };
            let row = self.names.get(at).to_owned();
            Row { row, bucket: self.bucket[at], digest: self.digest[at], record }
        };
        RowStep { rows: rows.iter().map(row).collect(), ..RowStep::default() }
    }

    /// Stores some of its rows step by step, without the watermark.
    pub(crate) fn store_steps(
        &self,
        rows: &[u32],
        apply: &mut dyn FnMut(RowStep, &mut RowChanges) -> Result<RowOutcome>,
        tell: Option<&dyn Fn(&RowChanges)>,
    ) -> Result<RowOutcome> {
        let mut all = RowOutcome::default();
        for rows in rows.chunks(Limits::DEFAULT.batch_writes) {
            let mut changes = RowChanges::default();
            let done = apply(self.step(rows), &mut changes);
            if let Some(tell) = tell.filter(|_| !changes.is_empty()) {
                tell(&changes);
            }
            all += done?;
        }
        Ok(all)
    }
}

/// A load as steps: for stores that have no quicker way.
pub(crate) fn in_steps<S: RowStore + ?Sized>(
    store: &S,
    table: &str,
    load: &RowLoad,
    tell: Option<&dyn Fn(&RowChanges)>,
) -> Result<RowOutcome> {
    load.check()?;
    let rows: Vec<u32> = (0..load.len() as u32).collect();
    let apply =
        &mut |step, changes: &mut RowChanges| store.apply_rows_telling(table, step, changes);
    let outcome = load.store_steps(&rows, apply, tell)?;
    let last = RowStep { watermark: load.watermark.clone(), ..RowStep::default() };
    store.apply_rows(table, last)?;
    Ok(outcome)
}

impl std::ops::AddAssign for RowOutcome {
    fn add_assign(&mut self, other: Self) {
        self.added += other.added;
        self.changed += other.changed;
        self.unchanged += other.unchanged;
        self.removed += other.removed;
    }
}
