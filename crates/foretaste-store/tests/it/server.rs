//! Stores on real servers: the suite that all stores pass, and what only a server has.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use foretaste_core::{ErrorKind, Event};
use foretaste_store::{ServerOptions, ServerStore, Store};

use crate::bench::{Bench, open};
use crate::conformance;
use crate::events::{batch, event, import, source, users};
use crate::servers::Kind;

#[test]
fn stores_on_servers_conform() {
    for bench in Bench::all() {
        conformance::run(&mut || Box::new(bench.store()));
    }
}

#[test]
fn stores_of_rows_on_servers_conform() {
    for bench in Bench::all() {
        conformance::run_rows(&mut || Box::new(bench.store()));
    }
}

#[test]
fn eight_writers_of_two_processes_store_each_event_once() {
    const EACH: usize = 30;
    for bench in Bench::all() {
        let url = bench.url();
        let stores = [open(&url), open(&url)];
        std::thread::scope(|scope| {
            for writer in 0..8 {
                let store = &stores[writer % 2];
                scope.spawn(move || {
                    for i in 0..EACH {
                        let own = event(&format!("own {writer}"), &i.to_string(), 5);
                        let shared = event("all", &i.to_string(), 5);
                        store.append_events(&[own, shared]).unwrap();
                    }
                });
            }
        });
        let mut numbers = Vec::new();
        let last = stores[0].tail(0, &mut |seq, _| {
            numbers.push(seq);
            Ok(())
        });
        assert_eq!(numbers, (1..=9 * EACH as u64).collect::<Vec<_>>());
        assert_eq!(last.unwrap(), 9 * EACH as u64);
        assert_eq!(users(&stores[1]), users(&stores[0]));
        assert_eq!(users(&stores[1]).len(), 9 * EACH);
    }
}

#[test]
fn what_was_acknowledged_outlives_a_killed_server() {
    for mut bench in Bench::all() {
        let kind = bench.server.kind;
        let url = bench.url();
        let options = ServerOptions {
            url: url.clone(),
            acquire_timeout: Duration::from_secs(2),
            ..ServerOptions::default()
        };
        let store = ServerStore::open(options).unwrap();
        let over = AtomicBool::new(false);
        let acknowledged = std::thread::scope(|scope| {
            let writer = scope.spawn(|| {
                let mut done = Vec::new();
                for n in 0.. {
                    let user = format!("u{n:05}");
                    match store.append_events(&[event(&user, "a", 1)]) {
                        Ok(_) => done.push(user),
                        Err(e) => assert!(e.kind().is_retryable(), "{e}"),
                    }
                    if over.load(Ordering::Relaxed) {
                        break;
                    }
                }
                done
            });
            std::thread::sleep(Duration::from_millis(400));
            bench.server.kill();
            bench.server.restart();
            std::thread::sleep(Duration::from_millis(400));
            over.store(true, Ordering::Relaxed);
            writer.join().unwrap()
        });
        let stored = users(&store);
        assert!(acknowledged.len() > 2, "{kind:?}: {}", acknowledged.len());
        let lost = acknowledged.iter().find(|user| stored.binary_search(user).is_err());
        assert_eq!(lost, None, "{kind:?}");
        let again = event(&acknowledged[0], "a", 1);
        assert_eq!(store.append_events(&[again]).unwrap().duplicates, 1, "it is known still");
    }
}

#[test]
fn an_import_that_is_cut_off_leaves_nothing() {
    for bench in Bench::all() {
        let store = bench.store();
        let mut bulk = store.bulk(&source("f")).unwrap();
        bulk.write(&batch(&[event("u", "a", 1)])).unwrap();
        drop(bulk);
        for table in ["staged", "imports", "events"] {
            assert_eq!(bench.count(table), 0, "{table}");
        }
        import(&store, "f", &[event("u", "a", 1)]);
        assert_eq!(users(&store), ["u"]);
    }
}

#[test]
fn months_are_made_ahead_and_dropped_when_they_are_too_old() {
    const MONTH: i64 = 31 * 86_400_000;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64;
    for bench in Bench::all() {
        let url = bench.url();
        let store = open(&url);
        let first = bench.partitions();
        let months: Vec<Event> =
            (0..10).map(|i| event(&format!("{i}"), "a", now - i * MONTH)).collect();
        let odd = [event("none", "a", 0), event("old", "a", 5_000), event("late", "a", i64::MAX)];
        import(&store, "f", &[&months[..], &odd].concat());
        assert!(bench.partitions() >= first + 7, "months that lie back get partitions, too");
        store.append_events(&[event("second old", "a", 6_000)]).unwrap();
        assert_eq!(users(&store).len(), 14);
        drop(store);

        let options = ServerOptions { url, retention_months: Some(3), ..ServerOptions::default() };
        let before = bench.partitions();
        let store = ServerStore::open(options).unwrap();
        let kept = users(&store);
        assert!(bench.partitions() < before);
        for gone in ["old", "second old", "5", "6", "9"] {
            assert!(!kept.contains(&gone.to_owned()), "{gone} of {kept:?}");
        }
        for stays in ["none", "late", "0", "1", "2"] {
            assert!(kept.contains(&stays.to_owned()), "{stays} of {kept:?}");
        }
        store.append_events(&[event("new", "a", now)]).unwrap();
        assert_eq!(users(&store).len(), kept.len() + 1);
    }
}

#[test]
fn the_length_of_the_log_is_known_without_a_look_at_events() {
    for bench in Bench::all() {
        let store = bench.store();
        store.append_events(&[event("u", "a", 1), event("u", "b", 2)]).unwrap();
        let mut client = bench.client();
        client
            .run(match bench.server.kind {
                Kind::Postgres => "BEGIN; LOCK TABLE foretaste_events IN ACCESS EXCLUSIVE MODE",
                Kind::MariaDb => "LOCK TABLES foretaste_events WRITE",
            })
            .unwrap();
        assert_eq!(store.log_events().unwrap(), 2);
        drop(client);
        store.seal().unwrap();
        assert_eq!(store.log_events().unwrap(), 0);
    }
}

#[test]
fn an_erased_event_that_is_sent_once_more_counts_again() {
    for bench in Bench::all() {
        let store = bench.store();
        store.append_events(&[event("u", "a", 1)]).unwrap();
        store.delete_user("u").unwrap();
        assert_eq!(store.append_events(&[event("u", "a", 1)]).unwrap().accepted, 1);
        assert_eq!(users(&store), ["u"]);
    }
}

#[test]
fn wrong_addresses_say_what_is_wrong() {
    let refused = |url: &str| {
        let acquire_timeout = Duration::from_secs(2);
        let options = ServerOptions { url: url.to_owned(), acquire_timeout, ..Default::default() };
        let error = ServerStore::open(options).unwrap_err();
        assert!(!error.to_string().contains("secret"), "{error}");
        error.kind()
    };
    assert_eq!(refused("sqlite://x"), ErrorKind::Config);
    assert_eq!(refused("postgres://u:secret@127.0.0.1:1/x"), ErrorKind::Unavailable);
    assert_eq!(refused("mysql://u:secret@127.0.0.1:1/x"), ErrorKind::Unavailable);
    for bench in Bench::all() {
        let (server, _) = bench.server.url.rsplit_once('/').unwrap();
        assert_eq!(refused(&format!("{server}/nowhere")), ErrorKind::Config);
        let store = bench.store();
        bench.client().run("UPDATE foretaste_meta SET value = 99 WHERE name = 'version'").unwrap();
        drop(store);
        assert_eq!(refused(&bench.last_url()), ErrorKind::Unsupported);
    }
}
