//! `foretaste features sync`: what the store holds into the lake.

use anyhow::Result;
use foretaste_core::{Item, User};
use foretaste_features::lake::{DayDigests, EventCopy, EventsCopied};
use foretaste_store::{Columns, Store};
use serde::Serialize;
use serde_json::json;

use super::Work;

/// What the lake holds after a copy, and what of it was written.
#[derive(Debug, Serialize)]
pub struct Synced {
    events: u64,
    days_written: usize,
    events_written: u64,
    items: u64,
    users: u64,
}

impl std::fmt::Display for Synced {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { events, days_written, events_written, items, users } = self;
        write!(f, "lake: {events} events, {items} items, {users} users; ")?;
        match days_written {
            0 => writeln!(f, "no day had changed"),
            _ => writeln!(f, "{days_written} days with {events_written} events were written"),
        }
    }
}

/// Copies and says what it did.
pub fn run(work: &Work<'_>) -> Result<()> {
    let synced = sync(work)?;
    work.run.print(&json!(synced), || synced.to_string());
    Ok(())
}

/// Brings the lake to what the store holds. Events, items and users are three commits; what was
/// committed before a failure stays.
pub fn sync(work: &Work<'_>) -> Result<Synced> {
    let store = work.run.store_for_reading()?;
    let EventsCopied { days, rows, total } = events(work, store.as_ref())?;
    let mut items: Vec<Item> = Vec::new();
    store.items(&mut |item| {
        items.push(item);
        Ok(())
    })?;
    let items = work.runtime.block_on(work.lake.put_items(&items))?.rows;
    let mut users: Vec<User> = Vec::new();
    store.users(&mut |user| {
        users.push(user);
        Ok(())
    })?;
    let users = work.runtime.block_on(work.lake.put_users(&users))?.rows;
    Ok(Synced { events: total, days_written: days, events_written: rows, items, users })
}

fn events(work: &Work<'_>, store: &dyn Store) -> Result<EventsCopied> {
    let state = work.runtime.block_on(work.lake.inputs())?.events;
    let progress = &work.run.progress;
    let expected = store.counts()?.events;
    let mut digests = DayDigests::default();
    progress.start("comparing days", Some(expected), "events");
    store.read_events(Columns::NoContext, &mut |batch| {
        progress.advance(batch.len() as u64);
        digests.add(&batch);
        Ok(())
    })?;
    progress.finish();
    let changed = digests.changed(&state);
    drop(digests);
    if changed.is_empty() && state.generation() > 0 {
        return Ok(EventsCopied { total: state.rows(), ..EventsCopied::default() });
    }
    let mut copy = EventCopy::new(&work.lake, &state, changed)?;
    progress.start("copying events", Some(expected), "events");
    store.read_events(Columns::All, &mut |batch| {
        progress.advance(batch.len() as u64);
        work.runtime.block_on(copy.write(&batch))
    })?;
    let copied = work.runtime.block_on(copy.finish());
    progress.finish();
    Ok(copied?)
}
