//! All events of a store as one batch, sorted and without duplicates: what training reads.
//!
//! Events are gathered as they come, then each column is brought into the order of users with a
//! counting sort and its old form freed, so that two copies of one column exist at a time, never
//! of all. Within a user, events are sorted and repeated keys dropped, in parallel.

mod groups;

use foretaste_core::{Error, ErrorKind, EventBatch, IdTable, Limits, Progress, Result};

use crate::Columns;
use crate::store::Store;

/// All events, sorted by (user, time, key); of several events with one key, only the one that was
/// stored first. Users and items are numbered in the order in which they first come.
///
/// # Errors
/// What the store reports; `Exhausted` for more than 256 kinds of events.
///
/// # Cost
/// 29 bytes an event in the end, at most 37 on the way (without contexts), and the ids. Time is
/// linear but for the sorting within users, which runs in the caller's rayon pool.
pub fn load(store: &dyn Store, columns: Columns, progress: &dyn Progress) -> Result<EventBatch> {
    load_watched(store, columns, progress, &mut |_| ())
}

/// As [`load`]; `watch` sees every batch as it is read, repeated events included.
///
/// # Errors
/// As [`load`].
pub fn load_watched(
    store: &dyn Store,
    columns: Columns,
    progress: &dyn Progress,
    watch: &mut dyn FnMut(&EventBatch),
) -> Result<EventBatch> {
    let expected = store.counts()?.events;
    progress.start("reading events", Some(expected), "events");
    // With room for all, columns are not copied while they grow.
    let mut all = EventBatch::with_capacity(expected as usize);
    store.read_events(columns, &mut |batch| {
        let n = batch.len() as u64;
        watch(&batch);
        add(&mut all, batch)?;
        progress.advance(n);
        Ok(())
    })?;
    progress.finish();
    Ok(sorted(all))
}

/// Appends the events of `batch` to `all`.
fn add(all: &mut EventBatch, batch: EventBatch) -> Result<()> {
    let kinds: Vec<u32> = batch.kinds.iter().map(|kind| all.kinds.intern(kind)).collect();
    if all.kinds.len() > Limits::DEFAULT.kinds {
        let text = format!("more than {} kinds of events", Limits::DEFAULT.kinds);
        return Err(Error::new(ErrorKind::Exhausted, text));
    }
    if !batch.context.is_empty() {
        all.context.resize(all.len(), None);
        all.context.extend(batch.context);
    }
    all.kind.extend(batch.kind.iter().map(|&kind| kinds[usize::from(kind)] as u8));
    append_renumbered(&batch.user, &batch.users, &mut all.user, &mut all.users);
    append_renumbered(&batch.item, &batch.items, &mut all.item, &mut all.items);
    all.value.extend_from_slice(&batch.value);
    all.time_ms.extend_from_slice(&batch.time_ms);
    all.key.extend_from_slice(&batch.key);
    Ok(())
}

fn sorted(mut all: EventBatch) -> EventBatch {
    let mut starts = vec![0usize; all.users.len() + 1];
    all.user.iter().for_each(|&u| starts[u as usize + 1] += 1);
    (1..starts.len()).for_each(|u| starts[u] += starts[u - 1]);
    if !all.context.is_empty() {
        all.context.resize(all.user.len(), None);
    }
    if !all.user.is_sorted() {
        scatter(&mut all.time_ms, &all.user, &starts);
        scatter(&mut all.key, &all.user, &starts);
        scatter(&mut all.value, &all.user, &starts);
        scatter(&mut all.item, &all.user, &starts);
        scatter(&mut all.kind, &all.user, &starts);
        if !all.context.is_empty() {
            scatter(&mut all.context, &all.user, &starts);
        }
    }
    groups::sort(&mut all, &starts);
    all
}

/// Brings a column into the order of users; those of one user keep their order.
fn scatter<T: Clone + Default>(column: &mut Vec<T>, users: &[u32], starts: &[usize]) {
    let mut next = starts.to_vec();
    let mut out = vec![T::default(); column.len()];
    for (&user, value) in users.iter().zip(std::mem::take(column)) {
        let at = &mut next[user as usize];
        out[*at] = value;
        *at += 1;
    }
    *column = out;
}

/// Appends `column`, whose indices point into `ids`, to a column of indices into `all_ids`,
/// which gets the ids that it lacks.
fn append_renumbered(column: &[u32], ids: &IdTable, all: &mut Vec<u32>, all_ids: &mut IdTable) {
    let numbers: Vec<u32> = ids.iter().map(|id| all_ids.intern(id)).collect();
    all.extend(column.iter().map(|&index| numbers[index as usize]));
}

#[cfg(test)]
mod tests;
