//! Imports into a server beside those who write, and beside each other.

use std::thread::sleep;
use std::time::Duration;

use foretaste_core::{ErrorKind, Event, Item, Result};
use foretaste_store::{ServerOptions, ServerStore, Store};

use crate::bench::Bench;
use crate::events::{batch, event, source, users};
use crate::servers::{Client, Kind};

fn impatient(url: &str) -> ServerStore {
    let lock_timeout = Duration::from_secs(1);
    ServerStore::open(ServerOptions { url: url.to_owned(), lock_timeout, ..Default::default() })
        .unwrap()
}

/// Holds up whoever stores this event.
fn hold(bench: &Bench, event: &Event) -> Client {
    let mut client = bench.client();
    client.run("BEGIN").unwrap();
    client.run(&insertion(event)).unwrap();
    client
}

fn insertion(event: &Event) -> String {
    let Event { user, item, kind, time_ms, .. } = event;
    format!(
        "INSERT INTO foretaste_events (time_ms, event_key, user_id, item_id, kind, value) \
         VALUES ({time_ms}, {}, '{user}', '{item}', '{kind}', 1)",
        event.key() as i64
    )
}

/// Waits until so many transactions wait for a lock.
fn until_waiting(bench: &Bench, n: usize) {
    let sql = match bench.server.kind {
        Kind::Postgres => {
            "SELECT CAST(count(*) AS text) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        }
        Kind::MariaDb => {
            "SELECT CAST(count(*) AS char(9)) FROM information_schema.innodb_trx \
             WHERE trx_state = 'LOCK WAIT'"
        }
    };
    let mut client = bench.client();
    for _ in 0..600 {
        if client.texts(sql)[0][0].trim().parse::<usize>().unwrap() >= n {
            return;
        }
        sleep(Duration::from_millis(100));
    }
    panic!("no {n} transactions wait");
}

/// What an import of the events came to.
fn imported(store: &ServerStore, name: &str, events: &[Event]) -> Result<()> {
    let mut bulk = store.bulk(&source(name))?;
    bulk.write(&batch(events))?;
    bulk.commit().map(|_| ())
}

#[test]
fn events_are_stored_while_an_import_is_made_visible() {
    for bench in Bench::all() {
        let store = impatient(&bench.url());
        let events: Vec<Event> = (0..50).map(|i| event(&format!("{i}"), "a", 1 + i)).collect();
        let mut holder = hold(&bench, &events[30]);
        std::thread::scope(|scope| {
            let import = scope.spawn(|| imported(&store, "f", &events));
            until_waiting(&bench, 1);
            for i in 0..5 {
                store.append_events(&[event("own", "b", 100 + i)]).unwrap();
            }
            let item = Item { item_id: "a".into(), ..Item::default() };
            store.put_items(&[item]).unwrap();
            let mut heard = Vec::new();
            let last = store.news(0, &mut |seq, event| {
                heard.push((seq, event.user));
                Ok(())
            });
            assert_eq!(last.unwrap(), Some(5));
            assert_eq!(heard, (1..=5).map(|seq| (seq, "own".to_owned())).collect::<Vec<_>>());
            assert_eq!(users(&store).len(), 5, "nothing of the import is visible yet");
            // Longer than a statement of others would wait.
            sleep(Duration::from_millis(1_500));
            holder.run("ROLLBACK").unwrap();
            import.join().unwrap().unwrap();
        });
        assert_eq!(users(&store).len(), 55);
        assert_eq!((bench.count("staged"), bench.count("imports")), (0, 0));
    }
}

#[test]
fn an_import_that_waits_in_a_circle_is_made_visible_all_the_same() {
    for bench in Bench::all() {
        let store = impatient(&bench.url());
        let events: Vec<Event> = (0..50).map(|i| event(&format!("{i}"), "a", 1 + i)).collect();
        let mut holder = hold(&bench, &events[30]);
        std::thread::scope(|scope| {
            let import = scope.spawn(|| imported(&store, "f", &events));
            until_waiting(&bench, 1);
            // One of the two is broken off, whichever the server chooses.
            let _ = holder.run(&insertion(&events[0]));
            let _ = holder.run("ROLLBACK");
            import.join().unwrap().unwrap();
        });
        assert_eq!(users(&store).len(), 50);
    }
}

#[test]
fn of_two_imports_of_one_source_one_wins() {
    for bench in Bench::all() {
        let url = bench.url();
        let stores = [impatient(&url), impatient(&url)];
        let events: Vec<Event> = (0..50).map(|i| event(&format!("{i}"), "a", 1 + i)).collect();
        let (mut holder, events) = (hold(&bench, &events[30]), &events);
        let mut ends = std::thread::scope(|scope| {
            let import = |store| scope.spawn(move || imported(store, "f", events));
            let imports = [import(&stores[0]), import(&stores[1])];
            until_waiting(&bench, 2);
            sleep(Duration::from_millis(1_500));
            holder.run("ROLLBACK").unwrap();
            imports.map(|import| import.join().unwrap())
        });
        ends.sort_by_key(Result::is_err);
        let [won, lost] = ends;
        won.unwrap();
        let lost = lost.unwrap_err();
        assert_eq!(lost.kind(), ErrorKind::Conflict, "{lost}");
        assert!(lost.to_string().contains("imported before"), "{lost}");
        assert_eq!(users(&stores[0]).len(), 50);
        assert_eq!((bench.count("staged"), bench.count("imports")), (0, 0));
    }
}

#[test]
fn long_records_are_stored_many_at_once() {
    let long = |id: &str| -> String { id.chars().cycle().take(16 << 10).collect() };
    for bench in Bench::all() {
        let store = bench.store();
        let items: Vec<Item> = (0..2_000)
            .map(|i| {
                let item_id = format!("{i:04}");
                Item { description: long(&item_id), item_id, ..Item::default() }
            })
            .collect();
        store.put_items(&items).unwrap();
        let mut read = 0;
        let check = &mut |item: Item| {
            assert_eq!(item, items[read]);
            read += 1;
            Ok(())
        };
        store.items(check).unwrap();
        assert_eq!(read, items.len());
    }
}

#[test]
fn an_import_that_was_given_up_says_so_and_leaves_nothing() {
    for bench in Bench::all() {
        let store = bench.store();
        let mut old = store.bulk(&source("old")).unwrap();
        old.write(&batch(&[event("u", "a", 1)])).unwrap();
        bench.client().run("UPDATE foretaste_imports SET begun_ms = 0").unwrap();
        imported(&store, "new", &[event("v", "a", 2)]).unwrap();
        assert_eq!((bench.count("staged"), bench.count("imports")), (0, 0));
        let error = old.commit().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
        assert_eq!(users(&store), ["v"]);
        assert!(!store.has_source("old").unwrap());
    }
}
