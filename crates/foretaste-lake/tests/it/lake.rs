//! Commits, readers beside the writer, and damage.

use std::collections::HashSet;
use std::path::Path;

use foretaste_core::{ErrorKind, Event, EventBatch, Rng};
use foretaste_lake::{Columns, CommitNote, FinishedSegment, GroupWriter, Lake, SourceMeta};

use super::{random_batch, rows};

fn segment(lake: &Lake, batch: &EventBatch) -> FinishedSegment {
    let mut writer = lake.writer().unwrap();
    writer.write(batch).unwrap();
    writer.finish().unwrap()
}

fn contents(lake: &Lake) -> Vec<(Event, u64)> {
    let mut all = Vec::new();
    lake.read(Columns::All, &mut |batch| {
        all.extend(rows(&batch));
        Ok(())
    })
    .unwrap();
    all
}

fn names(dir: &Path) -> Vec<String> {
    let entries = fs_err::read_dir(dir).unwrap();
    let mut names: Vec<String> =
        entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort_unstable();
    names
}

fn source(name: &str) -> CommitNote {
    let source = SourceMeta { name: name.into(), digest: name.into(), rows: 1 };
    CommitNote { source: Some(source), ..CommitNote::default() }
}

#[test]
fn a_commit_shows_its_segments_and_remembers_its_source() {
    let dir = tempfile::tempdir().unwrap();
    let (a, b) = (random_batch(1, 300), random_batch(2, 200));
    {
        let lake = Lake::open(dir.path()).unwrap();
        let (first, second) = (segment(&lake, &a), segment(&lake, &b));
        assert!(contents(&lake).is_empty(), "nothing is visible before the commit");
        lake.commit(vec![first, second], source("file")).unwrap();
    }
    let lake = Lake::open(dir.path()).unwrap();
    assert_eq!(contents(&lake), [rows(&a), rows(&b)].concat(), "keys are stored, too");
    let refused = lake.commit(vec![segment(&lake, &a)], source("file")).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Conflict);
    let stats = lake.stats().unwrap();
    assert_eq!((stats.segments, stats.rows), (2, 500));
    assert_eq!(stats.kinds, ["click", "order", "view"]);
    let (low, high) = (a.time_range().unwrap(), b.time_range().unwrap());
    assert_eq!(stats.time_range, Some((low.0.min(high.0), low.1.max(high.1))));
    assert!(lake.has_source("file").unwrap() && !lake.has_source("other").unwrap());
    assert_eq!(names(dir.path()), ["00000001.parquet", "00000002.parquet", "MANIFEST"]);
}

#[test]
fn only_a_writer_removes_what_a_crash_left_behind() {
    let dir = tempfile::tempdir().unwrap();
    let lake = Lake::open(dir.path()).unwrap();
    lake.commit(vec![segment(&lake, &random_batch(1, 10))], CommitNote::default()).unwrap();
    for orphan in ["00000007.parquet", "00000008.tmp", "MANIFEST.tmp"] {
        fs_err::write(dir.path().join(orphan), "half").unwrap();
    }
    let reader = Lake::open_reader(dir.path()).unwrap();
    assert_eq!(contents(&reader).len(), 10);
    assert_eq!(names(dir.path()).len(), 5, "a reader leaves files alone");
    assert_eq!(reader.writer().unwrap_err().kind(), ErrorKind::Conflict);
    let lake = Lake::open(dir.path()).unwrap();
    assert_eq!(names(dir.path()), ["00000001.parquet", "MANIFEST"]);
    assert_eq!(contents(&lake).len(), 10);
}

#[test]
fn a_snapshot_outlives_the_replacement_of_its_segments() {
    let dir = tempfile::tempdir().unwrap();
    let lake = Lake::open(dir.path()).unwrap();
    let (old, new) = (random_batch(1, 50), random_batch(2, 20));
    lake.commit(vec![segment(&lake, &old)], CommitNote::default()).unwrap();
    let reader = Lake::open_reader(dir.path()).unwrap();
    let snapshot = reader.snapshot().unwrap();
    let replaces = snapshot.segments().map(|meta| meta.file.clone()).collect();
    let note = CommitNote { replaces, ..CommitNote::default() };
    lake.commit(vec![segment(&lake, &new)], note).unwrap();
    assert_eq!(names(dir.path()), ["00000002.parquet", "MANIFEST"]);
    let mut seen = 0;
    snapshot
        .read(Columns::All, &|_| true, &mut |_, batch| {
            seen += batch.len();
            Ok(())
        })
        .unwrap();
    assert_eq!((seen, contents(&reader)), (50, rows(&new)));
}

#[test]
fn an_error_of_the_sink_ends_the_reading() {
    let dir = tempfile::tempdir().unwrap();
    let lake = Lake::open(dir.path()).unwrap();
    let segments = (0..5).map(|i| segment(&lake, &random_batch(i, 10))).collect();
    lake.commit(segments, CommitNote::default()).unwrap();
    let mut calls = 0;
    let outcome = lake.read(Columns::All, &mut |_| {
        calls += 1;
        Err(foretaste_core::Error::invalid("enough"))
    });
    assert_eq!((outcome.unwrap_err().kind(), calls), (ErrorKind::Invalid, 1));
}

#[test]
fn every_damaged_byte_of_a_segment_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let lake = Lake::open(dir.path()).unwrap();
    lake.commit(vec![segment(&lake, &random_batch(1, 100))], CommitNote::default()).unwrap();
    let path = dir.path().join("00000001.parquet");
    let good = fs_err::read(&path).unwrap();
    let mut rng = Rng::new(3);
    for round in 0..200 {
        let mut bad = good.clone();
        if round % 4 == 0 {
            bad.truncate(rng.below(good.len()));
        } else {
            bad[rng.below(good.len())] ^= 1 << rng.below(8);
        }
        fs_err::write(&path, &bad).unwrap();
        let reader = Lake::open_reader(dir.path()).unwrap();
        let error = reader.read(Columns::All, &mut |_| Ok(())).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "round {round}");
        assert!(error.to_string().contains("00000001.parquet"), "{error}");
    }
    fs_err::remove_file(&path).unwrap();
    let error = Lake::open_reader(dir.path()).unwrap().read(Columns::All, &mut |_| Ok(()));
    assert_eq!(error.unwrap_err().kind(), ErrorKind::Corrupt);
}

#[test]
fn a_damaged_or_missing_manifest_is_never_an_empty_lake() {
    let dir = tempfile::tempdir().unwrap();
    let lake = Lake::open(dir.path()).unwrap();
    lake.commit(vec![segment(&lake, &random_batch(1, 100))], CommitNote::default()).unwrap();
    let path = dir.path().join("MANIFEST");
    let good = fs_err::read(&path).unwrap();
    for at in 0..good.len() - 1 {
        let mut bad = good.clone();
        bad[at] ^= 4;
        fs_err::write(&path, &bad).unwrap();
        assert!(Lake::open(dir.path()).is_err(), "byte {at}");
    }
    fs_err::remove_file(&path).unwrap();
    assert_eq!(Lake::open(dir.path()).unwrap_err().kind(), ErrorKind::Corrupt);
    fs_err::write(&path, &good).unwrap();
    assert_eq!(contents(&Lake::open(dir.path()).unwrap()).len(), 100);
}

/// A segment written at once.
fn at_once(lake: &Lake, batch: &EventBatch, group: &mut GroupWriter) -> FinishedSegment {
    lake.write_at_once(batch, group).unwrap()
}

#[test]
fn a_segment_written_at_once_is_read_as_any_other() {
    let plain = |seed, n| {
        let mut batch = random_batch(seed, n);
        batch.context.clear();
        batch
    };
    let mut many_values = plain(3, 70_000);
    (0..).zip(&mut many_values.value).for_each(|(n, value)| *value = n as f32);
    // The second user is in the table and in no event.
    let mut unused = plain(4, 50);
    unused.users = ["a", "b", "c"].iter().collect();
    unused.user.iter_mut().for_each(|user| *user = *user % 2 * 2);
    let mut group = GroupWriter::new().unwrap();
    let batches = [random_batch(1, 300), plain(2, 140_000), many_values, unused, plain(5, 1)];
    for batch in batches.iter().chain([&random_batch(6, 131_073)]) {
        let dir = tempfile::tempdir().unwrap();
        let lake = Lake::open(dir.path()).unwrap();
        let (once, other) = (at_once(&lake, batch, &mut group), segment(&lake, batch));
        let meta = |segment: &FinishedSegment| {
            let (bytes, meta) = (segment.meta().bytes, segment.meta());
            (bytes, (meta.rows, meta.time_range, meta.kinds.clone()))
        };
        let ((bytes, once_meta), (other_bytes, other_meta)) = (meta(&once), meta(&other));
        assert_eq!(once_meta, other_meta);
        assert!(bytes <= other_bytes + other_bytes / 10 + 100, "{bytes} for {other_bytes}");
        lake.commit(vec![once], CommitNote::default()).unwrap();
        assert_eq!(contents(&lake), rows(batch));
        lake.snapshot().unwrap().verify().unwrap();
        let mut users = 0;
        let keep = &mut |read: EventBatch| {
            users += read.users.len();
            Ok(())
        };
        lake.read(Columns::NoContext, keep).unwrap();
        let used: HashSet<u32> = batch.user.iter().copied().collect();
        assert_eq!(users, used.len(), "ids that no event has are not written");
    }
}

#[test]
fn a_reader_writes_nothing_at_once() {
    let dir = tempfile::tempdir().unwrap();
    Lake::open(dir.path()).unwrap();
    let reader = Lake::open_reader(dir.path()).unwrap();
    let refused = reader.write_at_once(&random_batch(1, 3), &mut GroupWriter::new().unwrap());
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Conflict);
}
