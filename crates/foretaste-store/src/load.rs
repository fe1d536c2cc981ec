//! All events of a store as one batch, sorted and without duplicates: what training reads.
//!
//! Events are gathered as they come, then each column is brought into the order of users with a
//! counting sort and its old form freed, so that two copies of one column exist at a time, never
//! of all. Within a user, events are sorted and repeated keys dropped, in parallel.

mod groups;

use foretaste_core::{
    Error, ErrorKind, EventBatch, EventContext, IdTable, Limits, Progress, Result,
};

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
    progress.start("reading events", Some(store.counts()?.events), "events");
    let mut gathered = Gathered::default();
    store.read_events(columns, &mut |batch| {
        let n = batch.len() as u64;
        gathered.add(batch)?;
        progress.advance(n);
        Ok(())
    })?;
    progress.finish();
    Ok(gathered.into_sorted())
}

/// Events in the order of reading, over common id tables.
#[derive(Default)]
struct Gathered {
    users: IdTable,
    items: IdTable,
    kinds: IdTable,
    chunks: Vec<Chunk>,
}

#[derive(Default)]
struct Chunk {
    user: Vec<u32>,
    item: Vec<u32>,
    kind: Vec<u8>,
    value: Vec<f32>,
    time_ms: Vec<i64>,
    key: Vec<u64>,
    context: Vec<Option<EventContext>>,
}

impl Gathered {
    fn add(&mut self, mut batch: EventBatch) -> Result<()> {
        renumber(&mut batch.user, &batch.users, &mut self.users);
        renumber(&mut batch.item, &batch.items, &mut self.items);
        let kinds: Vec<u32> = batch.kinds.iter().map(|kind| self.kinds.intern(kind)).collect();
        if self.kinds.len() > Limits::DEFAULT.kinds {
            let text = format!("more than {} kinds of events", Limits::DEFAULT.kinds);
            return Err(Error::new(ErrorKind::Exhausted, text));
        }
        batch.kind.iter_mut().for_each(|kind| *kind = kinds[usize::from(*kind)] as u8);
        let EventBatch { user, item, kind, value, time_ms, key, context, .. } = batch;
        self.chunks.push(Chunk { user, item, kind, value, time_ms, key, context });
        Ok(())
    }

    fn into_sorted(mut self) -> EventBatch {
        let mut starts = vec![0usize; self.users.len() + 1];
        self.chunks.iter().flat_map(|c| &c.user).for_each(|&u| starts[u as usize + 1] += 1);
        (1..starts.len()).for_each(|u| starts[u] += starts[u - 1]);
        let time_ms = self.scatter(&starts, |chunk| std::mem::take(&mut chunk.time_ms));
        let key = self.scatter(&starts, |chunk| std::mem::take(&mut chunk.key));
        let value = self.scatter(&starts, |chunk| std::mem::take(&mut chunk.value));
        let item = self.scatter(&starts, |chunk| std::mem::take(&mut chunk.item));
        let kind = self.scatter(&starts, |chunk| std::mem::take(&mut chunk.kind));
        let context = self.scatter_contexts(&starts);
        self.chunks.clear();
        let Self { users, items, kinds, .. } = self;
        let user = Vec::new();
        let mut batch =
            EventBatch { users, items, kinds, user, item, kind, value, time_ms, key, context };
        groups::sort(&mut batch, &starts);
        batch
    }

    /// One column in the order of users; `take` gives up a chunk's part of it.
    fn scatter<T: Clone + Default>(
        &mut self,
        starts: &[usize],
        take: impl Fn(&mut Chunk) -> Vec<T>,
    ) -> Vec<T> {
        let mut next = starts.to_vec();
        let mut out = vec![T::default(); starts.last().copied().unwrap_or(0)];
        for chunk in &mut self.chunks {
            let values = take(chunk);
            for (&user, value) in chunk.user.iter().zip(values) {
                let at = &mut next[user as usize];
                out[*at] = value;
                *at += 1;
            }
        }
        out
    }

    fn scatter_contexts(&mut self, starts: &[usize]) -> Vec<Option<EventContext>> {
        if self.chunks.iter().all(|chunk| chunk.context.is_empty()) {
            return Vec::new();
        }
        self.scatter(starts, |chunk| {
            let mut context = std::mem::take(&mut chunk.context);
            context.resize(chunk.user.len(), None);
            context
        })
    }
}

/// Turns indices of `from` into indices of `into`, which gets the ids that it lacks.
fn renumber(column: &mut [u32], from: &IdTable, into: &mut IdTable) {
    let numbers: Vec<u32> = from.iter().map(|id| into.intern(id)).collect();
    column.iter_mut().for_each(|index| *index = numbers[*index as usize]);
}

#[cfg(test)]
mod tests;
