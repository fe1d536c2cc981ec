//! A bundle of format version 1 as it was once written, committed beside the tests: whatever this
//! build writes, it must read that one, or say by a new version that it does not.
//!
//! The folder is not to be written anew when a test fails; a change of format gets a new version
//! and a fixture of its own.

use std::path::{Path, PathBuf};

use foretaste_bundle::{Bundle, BundleId, ChannelScratch, FORMAT_VERSION, list, write};
use foretaste_core::BitSet;

use crate::planted::{N_ITEMS, N_USERS, contents};

/// The fixture's contents were `contents(FIXTURE_SEED)`.
const FIXTURE_SEED: u64 = 2024;

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/v1")
}

fn only_bundle(root: &Path) -> (Bundle, BundleId) {
    let ids = list(root).unwrap();
    assert_eq!(ids.len(), 1, "one bundle in {}", root.display());
    (Bundle::open(root, &ids[0]).unwrap(), ids[0].clone())
}

#[test]
fn a_bundle_of_version_1_is_read() {
    let (bundle, _) = only_bundle(&fixtures());
    assert_eq!(bundle.manifest().format_version, 1);
    assert_eq!((bundle.n_items(), bundle.n_users()), (N_ITEMS, N_USERS));
    assert_eq!(bundle.items().title(0), "Título 0 数据");
    assert_eq!(bundle.items().index_of("item-149"), Some(149));
    assert_eq!(bundle.users().index_of("user-59"), Some(59));
    assert_eq!(bundle.items().items_with_attribute("seller", "s1").first(), Some(&1));
    assert_eq!(bundle.segment("country=DE"), Some((&[3u32, 1][..], &[2.0f32, 1.0][..])));
    let kinds: Vec<_> = bundle.channels().iter().map(|c| c.kind()).collect();
    let expected = ["item_item", "content", "low_rank", "low_rank", "ials", "ials", "user_user"];
    assert_eq!(kinds, expected);
}

#[test]
fn channels_of_version_1_answer_as_freshly_written_ones() {
    let root = tempfile::tempdir().unwrap();
    write(root.path(), &contents(FIXTURE_SEED)).unwrap();
    let ((old, _), (new, _)) = (only_bundle(&fixtures()), only_bundle(root.path()));
    let (allowed, history) = (BitSet::full(N_ITEMS), [(3, 1.0), (60, 2.0), (99, 0.5)]);
    for (old, new) in old.channels().iter().zip(new.channels()) {
        let (mut scratch, mut found) = (ChannelScratch::default(), Vec::new());
        old.prepare(&history, &mut scratch);
        old.search(&allowed, 20, &mut scratch, &mut found);
        assert!(!found.is_empty(), "{} found nothing", old.name());
        let items: Vec<u32> = found.iter().map(|&(item, _)| item).collect();
        let mut scores = vec![0.0; items.len()];
        new.prepare(&history, &mut scratch);
        new.score(&items, &scratch, &mut scores);
        // Within rounding: the order of sums depends on the machine's vector width.
        let largest = found.iter().fold(0f32, |m, (_, s)| m.max(s.abs()));
        for (&(item, before), now) in found.iter().zip(scores) {
            let close = (before - now).abs() <= 1e-3 * largest;
            assert!(close, "{} item {item}: {before} then, {now} now", old.name());
        }
    }
}

#[test]
fn the_bytes_of_version_1_have_not_changed() {
    if FORMAT_VERSION != 1 {
        return;
    }
    let root = tempfile::tempdir().unwrap();
    let id = write(root.path(), &contents(FIXTURE_SEED)).unwrap();
    let (_, fixture) = only_bundle(&fixtures());
    for name in ["items.bin", "users.bin", "histories.bin", "popularity.bin", "segments.bin"] {
        let bytes =
            |root: &Path, id: &BundleId| fs_err::read(root.join(id.as_str()).join(name)).unwrap();
        let same = bytes(&fixtures(), &fixture) == bytes(root.path(), &id);
        assert!(same, "{name}: another layout needs another FORMAT_VERSION");
    }
}
