//! Plain Parquet files of events, items and users.

use foretaste_core::{ErrorKind, EventBatch, Item, User};
use foretaste_lake::Columns;
use foretaste_lake::parquet::{
    EventWriter, read_events, read_items, read_users, write_items, write_users,
};

use super::{random_batch, rows};

#[test]
fn events_come_back_in_order_across_row_groups() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("events.parquet");
    // More than one row group, from batches of other sizes with id tables of their own.
    let big = {
        let part = random_batch(1, 5_000);
        let n = part.len();
        let mut big = EventBatch { context: Vec::new(), ..part };
        for _ in 0..220 {
            big.user.extend_from_within(..n);
            big.item.extend_from_within(..n);
            big.kind.extend_from_within(..n);
            big.value.extend_from_within(..n);
            big.time_ms.extend_from_within(..n);
            big.key.extend_from_within(..n);
        }
        big
    };
    let small = random_batch(2, 777);
    let mut writer = EventWriter::create(&path).unwrap();
    writer.write(&small).unwrap();
    writer.write(&big).unwrap();
    assert_eq!(writer.finish().unwrap() as usize, big.len() + small.len());
    let (mut at, mut groups) = (0, 0);
    read_events(&path, Columns::All, &mut |batch| {
        groups += 1;
        for i in (0..batch.len()).step_by(1 + batch.len() / 5_000) {
            let from = |of: &EventBatch, i: usize| (of.get(i), of.get(i).key());
            let expected =
                if at + i < 777 { from(&small, at + i) } else { from(&big, at + i - 777) };
            assert_eq!((batch.get(i), batch.key[i]), expected, "row {}", at + i);
        }
        at += batch.len();
        Ok(())
    })
    .unwrap();
    assert_eq!((at, groups), (big.len() + small.len(), 2));
}

#[test]
fn contexts_are_read_only_when_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("events.parquet");
    let batch = random_batch(3, 100);
    let mut writer = EventWriter::create(&path).unwrap();
    writer.write(&batch).unwrap();
    writer.finish().unwrap();
    let read = |columns| {
        let mut all = Vec::new();
        read_events(&path, columns, &mut |b| {
            all.push(b);
            Ok(())
        })
        .unwrap();
        all.remove(0)
    };
    assert_eq!(read(Columns::All).context, batch.context);
    assert!(read(Columns::NoContext).context.is_empty());
    assert_eq!(rows(&read(Columns::NoContext)).len(), 100);
}

#[test]
fn items_and_users_come_back() {
    let dir = tempfile::tempdir().unwrap();
    let (items, users) = (dir.path().join("items.parquet"), dir.path().join("users.parquet"));
    let item = |i: usize| Item {
        item_id: format!("商品{i}"),
        title: format!("t{i}"),
        description: "long \"text\"\n".into(),
        categories: (0..i % 3).map(|c| format!("c{c}")).collect(),
        tags: (0..i % 4).map(|t| format!("t{t}")).collect(),
        price: i.is_multiple_of(2).then_some(i as f64 / 3.0),
        attributes: [("brand".to_owned(), format!("b{i}"))].into(),
        created_ms: i as i64,
        hidden: i.is_multiple_of(5),
        embedding: i.is_multiple_of(3).then(|| vec![i as f32, 0.5]),
    };
    let user = |i: usize| User {
        user_id: format!("u{i}"),
        attributes: [("country".to_owned(), "DE".to_owned())].into(),
        created_ms: i as i64,
    };
    let n = (1 << 16) + 10;
    assert_eq!(write_items(&items, (0..n).map(item)).unwrap() as usize, n);
    assert_eq!(write_users(&users, (0..300).map(user)).unwrap(), 300);
    let mut at = 0;
    read_items(&items, &mut |found| {
        assert_eq!(found, item(at));
        at += 1;
        Ok(())
    })
    .unwrap();
    let mut all = Vec::new();
    read_users(&users, &mut |found| {
        all.push(found);
        Ok(())
    })
    .unwrap();
    assert_eq!((at, all), (n, (0..300).map(user).collect()));
}

#[test]
fn a_file_that_is_not_parquet_is_corrupt_and_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("events.parquet");
    let missing = read_events(&path, Columns::All, &mut |_| Ok(())).unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NotFound);
    fs_err::write(&path, "user_id,item_id\n1,2\n").unwrap();
    let error = read_events(&path, Columns::All, &mut |_| Ok(())).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.to_string().contains("events.parquet"), "{error}");
    let items = dir.path().join("items.parquet");
    write_items(&items, [Item { item_id: "a".into(), ..Item::default() }]).unwrap();
    let error = read_events(&items, Columns::All, &mut |_| Ok(())).unwrap_err();
    assert!(error.to_string().contains("column user_id is missing"), "{error}");
}
