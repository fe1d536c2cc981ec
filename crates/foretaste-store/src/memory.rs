//! A store in memory, for tests, demonstrations and as the yardstick of the others. It keeps
//! nothing when it is dropped.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use foretaste_core::{Error, ErrorKind, Event, EventBatch, IdTable, Item, Result, User};
use foretaste_lake::Columns;

use crate::filter;
use crate::rows::{Record, RowBucket, RowChanges, RowOutcome, RowStep, RowStore};
use crate::store::{AppendOutcome, BulkOutcome, BulkWriter, Counts, Sink, Source, Store};
use crate::validate;

/// Events, items and users in memory.
#[derive(Debug, Default)]
pub struct MemoryStore {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    log: Vec<(u64, Event)>,
    sealed: Vec<EventBatch>,
    keys: HashSet<u64>,
    kinds: IdTable,
    last_seq: u64,
    sources: BTreeSet<String>,
    items: BTreeMap<String, Item>,
    users: BTreeMap<String, User>,
    hidden: BTreeSet<String>,
    deleted: BTreeSet<String>,
    control: BTreeMap<String, String>,
    tables: BTreeMap<String, Table>,
}

/// What is known of an outside table.
#[derive(Debug, Default)]
struct Table {
    batch: u64,
    watermark: Option<String>,
    rows: BTreeMap<String, (i64, u64, Trace)>,
}

/// What a row has left here.
#[derive(Clone, Debug)]
enum Trace {
    Event(u64),
    Item(String),
    User(String),
    Nothing,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn batches(&self) -> Vec<EventBatch> {
        let mut log = EventBatch::default();
        self.log.iter().for_each(|(_, event)| log.push(event));
        let all = self.sealed.iter().cloned().chain([log]);
        all.filter(|batch| !batch.is_empty()).collect()
    }

    fn seal(&mut self) {
        let mut batch = EventBatch::default();
        self.log.drain(..).for_each(|(_, event)| batch.push(&event));
        self.sealed.push(batch);
    }

    /// Takes back what a row was, unless it becomes the record `still` again.
    fn undo(&mut self, trace: Trace, still: Option<&str>, changes: &mut RowChanges) {
        match trace {
            Trace::Event(key) => {
                changes.retracted.push(key);
                self.log.retain(|(_, event)| event.key() != key);
                let sealed = std::mem::take(&mut self.sealed).into_iter();
                let without = |batch| filter::retain(batch, |batch, i| batch.key[i] != key);
                self.sealed = sealed.map(without).collect();
            }
            Trace::Item(id) if Some(id.as_str()) != still => {
                self.items.remove(&id);
                changes.items.push(id.clone());
                self.deleted.insert(id);
            }
            Trace::User(id) if Some(id.as_str()) != still => {
                self.users.remove(&id);
                changes.users.push(id);
            }
            Trace::Item(_) | Trace::User(_) | Trace::Nothing => {}
        }
    }

    fn put(&mut self, record: &Record, changes: &mut RowChanges) -> Trace {
        match record {
            Record::Event(event) => {
                changes.events.push(event.clone());
                self.last_seq += 1;
                self.keys.insert(event.key());
                self.log.push((self.last_seq, event.clone()));
                Trace::Event(event.key())
            }
            Record::Item(item) => {
                changes.items.push(item.item_id.clone());
                self.deleted.remove(&item.item_id);
                self.items.insert(item.item_id.clone(), item.clone());
                Trace::Item(item.item_id.clone())
            }
            Record::User(user) => {
                changes.users.push(user.user_id.clone());
                self.users.insert(user.user_id.clone(), user.clone());
                Trace::User(user.user_id.clone())
            }
            Record::Nothing => Trace::Nothing,
        }
    }

    fn is_hidden(&self, id: &str) -> bool {
        self.hidden.contains(id) || self.deleted.contains(id)
    }

    fn shown(&self, item: &Item) -> Item {
        Item { hidden: item.hidden || self.is_hidden(&item.item_id), ..item.clone() }
    }
}

impl Store for MemoryStore {
    fn append_events(&self, events: &[Event]) -> Result<AppendOutcome> {
        validate::events(events)?;
        let mut state = self.lock();
        let mut kinds = state.kinds.clone();
        events.iter().try_for_each(|e| validate::kind(&mut kinds, &e.kind))?;
        state.kinds = kinds;
        let mut outcome = AppendOutcome::default();
        for event in events {
            if state.keys.insert(event.key()) {
                state.last_seq += 1;
                let seq = state.last_seq;
                state.log.push((seq, event.clone()));
                outcome.accepted += 1;
            } else {
                outcome.duplicates += 1;
            }
        }
        outcome.last_seq = state.last_seq;
        Ok(outcome)
    }

    fn bulk(&self, source: &Source) -> Result<Box<dyn BulkWriter + '_>> {
        if self.has_source(&source.digest)? {
            return Err(imported_before(source));
        }
        Ok(Box::new(MemoryBulk { store: self, source: source.clone(), batches: Vec::new() }))
    }

    fn has_source(&self, digest: &str) -> Result<bool> {
        Ok(self.lock().sources.contains(digest))
    }

    fn read_events(&self, columns: Columns, sink: Sink<'_, EventBatch>) -> Result<()> {
        let batches = self.lock().batches();
        batches.into_iter().try_for_each(|mut batch| {
            if columns == Columns::NoContext {
                batch.context.clear();
            }
            sink(batch)
        })
    }

    fn read_events_since(
        &self,
        since_ms: i64,
        columns: Columns,
        sink: Sink<'_, EventBatch>,
    ) -> Result<()> {
        self.read_events(columns, &mut |batch| {
            let young = filter::retain(batch, |batch, i| batch.time_ms[i] >= since_ms);
            if young.is_empty() { Ok(()) } else { sink(young) }
        })
    }

    fn tail(&self, after_seq: u64, sink: &mut dyn FnMut(u64, Event) -> Result<()>) -> Result<u64> {
        let (events, last) = {
            let state = self.lock();
            let from = state.log.partition_point(|(seq, _)| *seq <= after_seq);
            (state.log[from..].to_vec(), state.last_seq)
        };
        events.into_iter().try_for_each(|(seq, event)| sink(seq, event))?;
        Ok(last)
    }

    fn put_items(&self, items: &[Item]) -> Result<()> {
        validate::items(items)?;
        let mut state = self.lock();
        for item in items {
            state.deleted.remove(&item.item_id);
            state.items.insert(item.item_id.clone(), item.clone());
        }
        Ok(())
    }

    fn put_users(&self, users: &[User]) -> Result<()> {
        validate::users(users)?;
        let mut state = self.lock();
        state.users.extend(users.iter().map(|user| (user.user_id.clone(), user.clone())));
        Ok(())
    }

    fn item(&self, id: &str) -> Result<Option<Item>> {
        let state = self.lock();
        Ok(state.items.get(id).map(|item| state.shown(item)))
    }

    fn user(&self, id: &str) -> Result<Option<User>> {
        Ok(self.lock().users.get(id).cloned())
    }

    fn delete_item(&self, id: &str) -> Result<bool> {
        let mut state = self.lock();
        let existed = state.items.remove(id).is_some();
        if existed {
            state.deleted.insert(id.to_owned());
        }
        Ok(existed)
    }

    fn delete_user(&self, id: &str) -> Result<bool> {
        let mut state = self.lock();
        state.log.retain(|(_, event)| event.user != id);
        let sealed = std::mem::take(&mut state.sealed);
        let kept = sealed.into_iter().map(|batch| match batch.users.index_of(id) {
            Some(user) => filter::retain(batch, |batch, i| batch.user[i] != user),
            None => batch,
        });
        state.sealed = kept.collect();
        Ok(state.users.remove(id).is_some())
    }

    fn set_hidden(&self, id: &str, hidden: bool) -> Result<bool> {
        validate::id("item_id", id)?;
        let mut state = self.lock();
        if hidden {
            return Ok(state.hidden.insert(id.to_owned()));
        }
        let flagged = state.hidden.remove(id) | state.deleted.remove(id);
        let record = state.items.get_mut(id).is_some_and(|i| std::mem::take(&mut i.hidden));
        Ok(flagged | record)
    }

    fn hidden(&self) -> Result<Vec<String>> {
        let state = self.lock();
        let records = state.items.values().filter(|item| item.hidden).map(|item| &item.item_id);
        let ids: BTreeSet<&String> = records.chain(&state.hidden).chain(&state.deleted).collect();
        Ok(ids.into_iter().cloned().collect())
    }

    fn items(&self, sink: Sink<'_, Item>) -> Result<()> {
        let items: Vec<Item> = {
            let state = self.lock();
            state.items.values().map(|item| state.shown(item)).collect()
        };
        items.into_iter().try_for_each(sink)
    }

    fn users(&self, sink: Sink<'_, User>) -> Result<()> {
        let users: Vec<User> = self.lock().users.values().cloned().collect();
        users.into_iter().try_for_each(sink)
    }

    fn control(&self, key: &str) -> Result<Option<String>> {
        Ok(self.lock().control.get(key).cloned())
    }

    fn set_control(&self, key: &str, value: Option<&str>) -> Result<()> {
        let mut state = self.lock();
        match value {
            Some(value) => state.control.insert(key.to_owned(), value.to_owned()),
            None => state.control.remove(key),
        };
        Ok(())
    }

    fn log_events(&self) -> Result<u64> {
        Ok(self.lock().log.len() as u64)
    }

    fn counts(&self) -> Result<Counts> {
        let hidden = self.hidden()?.len() as u64;
        let state = self.lock();
        let sealed: usize = state.sealed.iter().map(EventBatch::len).sum();
        Ok(Counts {
            items: state.items.len() as u64,
            users: state.users.len() as u64,
            hidden,
            events: (sealed + state.log.len()) as u64,
            log_events: state.log.len() as u64,
            log_bytes: 0,
            lake_bytes: 0,
            last_seq: state.last_seq,
        })
    }

    fn seal(&self) -> Result<()> {
        self.lock().seal();
        Ok(())
    }
}

impl RowStore for MemoryStore {
    fn apply_rows_telling(
        &self,
        table: &str,
        mut step: RowStep,
        changes: &mut RowChanges,
    ) -> Result<RowOutcome> {
        validate::name("table", table)?;
        step.check()?;
        let mut state = self.lock();
        let mut own = state.tables.remove(table).unwrap_or_default();
        let mut kinds = state.kinds.clone();
        let checked = validate::step(table, own.batch + 1, &mut step).and_then(|()| {
            let mut events = step.rows.iter().filter_map(|row| row.record.event());
            events.try_for_each(|event| validate::kind(&mut kinds, &event.kind))
        });
        let mut outcome = RowOutcome::default();
        if checked.is_ok() {
            own.batch += 1;
            state.kinds = kinds;
            for row in &step.rows {
                match own.rows.get(&row.row) {
                    Some((_, digest, _)) if *digest == row.digest => {
                        outcome.unchanged += 1;
                        continue;
                    }
                    Some((_, _, trace)) => {
                        state.undo(trace.clone(), row.record.id(), changes);
                        outcome.changed += 1;
                    }
                    None => outcome.added += 1,
                }
                let trace = state.put(&row.record, changes);
                own.rows.insert(row.row.clone(), (row.bucket, row.digest, trace));
            }
            for (_, _, trace) in step.gone.iter().filter_map(|row| own.rows.remove(row)) {
                state.undo(trace, None, changes);
                outcome.removed += 1;
            }
            own.watermark = step.watermark.or(own.watermark);
        }
        state.tables.insert(table.to_owned(), own);
        checked.map(|()| outcome)
    }

    fn watermark(&self, table: &str) -> Result<Option<String>> {
        Ok(self.lock().tables.get(table).and_then(|own| own.watermark.clone()))
    }

    fn row_digests(&self, table: &str, rows: &[&str]) -> Result<Vec<Option<u64>>> {
        let state = self.lock();
        let own = state.tables.get(table).map(|own| &own.rows);
        let digest = |row: &&str| own.and_then(|own| own.get(*row)).map(|(_, digest, _)| *digest);
        Ok(rows.iter().map(digest).collect())
    }

    fn row_buckets(&self, table: &str) -> Result<Vec<RowBucket>> {
        let state = self.lock();
        let mut buckets: BTreeMap<i64, RowBucket> = BTreeMap::new();
        let rows = state.tables.get(table).into_iter().flat_map(|own| own.rows.values());
        for &(bucket, digest, _) in rows {
            let all = buckets.entry(bucket).or_insert(RowBucket { bucket, rows: 0, sum: 0 });
            all.rows += 1;
            all.sum += i128::from(digest);
        }
        Ok(buckets.into_values().collect())
    }

    fn bucket_rows(&self, table: &str, bucket: i64) -> Result<Vec<(String, Option<u64>)>> {
        let state = self.lock();
        let rows = state.tables.get(table).into_iter().flat_map(|own| &own.rows);
        let inside = rows.filter(|(_, (own, _, _))| *own == bucket);
        Ok(inside.map(|(row, (_, digest, _))| (row.clone(), Some(*digest))).collect())
    }
}

struct MemoryBulk<'a> {
    store: &'a MemoryStore,
    source: Source,
    batches: Vec<EventBatch>,
}

impl BulkWriter for MemoryBulk<'_> {
    fn write(&mut self, batch: &EventBatch) -> Result<()> {
        self.batches.push(batch.clone());
        Ok(())
    }

    fn commit(self: Box<Self>) -> Result<BulkOutcome> {
        let mut state = self.store.lock();
        let mut kinds = state.kinds.clone();
        let all = self.batches.iter().flat_map(|batch| batch.kinds.iter());
        all.into_iter().try_for_each(|kind| validate::kind(&mut kinds, kind))?;
        if !state.sources.insert(self.source.digest.clone()) {
            return Err(imported_before(&self.source));
        }
        state.kinds = kinds;
        let events = self.batches.iter().map(|batch| batch.len() as u64).sum();
        state.sealed.extend(self.batches);
        Ok(BulkOutcome { events, bytes: 0 })
    }
}

/// The answer to a second import of the same source.
pub(crate) fn imported_before(source: &Source) -> Error {
    let text = format!("{} has been imported before; nothing to do", source.name);
    Error::new(ErrorKind::Conflict, text)
}
