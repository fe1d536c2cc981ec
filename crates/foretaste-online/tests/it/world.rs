//! A folder with planted sets.

use std::path::Path;
use std::time::Duration;

use foretaste_core::feature::{Class, Entity};
use foretaste_online::{
    Cell, ColumnHead, ColumnKind, FeatureReader, Follower, Head, Looked, Published, Publisher,
    ValuesDraft,
};

pub const NOW: i64 = 1_780_000_000_000;

pub fn head(set: &str, as_of_ms: i64) -> Head {
    Head {
        set: set.to_owned(),
        class: Class::Dynamic,
        ttl: Duration::from_secs(300),
        as_of_ms,
        synced_ms: as_of_ms,
        schema_hash: "schema".to_owned(),
        source: format!("source {as_of_ms}"),
    }
}

pub fn columns(of: &[(&str, ColumnKind)]) -> Vec<ColumnHead> {
    of.iter().map(|&(name, kind)| ColumnHead { name: name.to_owned(), kind }).collect()
}

/// A set of one column of numbers: the key's number and `plus`.
pub fn numbered(entity: Entity, name: &str, (n, plus): (usize, f64)) -> ValuesDraft {
    let mut draft = ValuesDraft::new(entity, columns(&[(name, ColumnKind::Number)])).unwrap();
    for at in 0..n {
        let value = std::iter::once(Cell::Number(at as f64 + plus));
        draft.push(&[&format!("{at}")], value).unwrap();
    }
    draft
}

pub fn publish(root: &Path, head: &Head, draft: &ValuesDraft) -> Published {
    Publisher::open(root, NOW).unwrap().values(head, draft).unwrap()
}

/// What a look finds that must find no failure.
#[track_caller]
pub fn looked(follower: &mut Follower, present: &FeatureReader) -> Looked {
    let looked = follower.look(present).unwrap();
    assert!(looked.failures.is_empty(), "{:?}", looked.failures);
    looked
}

/// A reader of all that is published at `root`.
#[track_caller]
pub fn reader(root: &Path) -> FeatureReader {
    let first = looked(&mut Follower::new(root), &FeatureReader::default());
    first.next.expect("something is published")
}
