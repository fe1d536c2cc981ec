//! The cache as callers see it.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use bytes::Bytes;

use crate::clock::Clock;
use crate::config::{CacheConfig, TtlConfig};
use crate::entry::{Entry, Fresh, Loaded};
use crate::flight::{Duty, Flights, Route, result};
use crate::journal::Journal;
use crate::key::{Dependency, Key, KeyBuf};
use crate::l1::L1;
use crate::lifetime::Freshness;
use crate::stats::{CacheStats, Counters, TierStats};

/// What is in process under a key.
#[derive(Clone, Debug)]
pub struct Found {
    /// The value and its age.
    pub loaded: Loaded,
    /// Whether it is over its lifetime.
    pub is_stale: bool,
    /// True for one caller at a time, who is to call [`TieredCache::renew`]; all others are not.
    pub renew: bool,
}

/// A cache whose computations may fail with `E`.
pub struct TieredCache<E> {
    l1: L1,
    flights: Flights<Result<Loaded, E>>,
    journal: Journal,
    ttl: TtlConfig,
    clock: Clock,
    counters: Counters,
    /// Spreads jitter over entries.
    turn: AtomicU64,
}

impl<E: Clone> TieredCache<E> {
    /// An empty cache within the bounds of `config`.
    pub fn new(config: &CacheConfig, clock: Clock) -> Self {
        Self {
            l1: L1::new(config),
            flights: Flights::new(),
            journal: Journal::default(),
            ttl: config.ttl.clone(),
            clock,
            counters: Counters::default(),
            turn: AtomicU64::new(0),
        }
    }

    /// Looks in process; never waits.
    ///
    /// # Cost
    /// A hash of the key, a lock for reading, a reference count and a look at the clock: about
    /// 110 ns of CPU for keys of 100 bytes, with one thread or two (`examples/l1_get`).
    pub fn find(&self, key: &KeyBuf) -> Option<Found> {
        let now_ms = self.clock.now_ms();
        let found = self.l1.get(key.as_bytes()).and_then(|entry| {
            let freshness = self.ttl.freshness(&entry.life(now_ms));
            (freshness != Freshness::Over).then_some((entry, freshness))
        });
        let Some((entry, freshness)) = found else {
            self.counters.misses.add(1);
            return None;
        };
        entry.touch();
        let is_stale = freshness == Freshness::Stale;
        if is_stale {
            self.counters.stale.add(1)
        } else {
            self.counters.hits.add(1)
        }
        let renew = freshness != Freshness::Fresh && entry.claim(now_ms);
        let age_ms = entry.age_ms(now_ms);
        Some(Found { loaded: Loaded { entry, age_ms }, is_stale, renew })
    }

    /// Fills a miss: computes the value, or waits for the task that already does.
    ///
    /// Dropping the returned future drops the computation; another task that waits takes over.
    ///
    /// # Errors
    /// Those of `compute`, handed to everybody who waited; nothing is stored then.
    pub async fn load<F>(&self, key: &KeyBuf, compute: impl FnOnce() -> F) -> Result<Loaded, E>
    where
        F: Future<Output = Result<Fresh, E>>,
    {
        // Before anything else: what changes from here on makes the value outdated.
        let route = Route { key: Key::from(key), began: self.journal.now() };
        loop {
            match self.flights.join(&route) {
                Duty::Wait(waiting) => {
                    self.counters.coalesced.add(1);
                    if let Some(result) = result(waiting).await {
                        return result;
                    }
                }
                Duty::Compute(flight) => {
                    // Another flight may have landed between the caller's look and this one.
                    if let Some(loaded) = self.present(&route.key) {
                        flight.land(Ok(loaded.clone()));
                        return Ok(loaded);
                    }
                    let result = self.compute(&route, compute()).await;
                    flight.land(result.clone());
                    return result;
                }
            }
        }
    }

    /// Computes the value anew although there is one; for who was told so by [`Found::renew`].
    ///
    /// # Errors
    /// Those of `compute`; the entry stays as it is.
    pub async fn renew<F>(&self, key: &KeyBuf, compute: impl FnOnce() -> F) -> Result<Loaded, E>
    where
        F: Future<Output = Result<Fresh, E>>,
    {
        let route = Route { key: Key::from(key), began: self.journal.now() };
        self.compute(&route, compute()).await
    }

    async fn compute(
        &self,
        route: &Route,
        computing: impl Future<Output = Result<Fresh, E>>,
    ) -> Result<Loaded, E> {
        self.counters.computed.add(1);
        let fresh = computing.await?;
        // What was used often stays so, but has to earn it again.
        let before = self.l1.peek(route.key.as_bytes());
        let hits = before.map_or(0, |entry| entry.hits.load(Relaxed) / 2);
        let jitter = (self.turn.fetch_add(1, Relaxed).wrapping_mul(97) % 256) as u8;
        let entry = Arc::new(Entry::new(fresh, self.clock.now_ms(), hits, jitter));
        self.store(route, &entry);
        Ok(Loaded { entry, age_ms: 0 })
    }

    fn store(&self, route: &Route, entry: &Arc<Entry>) {
        let key = route.key.clone();
        let stored = self.journal.unless_changed(route.began, &entry.depends_on, || {
            self.l1.insert(key, Arc::clone(entry));
        });
        let counter = if stored { &self.counters.stored } else { &self.counters.outdated };
        counter.add(1);
    }

    fn present(&self, key: &Key) -> Option<Loaded> {
        let entry = self.l1.peek(key.as_bytes())?;
        let now_ms = self.clock.now_ms();
        let is_fresh = self.ttl.freshness(&entry.life(now_ms)) <= Freshness::Ageing;
        let age_ms = entry.age_ms(now_ms);
        is_fresh.then_some(Loaded { entry, age_ms })
    }

    /// Keeps another form of the value that was found under `original` (compressed, say) under a
    /// key of its own. It lives as long as that value and is outdated with it.
    pub fn keep_variant(&self, original: &KeyBuf, of: &Loaded, (key, value): (&KeyBuf, Bytes)) {
        let entry = Arc::new(of.entry.variant(value));
        let is_present =
            || self.l1.peek(original.as_bytes()).is_some_and(|e| Arc::ptr_eq(&e, &of.entry));
        // With no change under way, an original that is still there has survived all of them.
        self.journal.when_settled(|| {
            if is_present() {
                self.l1.insert(Key::from(key), entry);
                self.counters.stored.add(1);
            }
        });
    }

    /// Drops every entry that depends on one of these, directly or through other entries. When
    /// this returns none of them is given out, and no computation that began before will store
    /// what it finds.
    ///
    /// # Cost
    /// One pass over all entries, whatever the number of changes: 16 ms for 100,000 entries of
    /// twenty dependencies each. Readers do not wait for it.
    pub fn invalidate(&self, changed: &[Dependency]) -> usize {
        let mut sorted = changed.to_vec();
        sorted.sort_unstable();
        sorted.dedup();
        self.drop_where(Some(&sorted), |_, entry| entry.depends_on_any(&sorted))
    }

    /// Drops every entry whose key begins like this.
    ///
    /// # Cost
    /// As [`TieredCache::invalidate`].
    pub fn clear_prefix(&self, beginning: &KeyBuf) -> usize {
        self.drop_where(None, |key, _| key.as_bytes().starts_with(beginning.as_bytes()))
    }

    /// Drops everything.
    pub fn clear(&self) -> usize {
        self.drop_where(None, |_, _| true)
    }

    fn drop_where(
        &self,
        changed: Option<&[Dependency]>,
        is_out: impl Fn(&Key, &Entry) -> bool,
    ) -> usize {
        let _change = self.journal.note(changed);
        let dropped = self.l1.remove_where(is_out);
        self.counters.invalidated.add(dropped as u64);
        dropped
    }

    /// To be called now and then: above 80% of its bytes the cache gives back to 60%, the entries
    /// first that its policy values least. Says how many went.
    pub fn keep_within_budget(&self) -> u64 {
        self.l1.shed_above_mark()
    }

    /// Gives back to 60% of what is used now, because the process is short of memory.
    pub fn shed(&self) -> u64 {
        self.l1.shed_used()
    }

    /// All figures.
    pub fn stats(&self) -> CacheStats {
        let c = &self.counters;
        CacheStats {
            l1: TierStats {
                hits: c.hits.get(),
                stale: c.stale.get(),
                misses: c.misses.get(),
                stored: c.stored.get(),
                evicted: self.l1.n_evicted(),
                invalidated: c.invalidated.get(),
                entries: self.l1.n_entries() as u64,
                bytes: self.l1.bytes(),
            },
            computed: c.computed.get(),
            coalesced: c.coalesced.get(),
            outdated: c.outdated.get(),
        }
    }
}
