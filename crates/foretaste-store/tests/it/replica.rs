//! Long reads on real replicas: whole whatever state those are in.

use std::time::{Duration, Instant};

use foretaste_core::{Error, ErrorKind, Item};
use foretaste_store::{ServerOptions, ServerStore, Store};

use crate::bench::Bench;
use crate::conformance;
use crate::events::{event, users};
use crate::servers::{Client, Kind, Server};

/// A server with a replica.
struct Pair {
    bench: Bench,
    replica: Server,
}

impl Pair {
    fn all() -> impl Iterator<Item = Self> {
        Bench::all().map(|bench| Self { replica: bench.server.replica(), bench })
    }

    /// A store in a new database; `max_lag_s` is its patience with the replica.
    fn store(&self, max_lag_s: u64) -> ServerStore {
        let url = self.bench.url();
        let store = ServerStore::open(ServerOptions {
            replica_url: Some(self.url_there()),
            replica_max_lag: Duration::from_secs(max_lag_s),
            url,
            ..ServerOptions::default()
        });
        self.wait_for_tables();
        store.unwrap()
    }

    /// Waits until the replica has the last database that was made: before, it refuses connections.
    fn wait_for_tables(&self) {
        let (url, begun) = (self.url_there(), Instant::now());
        let look = |mut client: Client| client.run("SELECT 1 FROM foretaste_control");
        while let Err(error) = Client::connect(&url).and_then(look) {
            assert!(begun.elapsed() < Duration::from_secs(300), "{error}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The last database that was made, on the replica.
    fn url_there(&self) -> String {
        let url = self.bench.last_url();
        let (_, name) = url.rsplit_once('/').unwrap();
        let (replica, _) = self.replica.url.rsplit_once('/').unwrap();
        format!("{replica}/{name}")
    }

    /// Statements that the replica was asked, as far as it tells.
    fn asked(&self) -> String {
        let sql = match self.replica.kind {
            // The last one of each connection.
            Kind::Postgres => {
                "SELECT query FROM pg_stat_activity \
                 WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
            }
            Kind::MariaDb => "SELECT CAST(argument AS char) FROM mysql.general_log",
        };
        self.replica.client().texts(sql).concat().join("\n")
    }
}

fn reads(store: &ServerStore, reason: &str) -> u64 {
    let reads = store.reads().unwrap().reads;
    reads.iter().find(|(_, name, _)| *name == reason).unwrap().2
}

/// What was committed before a read began is in it, whichever server it goes to.
#[test]
fn stores_with_a_replica_conform() {
    for pair in Pair::all() {
        conformance::run(&mut || Box::new(pair.store(60)));
    }
}

#[test]
fn a_replica_that_keeps_up_is_asked() {
    for pair in Pair::all() {
        let store = pair.store(60);
        if pair.replica.kind == Kind::MariaDb {
            pair.replica.run("SET GLOBAL log_output = 'TABLE', GLOBAL general_log = 1");
        }
        store.append_events(&[event("u", "a", 1)]).unwrap();
        assert_eq!(users(&store), ["u"]);
        let read = match pair.replica.kind {
            // Of a connection it tells the last statement, which ends the reading.
            Kind::Postgres => "COMMIT",
            Kind::MariaDb => "FROM foretaste_events WHERE",
        };
        assert!(pair.asked().contains(read), "{}", pair.asked());
        assert_eq!((reads(&store, "fresh"), reads(&store, "behind")), (1, 0));
        let there = store.pools().into_iter().find(|pool| pool.server == "replica").unwrap();
        assert_eq!(there.made, 1, "{there:?}");
        // What has to see the newest is not asked there.
        store.item("a").unwrap();
        store.news(0, &mut |_, _| Ok(())).unwrap();
        store.tail(0, &mut |_, _| Ok(())).unwrap();
        store.control("x").unwrap();
        assert_eq!(reads(&store, "fresh"), 1);
        let marks = "SELECT name FROM foretaste_control";
        assert!(pair.bench.client().texts(marks).is_empty(), "no mark is left");
    }
}

#[test]
fn one_that_is_behind_is_left_alone_and_the_answer_is_whole() {
    for pair in Pair::all() {
        let store = pair.store(1);
        store.append_events(&[event("u", "a", 1)]).unwrap();
        pair.replica.hold();
        store.append_events(&[event("v", "a", 2)]).unwrap();
        assert_eq!(users(&store), ["u", "v"]);
        assert_eq!(store.counts().unwrap().events, 2);
        assert_eq!((reads(&store, "behind"), reads(&store, "paused")), (1, 1));
        assert_eq!(reads(&store, "fresh"), 0);
        pair.replica.release();
    }
}

#[test]
fn one_that_is_dead_costs_no_error() {
    for mut pair in Pair::all() {
        let store = pair.store(1);
        store.append_events(&[event("u", "a", 1)]).unwrap();
        pair.replica.kill();
        assert_eq!(users(&store), ["u"]);
        assert_eq!((reads(&store, "away"), reads(&store, "fresh")), (1, 0));
    }
}

/// A store of `all`, and what a read of it says whose replica dies in the middle. On a busy machine a
/// replica may not be asked at all, being too slow to answer; then another store asks it.
fn broken_off(pair: &mut Pair, all: &[Item]) -> (ServerStore, Error) {
    for _ in 0..5 {
        let store = pair.store(60);
        store.put_items(all).unwrap();
        let read = store.items(&mut |_| {
            if reads(&store, "fresh") > 0 {
                pair.replica.kill();
            }
            Ok(())
        });
        match read {
            Err(error) => return (store, error),
            Ok(()) => assert_eq!(reads(&store, "fresh"), 0, "the replica died in the middle"),
        }
        println!("the replica was not asked: {:?}", store.reads());
    }
    panic!("the replica was asked none of five times");
}

#[test]
fn one_that_dies_in_the_middle_ends_the_read_and_the_next_one_is_whole() {
    for mut pair in Pair::all() {
        // Far more than fits between a server and its client.
        let text = "x".repeat(16 << 10);
        let item = |i| Item {
            item_id: format!("{i}"),
            title: text.clone(),
            description: text.clone(),
            ..Item::default()
        };
        let all: Vec<Item> = (0..1_500).map(item).collect();
        let (store, error) = broken_off(&mut pair, &all);
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(error.to_string().contains("replica broke off a read"), "{error}");
        assert_eq!(store.reads().unwrap().broken_off(), 1);
        let mut n = 0;
        let count = &mut |_| {
            n += 1;
            Ok(())
        };
        store.items(count).unwrap();
        assert_eq!(n, all.len());
        assert_eq!(reads(&store, "paused"), 1);
    }
}

#[test]
fn who_looks_at_rows_may_wait_and_fail() {
    for pair in Pair::all() {
        let store = pair.store(60);
        let items = ["a", "b"].map(|id| Item { item_id: id.into(), ..Item::default() });
        store.put_items(&items).unwrap();
        let mut seen = Vec::new();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        store
            .items(&mut |item| {
                seen.extend(store.item(&item.item_id)?);
                runtime.block_on(async { Ok(()) })
            })
            .unwrap();
        assert_eq!(seen, items);
        let stopped = store.items(&mut |_| Err(Error::internal("enough")));
        assert_eq!(stopped.unwrap_err().kind(), ErrorKind::Internal);
        assert_eq!(store.reads().unwrap().broken_off(), 0);
        assert_eq!(reads(&store, "fresh"), 2);
    }
}

#[test]
fn a_replica_of_another_kind_is_refused() {
    for bench in Bench::all() {
        let other = match bench.server.kind {
            Kind::Postgres => "mysql://x@127.0.0.1/x",
            Kind::MariaDb => "postgres://x@127.0.0.1/x",
        };
        let replica_url = Some(other.to_owned());
        let options = ServerOptions { url: bench.url(), replica_url, ..Default::default() };
        assert_eq!(ServerStore::open(options).unwrap_err().kind(), ErrorKind::Config);
    }
}
