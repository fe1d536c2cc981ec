//! Steps of rows: noted in the catalogue, their events appended to the log, then closed. Loads of
//! rows: their events written as a segment, noted in the catalogue, the segment made part of the
//! lake, then closed; what was interrupted is as if it had not been, unless the lake has the
//! segment.

use std::collections::HashMap;

use foretaste_core::event::id_key;
use foretaste_core::{Event, Limits, Result};
use foretaste_lake::{CommitNote, FinishedSegment, GroupWriter, Lake};

use super::{EmbeddedStore, Writer, lock};
use crate::catalogue::Catalogue;
use crate::rows::{
    EventIds, Record, RowBucket, RowChanges, RowLoad, RowOutcome, RowStep, RowStore,
};
use crate::{filter, validate};

impl EmbeddedStore {
    /// Stores a step; the caller holds `stepping`.
    fn apply_step(
        &self,
        writer: &Writer,
        (table, mut step): (&str, RowStep),
        changes: &mut RowChanges,
    ) -> Result<RowOutcome> {
        step.check()?;
        let batch = self.catalogue.next_batch(table)?;
        validate::step(table, batch, &mut step)?;
        let events: Vec<&Event> = step.rows.iter().filter_map(|r| r.record.event()).collect();
        {
            let mut kinds = lock(&writer.kinds);
            events.iter().try_for_each(|event| validate::kind(&mut kinds, &event.kind))?;
        }
        let noted = {
            let mut erasures = writer.erasures.write().unwrap_or_else(|e| e.into_inner());
            let given = writer.log.given_seq();
            self.catalogue.note_rows(table, (&step, batch), (given, &mut erasures))?
        };
        changes.retracted.extend(&noted.retracted);
        changes.items.extend(noted.items);
        changes.users.extend(noted.users);
        if !noted.append.is_empty() {
            let events = noted.append.iter().filter_map(|&at| step.rows[at].record.event());
            let events: Vec<Event> = events.cloned().collect();
            writer.log.append(&events)?;
            changes.events.extend(events);
            self.catalogue.close_step(table, step.watermark.as_deref())?;
        }
        Ok(noted.outcome)
    }

    /// Stores rows that are new: their events as a segment, their memory as a block.
    fn load_new(
        &self,
        writer: &Writer,
        (table, batch): (&str, u64),
        (load, rows): (&mut RowLoad, &[u32]),
    ) -> Result<()> {
        name_events(load, rows, &mut EventIds::new(table, batch));
        let mut block = std::mem::take(&mut load.room.block);
        let filled = block.fill(load, rows);
        load.room.block = block;
        filled?;
        let events = self.segment_of(load, rows)?;
        let file = events.as_ref().map_or("", |events| &events.meta().file).to_owned();
        let note = (&file[..], load.watermark.as_deref());
        self.catalogue.note_load((table, batch), &load.room.block, note)?;
        if let Some(events) = events {
            // Held until the commit is done: an erasure comes before it or after it.
            let erasures = writer.erasures.read().unwrap_or_else(|e| e.into_inner());
            let note = CommitNote { erased_through: erasures.last(), ..CommitNote::default() };
            self.lake.commit(vec![events], note)?;
        }
        settle_loads(&self.catalogue, &self.lake)
    }

    /// The events of `rows` as a segment on disk that is not part of the lake yet; those of other
    /// rows leave the load.
    fn segment_of(&self, load: &mut RowLoad, rows: &[u32]) -> Result<Option<FinishedSegment>> {
        let wanted = rows.iter().filter(|&&at| load.event[at as usize].is_some()).count();
        if wanted == 0 {
            return Ok(None);
        }
        if wanted < load.events.len() {
            let mut is_wanted = vec![false; load.events.len()];
            let events = rows.iter().filter_map(|&at| load.event[at as usize]);
            events.for_each(|event| is_wanted[event as usize] = true);
            let kept = (0..).zip(&is_wanted).filter(|(_, wanted)| **wanted);
            let places: HashMap<u32, u32> = kept.map(|(at, _)| at).zip(0..).collect();
            for event in &mut load.event {
                *event = event.and_then(|at| places.get(&at).copied());
            }
            let events = std::mem::take(&mut load.events);
            load.events = filter::retain(events, |_, at| is_wanted[at]);
        }
        let group = match &mut load.room.group {
            Some(group) => group,
            none => none.insert(GroupWriter::new()?),
        };
        self.lake.write_at_once(&load.events, group).map(Some)
    }
}

/// Gives the events of `rows` their keys.
fn name_events(load: &mut RowLoad, rows: &[u32], ids: &mut EventIds) {
    let events = &mut load.events;
    events.key.resize(events.user.len(), 0);
    for &at in rows {
        if let Some(event) = load.event[at as usize].map(|event| event as usize) {
            let user = events.users.get(events.user[event]);
            events.key[event] = id_key(user, ids.of(load.names.get(at as usize)));
        }
    }
}

/// Brings loads that were interrupted to their end: the lake says whether their events are stored.
/// Whoever moves segments of the lake has to call this before.
pub(super) fn settle_loads(catalogue: &Catalogue, lake: &Lake) -> Result<()> {
    catalogue.open_loads()?.into_iter().try_for_each(|load| {
        let stored = load.segment.is_empty() || lake.has_segment(&load.segment)?;
        catalogue.close_load(&load, stored)
    })
}

/// Tells of the events of a load, a step's worth at a time.
fn tell_events(load: &RowLoad, rows: &[u32], (ids, tell): (&mut EventIds, &dyn Fn(&RowChanges))) {
    for rows in rows.chunks(Limits::DEFAULT.batch_writes) {
        let mut step = load.step(rows);
        step.rows.retain(|row| row.record.event().is_some());
        let events = step.rows.into_iter().filter_map(|row| match row.record {
            Record::Event(event) => {
                Some(Event { event_id: Some(ids.of(&row.row).to_owned()), ..event })
            }
            _ => None,
        });
        tell(&RowChanges { events: events.collect(), ..RowChanges::default() });
    }
}

impl RowStore for EmbeddedStore {
    fn apply_rows_telling(
        &self,
        table: &str,
        step: RowStep,
        changes: &mut RowChanges,
    ) -> Result<RowOutcome> {
        validate::name("table", table)?;
        let writer = self.writer()?;
        let _one_at_a_time = lock(&writer.stepping);
        settle_loads(&self.catalogue, &self.lake)?;
        self.apply_step(writer, (table, step), changes)
    }

    fn load_rows(
        &self,
        table: &str,
        load: &mut RowLoad,
        tell: Option<&dyn Fn(&RowChanges)>,
    ) -> Result<RowOutcome> {
        validate::name("table", table)?;
        load.check()?;
        let writer = self.writer()?;
        validate::load(&load.events, &mut lock(&writer.kinds))?;
        let _one_at_a_time = lock(&writer.stepping);
        settle_loads(&self.catalogue, &self.lake)?;
        if self.catalogue.is_step_open(table)? {
            // What it left is to be uncertain before anybody asks what is known.
            self.apply_step(writer, (table, RowStep::default()), &mut RowChanges::default())?;
        }
        let known = self.catalogue.known_rows(table, load)?;
        let apply =
            &mut |step, changes: &mut RowChanges| self.apply_step(writer, (table, step), changes);
        let mut outcome = load.store_steps(&known, apply, tell)?;
        let new: Vec<u32> =
            (0..load.len() as u32).filter(|at| known.binary_search(at).is_err()).collect();
        let batch = self.catalogue.next_batch(table)?;
        self.load_new(writer, (table, batch), (load, &new))?;
        outcome.added += new.len();
        if let Some(tell) = tell {
            tell_events(load, &new, (&mut EventIds::new(table, batch), tell));
        }
        Ok(outcome)
    }

    fn watermark(&self, table: &str) -> Result<Option<String>> {
        self.catalogue.watermark(table)
    }

    fn row_digests(&self, table: &str, rows: &[&str]) -> Result<Vec<Option<u64>>> {
        self.catalogue.row_digests(table, rows)
    }

    fn row_buckets(&self, table: &str) -> Result<Vec<RowBucket>> {
        self.catalogue.row_buckets(table)
    }

    fn bucket_rows(&self, table: &str, bucket: i64) -> Result<Vec<(String, Option<u64>)>> {
        self.catalogue.bucket_rows(table, bucket)
    }
}

#[cfg(test)]
mod tests;
