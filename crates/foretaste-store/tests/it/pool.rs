//! The connections of a store on a server: how many there are, and that none gets lost.

use std::sync::mpsc::sync_channel;
use std::time::Duration;

use foretaste_core::{Error, ErrorKind, Event, Item};
use foretaste_store::{PoolFigures, ServerOptions, ServerStore, Store};

use crate::bench::Bench;
use crate::events::{batch, event, import, source};

/// Looks until there are so many, for a minute at most.
#[track_caller]
fn until(bench: &Bench, what: &str, holds: impl Fn(usize) -> bool) {
    for _ in 0..600 {
        if holds(bench.client().others().len()) {
            return;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    panic!("{what}: {}", bench.client().others().len());
}

/// Looks at the store's own figures until they are so, for a minute at most.
#[track_caller]
fn until_told(store: &ServerStore, what: &str, holds: impl Fn(&PoolFigures) -> bool) {
    for _ in 0..600 {
        if holds(&figures(store)) {
            return;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    panic!("{what}: {:?}", figures(store));
}

fn figures(store: &ServerStore) -> PoolFigures {
    store.pools().remove(0)
}

fn count(counts: &[(&str, u64)], reason: &str) -> u64 {
    counts.iter().find(|(name, _)| *name == reason).unwrap().1
}

#[test]
fn failures_lose_no_connection() {
    for bench in Bench::all() {
        let store = ServerStore::open(ServerOptions {
            url: bench.url(),
            connections: 2,
            acquire_timeout: Duration::from_secs(5),
            ..ServerOptions::default()
        });
        let store = store.unwrap();
        let items = ["a", "b", "c"].map(|id| Item { item_id: id.into(), ..Item::default() });
        store.put_items(&items).unwrap();
        import(&store, "f", &[event("u", "a", 1)]);
        let kinds = |i| Event { kind: format!("kind {i}"), ..event("u", "a", 2) };
        let too_many: Vec<Event> = (0..256).map(kinds).collect();
        for _ in 0..20 {
            let stopped = store.items(&mut |_| Err(Error::internal("enough")));
            assert_eq!(stopped.unwrap_err().kind(), ErrorKind::Internal);
            let before = store.bulk(&source("f")).err().unwrap();
            assert_eq!(before.kind(), ErrorKind::Conflict);
            let mut bulk = store.bulk(&source("g")).unwrap();
            bulk.write(&batch(&too_many)).unwrap();
            assert_eq!(bulk.commit().unwrap_err().kind(), ErrorKind::Exhausted);
            store.seal().unwrap();
        }
        until(&bench, "two at most", |n| n <= 2);
        assert_eq!(store.append_events(&[event("u", "b", 2)]).unwrap().accepted, 1);
    }
}

#[test]
fn connections_are_ready_and_are_made_anew() {
    for bench in Bench::all() {
        let options = ServerOptions {
            url: bench.url(),
            min_connections: 3,
            idle_timeout: Duration::from_secs(1),
            ..ServerOptions::default()
        };
        let store = ServerStore::open(options).unwrap();
        until(&bench, "three at least", |n| n >= 3);
        bench.client().end_others();
        assert_eq!(store.append_events(&[event("u", "a", 1)]).unwrap().accepted, 1);
        until(&bench, "three again", |n| n >= 3);
    }
}

#[test]
fn waits_and_those_in_vain_are_counted() {
    for bench in Bench::all() {
        let options = ServerOptions {
            url: bench.url(),
            connections: 2,
            acquire_timeout: Duration::from_secs(1),
            ..ServerOptions::default()
        };
        let store = ServerStore::open(options).unwrap();
        store.put_items(&[Item { item_id: "a".into(), ..Item::default() }]).unwrap();
        std::thread::scope(|scope| {
            // Two readers who do not go on hold the two connections.
            let (has_begun, begun) = sync_channel(2);
            let ends: Vec<_> = (0..2)
                .map(|_| {
                    let (end, ended) = sync_channel::<()>(1);
                    let (store, has_begun) = (&store, has_begun.clone());
                    scope.spawn(move || {
                        store.items(&mut |_| {
                            has_begun.send(()).unwrap();
                            let _ = ended.recv();
                            Ok(())
                        })
                    });
                    end
                })
                .collect();
            (0..2).for_each(|_| begun.recv().unwrap());
            let before = figures(&store);
            assert_eq!((before.open, before.idle, before.most), (2, 0, 2));
            let third = scope.spawn(|| store.counts());
            until_told(&store, "one waits", |now| now.waiting == 1);
            let error = third.join().unwrap().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unavailable);
            let after = figures(&store);
            assert_eq!((after.waiting, count(&after.failures, "timeout")), (0, 1));
            let waits = |all: &PoolFigures| all.waits.iter().map(|(_, n)| n).sum::<u64>();
            assert_eq!(waits(&after), waits(&before) + 1);
            assert!(after.waited - before.waited >= Duration::from_secs(1), "{after:?}");
            drop(ends);
        });
        until_told(&store, "all are back", |now| now.idle == now.open);
        assert_eq!(store.counts().unwrap().items, 1);
    }
}

#[test]
fn connections_are_counted_from_making_to_closing() {
    for bench in Bench::all() {
        let idle_timeout = Duration::from_secs(1);
        let options = ServerOptions { url: bench.url(), idle_timeout, ..Default::default() };
        let store = ServerStore::open(options).unwrap();
        assert_eq!(count(&figures(&store).closed, "own"), 1, "the upkeep of months");
        store.counts().unwrap();
        until_told(&store, "those that are idle go", |now| {
            now.open == 0 && count(&now.closed, "retired") >= 1
        });
        drop(store);

        let store = bench.store();
        store.counts().unwrap();
        until_told(&store, "all are back", |now| now.open > 0 && now.idle == now.open);
        bench.client().end_others();
        until(&bench, "it was ended", |n| n == 0);
        store.counts().unwrap();
        until_told(&store, "all is told", |now| {
            let closed: u64 = now.closed.iter().map(|(_, n)| n).sum();
            count(&now.closed, "broken") > 0 && now.made == closed + now.open
        });
    }
}
