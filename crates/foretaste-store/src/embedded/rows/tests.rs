use super::*;
use crate::catalogue::Block;
use crate::rows::Row;
use crate::store::Store;
use crate::{Columns, EmbeddedOptions};

fn step(item: &str, digest: u64) -> RowStep {
    let event = Event {
        event_id: None,
        user: "ann".into(),
        item: item.into(),
        kind: "view".into(),
        value: 1.0,
        time_ms: 5,
        context: None,
    };
    let row = Row { row: "1".into(), bucket: 0, digest, record: Record::Event(event) };
    RowStep { rows: vec![row], gone: Vec::new(), watermark: Some(item.to_owned()) }
}

fn items(store: &EmbeddedStore) -> Vec<String> {
    let mut items = Vec::new();
    let keep = &mut |batch: foretaste_core::EventBatch| {
        items.extend((0..batch.len()).map(|i| batch.get(i).item));
        Ok(())
    };
    store.read_events(Columns::All, keep).unwrap();
    items
}

/// A step that ends after its first transaction, or after that and the append.
fn interrupt(store: &EmbeddedStore, mut step: RowStep, appended: bool) {
    let batch = store.catalogue.next_batch("t").unwrap();
    step.name_events("t", batch);
    let writer = store.writer().unwrap();
    let mut erasures = writer.erasures.write().unwrap();
    let given = (writer.log.given_seq(), &mut *erasures);
    store.catalogue.note_rows("t", (&step, batch), given).unwrap();
    if appended {
        writer.log.append(&[step.rows[0].record.event().unwrap().clone()]).unwrap();
    }
}

#[test]
fn an_interrupted_step_is_repaired_by_reading_its_rows_again() {
    for (appended, now) in [(false, "b"), (true, "b"), (false, "c"), (true, "c")] {
        let dir = tempfile::tempdir().unwrap();
        let open = || EmbeddedStore::open(dir.path(), EmbeddedOptions::default()).unwrap();
        let store = open();
        store.apply_rows("t", step("a", 1)).unwrap();
        interrupt(&store, step("b", 2), appended);
        drop(store);
        let store = open();
        assert_eq!(store.watermark("t").unwrap().as_deref(), Some("a"));
        // The row may have changed meanwhile.
        store.apply_rows("t", step(now, if now == "b" { 2 } else { 3 })).unwrap();
        assert_eq!(items(&store), [now], "appended: {appended}");
        store.apply_rows("t", step("a", 1)).unwrap();
        assert_eq!(items(&store), ["a"]);
        assert_eq!(items(&EmbeddedStore::open_reader(dir.path()).unwrap()), ["a"]);
    }
}

/// Rows `from..to` as a load, one event each.
fn load(from: u32, to: u32) -> RowLoad {
    let mut load = RowLoad { watermark: Some(to.to_string()), ..RowLoad::default() };
    for n in from..to {
        load.names.push(&n.to_string());
        load.bucket.push(0);
        load.digest.push(n.into());
        load.event.push(Some(load.events.len() as u32));
        let step = step(&n.to_string(), 0);
        load.events.push(step.rows[0].record.event().unwrap());
    }
    load
}

/// Makes of a block, whose rows have these names, one of another version.
type Form = fn(Block, &[&str]) -> Block;

/// A load that ends when its rows are noted, or when the lake has its events.
fn interrupt_load(store: &EmbeddedStore, load: RowLoad, committed: bool) {
    interrupt_block(store, load, (committed, |block, _| block));
}

fn interrupt_block(store: &EmbeddedStore, mut load: RowLoad, (committed, form): (bool, Form)) {
    let batch = store.catalogue.next_batch("t").unwrap();
    let rows: Vec<u32> = (0..load.len() as u32).collect();
    name_events(&mut load, &rows, &mut EventIds::new("t", batch));
    let mut block = Block::default();
    block.fill(&load, &rows).unwrap();
    let block = form(block, &load.names.iter().collect::<Vec<_>>());
    let segment = store.segment_of(&mut load, &rows).unwrap().unwrap();
    let note = (segment.meta().file.as_str(), load.watermark.as_deref());
    store.catalogue.note_load(("t", batch), &block, note).unwrap();
    if committed {
        store.lake.commit(vec![segment], CommitNote::default()).unwrap();
    } else {
        // A process that is killed removes nothing.
        std::mem::forget(segment);
    }
}

#[test]
fn an_interrupted_load_is_there_as_a_whole_or_not_at_all() {
    for (committed, reopened) in [(false, false), (false, true), (true, false), (true, true)] {
        let dir = tempfile::tempdir().unwrap();
        let open = || EmbeddedStore::open(dir.path(), EmbeddedOptions::default()).unwrap();
        let mut store = open();
        store.load_rows("t", &mut load(0, 300), None).unwrap();
        interrupt_load(&store, load(300, 700), committed);
        if reopened {
            drop(store);
            store = open();
        }
        // Sealing moves segments, which must not make a load look as if it had not been stored.
        store.delete_user("nobody").unwrap();
        store.seal().unwrap();
        let n = if committed { 700 } else { 300 };
        assert_eq!(store.watermark("t").unwrap(), Some(n.to_string()), "{committed} {reopened}");
        assert_eq!(items(&store).len(), n);
        assert_eq!(store.row_buckets("t").unwrap()[0].rows, n as u64);
        let done = store.load_rows("t", &mut load(250, 700), None).unwrap();
        assert_eq!((done.added, done.unchanged), (700 - n, n - 250));
        assert_eq!(items(&store).len(), 700);
        let done = store.apply_rows("t", RowStep { gone: vec!["5".into()], ..RowStep::default() });
        assert_eq!(done.unwrap().removed, 1);
        assert_eq!(items(&EmbeddedStore::open_reader(dir.path()).unwrap()).len(), 699);
    }
}

#[test]
fn a_load_after_an_interrupted_step_takes_the_step_back() {
    let dir = tempfile::tempdir().unwrap();
    let open = || EmbeddedStore::open(dir.path(), EmbeddedOptions::default()).unwrap();
    let store = open();
    interrupt(&store, step("b", 2), true);
    drop(store);
    let store = open();
    let done = store.load_rows("t", &mut load(0, 10), None).unwrap();
    assert_eq!((done.added, done.changed), (9, 1), "row 1 was uncertain");
    assert_eq!(items(&store).len(), 10);
    assert!(!items(&store).contains(&"b".to_owned()));
}

#[test]
fn blocks_of_older_versions_are_understood() {
    let versions: [Form; 2] =
        [|block, names| block.of_version(3, names), |block, names| block.of_version(4, names)];
    for form in versions {
        check_block(form, |n| n.to_string());
    }
}

#[test]
fn rows_of_blocks_are_found_whatever_their_names() {
    let names: [fn(u32) -> String; 4] = [
        |n| n.to_string(),
        |n| format!("k{}", n ^ 0x55),
        |n| (100_000 - i64::from(n) * 7919 % 200_003).to_string(),
        // One of them is no number.
        |n| if n == 17 { "017".to_owned() } else { n.to_string() },
    ];
    names.into_iter().for_each(|name| check_block(|block, _| block, name));
}

/// A block of rows 0 to 299, which is in use.
#[track_caller]
fn check_block(form: Form, name: fn(u32) -> String) {
    let dir = tempfile::tempdir().unwrap();
    let store = EmbeddedStore::open(dir.path(), EmbeddedOptions::default()).unwrap();
    let named = |from, to| {
        let mut load = load(from, to);
        load.names.truncate(0);
        (from..to).for_each(|n| load.names.push(&name(n)));
        load.bucket.iter_mut().zip(from..to).for_each(|(bucket, n)| *bucket = i64::from(n / 100));
        load
    };
    interrupt_block(&store, named(0, 300), (true, form));
    let done = store.load_rows("t", &mut named(0, 400), None).unwrap();
    assert_eq!((done.added, done.unchanged), (100, 300));
    let names = [7, 299, 399, 400].map(name);
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let digests = store.row_digests("t", &names).unwrap();
    assert_eq!(digests, [Some(7), Some(299), Some(399), None]);
    let step = RowStep { gone: vec![name(5), name(350)], ..RowStep::default() };
    assert_eq!(store.apply_rows("t", step).unwrap().removed, 2);
    for (bucket, gone) in [(0, Some(5)), (1, None), (2, None), (3, Some(350))] {
        let mut rows = store.bucket_rows("t", bucket).unwrap();
        rows.sort_unstable();
        let own = (bucket as u32 * 100..bucket as u32 * 100 + 100).filter(|&n| Some(n) != gone);
        let mut expected: Vec<_> = own.map(|n| (name(n), Some(u64::from(n)))).collect();
        expected.sort_unstable();
        assert_eq!(rows, expected);
    }
    assert_eq!(items(&store).len(), 398);
}

#[test]
fn a_name_that_stands_twice_is_refused_whatever_its_form() {
    let dir = tempfile::tempdir().unwrap();
    let store = EmbeddedStore::open(dir.path(), EmbeddedOptions::default()).unwrap();
    for names in [["3", "2", "3"], ["a", "b", "a"], ["1", "a", "1"]] {
        let mut load = load(0, 3);
        load.names.truncate(0);
        names.iter().for_each(|name| load.names.push(name));
        let refused = store.load_rows("t", &mut load, None).unwrap_err();
        assert!(refused.to_string().contains("stands twice"), "{refused}");
    }
    assert!(items(&store).is_empty());
}
