//! Real data sets, where they are present: the counts that their distributors state.

use std::path::PathBuf;

use foretaste_core::NoProgress;
use foretaste_ingest::{Entity, Format, ImportRequest, import};

use crate::Bench;

fn data_set(name: &str) -> Option<PathBuf> {
    let beside = || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data"));
    #[expect(clippy::disallowed_methods, reason = "tests find data sets by the environment")]
    let root = std::env::var("FORETASTE_TEST_DATA").map_or_else(|_| beside(), PathBuf::from);
    let path = root.join(name);
    if path.exists() {
        return Some(path);
    }
    println!("skipped: no data set at {}", path.display());
    None
}

#[test]
fn movielens_100k_as_distributed() {
    let Some(path) = data_set("ml-100k") else { return };
    let bench = Bench::new();
    let report = bench.import(&path).unwrap();
    assert_eq!(report.accepted(Entity::Events), 100_000);
    assert_eq!((report.accepted(Entity::Items), report.accepted(Entity::Users)), (1_682, 943));
    assert_eq!((report.n_bad(), bench.events().len()), (0, 100_000));
    assert!(bench.items().iter().all(|i| !i.categories.is_empty()));
}

#[test]
fn movielens_1m_catalogue_as_distributed() {
    let Some(path) = data_set("ml-1m/original") else { return };
    let bench = Bench::new();
    let report = bench.import(&path).unwrap();
    assert_eq!((report.accepted(Entity::Items), report.accepted(Entity::Users)), (3_883, 6_040));
    assert_eq!(report.n_bad(), 0);
}

#[test]
fn movielens_1m_ratings_through_gzip() {
    let Some(path) = data_set("ml-1m/ratings.tsv.gz") else { return };
    let bench = Bench::new();
    let report = bench.import(&path).unwrap();
    assert_eq!((report.accepted(Entity::Events), report.n_bad()), (1_000_209, 0));
    let events = bench.events();
    assert_eq!(events.len(), 1_000_209);
    assert!(events.iter().all(|e| e.kind == "rating" && e.time_ms > 900_000_000_000));
}

#[test]
fn gowalla_lists() {
    let Some(path) = data_set("gowalla/train.txt") else { return };
    let bench = Bench::new();
    let request = ImportRequest { format: Some(Format::Lists), ..bench.request(&path) };
    let report = import(&bench.store, &request, &NoProgress).unwrap();
    assert_eq!((report.accepted(Entity::Events), report.sources[0].rows), (810_128, 29_858));
    assert_eq!(bench.events().len(), 810_128);
}
