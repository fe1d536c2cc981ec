//! The snapshot that requests pin, and everyone who may publish a new one: a bundle that went
//! live, an item that was hidden, trends that moved. Readers take one pointer and never wait;
//! publishers take turns.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwapOption;
use foretaste_bundle::Bundle;
use foretaste_core::{BitSet, Event, EventWeights, ItemIdx, Result, TimeMs};
use foretaste_pipeline::{Snapshot, Trends};
use foretaste_store::Store;
use hyper::header::HeaderValue;
use tracing::warn;
use xxhash_rust::xxh3::Xxh3;

use crate::live::recent::{Recent, RecentEvent};
use crate::live::trends::TrendCounters;

const NO_ID: HeaderValue = HeaderValue::from_static("");

/// A snapshot with what the rim itself needs to know about its bundle.
pub(crate) struct Pinned {
    pub(crate) snapshot: Snapshot,
    /// Id of the bundle, as the outside knows it.
    pub(crate) bundle_id: Arc<str>,
    /// The same as a header.
    pub(crate) bundle_header: HeaderValue,
    /// How events count in this bundle's histories.
    pub(crate) weights: Arc<EventWeights>,
    /// Time the bundle's data end.
    pub(crate) as_of_ms: TimeMs,
    /// Names bundle and hidden items, in every process alike: part of the keys of cached answers.
    pub(crate) tag: u64,
    /// Names the trends within this process: part of the keys of cached lists of them.
    pub(crate) trends: TrendsOf,
}

/// Which trends a snapshot has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct TrendsOf {
    /// Grows with each publication; never the same for two bundles that went live.
    pub(crate) number: u64,
    /// When they were published; 0 for the bundle's own.
    pub(crate) at_ms: TimeMs,
}

impl Pinned {
    fn new(snapshot: Snapshot, of: &Checked, weights: Arc<EventWeights>, trends: TrendsOf) -> Self {
        let bundle_id = Arc::clone(&of.id);
        let as_of_ms = of.bundle.manifest().as_of_ms;
        let tag = tag(&bundle_id, &snapshot.hidden);
        // Ids of bundles are letters, digits, dots and dashes.
        let bundle_header = HeaderValue::from_str(&bundle_id).unwrap_or(NO_ID);
        Self { snapshot, bundle_id, bundle_header, weights, as_of_ms, tag, trends }
    }
}

fn tag(bundle_id: &str, hidden: &BitSet) -> u64 {
    let mut hash = Xxh3::new();
    hash.update(bundle_id.as_bytes());
    hidden.words().iter().for_each(|word| hash.update(&word.to_le_bytes()));
    hash.digest()
}

/// Holds the present snapshot.
#[derive(Default)]
pub(crate) struct Snapshots {
    /// Names of the channels outside of the process.
    externals: Arc<[String]>,
    present: ArcSwapOption<Pinned>,
    /// Held while a next snapshot is made from the present one.
    turn: Mutex<()>,
    trends: Mutex<TrendCounters>,
}

/// A bundle that has passed all its checks.
#[derive(Clone)]
pub(crate) struct Checked {
    pub(crate) id: Arc<str>,
    pub(crate) bundle: Arc<Bundle>,
}

impl Snapshots {
    /// No snapshot yet; those to come know these channels outside of the process.
    pub(crate) fn new(externals: Arc<[String]>) -> Self {
        Self { externals, ..Self::default() }
    }

    fn fresh(&self, bundle: &Arc<Bundle>) -> Snapshot {
        Snapshot::new(Arc::clone(bundle)).with_externals(Arc::clone(&self.externals))
    }

    /// Pins the present snapshot; `None` before the first bundle went live.
    pub(crate) fn pin(&self) -> Option<Arc<Pinned>> {
        self.present.load_full()
    }

    fn my_turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn trends(&self) -> MutexGuard<'_, TrendCounters> {
        self.trends.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What would serve if a checked bundle went live now, without live trends.
    ///
    /// # Errors
    /// The store's.
    pub(crate) fn preview(&self, checked: &Checked, store: &dyn Store) -> Result<Arc<Pinned>> {
        let weights = Arc::new(weights_of(&checked.bundle.manifest().config));
        let fresh = self.fresh(&checked.bundle);
        let hidden = Arc::new(hidden_now(&fresh, store)?);
        let number = self.pin().map_or(1, |p| p.trends.number + 1);
        let trends = TrendsOf { number, at_ms: 0 };
        Ok(Arc::new(Pinned::new(fresh.with_hidden(hidden), checked, weights, trends)))
    }

    /// Makes a checked bundle the one that serves, with what has happened since it was built.
    ///
    /// # Errors
    /// The store's; then the old snapshot stays.
    pub(crate) fn go_live(
        &self,
        checked: &Checked,
        store: &dyn Store,
        recent: &Recent,
    ) -> Result<()> {
        let bundle = &checked.bundle;
        let head = bundle.manifest();
        let weights = Arc::new(weights_of(&head.config));
        let as_of_ms = head.as_of_ms;
        let fresh = self.fresh(bundle);
        // From here on hides wait: one that is not in the store yet finds the new snapshot.
        let _turn = self.my_turn();
        let hidden = hidden_now(&fresh, store)?;
        let mut snapshot = fresh.with_hidden(Arc::new(hidden));
        snapshot.generation = self.pin().map_or(1, |p| p.snapshot.generation + 1);
        let popularity = bundle.popularity();
        let windows = [popularity.hour, popularity.day, popularity.week].map(<[f32]>::to_vec);
        let mut trends = self.trends();
        *trends = TrendCounters::new(windows, as_of_ms);
        recent.each(|event| {
            if event.time_ms > as_of_ms {
                let seen = (&*event.item, &*event.kind, event.value, event.time_ms);
                count(&mut trends, bundle, &weights, seen);
            }
        });
        let number = self.pin().map_or(1, |p| p.trends.number + 1);
        let pinned = Pinned::new(snapshot, checked, weights, TrendsOf { number, at_ms: 0 });
        self.present.store(Some(Arc::new(pinned)));
        Ok(())
    }

    /// Publishes that these items are hidden or shown.
    pub(crate) fn set_hidden(&self, changes: &[(&str, bool)]) {
        let _turn = self.my_turn();
        let Some(present) = self.pin() else { return };
        let items = present.snapshot.bundle.items();
        let mut hidden = BitSet::clone(&present.snapshot.hidden);
        let before = hidden.clone();
        for (id, hide) in changes {
            match (items.index_of(id), hide) {
                (Some(item), true) => hidden.insert(item),
                (Some(item), false) => {
                    hidden.remove(item);
                }
                (None, _) => {}
            }
        }
        if hidden != before {
            let snapshot = present.snapshot.with_hidden(Arc::new(hidden));
            self.publish(&present, snapshot, present.trends);
        }
    }

    /// Counts an event in the trends; it shows with the next [`Snapshots::publish_trends`].
    pub(crate) fn count(&self, event: &Event) {
        if let Some(present) = self.pin() {
            let seen = (&*event.item, &*event.kind, event.value, event.time_ms);
            count(&mut self.trends(), &present.snapshot.bundle, &present.weights, seen);
        }
    }

    /// Takes an event back out of the trends, where it was counted for certain: events from before
    /// the end of the bundle's data may stand in the bundle's own figures.
    pub(crate) fn uncount(&self, event: &RecentEvent) {
        let Some(present) = self.pin() else { return };
        let weight = present.weights.of(&event.kind, event.value);
        if let Some(item) = present.snapshot.bundle.items().index_of(&event.item)
            && weight > 0.0
            && event.time_ms > present.as_of_ms
        {
            self.trends().add(item, -weight, event.time_ms);
        }
    }

    /// Publishes the trends of `now_ms` if they have moved.
    pub(crate) fn publish_trends(&self, now_ms: TimeMs) {
        let _turn = self.my_turn();
        let Some(present) = self.pin() else { return };
        let Some([hour, day, week]) = self.trends().take_changed(now_ms) else { return };
        let trends = Arc::new(Trends::new(hour, day, week));
        let published = TrendsOf { number: present.trends.number + 1, at_ms: now_ms };
        self.publish(&present, present.snapshot.with_trends(trends), published);
    }

    fn publish(&self, present: &Pinned, snapshot: Snapshot, trends: TrendsOf) {
        let id = Arc::clone(&present.bundle_id);
        let checked = Checked { id, bundle: Arc::clone(&snapshot.bundle) };
        let pinned = Pinned::new(snapshot, &checked, Arc::clone(&present.weights), trends);
        self.present.store(Some(Arc::new(pinned)));
    }
}

fn count(
    trends: &mut TrendCounters,
    bundle: &Bundle,
    weights: &EventWeights,
    (item, kind, value, time_ms): (&str, &str, f32, TimeMs),
) {
    let weight = weights.of(kind, value);
    if let Some(item) = bundle.items().index_of(item)
        && weight > 0.0
    {
        trends.add(item, weight, time_ms);
    }
}

/// The store's word on what is hidden; for items it does not know, the bundle's.
fn hidden_now(fresh: &Snapshot, store: &dyn Store) -> Result<BitSet> {
    let items = fresh.bundle.items();
    let ids = store.hidden()?;
    let hidden_ids: HashSet<&str> = ids.iter().map(String::as_str).collect();
    let mut hidden = BitSet::empty(fresh.bundle.n_items());
    hidden_ids.iter().filter_map(|id| items.index_of(id)).for_each(|i| hidden.insert(i));
    let in_bundle: Vec<ItemIdx> = fresh.hidden.iter().collect();
    for item in in_bundle {
        if store.item(items.id(item))?.is_none() {
            hidden.insert(item);
        }
    }
    Ok(hidden)
}

/// The weights that the bundle was trained with, from its configuration.
fn weights_of(config: &serde_json::Value) -> EventWeights {
    let Some(value) = config.get("event_weights") else { return EventWeights::default() };
    serde_json::from_value(value.clone()).unwrap_or_else(|error| {
        warn!(%error, "the weights of events in the bundle are not readable; the defaults apply");
        EventWeights::default()
    })
}
