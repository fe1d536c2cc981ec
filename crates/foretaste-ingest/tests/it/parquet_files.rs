//! Parquet: of anybody, with any physical types, and as Foretaste itself writes it.

use std::sync::Arc;

use arrow_array::builder::{ListBuilder, StringBuilder};
use arrow_array::{
    ArrayRef, BinaryArray, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};
use foretaste_core::{Event, EventBatch, NoProgress};
use foretaste_generate::{Spec, generate, items, users, write_parquet};
use foretaste_ingest::{Entity, Reason};
use foretaste_lake::parquet::EventWriter;
use parquet::arrow::ArrowWriter;

use crate::Bench;

fn write(bench: &Bench, name: &str, columns: Vec<(&str, ArrayRef)>) -> std::path::PathBuf {
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    bench.file(name, writer.into_inner().unwrap())
}

#[test]
fn ids_of_any_type_and_times_of_any_type() {
    let ids: [ArrayRef; 4] = [
        Arc::new(Int32Array::from(vec![7])),
        Arc::new(Float64Array::from(vec![7.0])),
        Arc::new(StringArray::from(vec!["7"])),
        Arc::new(BinaryArray::from(vec![&b"7"[..]])),
    ];
    let times: [ArrayRef; 4] = [
        Arc::new(Int64Array::from(vec![1_000_000_000])),
        Arc::new(TimestampMicrosecondArray::from(vec![1_000_000_000_000_000])),
        Arc::new(Float64Array::from(vec![1e9])),
        Arc::new(StringArray::from(vec!["2001-09-09 01:46:40"])),
    ];
    for (id, time) in ids.into_iter().zip(times) {
        let bench = Bench::new();
        let rating: ArrayRef = Arc::new(Float64Array::from(vec![4.5]));
        let path = write(
            &bench,
            "e.parquet",
            vec![("uid", id.clone()), ("movieId", id), ("rating", rating), ("ts", time)],
        );
        bench.import(&path).unwrap();
        assert_eq!(bench.short(), ["7 7 rating 4.5 1000000000000"]);
    }
}

#[test]
fn nulls_nans_and_bytes_that_are_no_text_are_rejected() {
    let bench = Bench::new();
    let users: ArrayRef = Arc::new(Int64Array::from(vec![None, Some(1), Some(1), Some(1)]));
    let items: ArrayRef = Arc::new(BinaryArray::from(vec![&b"x"[..], b"\xff\xfe", b"y", b"z"]));
    let values: ArrayRef = Arc::new(Float64Array::from(vec![1.0, 1.0, f64::NAN, 1.0]));
    let path =
        write(&bench, "e.parquet", vec![("user", users), ("item", items), ("value", values)]);
    let report = bench.import(&path).unwrap();
    let reasons: Vec<Reason> = report.sources[0].bad.keys().copied().collect();
    assert_eq!(reasons, [Reason::MissingUser, Reason::NotFinite, Reason::BadUtf8]);
    assert_eq!(bench.short(), ["1 z interaction 1 0"]);
}

#[test]
fn lists_of_texts_become_categories() {
    let bench = Bench::new();
    let mut lists = ListBuilder::new(StringBuilder::new());
    lists.append_value([Some("a"), Some("b")]);
    let ids: ArrayRef = Arc::new(StringArray::from(vec!["x"]));
    let path =
        write(&bench, "i.parquet", vec![("sku", ids), ("categories", Arc::new(lists.finish()))]);
    bench.import(&path).unwrap();
    assert_eq!(bench.items()[0].categories, ["a", "b"]);
}

#[test]
fn a_generated_folder_comes_back_as_it_was_generated() {
    let spec = Spec { users: 50, items: 60, events: 3_000, ..Spec::default() };
    let bench = Bench::new();
    let dir = bench.dir.path().join("generated");
    write_parquet(&spec, &dir, &NoProgress).unwrap();
    let report = bench.import(&dir).unwrap();
    assert_eq!(report.accepted(Entity::Events), 3_000);
    assert_eq!((report.accepted(Entity::Items), report.accepted(Entity::Users)), (60, 50));

    let sorted = |mut all: Vec<Event>| {
        all.sort_by(|a, b| {
            (a.time_ms, &a.user, &a.item, &a.kind).cmp(&(b.time_ms, &b.user, &b.item, &b.kind))
        });
        all
    };
    let mut expected = Vec::new();
    generate(&spec, &mut |b| {
        expected.extend((0..b.len()).map(|i| b.get(i)));
        Ok(())
    })
    .unwrap();
    assert!(sorted(bench.events()) == sorted(expected));
    let mut expected: Vec<_> = items(&spec).collect();
    expected.sort_by(|a, b| a.item_id.cmp(&b.item_id));
    assert_eq!(bench.items(), expected);
    let mut expected: Vec<_> = users(&spec).collect();
    expected.sort_by(|a, b| a.user_id.cmp(&b.user_id));
    assert_eq!(bench.users(), expected);
}

#[test]
fn a_bad_event_in_a_file_of_our_own_layout_is_rejected_alone() {
    let bench = Bench::new();
    let path = bench.dir.path().join("events.parquet");
    let mut batch = EventBatch::default();
    for (user, value) in [("a", 1.0), ("", 1.0), ("b", f32::INFINITY), ("c", 2.0)] {
        batch.push(&Event {
            event_id: None,
            user: user.into(),
            item: "x".into(),
            kind: "view".into(),
            value,
            time_ms: 5,
            context: None,
        });
    }
    let mut writer = EventWriter::create(&path).unwrap();
    writer.write(&batch).unwrap();
    writer.finish().unwrap();
    let report = bench.import(&path).unwrap();
    assert_eq!(bench.short(), ["a x view 1 5", "c x view 2 5"]);
    assert_eq!(report.n_bad(), 2);
}
