use foretaste_core::{Event, EventContext, NoProgress, Rng};

use super::*;
use crate::MemoryStore;

fn random_events(seed: u64, n: usize) -> Vec<Event> {
    let mut rng = Rng::new(seed);
    let event = |i: usize| Event {
        event_id: i.is_multiple_of(3).then(|| format!("e{}", rng.below(n / 4))),
        user: format!("u{}", rng.below(60)),
        item: format!("i{}", rng.below(20)),
        kind: ["view", "order"][rng.below(2)].into(),
        value: rng.below(3) as f32,
        time_ms: rng.below(50) as i64,
        context: i
            .is_multiple_of(5)
            .then(|| EventContext { position: Some(i as u16), ..Default::default() }),
    };
    (0..n).map(event).collect()
}

/// A memory store that holds duplicates: two bulk imports of overlapping events.
fn store_of(events: &[Event]) -> MemoryStore {
    let store = MemoryStore::new();
    let half = events.len() * 2 / 3;
    for (name, part) in [("a", &events[..half]), ("b", &events[half / 2..])] {
        let source = crate::Source { name: name.into(), digest: name.into() };
        let mut bulk = store.bulk(&source).unwrap();
        let mut batch = EventBatch::default();
        part.iter().for_each(|event| batch.push(event));
        bulk.write(&batch).unwrap();
        bulk.commit().unwrap();
    }
    store
}

fn expected(events: &[Event]) -> Vec<Event> {
    let mut seen = std::collections::HashSet::new();
    let mut first: Vec<&Event> = events.iter().filter(|e| seen.insert(e.key())).collect();
    let mut users = IdTable::new();
    first.sort_by_cached_key(|e| (users.intern(&e.user), e.time_ms, e.key()));
    first.into_iter().map(|e| Event { event_id: None, ..e.clone() }).collect()
}

#[track_caller]
fn check(events: &[Event]) {
    let loaded = load(&store_of(events), Columns::All, &NoProgress).unwrap();
    let mut got: Vec<Event> = (0..loaded.len()).map(|i| loaded.get(i)).collect();
    assert!(loaded.user.is_sorted());
    let mut users = IdTable::new();
    events.iter().for_each(|e| {
        users.intern(&e.user);
    });
    let want = expected(events);
    let by = |e: &Event| (e.user.clone(), e.time_ms);
    assert_eq!(got.len(), want.len());
    let keys: Vec<_> =
        (0..loaded.len()).map(|i| (loaded.user[i], loaded.time_ms[i], loaded.key[i])).collect();
    assert!(keys.is_sorted(), "sorted by user, time, key");
    // Within one (user, time) the key decides; compare as sets of rows per user and time.
    let sort = |events: &mut Vec<Event>| {
        events.sort_by_key(|e| (by(e), e.item.clone(), e.kind.clone(), e.value.to_bits()));
    };
    let mut want = want;
    sort(&mut got);
    sort(&mut want);
    assert_eq!(got, want);
}

#[test]
fn every_event_once_in_order() {
    for seed in 0..20 {
        check(&random_events(seed, 40 + seed as usize * 50));
    }
}

#[test]
fn events_that_come_sorted_by_user_keep_their_contexts() {
    let mut events = random_events(77, 300);
    events.sort_by(|a, b| a.user.cmp(&b.user));
    events.iter_mut().rev().take(100).for_each(|event| event.context = None);
    let store = MemoryStore::new();
    store.append_events(&events[..150]).unwrap();
    store.seal().unwrap();
    store.append_events(&events[150..]).unwrap();
    let loaded = load(&store, Columns::All, &NoProgress).unwrap();
    let contexts = |rows: Vec<Event>| rows.into_iter().filter(|e| e.context.is_some()).count();
    let got: Vec<Event> = (0..loaded.len()).map(|i| loaded.get(i)).collect();
    assert_eq!((got.len(), loaded.context.len()), (expected(&events).len(), got.len()));
    assert_eq!(contexts(got), contexts(expected(&events)));
}

#[test]
fn many_events_take_the_parallel_path() {
    let n = 3 * (1 << 16);
    let mut rng = Rng::new(9);
    let store = MemoryStore::new();
    let mut batch = EventBatch::default();
    for i in 0..n {
        batch.push(&Event {
            event_id: None,
            user: format!("u{}", rng.below(500)),
            item: format!("i{}", i / 2),
            kind: "view".into(),
            value: 1.0,
            time_ms: rng.below(1000) as i64,
            context: None,
        });
    }
    let source = crate::Source { name: "a".into(), digest: "a".into() };
    let mut bulk = store.bulk(&source).unwrap();
    bulk.write(&batch).unwrap();
    bulk.write(&batch).unwrap();
    bulk.commit().unwrap();
    let loaded = load(&store, Columns::NoContext, &NoProgress).unwrap();
    let mut keys = batch.key.clone();
    keys.sort_unstable();
    keys.dedup();
    assert_eq!(loaded.len(), keys.len());
    let rows: Vec<_> =
        (0..loaded.len()).map(|i| (loaded.user[i], loaded.time_ms[i], loaded.key[i])).collect();
    assert!(rows.is_sorted());
    let derived = (0..loaded.len()).all(|i| loaded.get(i).key() == loaded.key[i]);
    assert!(derived, "columns stay aligned");
}
