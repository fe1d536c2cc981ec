//! Months of events on a server: made and dropped by many processes, beside others' long reading.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use foretaste_core::Event;
use foretaste_store::{ServerOptions, ServerStore, Store};

use crate::bench::{Bench, open};
use crate::events::{event, import, users};
use crate::servers::{Client, Kind};

const DAY_MS: i64 = 86_400_000;

fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64
}

/// Events of `months` months, this one first.
fn of_months(months: i64) -> Vec<Event> {
    let now = now_ms();
    (0..months).map(|i| event(&format!("{i}"), "a", now - i * 31 * DAY_MS)).collect()
}

/// Keeps three months and does upkeep often.
fn short(url: &str) -> ServerOptions {
    ServerOptions {
        url: url.to_owned(),
        retention_months: Some(3),
        upkeep_every: Duration::from_millis(200),
        ..ServerOptions::default()
    }
}

/// A reader in an open transaction, as that of a backup.
fn reader(bench: &Bench) -> Client {
    let mut client = bench.client();
    client.run("BEGIN").unwrap();
    client.texts("SELECT CAST(user_id AS char(9)) FROM foretaste_events");
    client
}

/// Looks until it holds, for a minute at most.
#[track_caller]
fn eventually(what: &str, holds: impl Fn() -> bool) {
    for _ in 0..600 {
        if holds() {
            return;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    panic!("{what}: not within a minute");
}

#[test]
fn processes_that_start_at_once_drop_each_month_once() {
    for bench in Bench::all() {
        for _ in 0..3 {
            let url = bench.url();
            import(&open(&url), "f", &of_months(24));
            let before = bench.partitions();
            std::thread::scope(|scope| {
                let start = || {
                    let retention_months = Some(3);
                    let url = url.clone();
                    ServerStore::open(ServerOptions { url, retention_months, ..Default::default() })
                };
                let opened: Vec<_> = (0..4).map(|_| scope.spawn(start)).collect();
                opened.into_iter().for_each(|one| drop(one.join().unwrap().unwrap()));
            });
            assert!(bench.partitions() + 15 < before, "{} of {before}", bench.partitions());
        }
    }
}

#[test]
fn upkeep_that_another_process_holds_up_is_left_to_it() {
    for bench in Bench::all() {
        let url = bench.url();
        drop(open(&url));
        let mut other = bench.client();
        let lock = match bench.server.kind {
            Kind::Postgres => "SELECT CAST(pg_advisory_lock(7106514) AS text)",
            Kind::MariaDb => {
                "SELECT CAST(GET_LOCK(CONCAT('foretaste_', MD5(DATABASE())), 10) AS char(9))"
            }
        };
        other.texts(lock);
        let before = bench.partitions();
        let store = ServerStore::open(ServerOptions {
            lock_timeout: Duration::from_secs(1),
            upkeep_every: Duration::from_secs(3_600),
            ..short(&url)
        });
        let store = store.unwrap();
        import(&store, "f", &of_months(10));
        assert_eq!(bench.partitions(), before, "what another one makes is not made beside it");
        assert_eq!(users(&store).len(), 10, "events need no months of their own");
    }
}

#[test]
fn a_long_reader_delays_the_upkeep_and_nothing_else() {
    for bench in Bench::all() {
        let url = bench.url();
        import(&open(&url), "f", &of_months(10));
        let before = bench.partitions();
        let mut long = reader(&bench);
        let store = ServerStore::open(short(&url)).unwrap();
        import(&store, "g", &[event("lies back", "b", now_ms() - 400 * DAY_MS)]);
        store.append_events(&[event("new", "a", now_ms())]).unwrap();
        store.seal().unwrap();
        assert_eq!(bench.partitions(), before, "nothing is dropped under a reader");
        assert_eq!(users(&store).len(), 12);

        long.run("COMMIT").unwrap();
        eventually("months are dropped when the reader has gone", || bench.partitions() < before);
        eventually("what lies among the others goes, too", || {
            !users(&store).contains(&"lies back".to_owned())
        });
        assert!(users(&store).contains(&"new".to_owned()));
    }
}
