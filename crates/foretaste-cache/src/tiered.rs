//! The cache as callers see it.

use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use tokio::sync::mpsc;

use crate::clock::Clock;
use crate::config::{CacheConfig, TtlConfig};
use crate::entry::{Class, Entry, Fresh, Loaded, Source};
use crate::flight::{Duty, Flights, Route, result};
use crate::journal::Journal;
use crate::key::{Dependency, Key, KeyBuf};
use crate::l1::L1;
use crate::lifetime::Freshness;
use crate::shared::bus::{Bus, Heard, Word};
use crate::shared::envelope::Envelope;
use crate::shared::tier::{SharedTier, Write};
use crate::stats::{CacheStats, Counters, LinkStats, TierStats};

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

/// Who else may use a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Share {
    /// Nobody: it is kept in process only.
    Process,
    /// All replicas.
    Replicas,
    /// All replicas, and only one of them computes it at a time; for what is wanted everywhere at
    /// once and costs more than a look at the shared tier.
    Leased,
}

/// A moment before which everything that is known has been taken into account.
#[derive(Clone, Copy, Debug)]
pub struct Began(u64);

/// A cache whose computations may fail with `E`.
pub struct TieredCache<E> {
    l1: L1,
    shared: Option<Replicas>,
    flights: Flights<Result<Loaded, E>>,
    journal: Journal,
    ttl: TtlConfig,
    clock: Clock,
    counters: Counters,
    /// Spreads jitter over entries.
    turn: AtomicU64,
}

/// The shared tier and the way to the other replicas.
struct Replicas {
    tier: Arc<SharedTier>,
    bus: Bus,
    /// For [`TieredCache::run_shared`], once.
    queues: Mutex<Option<(mpsc::Receiver<Write>, mpsc::Receiver<Word>)>>,
}

impl<E: Clone + Send + Sync> TieredCache<E> {
    /// An empty cache within the bounds of `config`.
    pub fn new(config: &CacheConfig, clock: Clock) -> Self {
        let shared = (!config.redis.urls.is_empty()).then(|| {
            let (tier, writes) = SharedTier::new(&config.redis);
            let (bus, words) = Bus::new(clock.clone(), config.redis.write_queue);
            Replicas { tier, bus, queues: Mutex::new(Some((writes, words))) }
        });
        Self {
            l1: L1::new(config),
            shared,
            flights: Flights::new(),
            journal: Journal::default(),
            ttl: config.ttl.clone(),
            clock,
            counters: Counters::default(),
            turn: AtomicU64::new(0),
        }
    }

    /// Keeps the connection, writes behind the callers, and listens to the other replicas. To be
    /// run once, beside everything else; it ends only when there is no shared tier.
    pub async fn run_shared(&self) {
        let Some(Replicas { tier, bus, queues }) = &self.shared else { return };
        let queues = queues.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some((writes, words)) = queues else { return };
        let hear = |heard| self.hear(&heard);
        tokio::join!(
            tier.link.keep(),
            tier.write_behind(writes),
            bus.speak(tier, words),
            bus.listen(tier, &hear),
        );
    }

    fn hear(&self, heard: &Heard) {
        match heard {
            Heard::Silence => self.drop_where(None, |_, _| true),
            Heard::Word(Word::Changed(things)) => self.drop_dependents(things),
            Heard::Word(Word::Cleared(beginning)) => self.drop_prefix(beginning),
        };
    }

    /// Looks in process; never waits.
    ///
    /// # Cost
    /// A hash of the key, a lock for reading, a reference count and a look at the clock: about
    /// 110 ns of CPU for keys of 100 bytes, with one thread or two (`examples/l1_get`).
    pub fn find(&self, key: &KeyBuf) -> Option<Found> {
        let found = self.probe(key);
        if found.is_none() {
            self.counters.misses.add(1);
        }
        found
    }

    /// As [`TieredCache::find`], for callers who look again when there is nothing: a miss is not
    /// counted.
    pub fn probe(&self, key: &KeyBuf) -> Option<Found> {
        let now_ms = self.clock.now_ms();
        let entry = self.l1.get(key.as_bytes())?;
        let freshness = self.ttl.freshness(&entry.life(now_ms));
        if freshness == Freshness::Over {
            return None;
        }
        if entry.touch() == self.ttl.frequent_hits {
            self.promote(key, &entry);
        }
        let is_stale = freshness == Freshness::Stale;
        if is_stale {
            self.counters.stale.add(1)
        } else {
            self.counters.hits.add(1)
        }
        let renew = freshness != Freshness::Fresh && entry.claim(now_ms);
        let age_ms = entry.age_ms(now_ms);
        let loaded = Loaded { entry, age_ms, source: Source::Process };
        Some(Found { loaded, is_stale, renew })
    }

    fn promote(&self, key: &KeyBuf, entry: &Entry) {
        if let Some(shared) = &self.shared
            && entry.class == Class::Cold
        {
            shared.tier.promote(key.as_bytes());
        }
    }

    /// Fills a miss: takes the value from the shared tier, computes it, or waits for the task that
    /// already does.
    ///
    /// Dropping the returned future drops the computation; another task that waits takes over.
    ///
    /// # Errors
    /// Those of `compute`, handed to everybody who waited; nothing is stored then.
    pub async fn load<F>(
        &self,
        key: &KeyBuf,
        share: Share,
        compute: impl FnOnce() -> F,
    ) -> Result<Loaded, E>
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
                    let mut loaded = self.present(&route.key);
                    if loaded.is_none() && share != Share::Process {
                        loaded = self.fetch_one(&route, share).await;
                    }
                    if let Some(loaded) = loaded {
                        flight.land(Ok(loaded.clone()));
                        return Ok(loaded);
                    }
                    let result = self.compute(&route, share, compute()).await;
                    flight.land(result.clone());
                    return result;
                }
            }
        }
    }

    /// Brings what other replicas have of these keys into the process, in one operation. Says how
    /// many were found.
    pub async fn fetch(&self, keys: &[KeyBuf]) -> usize {
        let Some(Replicas { tier, .. }) = &self.shared else { return 0 };
        let began = self.journal.now();
        let routes: Vec<Route> =
            keys.iter().map(|key| Route { key: Key::from(key), began }).collect();
        let missing: Vec<&Route> =
            routes.iter().filter(|route| self.present(&route.key).is_none()).collect();
        if missing.is_empty() {
            return 0;
        }
        let names: Vec<&[u8]> = missing.iter().map(|route| route.key.as_bytes()).collect();
        let found = tier.get_many(&names).await.into_iter().zip(missing);
        found.filter_map(|(envelope, route)| self.take_over(route, envelope?)).count()
    }

    /// Computes the value anew although there is one; for who was told so by [`Found::renew`].
    ///
    /// # Errors
    /// Those of `compute`; the entry stays as it is.
    pub async fn renew<F>(
        &self,
        key: &KeyBuf,
        share: Share,
        compute: impl FnOnce() -> F,
    ) -> Result<Loaded, E>
    where
        F: Future<Output = Result<Fresh, E>>,
    {
        let route = Route { key: Key::from(key), began: self.journal.now() };
        self.compute(&route, share, compute()).await
    }

    /// What another replica has computed, as long as it is fresh.
    async fn fetch_one(&self, route: &Route, share: Share) -> Option<Loaded> {
        let tier = &self.shared.as_ref()?.tier;
        let key = route.key.as_bytes();
        let mut envelope = tier.get(key).await;
        if envelope.is_none() && share == Share::Leased && !tier.lease(key).await {
            envelope = tier.await_lease(key).await;
        }
        self.take_over(route, envelope?)
    }

    /// To be called before the inputs of a value are read that [`TieredCache::keep`] is to keep.
    pub fn begin(&self) -> Began {
        Began(self.journal.now())
    }

    /// Keeps a value that was computed by the caller, unless one of its inputs has changed since
    /// `began`.
    pub fn keep(&self, began: Began, key: &KeyBuf, share: Share, fresh: Fresh) {
        let route = Route { key: Key::from(key), began: began.0 };
        self.counters.computed.add(1);
        self.settle(&route, share, fresh);
    }

    fn take_over(&self, route: &Route, envelope: Envelope) -> Option<Loaded> {
        let age_ms = self.clock.unix_ms().saturating_sub(envelope.created_unix_ms).max(0) as u64;
        let now_ms = self.clock.now_ms();
        let fresh = Fresh {
            value: Some(envelope.value),
            depends_on: envelope.depends_on,
            class: envelope.class,
            is_passing: false,
        };
        let entry = Entry::new(fresh, now_ms.saturating_sub(age_ms), 0, self.jitter());
        if self.ttl.freshness(&entry.life(now_ms)) > Freshness::Ageing {
            return None;
        }
        let entry = Arc::new(entry);
        self.store(route, &entry);
        Some(Loaded { entry, age_ms, source: Source::Replicas })
    }

    fn jitter(&self) -> u8 {
        (self.turn.fetch_add(1, Relaxed).wrapping_mul(97) % 256) as u8
    }

    async fn compute(
        &self,
        route: &Route,
        share: Share,
        computing: impl Future<Output = Result<Fresh, E>>,
    ) -> Result<Loaded, E> {
        self.counters.computed.add(1);
        Ok(self.settle(route, share, computing.await?))
    }

    fn settle(&self, route: &Route, share: Share, fresh: Fresh) -> Loaded {
        // What was used often stays so, but has to earn it again.
        let before = self.l1.peek(route.key.as_bytes());
        let hits = before.map_or(0, |entry| entry.hits.load(Relaxed) / 2);
        let is_passing = fresh.is_passing;
        let entry = Arc::new(Entry::new(fresh, self.clock.now_ms(), hits, self.jitter()));
        if !is_passing && self.store(route, &entry) && share != Share::Process {
            self.hand_out(&route.key, &entry);
        }
        Loaded { entry, age_ms: 0, source: Source::Computed }
    }

    /// Gives a value that was just computed to the other replicas.
    fn hand_out(&self, key: &Key, entry: &Entry) {
        if let (Some(shared), Some(value)) = (&self.shared, &entry.value) {
            let envelope = Envelope {
                class: entry.class,
                created_unix_ms: self.clock.unix_ms(),
                depends_on: entry.depends_on.to_vec(),
                value: value.clone(),
            };
            shared.tier.put(key, &envelope);
        }
    }

    fn store(&self, route: &Route, entry: &Arc<Entry>) -> bool {
        let key = route.key.clone();
        let stored = self.journal.unless_changed(route.began, &entry.depends_on, || {
            self.l1.insert(key, Arc::clone(entry));
        });
        let counter = if stored { &self.counters.stored } else { &self.counters.outdated };
        counter.add(1);
        stored
    }

    fn present(&self, key: &Key) -> Option<Loaded> {
        let entry = self.l1.peek(key.as_bytes())?;
        let now_ms = self.clock.now_ms();
        let is_fresh = self.ttl.freshness(&entry.life(now_ms)) <= Freshness::Ageing;
        let age_ms = entry.age_ms(now_ms);
        is_fresh.then_some(Loaded { entry, age_ms, source: Source::Process })
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
        if let Some(shared) = &self.shared {
            shared.tier.changes.note(&sorted, self.clock.unix_ms());
            shared.bus.say(Word::Changed(sorted.clone()));
        }
        self.drop_dependents(&sorted)
    }

    fn drop_dependents(&self, sorted: &[Dependency]) -> usize {
        self.drop_where(Some(sorted), |_, entry| entry.depends_on_any(sorted))
    }

    /// Drops every entry whose key begins like this, in the shared tier and in the other replicas
    /// soon after.
    ///
    /// # Cost
    /// As [`TieredCache::invalidate`]; the shared tier is scanned behind the caller.
    pub fn clear_prefix(&self, beginning: &KeyBuf) -> usize {
        if let Some(shared) = &self.shared {
            shared.tier.clear(beginning.as_bytes());
            shared.bus.say(Word::Cleared(beginning.as_bytes().to_vec()));
        }
        self.drop_prefix(beginning.as_bytes())
    }

    /// Drops everything, everywhere.
    pub fn clear(&self) -> usize {
        self.clear_prefix(&KeyBuf::default())
    }

    fn drop_prefix(&self, beginning: &[u8]) -> usize {
        self.drop_where(None, |key, _| key.as_bytes().starts_with(beginning))
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

    /// The keys in process that begin like this and were asked for most, most first.
    ///
    /// # Cost
    /// One pass over all entries. Readers do not wait for it.
    pub fn most_used(&self, beginning: &KeyBuf, most: usize) -> Vec<Key> {
        self.l1.most_used(|key| key.as_bytes().starts_with(beginning.as_bytes()), most)
    }

    /// Whether there is a tier that replicas share.
    pub fn is_shared(&self) -> bool {
        self.shared.is_some()
    }

    /// Appends entries to the log that replicas share, in their order; false when they were not
    /// all taken, and when there is no such log. Appending again may repeat some of them. The log
    /// keeps about 50,000 entries, each for a day.
    ///
    /// # Cost
    /// One round trip, at most `connect_ms`; not for requests to wait for.
    pub async fn append_log(&self, entries: &[Vec<u8>]) -> bool {
        let Some(Replicas { tier, .. }) = &self.shared else { return false };
        tier.append_log(entries, self.clock.unix_ms()).await
    }

    /// The next entries of the log after the place `after` (`0`: from its beginning), each with
    /// its place; `None` while the log cannot be read.
    ///
    /// # Cost
    /// As [`TieredCache::append_log`].
    pub async fn read_log(&self, after: &str) -> Option<Vec<(String, Bytes)>> {
        self.shared.as_ref()?.tier.read_log(after).await
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
            shared: self.shared.as_ref().map_or_else(TierStats::default, |s| s.tier.stats()),
            link: self.shared.as_ref().map_or_else(LinkStats::default, |s| s.tier.link_stats()),
            computed: c.computed.get(),
            coalesced: c.coalesced.get(),
            outdated: c.outdated.get(),
        }
    }
}
