//! Loads of rows of outside tables: what steps would have stored, at once.

use std::cell::RefCell;

use foretaste_core::{Error, ErrorKind, Result};
use foretaste_store::{Record, Row, RowBucket, RowChanges, RowLoad, RowStore};

use super::rows::{items_of, outcome, row, step, view};

fn load(rows: &[Row], watermark: &str) -> RowLoad {
    let mut load = RowLoad::default();
    load.watermark = Some(watermark.to_owned());
    for row in rows {
        load.names.push(&row.row);
        load.bucket.push(row.bucket);
        load.digest.push(row.digest);
        let number = load.events.len() as u32;
        match &row.record {
            Record::Event(event) => {
                load.events.push(event);
                load.event.push(Some(number));
            }
            _ => load.event.push(None),
        }
    }
    load
}

/// Names that do not sort as numbers do, and one that no id of an event can hold.
fn rows() -> Vec<Row> {
    let long = "k\u{1}".repeat(200);
    let ids = ["10", "9", "1", "x", &long];
    let items = ["a", "b", "c", "d", "e"];
    let events = ids.iter().zip(items).zip(10..);
    let mut rows: Vec<Row> = events.map(|((id, item), n)| row(id, n, view(item))).collect();
    rows.push(row("bad", 15, Record::Nothing));
    rows
}

pub(super) fn as_steps(store: &dyn RowStore) -> Result<()> {
    let rows = rows();
    store.apply_rows("t", step(&rows[..1], &[], "w0"))?;
    let told = RefCell::new(Vec::new());
    let tell = |changes: &RowChanges| told.borrow_mut().extend(changes.events.clone());
    assert_eq!(store.load_rows("t", &mut load(&rows, "w1"), Some(&tell))?, outcome(5, 0, 1, 0));
    assert_eq!(items_of(store)?, ["a", "b", "c", "d", "e"]);
    let mut items: Vec<String> = told.take().into_iter().map(|event| event.item).collect();
    items.sort_unstable();
    assert_eq!(items, ["b", "c", "d", "e"], "of what is new, and only that, one is told");
    assert_eq!(store.watermark("t")?.as_deref(), Some("w1"));
    assert_eq!(
        store.load_rows("t", &mut load(&rows, "w2"), None)?,
        outcome(0, 0, 6, 0),
        "repeated"
    );
    assert_eq!(store.apply_rows("t", step(&rows, &[], "w3"))?, outcome(0, 0, 6, 0), "as a step");
    let bucket = |bucket, rows, sum| RowBucket { bucket, rows, sum };
    assert_eq!(store.row_buckets("t")?, [bucket(0, 3, 36), bucket(1, 3, 39)]);
    assert_eq!(store.row_digests("t", &["x", "y", "bad"])?, [Some(13), None, Some(15)]);
    let mut odd = store.bucket_rows("t", 1)?;
    odd.sort();
    let expected = [("9", 11), ("bad", 15), ("x", 13)];
    assert_eq!(odd, expected.map(|(row, digest)| (row.to_owned(), Some(digest))));
    changed(store)
}

fn changed(store: &dyn RowStore) -> Result<()> {
    let second = step(&[row("9", 20, view("f"))], &["x", "unknown"], "w4");
    assert_eq!(store.apply_rows("t", second)?, outcome(0, 1, 0, 1));
    assert_eq!(items_of(store)?, ["a", "c", "e", "f"]);
    assert_eq!(store.row_digests("t", &["9", "x"])?, [Some(20), None]);
    let bucket = |bucket, rows, sum| RowBucket { bucket, rows, sum };
    assert_eq!(store.row_buckets("t")?, [bucket(0, 4, 56), bucket(1, 1, 15)]);
    assert_eq!(store.bucket_rows("t", 1)?, [("bad".to_owned(), Some(15))]);
    store.seal()?;
    let mixed = [row("1", 12, view("c")), row("9", 21, view("g")), row("x", 30, view("h"))];
    assert_eq!(store.load_rows("t", &mut load(&mixed, "w5"), None)?, outcome(1, 1, 1, 0));
    assert_eq!(items_of(store)?, ["a", "c", "e", "g", "h"]);
    store.apply_rows("t", step(&[], &["1", "9", "x", "10", "bad"], "w6"))?;
    store.seal()?;
    assert_eq!(items_of(store)?, ["e"]);
    assert_eq!(store.counts()?.events, 1, "what was taken back takes no room after sealing");
    let bucket = RowBucket { bucket: 0, rows: 1, sum: 14 };
    assert_eq!(store.row_buckets("t")?, [bucket]);
    Ok(())
}

pub(super) fn refused(store: &dyn RowStore) -> Result<()> {
    let twice = [row("1", 1, view("a")), row("2", 2, view("b")), row("1", 3, view("c"))];
    let error = store.load_rows("t", &mut load(&twice, "w"), None).err();
    assert_eq!(error.as_ref().map(Error::kind), Some(ErrorKind::Invalid));
    assert!(error.is_some_and(|error| error.to_string().contains("\"1\" stands twice")));
    assert!(store.load_rows("t", &mut load(&[row("1", 1, view(""))], "w"), None).is_err());
    let mut uneven = load(&rows(), "w");
    uneven.bucket.pop();
    assert!(store.load_rows("t", &mut uneven, None).is_err());
    assert_eq!((items_of(store)?.len(), store.watermark("t")?), (0, None));
    assert_eq!(store.row_buckets("t")?, []);
    assert_eq!(store.load_rows("t", &mut load(&[], "w"), None)?, outcome(0, 0, 0, 0));
    assert_eq!(store.watermark("t")?.as_deref(), Some("w"));
    Ok(())
}
