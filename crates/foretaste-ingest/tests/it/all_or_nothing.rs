//! An import is seen as a whole or not at all, and only once.

use foretaste_core::{ErrorKind, EventBatch, NoProgress, Progress};
use foretaste_ingest::{Entity, ImportRequest, import};
use foretaste_store::{EmbeddedOptions, EmbeddedStore, Source, Store};

use crate::Bench;

fn csv(good: usize, bad: usize) -> String {
    let mut text = String::from("user,item,value\n");
    for i in 0..good + bad {
        let value = if i < good { "1" } else { "bad" };
        text.push_str(&format!("u{i},x{},{value}\n", i % 10));
    }
    text
}

#[test]
fn more_bad_rows_than_the_limit_leave_the_store_as_it_was() {
    let bench = Bench::new();
    bench.import_text("first.csv", "user,item\na,x\n");
    let error = bench.import(&bench.file("bad.csv", csv(3_000, 40))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    let text = error.to_string();
    assert!(
        text.contains("bad_number") && text.contains("quarantine") && text.contains("1%"),
        "{text}"
    );
    assert_eq!(bench.short(), ["a x interaction 1 0"]);
    let files: Vec<_> = fs_err::read_dir(bench.dir.path().join("quarantine")).unwrap().collect();
    assert_eq!(files.len(), 1, "the rejected rows stay for people to look at");
}

#[test]
fn the_limit_needs_a_thousand_rows_and_can_be_moved() {
    let few = Bench::new();
    assert_eq!(few.import_text("e.csv", csv(90, 10)).accepted(Entity::Events), 90);
    let many = Bench::new();
    let path = many.file("e.csv", csv(3_000, 40));
    let request = ImportRequest { max_bad_share: 0.05, ..many.request(&path) };
    let report = import(&many.store, &request, &NoProgress).unwrap();
    assert_eq!((report.accepted(Entity::Events), report.n_bad()), (3_000, 40));
    let none_good = Bench::new();
    assert!(none_good.import(&none_good.file("e.csv", csv(0, 5))).is_err());
}

#[test]
fn bad_items_beside_good_events_leave_the_store_as_it_was() {
    let bench = Bench::new();
    let items: String = (0..2_000).map(|i| format!("{i}\n")).collect();
    bench.file("ml/movies.dat", items);
    bench.file("ml/ratings.dat", "1::2::3::978300019\n");
    assert!(bench.import(&bench.dir.path().join("ml")).is_err());
    assert!(bench.events().is_empty() && bench.items().is_empty());
}

#[test]
fn the_same_file_is_imported_once_and_again_only_when_asked() {
    let bench = Bench::new();
    let path = bench.file("e.csv", csv(20, 0));
    assert!(!bench.import(&path).unwrap().sources[0].skipped);
    let second = bench.import(&path).unwrap();
    assert!(second.sources[0].skipped && second.to_string().contains("imported before"));
    for _ in 0..2 {
        let request = ImportRequest { again: true, ..bench.request(&path) };
        let report = import(&bench.store, &request, &NoProgress).unwrap();
        assert_eq!(report.accepted(Entity::Events), 20);
    }
    assert_eq!(bench.events().len(), 20, "the same events are one event each");
    let grown = bench.file("e.csv", csv(21, 0));
    assert_eq!(bench.import(&grown).unwrap().accepted(Entity::Events), 21);
    assert_eq!(bench.events().len(), 21);
}

/// Ends the process of importing in the middle, as a kill would: by a panic out of it.
struct Bomb;

impl Progress for Bomb {
    fn start(&self, _task: &str, _total: Option<u64>, _unit: &str) {}
    fn advance(&self, _n: u64) {
        panic!("killed");
    }
    fn finish(&self) {}
}

#[test]
fn an_import_that_dies_leaves_nothing_visible() {
    let bench = Bench::new();
    let dir = bench.dir.path().join("data");
    let path = bench.file("e.csv", csv(40_000, 0));
    let request = bench.request(&path);
    let store = EmbeddedStore::open(&dir, EmbeddedOptions::default()).unwrap();
    let died =
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| import(&store, &request, &Bomb)));
    assert!(died.is_err());
    drop(store);
    let store = EmbeddedStore::open(&dir, EmbeddedOptions::default()).unwrap();
    assert_eq!(store.counts().unwrap().events, 0);
    assert!(!import(&store, &request, &NoProgress).unwrap().sources[0].skipped);
    assert_eq!(store.counts().unwrap().events, 40_000);
}

#[test]
fn a_bulk_that_is_dropped_leaves_nothing() {
    let bench = Bench::new();
    let store =
        EmbeddedStore::open(&bench.dir.path().join("data"), EmbeddedOptions::default()).unwrap();
    let source = Source { name: "x".into(), digest: "d".into() };
    let mut bulk = store.bulk(&source).unwrap();
    bulk.write(&EventBatch::default()).unwrap();
    drop(bulk);
    assert!(!store.has_source("d").unwrap());
    assert_eq!(store.counts().unwrap().events, 0);
}
