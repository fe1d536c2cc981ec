//! Rows of outside tables.

use foretaste_core::{Event, Item, Result, User};
use foretaste_store::{Record, Row, RowBucket, RowChanges, RowOutcome, RowStep, RowStore};

use super::{event, stored};

pub(super) fn row(id: &str, digest: u64, record: Record) -> Row {
    Row { row: id.to_owned(), bucket: (digest % 2) as i64, digest, record }
}

pub(super) fn view(item: &str) -> Record {
    Record::Event(event("ann", item, 5))
}

pub(super) fn step(rows: &[Row], gone: &[&str], watermark: &str) -> RowStep {
    let gone = gone.iter().map(|&id| id.to_owned()).collect();
    RowStep { rows: rows.to_vec(), gone, watermark: Some(watermark.to_owned()) }
}

pub(super) fn items_of(store: &dyn RowStore) -> Result<Vec<String>> {
    let events = stored(store)?;
    Ok(events.into_iter().map(|e: Event| e.item).collect())
}

pub(super) fn outcome(
    added: usize,
    changed: usize,
    unchanged: usize,
    removed: usize,
) -> RowOutcome {
    RowOutcome { added, changed, unchanged, removed }
}

pub(super) fn steps(store: &dyn RowStore) -> Result<()> {
    let first = step(&[row("1", 10, view("a")), row("2", 11, view("b"))], &[], "w1");
    assert_eq!(store.watermark("t")?, None);
    assert_eq!(store.apply_rows("t", first.clone())?, outcome(2, 0, 0, 0));
    assert_eq!(store.apply_rows("t", first)?, outcome(0, 0, 2, 0), "repeated");
    assert_eq!(items_of(store)?, ["a", "b"]);
    let second = step(&[row("1", 12, view("c"))], &["2", "unknown"], "w2");
    assert_eq!(store.apply_rows("t", second)?, outcome(0, 1, 0, 1));
    assert_eq!(items_of(store)?, ["c"]);
    assert_eq!(store.watermark("t")?.as_deref(), Some("w2"));
    let back = step(&[row("1", 10, view("a")), row("2", 11, view("b"))], &[], "w3");
    assert_eq!(store.apply_rows("t", back)?, outcome(1, 1, 0, 0), "as it was before");
    assert_eq!(items_of(store)?, ["a", "b"]);
    assert_eq!(store.apply_rows("t", RowStep::default())?, outcome(0, 0, 0, 0));
    assert_eq!(store.watermark("t")?.as_deref(), Some("w3"), "none given, none changed");
    Ok(())
}

pub(super) fn sealed(store: &dyn RowStore) -> Result<()> {
    let first = step(&[row("1", 10, view("a")), row("2", 11, view("b"))], &[], "w");
    store.apply_rows("t", first)?;
    store.seal()?;
    store.apply_rows("t", step(&[row("1", 12, view("c"))], &["2"], "w"))?;
    assert_eq!(items_of(store)?, ["c"]);
    store.seal()?;
    assert_eq!(items_of(store)?, ["c"]);
    store.apply_rows("t", step(&[row("1", 10, view("a"))], &[], "w"))?;
    store.seal()?;
    assert_eq!(items_of(store)?, ["a"]);
    assert_eq!(store.counts()?.events, 1, "what was taken back takes no room after sealing");
    Ok(())
}

/// Whoever listens to the changes of each step can keep a picture of the store.
pub(super) fn changes(store: &dyn RowStore) -> Result<()> {
    let told = |step| {
        let mut changes = RowChanges::default();
        store.apply_rows_telling("t", step, &mut changes).map(|_| changes)
    };
    let item = |id: &str| Record::Item(Item { item_id: id.to_owned(), ..Item::default() });
    let user = |id: &str| Record::User(User { user_id: id.to_owned(), ..User::default() });
    let first = step(&[row("1", 10, view("a")), row("2", 1, item("x"))], &[], "w");
    let changes = told(first.clone())?;
    let key = changes.events[0].key();
    assert_eq!((changes.events.len(), changes.items), (1, vec!["x".to_owned()]));
    assert!(told(first)?.is_empty(), "what is here already is no change");
    let second = step(&[row("1", 12, view("c")), row("2", 2, user("ann"))], &[], "w");
    let changes = told(second)?;
    assert_eq!((changes.events.len(), changes.retracted), (1, vec![key]));
    assert_eq!((changes.items, changes.users), (vec!["x".to_owned()], vec!["ann".to_owned()]));
    let changes = told(step(&[], &["1", "2", "unknown"], "w"))?;
    assert_eq!((changes.events.len(), changes.retracted.len()), (0, 1));
    assert_eq!((changes.items.len(), changes.users), (0, vec!["ann".to_owned()]));
    Ok(())
}

pub(super) fn buckets(store: &dyn RowStore) -> Result<()> {
    let large = (1 << 60) - 2;
    let rows = [row("1", large, view("a")), row("2", large, view("b")), row("3", 7, view("c"))];
    store.apply_rows("t", step(&rows, &[], "w"))?;
    store.apply_rows("other", step(&[row("1", 9, Record::Nothing)], &[], "w"))?;
    let bucket = |bucket, rows, sum| RowBucket { bucket, rows, sum };
    let expected = [bucket(0, 2, i128::from(large) * 2), bucket(1, 1, 7)];
    assert_eq!(store.row_buckets("t")?, expected);
    assert_eq!(store.bucket_rows("t", 1)?, [("3".to_owned(), Some(7))]);
    assert_eq!(store.row_digests("t", &["3", "4"])?, [Some(7), None]);
    assert_eq!(store.row_buckets("other")?, [bucket(1, 1, 9)]);
    assert_eq!(store.row_buckets("nothing")?, []);
    Ok(())
}

pub(super) fn records(store: &dyn RowStore) -> Result<()> {
    let item = |id: &str| Record::Item(Item { item_id: id.to_owned(), ..Item::default() });
    let user = |id: &str| Record::User(User { user_id: id.to_owned(), ..User::default() });
    store.apply_rows("items", step(&[row("1", 1, item("x")), row("2", 2, item("y"))], &[], "w"))?;
    store.apply_rows("users", step(&[row("1", 1, user("ann"))], &[], "w"))?;
    store.append_events(&[event("ann", "x", 1)])?;
    store.apply_rows("items", step(&[row("1", 3, item("z"))], &["2"], "w"))?;
    assert!(store.item("x")?.is_none() && store.item("y")?.is_none());
    assert!(store.item("z")?.is_some());
    assert_eq!(store.hidden()?, ["x", "y"], "records that are gone are in no answer");
    store.apply_rows("items", step(&[row("1", 1, item("x"))], &[], "w"))?;
    assert!(store.item("x")?.is_some_and(|item| !item.hidden), "and may come back");
    store.apply_rows("users", step(&[], &["1"], "w"))?;
    assert!(store.user("ann")?.is_none());
    assert_eq!(items_of(store)?, ["x"], "the events of a removed record stay");
    Ok(())
}

pub(super) fn refused(store: &dyn RowStore) -> Result<()> {
    let twice = step(&[row("1", 1, view("a")), row("1", 2, view("b"))], &[], "w");
    assert!(store.apply_rows("t", twice).is_err());
    let bad = step(&[row("1", 1, view("a")), row("2", 2, view(""))], &[], "w");
    assert!(store.apply_rows("t", bad).is_err());
    assert_eq!((items_of(store)?.len(), store.watermark("t")?), (0, None));
    let long = "k\u{1}".repeat(200);
    let rows = [row(&long, 1, view("a")), row("2", 2, view("b"))];
    store.apply_rows("t", step(&rows, &[], "w"))?;
    assert_eq!(items_of(store)?.len(), 2, "any primary key will do");
    Ok(())
}
