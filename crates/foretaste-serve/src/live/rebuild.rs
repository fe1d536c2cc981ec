//! Live state from the store, as it would be had the process never stopped.

use std::path::Path;

use foretaste_bundle::Manifest;
use foretaste_core::{Event, Result, TimeMs};
use foretaste_store::{Columns, Store};

use super::recent::Recent;

/// Events that happened so long before the end of the bundle's data are looked for, too: they may
/// have arrived after training had read the store.
const LATE_MS: TimeMs = 3_600_000;

/// What was found.
pub(crate) struct Rebuilt {
    /// Events that bounds pushed out.
    pub(crate) evicted: u64,
    /// The last sequence number that the store had given.
    pub(crate) through_seq: u64,
}

/// Fills `recent`, oldest first: what happened since the data of the current bundle end, wherever
/// the store keeps it, and all that is still in the log. Without a bundle the log alone counts.
///
/// # Cost
/// One read of the events since then; memory for twice `most` of them.
pub(crate) fn rebuild(
    recent: &Recent,
    store: &dyn Store,
    (bundles_root, most): (&Path, usize),
) -> Result<Rebuilt> {
    let mut evicted = 0;
    if let Some(as_of_ms) = as_of(bundles_root) {
        for (key, event) in young(store, as_of_ms - LATE_MS, most)? {
            evicted += recent.record_keyed(&event, key).evicted as u64;
        }
    }
    let through_seq = store.tail(0, &mut |_, event| {
        evicted += recent.record(&event).evicted as u64;
        Ok(())
    })?;
    Ok(Rebuilt { evicted, through_seq })
}

/// The newest `most` events at or after `since_ms` with their keys, oldest first.
fn young(store: &dyn Store, since_ms: TimeMs, most: usize) -> Result<Vec<(u64, Event)>> {
    let mut events: Vec<(u64, Event)> = Vec::new();
    let newest = |events: &mut Vec<(u64, Event)>| {
        events.sort_unstable_by_key(|(key, event)| std::cmp::Reverse((event.time_ms, *key)));
        events.dedup_by_key(|(key, _)| *key);
        events.truncate(most);
    };
    store.read_events_since(since_ms, Columns::NoContext, &mut |batch| {
        for at in (0..batch.len()).filter(|&at| batch.time_ms[at] >= since_ms) {
            events.push((batch.key[at], batch.get(at)));
            if events.len() > 2 * most {
                newest(&mut events);
            }
        }
        Ok(())
    })?;
    newest(&mut events);
    events.reverse();
    Ok(events)
}

/// Where the data of the current bundle end. A bundle that cannot be read is reported by whoever
/// lets it serve.
fn as_of(bundles_root: &Path) -> Option<TimeMs> {
    let id = foretaste_bundle::current(bundles_root).ok()??;
    let manifest = bundles_root.join(id.as_str()).join("manifest.json");
    let manifest: Manifest = serde_json::from_slice(&fs_err::read(manifest).ok()?).ok()?;
    Some(manifest.as_of_ms)
}
