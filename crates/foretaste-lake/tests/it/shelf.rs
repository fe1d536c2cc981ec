//! Segments that are listed elsewhere.

use foretaste_core::ErrorKind;
use foretaste_lake::{Columns, Shelf};

use crate::random_batch;

#[test]
fn a_shelf_belongs_to_its_owner() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("a");
    assert_eq!(Shelf::open(&dir, "one").unwrap_err().kind(), ErrorKind::Unavailable);
    Shelf::create(&dir, "one").unwrap();
    Shelf::create(&dir, "one").unwrap();
    assert_eq!(Shelf::create(&dir, "two").unwrap_err().kind(), ErrorKind::Conflict);
    assert_eq!(Shelf::open(&dir, "two").unwrap_err().kind(), ErrorKind::Conflict);
    let other = root.path().join("b");
    fs_err::create_dir(&other).unwrap();
    fs_err::write(other.join("OWNER.tmp"), "").unwrap();
    Shelf::create(&other, "one").expect("what a cut-off creation left is no obstacle");
    let used = root.path().join("c");
    fs_err::create_dir(&used).unwrap();
    fs_err::write(used.join("letters.txt"), "").unwrap();
    assert_eq!(Shelf::create(&used, "one").unwrap_err().kind(), ErrorKind::Conflict);
}

#[test]
fn what_is_not_listed_is_cleared() {
    let root = tempfile::tempdir().unwrap();
    let shelf = Shelf::create(&root.path().join("a"), "one").unwrap();
    let put = |name: &str| {
        let mut writer = shelf.writer(name).unwrap();
        writer.write(&random_batch(1, 5)).unwrap();
        let finished = writer.finish().unwrap();
        assert_eq!(shelf.proof(&finished).unwrap().events().unwrap().groups(), 1);
        shelf.put(finished).unwrap()
    };
    let (kept, gone) = (put("1"), put("2"));
    let cut_off = shelf.dir().join("3.tmp");
    fs_err::write(&cut_off, "x").unwrap();
    assert_eq!(shelf.clear(&|file| file == kept.file).unwrap(), 2);
    assert_eq!(shelf.segment(&gone).unwrap_err().kind(), ErrorKind::NotFound);
    let events = shelf.segment(&kept).unwrap().events().unwrap();
    assert_eq!(events.group(0, Columns::All).unwrap().key, random_batch(1, 5).key);

    let path = shelf.dir().join(&kept.file);
    let mut bytes = fs_err::read(&path).unwrap();
    bytes[10] ^= 1;
    fs_err::write(&path, bytes).unwrap();
    let error = shelf.segment(&kept).unwrap().events().unwrap_err();
    assert!(error.kind() == ErrorKind::Corrupt && error.to_string().contains("1.parquet"));
}
