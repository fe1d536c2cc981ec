//! Versions come and go: taken up without a restart, named alike everywhere, and removed late.

use std::path::Path;

use foretaste_bundle::Form;
use foretaste_core::ErrorKind;
use foretaste_core::feature::Entity;
use foretaste_online::{
    Asking, Block, FeatureReader, Follower, Manifest, Plan, Published, Publisher,
};
use tempfile::tempdir;

use crate::world::{NOW, head, looked, numbered, publish, reader};

const HOUR_MS: i64 = 3_600_000;

/// The value of item 1 in the column `x`.
fn value(reader: &FeatureReader) -> f32 {
    let plan = Plan::new(reader, &[], &["x".into()]).unwrap();
    let mut block = Block::default();
    let asking = Asking { items: &["1"], now_ms: NOW, ..Asking::default() };
    reader.read(&plan, &asking, &mut block).unwrap();
    block.row(0)[0]
}

fn files(root: &Path) -> Vec<String> {
    let entries = fs_err::read_dir(root.join("s")).unwrap();
    let mut names: Vec<String> =
        entries.map(|e| e.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn a_new_version_is_taken_up_and_who_reads_the_old_one_keeps_it() {
    let folder = tempdir().unwrap();
    let root = folder.path();
    let mut follower = Follower::new(root);
    let nothing = FeatureReader::default();
    assert!(looked(&mut follower, &nothing).next.is_none(), "no folder is no failure");
    publish(root, &head("s", NOW), &numbered(Entity::Item, "x", (5, 0.0)));
    let first = looked(&mut follower, &nothing);
    assert_eq!(first.taken.len(), 1);
    let first = first.next.unwrap();
    assert!(looked(&mut follower, &first).next.is_none(), "nothing has changed");
    publish(root, &head("s", NOW + 1), &numbered(Entity::Item, "x", (5, 10.0)));
    let second = looked(&mut follower, &first).next.unwrap();
    assert_eq!((value(&first), value(&second)), (1.0, 11.0));
    assert_ne!(first.key(), second.key(), "what is kept under the old key is not found");
    let sets = Publisher::open(root, NOW).unwrap().keep_only(&["other"]).unwrap();
    assert_eq!(sets, ["s"]);
    let third = looked(&mut follower, &second).next.unwrap();
    assert!(third.tables().is_empty(), "a set that was taken back is gone");
    assert_eq!(value(&second), 11.0, "and is there for who holds it");
}

#[test]
fn the_same_values_have_the_same_version_in_whatever_order_they_come() {
    let (one, two) = (tempdir().unwrap(), tempdir().unwrap());
    let draft = |backwards: bool| {
        use foretaste_online::{Cell, ColumnKind, ValuesDraft};
        let columns =
            crate::world::columns(&[("x", ColumnKind::Number), ("name", ColumnKind::Text)]);
        let mut draft = ValuesDraft::new(Entity::UserItem, columns).unwrap();
        let mut rows: Vec<usize> = (0..200).collect();
        if backwards {
            rows.reverse();
        }
        for at in rows {
            let (user, item) = (format!("u{}", at % 13), format!("i{at}"));
            let text = format!("text {}", at % 7);
            let cells = [Cell::Number(at as f64), Cell::Text(&text)];
            draft.push(&[&user, &item], cells.into_iter()).unwrap();
        }
        draft
    };
    let of = |root: &Path, backwards| publish(root, &head("s", NOW), &draft(backwards));
    let (a, b) = (of(one.path(), false), of(two.path(), true));
    assert_eq!(a, b);
    assert_eq!(reader(one.path()).key(), reader(two.path()).key());
    let later = publish(one.path(), &head("s", NOW + 5), &draft(true));
    assert_ne!(later.version, a.version, "another time is another version");
    assert!(!later.is_new, "of the same file");
}

#[test]
fn the_same_source_is_not_written_again() {
    let folder = tempdir().unwrap();
    let root = folder.path();
    let first = head("s", NOW);
    publish(root, &first, &numbered(Entity::Item, "x", (5, 0.0)));
    let before = reader(root);
    let publisher = Publisher::open(root, NOW + 1).unwrap();
    let later = foretaste_online::Head { as_of_ms: NOW + 1, ..first.clone() };
    let again: Published = publisher.again(&later).unwrap().unwrap();
    assert!(!again.is_new && again.version.starts_with(&format!("{}", NOW + 1)), "{again:?}");
    let other = foretaste_online::Head { source: "another".into(), ..later.clone() };
    assert_eq!(publisher.again(&other).unwrap(), None);
    let other = foretaste_online::Head { schema_hash: "another".into(), ..later };
    assert_eq!(publisher.again(&other).unwrap(), None);
    let next = looked(&mut Follower::new(root), &before).next.unwrap();
    assert_eq!((value(&next), next.tables()[0].manifest().as_of_ms), (1.0, NOW + 1));
    fs_err::remove_file(root.join("s").join(&next.tables()[0].manifest().file.name)).unwrap();
    assert_eq!(publisher.again(&first).unwrap(), None, "a file that is gone is written");
}

#[test]
fn old_files_stay_for_an_hour() {
    let folder = tempdir().unwrap();
    let root = folder.path();
    let at = |hours: i64, plus: f64| {
        let publisher = Publisher::open(root, NOW + hours * HOUR_MS).unwrap();
        publisher.values(&head("s", NOW), &numbered(Entity::Item, "x", (5, plus))).unwrap()
    };
    at(0, 0.0);
    let first = files(root);
    at(10, 1.0);
    let second = files(root);
    assert_eq!((first.len(), second.len()), (2, 3), "the first may still be read");
    at(11, 2.0);
    let third = files(root);
    assert_eq!(third.len(), 3, "the first is gone, the second has just been replaced");
    assert!(!third.contains(&first[0]) || first[0] == "CURRENT");
    at(11, 1.0);
    assert_eq!(files(root).len(), 3, "values that come back are current again");
    assert_eq!(value(&reader(root)), 2.0);
    fs_err::write(root.join("s/.tmp-1.bin"), b"left by a killed writer").unwrap();
    fs_err::write(root.join("s/0123456789abcdef.bin"), b"written and never named").unwrap();
    at(11, 1.0);
    assert_eq!(files(root).len(), 3, "{:?}", files(root));
}

#[test]
fn one_publishes_at_a_time() {
    let folder = tempdir().unwrap();
    let first = Publisher::open(folder.path(), NOW).unwrap();
    let error = Publisher::open(folder.path(), NOW).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert!(error.to_string().contains("another process"), "{error}");
    drop(first);
    Publisher::open(folder.path(), NOW).unwrap();
}

#[test]
fn what_no_reader_could_take_is_not_published() {
    let folder = tempdir().unwrap();
    let root = folder.path();
    publish(root, &head("s", NOW), &numbered(Entity::Item, "x", (5, 0.0)));
    let before = Manifest::read(&root.join("s")).unwrap();
    let mut twice = numbered(Entity::Item, "x", (5, 0.0));
    twice.push(&["3"], std::iter::once(foretaste_online::Cell::Missing)).unwrap();
    let publisher = Publisher::open(root, NOW).unwrap();
    let error = publisher.values(&head("s", NOW), &twice).unwrap_err();
    assert!(error.to_string().contains("two rows for 3"), "{error}");
    assert_eq!(Manifest::read(&root.join("s")).unwrap(), before);
    assert_eq!(files(root).len(), 2, "and nothing is left of it: {:?}", files(root));
    let error = publisher.values(&head("../s", NOW), &twice).unwrap_err();
    assert!(error.to_string().contains("no name of a set"), "{error}");
    let mut draft = numbered(Entity::User, "x", (1, 0.0));
    let cell = || std::iter::once(foretaste_online::Cell::Text("a"));
    assert!(draft.push(&["9"], cell()).is_err(), "a text is no number");
    assert!(draft.push(&["9", "8"], std::iter::empty()).is_err(), "one key");
    assert!(draft.push(&["9"], std::iter::empty()).is_err(), "one value");
    assert_eq!(draft.len(), 1);
}

#[test]
fn packed_files_hold_the_same_values_and_come_and_go_as_others_do() {
    let folder = tempdir().unwrap();
    let root = folder.path();
    let at = |hours: i64, form: Form, plus: f64| {
        let publisher = Publisher::open(root, NOW + hours * HOUR_MS).unwrap().with_form(form);
        let head = head("s", NOW + hours);
        publisher.values(&head, &numbered(Entity::Item, "x", (5000, plus))).unwrap()
    };
    let plain = at(0, Form::Plain, 0.0);
    let (before, size) = (reader(root), on_disk(root));
    let packed = at(0, Form::Packed, 0.0);
    assert_eq!((&packed.version, packed.bytes), (&plain.version, plain.bytes));
    assert!(on_disk(root) * 5 < size * 2, "{} of {size} bytes", on_disk(root));
    assert_eq!((value(&before), value(&reader(root))), (1.0, 1.0));
    let publisher = Publisher::open(root, NOW).unwrap().with_form(Form::Packed);
    assert!(publisher.again(&head("s", NOW)).unwrap().is_some(), "it is there, packed");
    let is_packed = |name: &String| name.ends_with(".packed");
    let path = root.join("s").join(files(root).into_iter().find(is_packed).unwrap());
    let mut bytes = fs_err::read(&path).unwrap();
    let last = bytes.len() - 1;
    fs_err::remove_file(&path).unwrap();
    fs_err::write(&path, &bytes[..last]).unwrap();
    assert_eq!(publisher.again(&head("s", NOW)).unwrap(), None, "one that is cut is not there");
    bytes[last] ^= 0xff;
    fs_err::write(&path, &bytes).unwrap();
    drop(publisher);
    at(0, Form::Packed, 0.0);
    assert_eq!(value(&reader(root)), 1.0, "a damaged one gives way");
    at(1, Form::Packed, 1.0);
    assert_eq!(files(root).len(), 3, "{:?}", files(root));
    at(3, Form::Packed, 2.0);
    assert_eq!(files(root).len(), 3, "the first is gone: {:?}", files(root));
    assert_eq!(value(&reader(root)), 3.0);
    at(5, Form::Plain, 2.0);
    assert!(files(root).iter().any(|name| name.ends_with(".bin")), "{:?}", files(root));
    assert_eq!(value(&reader(root)), 3.0);
}

/// Bytes of all files of the set.
fn on_disk(root: &Path) -> u64 {
    let bytes = |name: &String| fs_err::metadata(root.join("s").join(name)).unwrap().len();
    files(root).iter().map(bytes).sum()
}
