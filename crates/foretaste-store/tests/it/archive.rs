//! The archive on real servers: nothing lost, nothing doubled, whatever happens meanwhile.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use foretaste_core::event::content_key;
use foretaste_core::time::DAY_MS;
use foretaste_core::{ErrorKind, Event, EventBatch, EventContext, NoProgress};
use foretaste_store::{
    ArchiveOptions, ArchiveReport, Columns, Record, Row, RowStep, RowStore, ServerOptions,
    ServerStore, Store, load,
};

use tempfile::TempDir;

use crate::bench::{Bench, open};
use crate::events::{event, import, users};

fn today() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64;
    now.div_euclid(DAY_MS) * DAY_MS
}

/// An event so many days ago; the number makes it another one.
fn ago(days: i64, n: i64) -> Event {
    let context = (n % 3 == 0).then(|| EventContext {
        session: Some(format!("s{n}")),
        position: Some((n % 9) as u16),
        ..EventContext::default()
    });
    let time_ms = today() - days * DAY_MS + n * 1_000;
    Event { context, value: n as f32, ..event(&format!("u{}", n % 7), &format!("i{n}"), time_ms) }
}

/// Events of two hundred days, some of them in a month that is long over.
fn history() -> Vec<Event> {
    (0..200).flat_map(|day| (0..5).map(move |n| ago(day, day * 5 + n))).collect()
}

/// A store with that history on each server, and a folder for its archive.
fn filled() -> impl Iterator<Item = (Bench, TempDir, ServerStore)> {
    Bench::all().map(|bench| {
        let store = bench.store();
        store.append_events(&history()).unwrap();
        (bench, tempfile::tempdir().unwrap(), store)
    })
}

/// Everything that is stored, as it is read: the order counts, too.
fn all(store: &ServerStore) -> Vec<(Event, u64)> {
    since(store, i64::MIN)
}

fn since(store: &ServerStore, since_ms: i64) -> Vec<(Event, u64)> {
    let mut found = Vec::new();
    let keep = &mut |batch: EventBatch| {
        found.extend((0..batch.len()).map(|i| (batch.get(i), batch.key[i])));
        Ok(())
    };
    store.read_events_since(since_ms, Columns::All, keep).unwrap();
    found
}

fn options(folder: &Path, delete: bool) -> ArchiveOptions {
    ArchiveOptions { older_than_days: 60, delete, delete_rows: 50, folder: folder.to_owned() }
}

#[track_caller]
fn archive(store: &ServerStore, folder: &Path) -> ArchiveReport {
    store.archive(&options(folder, true), &NoProgress).unwrap()
}

/// Files of segments.
fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    let seat = fs_err::read_dir(folder).unwrap().next().unwrap().unwrap().path();
    let files = fs_err::read_dir(seat).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = files.filter(|f| f.extension().is_some()).collect();
    files.sort();
    files
}

#[test]
fn readers_see_one_table_and_training_the_same_bytes() {
    for bench in Bench::all() {
        let folder = tempfile::tempdir().unwrap();
        let store = bench.store();
        store.append_events(&history()[..400]).unwrap();
        import(&store, "f", &history()[400..]);
        store.append_events(&[event("no time", "a", 0)]).unwrap();
        let (before, partitions) = (all(&store), bench.partitions());
        let trained = load(&store, Columns::All, &NoProgress).unwrap();

        let copied = store.archive(&options(folder.path(), false), &NoProgress).unwrap();
        assert_eq!((copied.copied, copied.deleted), (139 * 5, 0), "{copied:?}");
        assert_eq!((all(&store), bench.count("events")), (before.clone(), 1_001));
        let again = store.archive(&options(folder.path(), false), &NoProgress).unwrap();
        assert_eq!(again.copied, 0, "what is copied is not copied again");

        let moved = archive(&store, folder.path());
        assert_eq!((moved.copied, moved.deleted), (0, 139 * 5), "{moved:?}");
        assert!(moved.months_dropped > 2 && bench.partitions() < partitions, "{moved:?}");
        assert_eq!(bench.count("events"), 1_001 - 139 * 5);
        assert_eq!(all(&store), before);
        let cut = today() - 100 * DAY_MS + 500;
        let young: Vec<_> = before.iter().filter(|(e, _)| e.time_ms >= cut).cloned().collect();
        assert_eq!(since(&store, cut), young);
        let again = load(&store, Columns::All, &NoProgress).unwrap();
        let ids = |batch: &EventBatch| batch.users.iter().map(str::to_owned).collect::<Vec<_>>();
        assert_eq!((ids(&again), &again.key), (ids(&trained), &trained.key), "same numbers of ids");
        assert_eq!(store.counts().unwrap().events, 1_001);

        let status = store.archive_status(true).unwrap();
        assert_eq!((status.events, status.moved), (139 * 5, 139 * 5), "{status:?}");
        let other = open(&bench.last_url());
        assert_eq!(all(&other), before, "another process finds the archive by itself");

        let restored = store.archive_restore(&options(folder.path(), true), &NoProgress).unwrap();
        assert_eq!((restored, bench.count("events")), (139 * 5, 1_001));
        assert_eq!((all(&other), files(folder.path()).len()), (before, 0));
    }
}

#[test]
fn what_was_archived_is_stored_once_however_often_it_is_sent() {
    for (bench, folder, store) in filled() {
        let before = all(&store);
        archive(&store, folder.path());
        let hot = bench.count("events");
        let again = store.append_events(&history()).unwrap();
        assert_eq!((again.accepted, again.duplicates), (0, 1_000));
        // Its key is forgotten, as that of an event that lies a million back is.
        bench.client().run("DELETE FROM foretaste_keys").unwrap();
        store.append_events(&history()[300..]).unwrap();
        import(&store, "f", &history()[..400]);
        assert!(bench.count("events") > hot);
        assert_eq!(all(&store), before, "each event is read once");
        let report = archive(&store, folder.path());
        assert_eq!((report.copied, bench.count("events")), (0, hot), "{report:?}");
        assert_eq!(all(&store), before);
    }
}

#[test]
fn late_events_join_their_month_and_months_become_one_file_again() {
    for bench in Bench::all() {
        let folder = tempfile::tempdir().unwrap();
        let store = bench.store();
        let mut expected = Vec::new();
        for n in 0..12 {
            let late = ago(100, n);
            store.append_events(std::slice::from_ref(&late)).unwrap();
            expected.push(late.item);
            let report = archive(&store, folder.path());
            assert_eq!((report.copied, report.deleted), (1, 1), "{report:?}");
        }
        assert!(files(folder.path()).len() <= 9, "{:?}", files(folder.path()));
        let found: Vec<String> = all(&store).into_iter().map(|(event, _)| event.item).collect();
        assert_eq!(found, expected);
        assert_eq!(store.archive_status(true).unwrap().events, 12);
    }
}

#[test]
fn who_is_erased_is_gone_from_answers_at_once_and_from_files_with_the_next_run() {
    for (_bench, folder, store) in filled() {
        store.archive(&options(folder.path(), false), &NoProgress).unwrap();
        store.delete_user("u1").unwrap();
        // Sent once more after the erasure it counts, and the copy of before does not take it.
        let mine =
            history().into_iter().find(|e| e.user == "u1" && e.time_ms < today() - 70 * DAY_MS);
        let mine = mine.unwrap();
        assert_eq!(store.append_events(std::slice::from_ref(&mine)).unwrap().accepted, 1);
        let of = |user: &str| users(&store).iter().filter(|u| *u == user).count();
        assert_eq!(of("u1"), 1);
        archive(&store, folder.path());
        assert_eq!(of("u1"), 1, "what came after the erasure counts");

        store.delete_user("u2").unwrap();
        let (left, status) = (all(&store), store.archive_status(false).unwrap());
        assert!(left.iter().all(|(event, _)| event.user != "u2"));
        assert_eq!(status.erased, 1);
        let report = archive(&store, folder.path());
        assert!(report.purged > 10, "{report:?}");
        let status = store.archive_status(true).unwrap();
        assert_eq!((status.erased, status.events), (0, status.moved));
        for file in files(folder.path()) {
            let mut names = Vec::new();
            foretaste_lake::parquet::read_events(&file, Columns::NoContext, &mut |batch| {
                names.extend(batch.users.iter().map(str::to_owned));
                Ok(())
            })
            .unwrap();
            assert!(!names.contains(&"u2".to_owned()), "{}", file.display());
        }
        assert_eq!(all(&store), left);
        let old = history().into_iter().find(|event| event.user == "u2").unwrap();
        assert_eq!(store.append_events(&[old]).unwrap().accepted, 1, "it counts again");
        assert_eq!(of("u2"), 1);
    }
}

#[test]
fn an_archived_row_that_changes_or_goes_takes_its_event_along() {
    for bench in Bench::all() {
        let folder = tempfile::tempdir().unwrap();
        let store = bench.store();
        let row = |n: i64, digest: u64, item: &str| {
            let event = Event { item: item.to_owned(), ..ago(100, n) };
            Row { row: n.to_string(), bucket: 1, digest, record: Record::Event(event) }
        };
        let rows = (0..10).map(|n| row(n, 1, "first")).collect();
        store.apply_rows("t", RowStep { rows, ..RowStep::default() }).unwrap();
        assert_eq!(archive(&store, folder.path()).deleted, 10);
        let rows = vec![row(0, 2, "second")];
        let step = RowStep { rows, gone: vec!["1".to_owned()], ..RowStep::default() };
        store.apply_rows("t", step).unwrap();
        let check = || {
            let items: Vec<String> = all(&store).into_iter().map(|(event, _)| event.item).collect();
            assert_eq!(items.iter().filter(|item| *item == "first").count(), 8);
            assert_eq!(items.iter().filter(|item| *item == "second").count(), 1);
        };
        check();
        assert_eq!(archive(&store, folder.path()).purged, 2);
        check();
        assert_eq!(store.archive_status(true).unwrap().events, 9);
    }
}

#[test]
fn retention_drops_what_is_archived_too() {
    for (bench, folder, store) in filled() {
        let url = bench.last_url();
        archive(&store, folder.path());
        let n = files(folder.path()).len();
        let retention_months = Some(3);
        let store =
            ServerStore::open(ServerOptions { url, retention_months, ..Default::default() });
        let store = store.unwrap();
        let oldest = all(&store)[0].0.time_ms;
        assert!(oldest > today() - 130 * DAY_MS && oldest < today() - 60 * DAY_MS, "{oldest}");
        archive(&store, folder.path());
        assert!(files(folder.path()).len() < n, "files go with the next run");
    }
}

#[test]
fn damaged_and_missing_files_are_named_and_nothing_is_deleted() {
    for (bench, folder, store) in filled() {
        store.archive(&options(folder.path(), false), &NoProgress).unwrap();
        let file = files(folder.path()).remove(1);
        let whole = fs_err::read(&file).unwrap();
        let mut damaged = whole.clone();
        let middle = damaged.len() / 2;
        damaged[middle] ^= 1;
        fs_err::write(&file, &damaged).unwrap();
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        let error = store.archive(&options(folder.path(), true), &NoProgress).unwrap_err();
        assert!(error.kind() == ErrorKind::Corrupt && error.to_string().contains(&name), "{error}");
        let error = store.archive_status(true).unwrap_err();
        assert!(error.to_string().contains(&name), "{error}");
        let deleted = 1_000 - bench.count("events");
        assert!(deleted < 139 * 5, "the events of the damaged file are in the table");
        assert_eq!(all(&store).len(), 1_000, "what is damaged has not been needed yet");

        fs_err::write(&file, &whole).unwrap();
        archive(&store, folder.path());
        let before = all(&store);
        let moved = file.with_extension("away");
        fs_err::rename(&file, &moved).unwrap();
        let lost = store.read_events(Columns::All, &mut |_| Ok(())).unwrap_err();
        assert!(lost.kind() == ErrorKind::Corrupt && lost.to_string().contains(&name), "{lost}");
        fs_err::rename(&moved, &file).unwrap();

        let elsewhere = tempfile::tempdir().unwrap();
        let seat = file.parent().unwrap();
        let id = seat.file_name().unwrap();
        fs_err::rename(seat, elsewhere.path().join(id)).unwrap();
        let away = store.read_events(Columns::All, &mut |_| Ok(())).unwrap_err();
        assert_eq!(away.kind(), ErrorKind::Unavailable);
        assert!(away.to_string().contains("archive.folder"), "{away}");
        let away = store.archive(&options(folder.path(), true), &NoProgress).unwrap_err();
        assert_eq!(away.kind(), ErrorKind::Unavailable, "{away}");
        let young = store.read_events_since(today(), Columns::All, &mut |_| Ok(()));
        young.expect("what is young is not in the archive");

        let options = ServerOptions {
            url: bench.last_url(),
            archive: Some(elsewhere.path().to_owned()),
            ..ServerOptions::default()
        };
        let there = ServerStore::open(options).unwrap();
        assert_eq!(all(&there), before);
        archive(&there, folder.path());
        assert_eq!(all(&store), before, "the others hear where it is now");
    }
}

#[test]
fn of_two_runs_one_waits_or_gives_up() {
    for (bench, folder, store) in filled() {
        let url = bench.last_url();
        let before = all(&store);
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| archive(&open(&url), folder.path()));
            }
        });
        assert_eq!(all(&store), before);
        let status = store.archive_status(true).unwrap();
        assert_eq!((status.events, status.moved), (139 * 5, 139 * 5));
    }
}

#[test]
fn a_run_that_was_overtaken_ends() {
    for (bench, folder, store) in filled() {
        let url = bench.last_url();
        let before = all(&store);
        let ended = std::thread::scope(|scope| {
            let options = ArchiveOptions { delete_rows: 1, ..options(folder.path(), true) };
            let run = scope.spawn(move || open(&url).archive(&options, &NoProgress));
            while bench.count("events") == 1_000 {
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
            let next = "UPDATE foretaste_meta SET value = value + 1 WHERE name = 'archive'";
            bench.client().run(next).unwrap();
            run.join().unwrap()
        });
        assert_eq!(ended.unwrap_err().kind(), ErrorKind::Conflict);
        assert_eq!(all(&store), before);
        archive(&store, folder.path());
        assert_eq!((all(&store), bench.count("events")), (before, 1_000 - 139 * 5));
    }
}

#[test]
fn too_few_connections_are_refused_before_anything_begins() {
    for bench in Bench::all() {
        let folder = tempfile::tempdir().unwrap();
        let options = ServerOptions { url: bench.url(), connections: 2, ..Default::default() };
        let store = ServerStore::open(options).unwrap();
        let error = store.archive(&ArchiveOptions::new(folder.path()), &NoProgress).unwrap_err();
        assert!(error.to_string().contains("store.connections"), "{error}");
        assert_eq!(store.archive_status(true).unwrap().id, None);
        let plan = store.archive_plan(90).unwrap();
        assert!(plan.is_empty(), "nothing was archived, and nothing is to be: {plan:?}");
    }
}

#[test]
fn events_move_under_writers_and_readers() {
    for (bench, folder, store) in filled() {
        let url = bench.last_url();
        let over = AtomicBool::new(false);
        let (late, reads) = std::thread::scope(|scope| {
            let writer = scope.spawn(|| {
                let other = open(&url);
                let mut late = Vec::new();
                for n in 0.. {
                    let event = ago(61 + n % 130, 5_000 + n);
                    other.append_events(std::slice::from_ref(&event)).unwrap();
                    late.push(event.item);
                    if n % 10 == 0 {
                        other.seal().unwrap();
                    }
                    if over.load(Ordering::Relaxed) {
                        return late;
                    }
                }
                late
            });
            let reader = scope.spawn(|| {
                let other = open(&url);
                let mut reads = 0;
                while !over.load(Ordering::Relaxed) {
                    let mut items: Vec<_> = all(&other).into_iter().map(|(e, _)| e.item).collect();
                    items.sort();
                    let n = items.len();
                    items.dedup();
                    assert_eq!(items.len(), n, "an event was read twice");
                    let first = items.iter().filter(|i| i[1..].parse::<i64>().unwrap() < 5_000);
                    assert_eq!(first.count(), 1_000, "an event was not read");
                    reads += 1;
                }
                reads
            });
            for _ in 0..3 {
                archive(&store, folder.path());
            }
            over.store(true, Ordering::Relaxed);
            (writer.join().unwrap(), reader.join().unwrap())
        });
        archive(&store, folder.path());
        let mut expected: Vec<_> = history().into_iter().map(|event| event.item).collect();
        expected.extend(late);
        expected.sort();
        let mut found: Vec<_> = all(&store).into_iter().map(|(event, _)| event.item).collect();
        found.sort();
        assert!(found == expected && reads > 1, "{} of {}", found.len(), expected.len());
        assert_eq!(store.archive_status(true).unwrap().events as usize, expected.len() - 305);
    }
}

#[test]
fn keys_of_archived_events_are_those_of_their_content() {
    for bench in Bench::all() {
        let folder = tempfile::tempdir().unwrap();
        let store = bench.store();
        let named = Event { event_id: Some("named".to_owned()), ..ago(90, 1) };
        store.append_events(&[named.clone(), ago(90, 2)]).unwrap();
        archive(&store, folder.path());
        let plain = ago(90, 2);
        let key = content_key(&plain.user, &plain.item, "view", plain.value, plain.time_ms);
        let keys: Vec<u64> = all(&store).into_iter().map(|(_, key)| key).collect();
        assert_eq!(keys, [named.key(), key]);
    }
}
