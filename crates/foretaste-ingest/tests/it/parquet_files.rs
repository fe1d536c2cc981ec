//! Parquet: of anybody, with any physical types, and as Foretaste itself writes it.

use std::sync::Arc;

use arrow_array::builder::{
    FixedSizeListBuilder, Float32Builder, Int64Builder, LargeListBuilder, ListBuilder,
    StringBuilder,
};
use arrow_array::types::Int8Type;
use arrow_array::{
    ArrayRef, BinaryArray, BinaryViewArray, BooleanArray, Date32Array, Date64Array,
    Decimal128Array, DictionaryArray, Float32Array, Float64Array, Int8Array, Int32Array,
    Int64Array, LargeBinaryArray, LargeStringArray, RecordBatch, StringArray, StringViewArray,
    StructArray, Time32SecondArray, TimestampMicrosecondArray, TimestampMillisecondArray,
    TimestampNanosecondArray, TimestampSecondArray, UInt64Array,
};
use arrow_schema::{DataType, Field};
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
    let moment = 1_000_000_000;
    let ids: [ArrayRef; 14] = [
        Arc::new(Int8Array::from(vec![7])),
        Arc::new(Int32Array::from(vec![7])),
        Arc::new(UInt64Array::from(vec![7])),
        Arc::new(Float32Array::from(vec![7.0])),
        Arc::new(Float64Array::from(vec![7.0])),
        Arc::new(Decimal128Array::from(vec![7]).with_precision_and_scale(9, 0).unwrap()),
        Arc::new(StringArray::from(vec!["7"])),
        Arc::new(LargeStringArray::from(vec!["7"])),
        Arc::new(StringViewArray::from(vec!["7"])),
        Arc::new(BinaryArray::from(vec![&b"7"[..]])),
        Arc::new(LargeBinaryArray::from(vec![&b"7"[..]])),
        Arc::new(BinaryViewArray::from(vec![&b"7"[..]])),
        Arc::new(DictionaryArray::<Int8Type>::from_iter(["7"])),
        Arc::new(DictionaryArray::new(
            Int32Array::from(vec![1]),
            Arc::new(Int64Array::from(vec![6, 7])),
        )),
    ];
    let times: [ArrayRef; 7] = [
        Arc::new(Int64Array::from(vec![moment])),
        Arc::new(TimestampSecondArray::from(vec![moment]).with_timezone("+02:00")),
        Arc::new(TimestampMillisecondArray::from(vec![moment * 1_000])),
        Arc::new(TimestampMicrosecondArray::from(vec![moment * 1_000_000])),
        Arc::new(TimestampNanosecondArray::from(vec![moment * 1_000_000_000])),
        Arc::new(Float64Array::from(vec![1e9])),
        Arc::new(StringArray::from(vec!["2001-09-09 01:46:40"])),
    ];
    for (id, time) in ids.into_iter().zip(times.iter().cycle()) {
        let bench = Bench::new();
        let rating: ArrayRef = Arc::new(Float64Array::from(vec![4.5]));
        let path = write(
            &bench,
            "e.parquet",
            vec![("uid", id.clone()), ("movieId", id), ("rating", rating), ("ts", time.clone())],
        );
        bench.import(&path).unwrap();
        assert_eq!(bench.short(), ["7 7 rating 4.5 1000000000000"]);
    }
}

#[test]
fn days_are_midnights_in_utc() {
    let days: [ArrayRef; 2] = [
        Arc::new(Date32Array::from(vec![11_574])),
        Arc::new(Date64Array::from(vec![11_574 * 86_400_000])),
    ];
    for day in days {
        let bench = Bench::new();
        let id: ArrayRef = Arc::new(StringArray::from(vec!["7"]));
        let path =
            write(&bench, "e.parquet", vec![("user", id.clone()), ("item", id), ("ts", day)]);
        bench.import(&path).unwrap();
        assert_eq!(bench.short(), ["7 7 interaction 1 999993600000"]);
    }
}

#[test]
fn attributes_of_any_type_are_texts_and_what_has_none_is_left_out() {
    let bench = Bench::new();
    let id: ArrayRef = Arc::new(StringArray::from(vec!["x", "y"]));
    let words = vec![Some("a"), None];
    let mut longs = LargeListBuilder::new(Int64Builder::new());
    longs.append_value([Some(1), Some(2)]);
    longs.append_null();
    let mut pairs = FixedSizeListBuilder::new(Float32Builder::new(), 2);
    for value in [0.5, 1.0, 2.0, 1e20] {
        pairs.values().append_value(value);
    }
    pairs.append(true);
    pairs.append(true);
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("sku", id),
        ("known", Arc::new(BooleanArray::from(vec![Some(true), None]))),
        (
            "cost",
            Arc::new(
                Decimal128Array::from(vec![Some(-1_250), None])
                    .with_precision_and_scale(9, 2)
                    .unwrap(),
            ),
        ),
        ("opens", Arc::new(Time32SecondArray::from(vec![Some(32_400), None]))),
        ("kind", Arc::new(DictionaryArray::<Int8Type>::from_iter(words.clone()))),
        ("none", Arc::new(DictionaryArray::<Int8Type>::from_iter([None::<&str>, None]))),
        ("longs", Arc::new(longs.finish())),
        ("pairs", Arc::new(pairs.finish())),
        (
            "inner",
            Arc::new(StructArray::from(vec![(
                Arc::new(Field::new("a", DataType::Utf8, true)),
                Arc::new(StringArray::from(words)) as ArrayRef,
            )])),
        ),
    ];
    let path = write(&bench, "i.parquet", columns);
    bench.import(&path).unwrap();
    let texts = |at: usize| {
        let attributes = &bench.items()[at].attributes;
        let texts = attributes.iter().map(|(name, value)| format!("{name} {value}"));
        texts.collect::<Vec<_>>()
    };
    let first =
        ["cost -12.50", "kind a", "known true", "longs 1|2", "opens 09:00:00", "pairs 0.5|1"];
    assert_eq!(texts(0), first);
    assert_eq!(texts(1), ["pairs 2|100000000000000000000"]);
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
