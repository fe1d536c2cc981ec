//! What every store must do, as checks that run on any implementation: its tests call [`run`] with
//! a function that makes an empty store.

mod catalogue;
mod events;
mod loads;
mod rows;

use foretaste_core::{Event, EventContext, Result};
use foretaste_store::{Columns, RowStore, Store};

use crate::events::{batch, event, source};

/// One check: its name, and what panics or fails when the store is wrong.
type Check = (&'static str, fn(&dyn Store) -> Result<()>);

/// The same for a store that remembers rows of outside tables.
type RowCheck = (&'static str, fn(&dyn RowStore) -> Result<()>);

const ROW_CHECKS: [RowCheck; 8] = [
    ("steps of rows are idempotent, replace and remove", rows::steps),
    ("rows change after they were sealed", rows::sealed),
    ("buckets have counts and sums", rows::buckets),
    ("rows that are items and users", rows::records),
    ("changes of rows are told", rows::changes),
    ("bad steps store nothing", rows::refused),
    ("rows that were loaded are rows as others are", loads::as_steps),
    ("bad loads store nothing", loads::refused),
];

const CHECKS: [Check; 16] = [
    ("events are read as they were written", events::read_back),
    ("repeated events are stored once", events::repeated),
    ("the tail is in order and continues", events::tail),
    ("a batch with a bad event stores nothing", events::all_or_none),
    ("limits are kept at their edges", events::limits),
    ("at most 256 kinds", events::kinds),
    ("sealing moves events and loses none", events::seal),
    ("a bulk import is visible as a whole, once", events::bulk),
    ("young events", events::since),
    ("an erased user is gone, and may come back", events::erase),
    ("concurrent appends", events::concurrent),
    ("items are read as they were written", catalogue::items),
    ("users are read as they were written", catalogue::users),
    ("hiding and deleting items", catalogue::hidden),
    ("bad records are refused, all or none", catalogue::limits),
    ("control state", catalogue::control),
];

/// Runs every check on a fresh store.
///
/// # Panics
/// When a check fails; the message names it.
pub(crate) fn run(make: &mut dyn FnMut() -> Box<dyn Store>) {
    for (name, check) in CHECKS {
        let store = make();
        run_one(name, || check(&*store));
    }
}

/// Runs the checks of [`RowStore`], each on a fresh store.
///
/// # Panics
/// When a check fails; the message names it.
pub(crate) fn run_rows(make: &mut dyn FnMut() -> Box<dyn RowStore>) {
    for (name, check) in ROW_CHECKS {
        let store = make();
        run_one(name, || check(&*store));
    }
}

fn run_one(name: &str, check: impl FnOnce() -> Result<()>) {
    match std::panic::catch_unwind(std::panic::AssertUnwindSafe(check)) {
        Ok(Ok(())) => {}
        Ok(Err(error)) => panic!("conformance: {name}: {error}"),
        Err(cause) => {
            let text = cause.downcast_ref::<String>().cloned();
            let text = text.or_else(|| cause.downcast_ref::<&str>().map(|&s| s.to_owned()));
            panic!("conformance: {name}: {}", text.unwrap_or_default());
        }
    }
}

fn with_id(event: Event, id: &str) -> Event {
    Event { event_id: Some(id.to_owned()), ..event }
}

fn with_context(event: Event) -> Event {
    let context = EventContext {
        session: Some("s-1".to_owned()),
        scene: Some("home".to_owned()),
        position: Some(65_535),
        request_id: None,
    };
    Event { context: Some(context), ..event }
}

/// All stored events without their ids, ordered.
fn stored<S: Store + ?Sized>(store: &S) -> Result<Vec<Event>> {
    let mut events = Vec::new();
    store.read_events(Columns::All, &mut |batch| {
        events.extend((0..batch.len()).map(|i| batch.get(i)));
        Ok(())
    })?;
    events.sort_by(|a, b| (&a.user, a.time_ms, &a.item).cmp(&(&b.user, b.time_ms, &b.item)));
    Ok(events)
}

fn tail_of(store: &dyn Store, after: u64) -> Result<(Vec<(u64, String)>, u64)> {
    let mut events = Vec::new();
    let last = store.tail(after, &mut |seq, event| {
        events.push((seq, event.item));
        Ok(())
    })?;
    Ok((events, last))
}

fn import(store: &dyn Store, name: &str, events: &[Event]) -> Result<()> {
    let mut bulk = store.bulk(&source(name))?;
    bulk.write(&batch(events))?;
    let outcome = bulk.commit()?;
    assert_eq!(outcome.events, events.len() as u64);
    Ok(())
}
