//! The tier in process: a bounded table with an eviction policy that resists scans (quick_cache:
//! CLOCK-PRO with ghosts). Readers take a shard's lock for reading and one reference count.

use std::cmp::Reverse;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use quick_cache::sync::Cache;
use quick_cache::{DefaultHashBuilder, Lifecycle, OptionsBuilder, Weighter};

use crate::config::CacheConfig;
use crate::entry::{Entry, Shared};
use crate::key::Key;

/// Shares of the byte bound above which the tier gives back, and down to which.
const SHED_ABOVE: f64 = 0.8;
const SHED_TO: f64 = 0.6;

/// The table.
pub(crate) struct L1 {
    table: Cache<Key, Shared, Weight, DefaultHashBuilder, CountEvictions>,
    max_bytes: u64,
    evicted: Arc<AtomicU64>,
}

/// An entry weighs its bytes, and at least its share of the bytes when the table is full of
/// entries: so one bound on weight bounds both.
#[derive(Clone, Copy)]
struct Weight {
    least: u64,
}

impl Weighter<Key, Shared> for Weight {
    fn weight(&self, key: &Key, entry: &Shared) -> u64 {
        (entry.size_bytes(key.as_bytes().len()) as u64).max(self.least)
    }
}

#[derive(Clone)]
struct CountEvictions(Arc<AtomicU64>);

impl Lifecycle<Key, Shared> for CountEvictions {
    type RequestState = Vec<(Key, Shared)>;

    // Handed out, so that memory is given back after the shard's lock.
    fn on_evict(&self, state: &mut Self::RequestState, key: Key, entry: Shared) {
        self.0.fetch_add(1, Relaxed);
        state.push((key, entry));
    }
}

impl L1 {
    pub(crate) fn new(config: &CacheConfig) -> Self {
        let evicted = Arc::new(AtomicU64::new(0));
        let max_bytes = config.max_bytes as u64;
        let options = OptionsBuilder::new()
            .estimated_items_capacity(config.max_entries)
            .weight_capacity(max_bytes)
            .build()
            .expect("both capacities are given");
        let weight = Weight { least: max_bytes.div_ceil(config.max_entries as u64) };
        let count = CountEvictions(Arc::clone(&evicted));
        let table = Cache::with_options(options, weight, DefaultHashBuilder::default(), count);
        Self { table, max_bytes, evicted }
    }

    pub(crate) fn get(&self, key: &[u8]) -> Option<Shared> {
        self.table.get(key)
    }

    /// The entry, without counting this as a use.
    pub(crate) fn peek(&self, key: &[u8]) -> Option<Shared> {
        self.table.peek(key)
    }

    pub(crate) fn insert(&self, key: Key, entry: Shared) {
        self.table.insert(key, entry);
    }

    /// Removes this very entry, not one that has taken its place.
    fn remove(&self, key: &[u8], entry: &Shared) -> bool {
        self.table.remove_if(key, |present| Arc::ptr_eq(present, entry)).is_some()
    }

    /// Removes the entries that `is_out` names; says how many. Locks one entry at a time, so
    /// readers do not wait for the whole pass.
    pub(crate) fn remove_where(&self, is_out: impl Fn(&Key, &Entry) -> bool) -> usize {
        let found = self.table.iter().filter(|(key, entry)| is_out(key, entry));
        found.filter(|(key, entry)| self.remove(key.as_bytes(), entry)).count()
    }

    /// The keys of at most `most` entries that `is_wanted` names, most used first.
    pub(crate) fn most_used(&self, is_wanted: impl Fn(&Key) -> bool, most: usize) -> Vec<Key> {
        let wanted = self.table.iter().filter(|(key, _)| is_wanted(key));
        let mut used: Vec<_> =
            wanted.map(|(key, entry)| (Reverse(entry.hits.load(Relaxed)), key)).collect();
        let by_use = |a: &(Reverse<u32>, Key), b: &(Reverse<u32>, Key)| {
            (a.0, a.1.as_bytes()).cmp(&(b.0, b.1.as_bytes()))
        };
        if used.len() > most {
            used.select_nth_unstable_by(most, by_use);
            used.truncate(most);
        }
        used.sort_unstable_by(by_use);
        used.into_iter().map(|(_, key)| key).collect()
    }

    /// Gives back down to 60% of the bytes if more than 80% are used. Says how many entries went.
    pub(crate) fn shed_above_mark(&self) -> u64 {
        if (self.table.weight() as f64) < SHED_ABOVE * self.max_bytes as f64 {
            return 0;
        }
        self.shed_to((SHED_TO * self.max_bytes as f64) as u64)
    }

    /// Gives back to 60% of what is used now. Says how many entries went.
    pub(crate) fn shed_used(&self) -> u64 {
        self.shed_to((SHED_TO * self.table.weight() as f64) as u64)
    }

    fn shed_to(&self, bytes: u64) -> u64 {
        let before = self.table.len();
        self.table.set_capacity(bytes);
        self.table.set_capacity(self.max_bytes);
        before.saturating_sub(self.table.len()) as u64
    }

    pub(crate) fn n_entries(&self) -> usize {
        self.table.len()
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.table.weight()
    }

    pub(crate) fn n_evicted(&self) -> u64 {
        self.evicted.load(Relaxed)
    }
}
