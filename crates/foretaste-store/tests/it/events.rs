//! Events as the tests of all stores write and read them.

use foretaste_core::{Event, EventBatch};
use foretaste_store::{Columns, Source, Store};

/// A view.
pub(crate) fn event(user: &str, item: &str, time_ms: i64) -> Event {
    Event {
        event_id: None,
        user: user.into(),
        item: item.into(),
        kind: "view".into(),
        value: 1.0,
        time_ms,
        context: None,
    }
}

/// Imports events as the source `name`.
pub(crate) fn import(store: &dyn Store, name: &str, events: &[Event]) {
    let mut bulk = store.bulk(&source(name)).unwrap();
    bulk.write(&batch(events)).unwrap();
    bulk.commit().unwrap();
}

pub(crate) fn source(name: &str) -> Source {
    Source { name: name.into(), digest: name.into() }
}

pub(crate) fn batch(events: &[Event]) -> EventBatch {
    let mut batch = EventBatch::default();
    events.iter().for_each(|event| batch.push(event));
    batch
}

/// The users of all events, ascending.
pub(crate) fn users(store: &dyn Store) -> Vec<String> {
    all(store, |event| event.user)
}

/// The items of all events, ascending.
pub(crate) fn items(store: &dyn Store) -> Vec<String> {
    all(store, |event| event.item)
}

fn all(store: &dyn Store, of: fn(Event) -> String) -> Vec<String> {
    let mut found = Vec::new();
    let keep = &mut |batch: EventBatch| {
        found.extend((0..batch.len()).map(|i| of(batch.get(i))));
        Ok(())
    };
    store.read_events(Columns::NoContext, keep).unwrap();
    found.sort_unstable();
    found
}
