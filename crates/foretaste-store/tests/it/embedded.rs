//! What only a store on disk has: reopening, readers beside a writer, locks, damage.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use foretaste_core::{ErrorKind, Item, NoProgress, User};
use foretaste_store::{Columns, EmbeddedOptions, EmbeddedStore, MemoryStore, Store, load};

use crate::events::{event, import, items};

fn open(dir: &Path) -> EmbeddedStore {
    EmbeddedStore::open(dir, EmbeddedOptions::default()).unwrap()
}

#[test]
fn everything_is_there_after_reopening() {
    let dir = tempfile::tempdir().unwrap();
    {
        let store = open(dir.path());
        import(&store, "file", &[event("u", "a", 1), event("gone", "x", 1)]);
        store.append_events(&[event("u", "b", 2), event("gone", "y", 2)]).unwrap();
        store.seal().unwrap();
        store.append_events(&[event("u", "c", 3), event("gone", "z", 3)]).unwrap();
        store.put_items(&[Item { item_id: "a".into(), ..Item::default() }]).unwrap();
        store.put_users(&[User { user_id: "u".into(), ..User::default() }]).unwrap();
        store.set_hidden("b", true).unwrap();
        store.delete_user("gone").unwrap();
    }
    let store = open(dir.path());
    assert_eq!(items(&store), ["a", "b", "c"]);
    assert_eq!(store.hidden().unwrap(), ["b"]);
    assert!(store.item("a").unwrap().is_some() && store.user("u").unwrap().is_some());
    assert!(store.has_source("file").unwrap());
    let again = store.append_events(&[event("u", "c", 3), event("u", "d", 4)]).unwrap();
    assert_eq!((again.accepted, again.duplicates, again.last_seq), (1, 1, 5));
    store.seal().unwrap();
    drop(store);
    let store = open(dir.path());
    assert_eq!(store.append_events(&[event("u", "e", 5)]).unwrap().last_seq, 6);
    assert_eq!(items(&store), ["a", "b", "c", "d", "e"]);
}

#[test]
fn erased_events_leave_the_disk_at_sealing() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    import(&store, "file", &[event("secret-person", "a", 1), event("u", "a", 1)]);
    store.append_events(&[event("secret-person", "b", 2), event("u", "b", 2)]).unwrap();
    store.delete_user("secret-person").unwrap();
    store.seal().unwrap();
    assert_eq!(items(&store), ["a", "b"]);
    let mut folders = vec![dir.path().join("events")];
    while let Some(folder) = folders.pop() {
        for entry in fs_err::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let bytes = fs_err::read(&path).unwrap();
            let found = bytes.windows(13).any(|window| window == b"secret-person");
            assert!(!found, "{} still names the user", path.display());
        }
    }
}

#[test]
fn one_process_writes_and_others_read() {
    let dir = tempfile::tempdir().unwrap();
    let missing = EmbeddedStore::open_reader(dir.path()).unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NotFound);
    let writer = open(dir.path());
    let refused = EmbeddedStore::open(dir.path(), EmbeddedOptions::default()).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Conflict);
    assert!(refused.to_string().contains(&format!("process {}", std::process::id())), "{refused}");
    writer.append_events(&[event("u", "a", 1)]).unwrap();
    let reader = EmbeddedStore::open_reader(dir.path()).unwrap();
    assert_eq!(items(&reader), ["a"]);
    writer.append_events(&[event("u", "b", 2), event("v", "b", 2)]).unwrap();
    writer.delete_user("v").unwrap();
    assert_eq!(items(&reader), ["a", "b"], "a reader sees what has happened since");
    writer.seal().unwrap();
    writer.append_events(&[event("u", "c", 3)]).unwrap();
    writer.set_hidden("a", true).unwrap();
    assert_eq!((items(&reader).len(), reader.hidden().unwrap()), (3, vec!["a".to_owned()]));
    assert_eq!(reader.counts().unwrap().log_events, 1);
    let tail = reader.tail(0, &mut |_, e| {
        assert_eq!(e.item, "c");
        Ok(())
    });
    assert_eq!(tail.unwrap(), 4);
    let refused = reader.append_events(&[event("u", "d", 4)]).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Conflict);
    assert_eq!(reader.put_items(&[]).unwrap_err().kind(), ErrorKind::Conflict);
    drop(writer);
    open(dir.path());
}

#[test]
fn readers_always_see_every_event_while_segments_move() {
    let dir = tempfile::tempdir().unwrap();
    let options = EmbeddedOptions { log_file_bytes: 400, ..EmbeddedOptions::default() };
    let writer = EmbeddedStore::open(dir.path(), options).unwrap();
    writer.append_events(&[event("u", "000", 0)]).unwrap();
    let done = AtomicUsize::new(1);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for i in 1..100 {
                writer.append_events(&[event("u", &format!("{i:03}"), i)]).unwrap();
                done.store(i as usize + 1, Ordering::SeqCst);
                if i % 5 == 0 {
                    writer.seal().unwrap();
                }
            }
        });
        let reader = EmbeddedStore::open_reader(dir.path()).unwrap();
        while done.load(Ordering::SeqCst) < 100 {
            for store in [&reader, &writer] {
                let before = done.load(Ordering::SeqCst);
                let seen = items(store);
                assert!(seen.len() >= before && seen.windows(2).all(|w| w[0] < w[1]), "{seen:?}");
            }
        }
    });
}

/// Ends the loop of another thread, also when this one panics.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[test]
fn a_user_who_comes_back_while_the_log_is_sealed_is_not_erased_again() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let _stop = Stop(&done);
        scope.spawn(|| {
            while !done.load(Ordering::SeqCst) {
                store.seal().unwrap();
            }
        });
        let check = |i: i64| {
            let (old, new) = (format!("old{i}"), format!("new{i}"));
            store.append_events(&[event("u", &old, i)]).unwrap();
            store.delete_user("u").unwrap();
            store.append_events(&[event("u", &new, i)]).unwrap();
            (0..3).all(|_| items(&store) == [new.clone()])
        };
        let wrong: Vec<i64> = (0..15).filter(|&i| !check(i)).collect();
        assert!(wrong.is_empty(), "rounds {wrong:?}");
    });
}

#[test]
fn a_damaged_segment_is_named() {
    let dir = tempfile::tempdir().unwrap();
    import(&open(dir.path()), "file", &[event("u", "a", 1)]);
    let segment = dir.path().join("events/lake/00000001.parquet");
    let mut bytes = fs_err::read(&segment).unwrap();
    bytes[40] ^= 1;
    fs_err::write(&segment, bytes).unwrap();
    let store = open(dir.path());
    for error in
        [store.read_events(Columns::All, &mut |_| Ok(())).unwrap_err(), store.verify().unwrap_err()]
    {
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        assert!(error.to_string().contains("00000001.parquet"), "{error}");
    }
}

#[test]
fn loading_gives_the_same_from_memory_and_disk() {
    let dir = tempfile::tempdir().unwrap();
    let (disk, memory) = (open(dir.path()), MemoryStore::new());
    for store in [&disk as &dyn Store, &memory] {
        let of = |i: i64| event(&format!("u{}", i * 7 % 13), &format!("i{}", i % 11), i * 37 % 50);
        import(store, "a", &(0..200).map(of).collect::<Vec<_>>());
        store.append_events(&(100..300).map(of).collect::<Vec<_>>()).unwrap();
        store.seal().unwrap();
        store.append_events(&(250..400).map(of).collect::<Vec<_>>()).unwrap();
    }
    let rows = |store: &dyn Store| {
        let batch = load(store, Columns::NoContext, &NoProgress).unwrap();
        let key = |i: usize| (batch.user[i], batch.time_ms[i], batch.key[i]);
        assert!((1..batch.len()).all(|i| key(i - 1) < key(i)), "sorted, and no key twice");
        (0..batch.len()).map(|i| format!("{:?}", batch.get(i))).collect::<Vec<_>>()
    };
    assert_eq!(rows(&disk), rows(&memory));
}
