//! Tables: commits beside others, failures at every step, compaction, changing columns, pruning.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use datafusion::arrow::array::{
    ArrayRef, AsArray, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray,
};
use datafusion::arrow::datatypes::Int64Type;
use foretaste_core::{ErrorKind, Result};
use foretaste_features::table::{Change, DAY_MS, Grain, Partitioning, Removal, TableWriter};
use foretaste_features::{Engine, EngineConfig, Place, Table, TableState};

use crate::places::{Failing, everywhere};
use crate::s3::S3;

fn table(place: &Place) -> Table {
    let by_day = Partitioning { column: "time_ms".to_owned(), grain: Grain::Day };
    Table::new(place, "t", Some(by_day)).unwrap()
}

fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter(columns).unwrap()
}

/// Rows with these ids at noon of these days.
fn rows(of: &[(i64, i64)]) -> RecordBatch {
    let ids = Int64Array::from_iter_values(of.iter().map(|&(id, _)| id));
    let times = of.iter().map(|&(_, day)| day * DAY_MS + DAY_MS / 2);
    batch(vec![("id", Arc::new(ids)), ("time_ms", Arc::new(Int64Array::from_iter_values(times)))])
}

async fn change(table: &Table, batch: &RecordBatch, remove: Removal) -> Result<Change> {
    let state = table.state().await?;
    let mut writer = TableWriter::new(&state, &batch.schema())?;
    writer.write(batch).await?;
    let (add, columns) = writer.finish().await?;
    Ok(Change { add, columns, remove, ..Change::default() })
}

async fn append(table: &Table, batch: &RecordBatch) -> Result<TableState> {
    table.commit(&change(table, batch, Removal::Nothing).await?).await
}

/// The values of one whole-number expression, sorted.
async fn numbers(place: &Place, state: &TableState, sql: &str) -> Vec<Option<i64>> {
    let engine = Engine::new(place, &EngineConfig::default()).unwrap();
    let session = engine.session(&[("t", state)]).unwrap();
    let found = session.sql(sql).await.unwrap().collect().await.unwrap();
    let column = |b: &RecordBatch| b.column(0).as_primitive::<Int64Type>().iter().collect();
    let mut values: Vec<Option<i64>> = found.iter().flat_map::<Vec<_>, _>(column).collect();
    values.sort_unstable();
    values
}

async fn ids(place: &Place, state: &TableState) -> Vec<i64> {
    numbers(place, state, "SELECT id FROM t").await.into_iter().flatten().collect()
}

#[tokio::test]
async fn commits_append_replace_and_keep_older_states() {
    everywhere(async |place| {
        let table = table(&place);
        assert_eq!((table.state().await.unwrap().generation(), table.name()), (0, "t"));
        let first = append(&table, &rows(&[(1, 10), (2, 10), (3, 11)])).await.unwrap();
        let second = append(&table, &rows(&[(4, 11)])).await.unwrap();
        let day = HashSet::from(["1970-01-12".to_owned()]);
        let replace = change(&table, &rows(&[(5, 11)]), Removal::Partitions(day)).await.unwrap();
        let third = table.commit(&replace).await.unwrap();
        assert_eq!(ids(&place, &third).await, [1, 2, 5]);
        assert_eq!(ids(&place, &second).await, [1, 2, 3, 4]);
        let again = table.state_at(first.generation()).await.unwrap();
        assert_eq!(ids(&place, &again).await, [1, 2, 3]);
        assert_eq!(Table::names(&place).await.unwrap(), ["t"]);
        let marks = BTreeMap::from([("as_of".to_owned(), Some("7".to_owned()))]);
        table.commit(&Change { marks, ..Change::default() }).await.unwrap();
        let state = table.state().await.unwrap();
        assert_eq!((state.marks()["as_of"].as_str(), state.rows()), ("7", 3));
    })
    .await;
}

#[tokio::test]
async fn of_many_committers_nobody_loses_anything() {
    let folder = tempfile::tempdir().unwrap();
    let place = Place::folder(folder.path()).unwrap();
    let write = |n: i64| {
        let table = table(&place);
        tokio::spawn(async move {
            for round in 0..5 {
                append(&table, &rows(&[(n * 100 + round, n)])).await.unwrap();
            }
        })
    };
    for writer in (0..8).map(write).collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    let state = table(&place).state().await.unwrap();
    assert_eq!(state.generation(), 40);
    let expected: Vec<i64> = (0..8).flat_map(|n| (0..5).map(move |r| n * 100 + r)).collect();
    assert_eq!(ids(&place, &state).await, expected);
}

#[tokio::test]
async fn a_commit_that_was_overtaken_is_repeated_or_refused() {
    everywhere(async |place| {
        let table = table(&place);
        append(&table, &rows(&[(1, 1)])).await.unwrap();
        let late = change(&table, &rows(&[(2, 2)]), Removal::Nothing).await.unwrap();
        let strict = Change { expected: Some(1), ..late.clone() };
        append(&table, &rows(&[(3, 3)])).await.unwrap();
        assert_eq!(table.commit(&strict).await.unwrap_err().kind(), ErrorKind::Conflict);
        let state = table.commit(&late).await.unwrap();
        assert_eq!((state.generation(), ids(&place, &state).await), (3, vec![1, 2, 3]));
    })
    .await;
}

/// Fails each write in turn, with and without having done it, and looks whether what the table
/// holds is what the callers were told.
#[tokio::test]
async fn a_failure_at_any_write_leaves_the_whole_change_or_nothing() {
    for does_it in [false, true] {
        for at in 0.. {
            let (store, place) = Failing::place(does_it);
            let table = table(&place);
            append(&table, &rows(&[(1, 1)])).await.unwrap();
            store.fail_after(at);
            let appended = append(&table, &rows(&[(2, 2), (3, 3)])).await;
            let failed = store.has_failed() && appended.is_err();
            let now = ids(&place, &table.state().await.unwrap()).await;
            match appended {
                Ok(_) => assert_eq!(now, [1, 2, 3]),
                // The last write is the commit: when its answer is lost, it may have been made.
                Err(e) if does_it && at == 2 => {
                    assert_eq!((e.kind(), now), (ErrorKind::Unavailable, vec![1, 2, 3]));
                }
                Err(_) => assert_eq!(now, [1], "write {at}"),
            }
            store.fail_after(i64::MAX);
            append(&table, &rows(&[(4, 4)])).await.unwrap();
            table.vacuum(Duration::ZERO).await.unwrap();
            assert!(ids(&place, &table.state().await.unwrap()).await.contains(&4));
            if !failed {
                assert!(at >= 3, "two files and a manifest are three writes");
                break;
            }
        }
    }
}

#[tokio::test]
async fn small_files_become_one_and_unused_ones_go() {
    everywhere(async |place| {
        let table = table(&place);
        for id in 0..6 {
            append(&table, &rows(&[(id, id % 2)])).await.unwrap();
        }
        let before = table.state().await.unwrap();
        let done = table.compact(1 << 20).await.unwrap();
        assert_eq!((done.before, done.after, done.skipped), (6, 2, 0));
        let after = table.state().await.unwrap();
        assert_eq!(ids(&place, &after).await, ids(&place, &before).await);
        assert_eq!(after.files().len(), 2);
        let kept = table.vacuum(Duration::from_secs(3_600)).await.unwrap();
        assert_eq!(kept.files, 0, "a reader of an older state is not disturbed");
        assert_eq!(ids(&place, &before).await, [0, 1, 2, 3, 4, 5]);
        let gone = table.vacuum(Duration::ZERO).await.unwrap();
        assert_eq!((gone.files, gone.manifests), (6, 0));
        assert_eq!(ids(&place, &after).await, [0, 1, 2, 3, 4, 5]);
        assert_eq!(table.compact(1 << 20).await.unwrap(), Default::default());
    })
    .await;
}

#[tokio::test]
async fn a_compaction_that_was_overtaken_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let place = Place::folder(folder.path()).unwrap();
    let table = table(&place);
    let old = append(&table, &rows(&[(1, 1)])).await.unwrap().files()[0].path.clone();
    let late = Removal::Files(HashSet::from([old]));
    let late = change(&table, &rows(&[(1, 1)]), late).await.unwrap();
    let all = change(&table, &rows(&[(9, 1)]), Removal::All).await.unwrap();
    table.commit(&all).await.unwrap();
    assert_eq!(table.commit(&late).await.unwrap_err().kind(), ErrorKind::Conflict);
    assert_eq!(ids(&place, &table.state().await.unwrap()).await, [9]);
}

#[tokio::test]
async fn old_manifests_go_and_a_late_committer_still_cannot_get_lost() {
    let folder = tempfile::tempdir().unwrap();
    let place = Place::folder(folder.path()).unwrap();
    let table = table(&place);
    for id in 0..105 {
        append(&table, &rows(&[(id, 1)])).await.unwrap();
    }
    assert_eq!(table.vacuum(Duration::ZERO).await.unwrap().manifests, 5);
    assert_eq!(table.state_at(5).await.unwrap_err().kind(), ErrorKind::NotFound);
    // What a committer leaves that read generation 2, slept, and finds the name of 3 free.
    let stray = std::fs::read(folder.path().join("t/manifest/00000000000000000050")).unwrap();
    std::fs::write(folder.path().join("t/manifest/00000000000000000003"), stray).unwrap();
    assert_eq!(table.state().await.unwrap().generation(), 105);
    append(&table, &rows(&[(105, 1)])).await.unwrap();
    assert_eq!(ids(&place, &table.state().await.unwrap()).await.len(), 106);
}

#[tokio::test]
async fn columns_are_added_dropped_and_widened_and_all_files_stay_readable() {
    everywhere(async |place| {
        let table = table(&place);
        let time = || Arc::new(Int64Array::from(vec![DAY_MS])) as ArrayRef;
        let id = |id: i32| Arc::new(Int32Array::from(vec![id])) as ArrayRef;
        let text = || Arc::new(StringArray::from(vec!["x"])) as ArrayRef;
        append(&table, &batch(vec![("time_ms", time()), ("id", id(1)), ("old", text())]))
            .await
            .unwrap();
        let wide: ArrayRef = Arc::new(Int64Array::from(vec![1_i64 << 40]));
        let new: ArrayRef = Arc::new(Float64Array::from(vec![0.5]));
        append(&table, &batch(vec![("time_ms", time()), ("id", wide), ("new", new)]))
            .await
            .unwrap();
        let state = table.state().await.unwrap();
        assert_eq!(ids(&place, &state).await, [1, 1 << 40]);
        let sql = "SELECT sum(id) FROM t WHERE old IS NULL AND new = 0.5";
        assert_eq!(numbers(&place, &state, sql).await, [Some(1 << 40)]);
        let sql = "SELECT id FROM t WHERE old = 'x' AND new IS NULL";
        assert_eq!(numbers(&place, &state, sql).await, [Some(1)]);
        let done = table.compact(1 << 20).await.unwrap();
        assert_eq!(done.after, 1);
        assert_eq!(ids(&place, &table.state().await.unwrap()).await, [1, 1 << 40]);
        let wrong = batch(vec![("time_ms", time()), ("id", text())]);
        let error = append(&table, &wrong).await.unwrap_err();
        assert!(error.to_string().contains("column id holds Int64"), "{error}");
        let gap = batch(vec![("time_ms", Arc::new(Int64Array::from(vec![None::<i64>])) as _)]);
        assert!(append(&table, &gap).await.is_err());
    })
    .await;
}

#[tokio::test]
async fn only_partitions_that_can_match_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let place = Place::folder(folder.path()).unwrap();
    let table = table(&place);
    let days: Vec<(i64, i64)> = (0..30).map(|day| (day, day)).collect();
    let state = append(&table, &rows(&days)).await.unwrap();
    assert_eq!(state.files().len(), 30);
    let read = async |state: &TableState| {
        let sql = format!("SELECT id FROM t WHERE time_ms >= {} AND id % 2 = 0", 28 * DAY_MS);
        numbers(&place, state, &sql).await
    };
    assert_eq!(read(&state).await, [Some(28)]);
    // With every other file gone, a scan that looked at them would fail.
    for file in &state.files()[..28] {
        std::fs::remove_file(folder.path().join("t").join(&file.path)).unwrap();
    }
    assert_eq!(read(&state).await, [Some(28)]);
}

#[tokio::test]
async fn damage_and_refusals_say_where() {
    let folder = tempfile::tempdir().unwrap();
    let place = Place::folder(folder.path()).unwrap();
    let table = table(&place);
    append(&table, &rows(&[(1, 1)])).await.unwrap();
    let manifest = folder.path().join("t/manifest/00000000000000000001");
    std::fs::write(&manifest, "{}").unwrap();
    let error = table.state().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.to_string().contains("manifest/00000000000000000001"), "{error}");
    assert!(Table::new(&place, "no/name", None).is_err());

    let s3 = S3::start();
    let stranger = Table::new(&s3.place_with("p", "wrong"), "t", None).unwrap();
    let error = stranger.state().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config, "{error}");
    let nowhere = Table::new(&s3.place_of("no-such-bucket", "p", "secret"), "t", None).unwrap();
    let error = nowhere.state().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config, "{error}");
    let said = error.to_string();
    assert!(said.contains("s3://no-such-bucket/p") && said.contains("create it"), "{said}");
}

#[tokio::test]
async fn what_a_killed_writer_left_without_a_name_goes() {
    let folder = tempfile::tempdir().unwrap();
    let place = Place::folder(folder.path()).unwrap();
    let table = table(&place);
    assert_eq!(table.vacuum(Duration::ZERO).await.unwrap(), Default::default());
    append(&table, &rows(&[(1, 1)])).await.unwrap();
    let unnamed = folder.path().join("t/data/1970-01-02/0123.parquet#1");
    std::fs::write(&unnamed, "half").unwrap();
    assert_eq!(table.vacuum(Duration::from_secs(3_600)).await.unwrap().files, 0);
    assert!(unnamed.exists(), "its writer may be at work");
    let gone = table.vacuum(Duration::ZERO).await.unwrap();
    assert_eq!((gone.files, gone.bytes, unnamed.exists()), (1, 4, false));
    assert_eq!(ids(&place, &table.state().await.unwrap()).await, [1]);
}
