//! Recent events per user in bounded rings, newest kept. Sharded, so that writers of different
//! users do not wait for each other; a reader takes a reference to one ring, and a writer copies
//! a ring that somebody still reads.

use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use foretaste_bundle::{FoundAt, ItemTable};
use foretaste_core::{Event, ItemIdx, TimeMs};
use xxhash_rust::xxh3::Xxh3;

const SHARDS: usize = 16;
const MOST_KINDS: usize = 256;

/// One recent event of a user.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct RecentEvent {
    pub(crate) item: Arc<str>,
    pub(crate) kind: Arc<str>,
    pub(crate) value: f32,
    pub(crate) time_ms: TimeMs,
    key: u64,
    arrival: u64,
    found_at: FoundAt,
}

impl RecentEvent {
    /// The item in this bundle.
    pub(crate) fn item_in(&self, items: &ItemTable) -> Option<ItemIdx> {
        items.index_of_again(&self.item, &self.found_at)
    }

    /// Adds what makes this event count to a fingerprint.
    fn add_to(&self, fingerprint: &mut Xxh3) {
        fingerprint.update(&self.key.to_le_bytes());
        fingerprint.update(self.item.as_bytes());
        fingerprint.update(&[0]);
        fingerprint.update(self.kind.as_bytes());
        fingerprint.update(&self.value.to_bits().to_le_bytes());
        fingerprint.update(&self.time_ms.to_le_bytes());
    }
}

/// What a user did lately, oldest first; of one time, first come first.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct RecentOf {
    /// Fingerprint of the events: the same events have the same one in every process, others have
    /// another. 0 when there are none. Part of the keys of cached answers.
    pub(crate) version: u64,
    pub(crate) events: Arc<VecDeque<RecentEvent>>,
}

type Ring = RecentOf;

impl Ring {
    fn change(&mut self, how: impl FnOnce(&mut VecDeque<RecentEvent>)) {
        how(Arc::make_mut(&mut self.events));
        let mut fingerprint = Xxh3::new();
        self.events.iter().for_each(|event| event.add_to(&mut fingerprint));
        self.version = if self.events.is_empty() { 0 } else { fingerprint.digest() };
    }
}

#[derive(Debug, Default)]
struct Shard {
    users: HashMap<Arc<str>, Ring>,
    /// Users in order of their events' arrivals; the front names the oldest event of the shard.
    order: VecDeque<(Arc<str>, u64)>,
    arrivals: u64,
    n_events: usize,
}

/// Recent events of all users.
pub(crate) struct Recent {
    shards: Vec<Mutex<Shard>>,
    kinds: Mutex<HashSet<Arc<str>>>,
    hasher: RandomState,
    per_user: usize,
    per_shard: usize,
}

/// What one event did to the rings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Recorded {
    /// False when the event was already there.
    pub(crate) is_new: bool,
    /// Older events that a bound pushed out.
    pub(crate) evicted: usize,
}

impl Recent {
    /// Rings of at most `per_user` events, about `total` events altogether.
    pub(crate) fn new(per_user: usize, total: usize) -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            kinds: Mutex::default(),
            hasher: RandomState::new(),
            per_user,
            per_shard: total.div_ceil(SHARDS),
        }
    }

    fn shard(&self, user: &str) -> MutexGuard<'_, Shard> {
        let at = self.hasher.hash_one(user) as usize % SHARDS;
        self.shards[at].lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn kind(&self, kind: &str) -> Arc<str> {
        let mut kinds = self.kinds.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = kinds.get(kind) {
            return Arc::clone(known);
        }
        let new: Arc<str> = kind.into();
        if kinds.len() < MOST_KINDS {
            kinds.insert(Arc::clone(&new));
        }
        new
    }

    /// Adds an event unless its key is in the user's ring.
    pub(crate) fn record(&self, event: &Event) -> Recorded {
        self.record_keyed(event, event.key())
    }

    /// As [`Recent::record`] for an event whose id is no longer known, only its key.
    pub(crate) fn record_keyed(&self, event: &Event, key: u64) -> Recorded {
        let kind = self.kind(&event.kind);
        let mut shard = self.shard(&event.user);
        let user = match shard.users.get_key_value(event.user.as_str()) {
            Some((_, ring)) if ring.events.iter().any(|e| e.key == key) => {
                return Recorded::default();
            }
            Some((user, _)) => Arc::clone(user),
            None => event.user.as_str().into(),
        };
        shard.arrivals += 1;
        let arrival = shard.arrivals;
        let item = event.item.as_str().into();
        let (value, time_ms) = (event.value, event.time_ms);
        let recent =
            RecentEvent { item, kind, value, time_ms, key, arrival, found_at: FoundAt::default() };
        let Some(mut evicted) = shard.push(user, recent, self.per_user) else {
            return Recorded { is_new: false, evicted: 1 };
        };
        while shard.n_events > self.per_shard {
            evicted += shard.evict_oldest();
        }
        Recorded { is_new: true, evicted }
    }

    /// What `user` did lately.
    pub(crate) fn of(&self, user: &str) -> RecentOf {
        let shard = self.shard(user);
        shard.users.get(user).cloned().unwrap_or_default()
    }

    /// About `most` users whose events came last, latest first within each shard.
    pub(crate) fn latest(&self, most: usize) -> Vec<Arc<str>> {
        let per_shard = most.div_ceil(SHARDS);
        let mut latest = Vec::with_capacity(most);
        for shard in &self.shards {
            let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            let mut seen = HashSet::new();
            let users = shard.order.iter().rev().map(|(user, _)| user);
            let fresh = users.filter(|user| seen.insert(Arc::clone(user)));
            latest.extend(fresh.take(per_shard).cloned());
        }
        latest.truncate(most);
        latest
    }

    /// Forgets what `user` did.
    pub(crate) fn erase(&self, user: &str) {
        let mut guard = self.shard(user);
        let shard = &mut *guard;
        if let Some(ring) = shard.users.get_mut(user) {
            shard.n_events -= ring.events.len();
            *ring = Ring::default();
        }
    }

    /// Forgets the events with these keys, and returns them.
    ///
    /// # Cost
    /// A look at every event, shard by shard.
    pub(crate) fn retract(&self, keys: &[u64]) -> Vec<RecentEvent> {
        let mut gone = Vec::new();
        if keys.is_empty() {
            return gone;
        }
        let keys: HashSet<u64> = keys.iter().copied().collect();
        for shard in &self.shards {
            shard.lock().unwrap_or_else(PoisonError::into_inner).retract(&keys, &mut gone);
        }
        gone
    }

    /// Number of events kept.
    pub(crate) fn len(&self) -> usize {
        let lock = |s: &Mutex<Shard>| s.lock().unwrap_or_else(PoisonError::into_inner).n_events;
        self.shards.iter().map(lock).sum()
    }

    /// Shows every event to `sink`, shard by shard.
    pub(crate) fn each(&self, mut sink: impl FnMut(&RecentEvent)) {
        for shard in &self.shards {
            let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            shard.users.values().flat_map(|ring| &*ring.events).for_each(&mut sink);
        }
    }
}

impl Shard {
    /// Puts an event in its place by time, and says how many it pushed out; `None` when the ring
    /// is full of newer ones.
    fn push(&mut self, user: Arc<str>, event: RecentEvent, most: usize) -> Option<usize> {
        let known = self.users.get(&user).map(|ring| &*ring.events);
        let before = |e: &RecentEvent| e.time_ms <= event.time_ms;
        let at = known.and_then(|events| events.iter().rposition(before)).map_or(0, |i| i + 1);
        let evicted = usize::from(known.map_or(0, VecDeque::len) >= most);
        if at < evicted {
            return None;
        }
        self.order.push_back((Arc::clone(&user), event.arrival));
        self.users.entry(user).or_default().change(|events| {
            events.insert(at, event);
            if evicted == 1 {
                events.pop_front();
            }
        });
        self.n_events += 1 - evicted;
        // Entries whose event has gone by itself would otherwise pile up behind a quiet user.
        while self.order.len() > 2 * self.n_events + 64 {
            let live = |(user, arrival): &(Arc<str>, u64)| {
                let ring = self.users.get(user);
                ring.is_some_and(|r| r.events.iter().any(|e| e.arrival == *arrival))
            };
            let order = std::mem::take(&mut self.order);
            self.order = order.into_iter().filter(live).collect();
        }
        Some(evicted)
    }

    fn retract(&mut self, keys: &HashSet<u64>, all_gone: &mut Vec<RecentEvent>) {
        let before = all_gone.len();
        for ring in self.users.values_mut() {
            if !ring.events.iter().any(|event| keys.contains(&event.key)) {
                continue;
            }
            ring.change(|events| {
                let (gone, kept) = events.drain(..).partition(|e| keys.contains(&e.key));
                *events = kept;
                all_gone.extend::<VecDeque<_>>(gone);
            });
        }
        let arrivals: HashSet<u64> = all_gone[before..].iter().map(|e| e.arrival).collect();
        if !arrivals.is_empty() {
            self.n_events -= arrivals.len();
            self.users.retain(|_, ring| !ring.events.is_empty());
            self.order.retain(|(_, arrival)| !arrivals.contains(arrival));
        }
    }

    /// Drops the event that came first; 1 when there was one.
    fn evict_oldest(&mut self) -> usize {
        while let Some((user, arrival)) = self.order.pop_front() {
            let Some(ring) = self.users.get_mut(&user) else { continue };
            if let Some(at) = ring.events.iter().position(|e| e.arrival == arrival) {
                ring.change(|events| {
                    events.remove(at);
                });
                self.n_events -= 1;
                if ring.events.is_empty() {
                    self.users.remove(&user);
                }
                return 1;
            }
        }
        self.n_events = 0;
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(user: &str, item: &str) -> Event {
        Event {
            event_id: None,
            user: user.into(),
            item: item.into(),
            kind: "view".into(),
            value: 1.0,
            time_ms: 7,
            context: None,
        }
    }

    fn items(recent: &Recent, user: &str) -> Vec<String> {
        recent.of(user).events.iter().map(|e| e.item.to_string()).collect()
    }

    #[test]
    fn a_ring_keeps_the_newest_and_its_version_names_them() {
        let (recent, other) = (Recent::new(2, 1_000), Recent::new(2, 1_000));
        let mut versions = vec![0];
        for item in ["a", "b", "b", "c"] {
            recent.record(&event("u", item));
            versions.push(recent.of("u").version);
        }
        assert_eq!((items(&recent, "u"), recent.len()), (vec!["b".to_owned(), "c".to_owned()], 2));
        assert_eq!(versions[2], versions[3], "an event counts once");
        versions.sort_unstable();
        versions.dedup();
        assert_eq!(versions.len(), 4);
        assert_eq!(recent.of("nobody"), RecentOf::default());
        for item in ["b", "c"] {
            other.record(&event("u", item));
        }
        assert_eq!(other.of("u").version, recent.of("u").version, "the same in every process");
        let dearer = Event { value: 2.0, ..event("v", "b") };
        other.record(&dearer);
        recent.record(&event("v", "b"));
        assert_ne!(other.of("v").version, recent.of("v").version);
    }

    #[test]
    fn events_stand_in_order_of_time_whenever_they_come() {
        let recent = Recent::new(3, 1_000);
        let at = |item, time_ms| recent.record(&Event { time_ms, ..event("u", item) });
        assert!([at("c", 30), at("a", 10), at("b", 20)].iter().all(|r| r.is_new));
        assert_eq!(items(&recent, "u"), ["a", "b", "c"]);
        assert!(at("d", 25).is_new);
        assert_eq!(items(&recent, "u"), ["b", "d", "c"]);
        assert_eq!(at("a", 10), Recorded { is_new: false, evicted: 1 }, "older than a full ring");
        assert_eq!((items(&recent, "u").len(), recent.len()), (3, 3));
    }

    #[test]
    fn an_event_counts_once() {
        let recent = Recent::new(10, 1_000);
        assert!(recent.record(&event("u", "a")).is_new);
        assert!(!recent.record(&event("u", "a")).is_new);
        assert!(recent.record(&event("v", "a")).is_new);
    }

    #[test]
    fn the_total_is_bounded_and_the_oldest_go_first() {
        let recent = Recent::new(10, SHARDS * 3);
        let recorded: Vec<_> =
            (0..10).map(|i| recent.record(&event("u", &i.to_string()))).collect();
        assert_eq!(recorded.iter().map(|r| r.evicted).sum::<usize>(), 7);
        assert_eq!(items(&recent, "u"), ["7", "8", "9"]);
        for i in 0..1_000 {
            recent.record(&event(&format!("user {i}"), "x"));
        }
        assert!(recent.len() <= SHARDS * 3);
    }

    #[test]
    fn many_events_of_one_user_do_not_pile_up() {
        let recent = Recent::new(2, 1_000_000);
        (0..10_000).for_each(|i| {
            recent.record(&event("u", &i.to_string()));
        });
        assert!(recent.shard("u").order.len() < 100);
        assert_eq!(items(&recent, "u"), ["9998", "9999"]);
    }

    #[test]
    fn the_latest_users_are_named_once() {
        let recent = Recent::new(10, 1_000);
        for n in 0..300 {
            recent.record(&event(&format!("user {}", n % 100), &n.to_string()));
        }
        let mut latest = recent.latest(1_000);
        latest.sort();
        assert_eq!(latest.len(), 100);
        latest.dedup();
        assert_eq!((latest.len(), recent.latest(7).len()), (100, 7));
    }

    #[test]
    fn retracted_events_leave_and_nothing_else_does() {
        let (recent, other) = (Recent::new(200, 1_000_000), Recent::new(200, 1_000_000));
        let all: Vec<Event> = (0..100).map(|i| event("u", &i.to_string())).collect();
        for event in &all {
            recent.record(event);
        }
        recent.record(&event("v", "0"));
        let keys: Vec<u64> = all[1..99].iter().map(Event::key).collect();
        assert_eq!(recent.retract(&keys).len(), 98);
        assert_eq!((items(&recent, "u"), recent.len()), (vec!["0".into(), "99".into()], 3));
        assert_eq!((recent.retract(&keys).len(), recent.retract(&[]).len()), (0, 0));
        for event in [&all[0], &all[99]] {
            other.record(event);
        }
        assert_eq!(recent.of("u").version, other.of("u").version, "as if they had never been");
        for i in 100..200 {
            recent.record(&event("u", &i.to_string()));
        }
        assert_eq!(recent.of("u").events.len(), 102, "and the bounds go on working");
    }

    #[test]
    fn erasing_forgets() {
        let recent = Recent::new(10, 1_000);
        recent.record(&event("u", "a"));
        recent.erase("u");
        assert_eq!((recent.of("u").version, recent.len()), (0, 0));
        recent.record(&event("u", "b"));
        assert_eq!(items(&recent, "u"), ["b"]);
    }
}
