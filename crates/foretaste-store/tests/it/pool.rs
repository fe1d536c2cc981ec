//! The connections of a store on a server: how many there are, and that none gets lost.

use std::time::Duration;

use foretaste_core::{Error, ErrorKind, Event, Item};
use foretaste_store::{ServerOptions, ServerStore, Store};

use crate::bench::Bench;
use crate::events::{batch, event, import, source};
use crate::servers::Kind;

/// The numbers of all connections to the last database but our own.
fn connections(bench: &Bench) -> Vec<String> {
    let sql = match bench.server.kind {
        Kind::Postgres => {
            "SELECT CAST(pid AS text) FROM pg_stat_activity \
             WHERE datname = current_database() AND pid <> pg_backend_pid()"
        }
        Kind::MariaDb => {
            "SELECT CAST(id AS char(20)) FROM information_schema.processlist \
             WHERE db = DATABASE() AND id <> CONNECTION_ID()"
        }
    };
    bench.client().texts(sql).into_iter().map(|mut row| row.remove(0)).collect()
}

/// Looks until there are so many, for a minute at most.
#[track_caller]
fn until(bench: &Bench, what: &str, holds: impl Fn(usize) -> bool) {
    for _ in 0..600 {
        if holds(connections(bench).len()) {
            return;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    panic!("{what}: {}", connections(bench).len());
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
        for id in connections(&bench) {
            let end = match bench.server.kind {
                Kind::Postgres => format!("SELECT pg_terminate_backend({id})"),
                Kind::MariaDb => format!("KILL {id}"),
            };
            // One may have ended by itself.
            let _ = bench.server.client().run(&end);
        }
        assert_eq!(store.append_events(&[event("u", "a", 1)]).unwrap().accepted, 1);
        until(&bench, "three again", |n| n >= 3);
    }
}
