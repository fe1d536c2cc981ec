//! One bad row of each kind among good ones: it is counted, written down, and stops nothing.

use foretaste_ingest::{Entity, ImportReport, Reason};

use crate::Bench;

/// Imports the row between two good ones and checks that it alone is rejected.
#[track_caller]
fn check(name: &str, head: &str, row: impl AsRef<[u8]>, reason: Reason) {
    let bench = Bench::new();
    let good = |id: &str| match name.ends_with("jsonl") {
        true => format!("{{\"user\":\"{id}\",\"item\":\"{id}\"}}\n"),
        false => format!("{id},{id}{}\n", ",".repeat(head.matches(',').count().saturating_sub(1))),
    };
    let mut content = head.as_bytes().to_vec();
    content.extend_from_slice(good("first").as_bytes());
    content.extend_from_slice(row.as_ref());
    content.extend_from_slice(b"\n");
    content.extend_from_slice(good("last").as_bytes());
    let report = bench.import_text(name, content);
    assert_eq!(report.sources[0].bad.iter().collect::<Vec<_>>(), [(&reason, &1)]);
    assert_eq!(report.accepted(Entity::Events), 2, "{reason}");
    assert_eq!(report.sources[0].rows, 3);
    let line = if name.ends_with("jsonl") { 2 } else { 3 };
    let entry = quarantine(&report);
    assert_eq!(
        (entry["line"].as_u64(), entry["reason"].as_str()),
        (Some(line), Some(reason.name()))
    );
    let raw = entry["raw"].as_str().unwrap();
    let start = String::from_utf8_lossy(&row.as_ref()[..row.as_ref().len().min(20)]).into_owned();
    assert!(raw.starts_with(start.split('\n').next().unwrap()), "{raw}");
    assert!(raw.len() <= 3 * 4_096);
}

fn quarantine(report: &ImportReport) -> serde_json::Value {
    let path = report.sources[0].quarantine.as_ref().unwrap();
    let text = fs_err::read_to_string(path).unwrap();
    serde_json::from_str(text.lines().next().unwrap()).unwrap()
}

const HEAD: &str = "user,item,value,time,kind,position\n";

#[test]
fn ids_that_are_missing_or_unfit() {
    check("e.csv", HEAD, ",x,,,,", Reason::MissingUser);
    check("e.csv", HEAD, "NULL,x,,,,", Reason::MissingUser);
    check("e.csv", HEAD, "a,\\N,,,,", Reason::MissingItem);
    check("e.csv", HEAD, "a,  ,,,,", Reason::MissingItem);
    check("e.csv", HEAD, format!("{},x,,,,", "u".repeat(129)), Reason::IdTooLong);
    check("e.csv", HEAD, "a\u{1}b,x,,,,", Reason::ControlCharacter);
    check("e.csv", HEAD, b"a\xff,x,,,,", Reason::BadUtf8);
}

#[test]
fn numbers_times_and_names_that_are_none() {
    check("e.csv", HEAD, "a,x,three,,,", Reason::BadNumber);
    check("e.csv", HEAD, "a,x,,,,first", Reason::BadNumber);
    check("e.csv", HEAD, "a,x,NaN,,,", Reason::NotFinite);
    check("e.csv", HEAD, "a,x,inf,,,", Reason::NotFinite);
    check("e.csv", HEAD, "a,x,1e39,,,", Reason::NotFinite);
    check("e.csv", HEAD, "a,x,,0000-00-00 00:00:00,,", Reason::BadTime);
    check("e.csv", HEAD, "a,x,,tomorrow,,", Reason::BadTime);
    check("e.csv", HEAD, format!("a,x,,,{},", "k".repeat(65)), Reason::NameTooLong);
}

#[test]
fn rows_of_the_wrong_shape() {
    check("e.csv", HEAD, "a,x", Reason::WrongColumns);
    check("e.csv", HEAD, "a,x,,,,,", Reason::WrongColumns);
    check("e.csv", HEAD, "\"a,x,,,,", Reason::OpenQuote);
    check("e.csv", HEAD, format!("a,{},,,,", "x".repeat(2 << 20)), Reason::HugeRow);
    check("e.jsonl", "", "{\"user\":", Reason::BadJson);
    check("e.jsonl", "", "[1,2]", Reason::BadJson);
    check("e.jsonl", "", b"{\"user\":\"\xff\"}", Reason::BadUtf8);
    check("e.jsonl", "", "{\"user\":\"a\",\"item\":null}", Reason::MissingItem);
    check("e.jsonl", "", format!("{{\"user\":\"{}\"}}", "x".repeat(2 << 20)), Reason::HugeRow);
}

#[test]
fn the_257th_kind_and_texts_without_end() {
    let bench = Bench::new();
    let rows: String = (0..300).map(|i| format!("u{i},x,k{i}\n")).collect();
    let report = bench.import_text("e.csv", format!("user,item,kind\n{rows}"));
    assert_eq!(report.sources[0].bad[&Reason::TooManyKinds], 44);
    assert_eq!(bench.events().len(), 256);

    let long = "t".repeat(20_000);
    let report = bench.import_text("items.csv", format!("item_id,title\nx,{long}\ny,fine\n"));
    assert_eq!(report.sources[0].bad[&Reason::TextTooLong], 1);
    assert_eq!(bench.items().len(), 1);
}

#[test]
fn marks_inside_cells_are_no_quotation() {
    let bench = Bench::new();
    let report =
        bench.import_text("items.csv", "item_id,title\nx,a 5\" disk\ny,\"a \"\"b\"\"\"\nz,c\n");
    assert_eq!(report.n_bad(), 0);
    let titles: Vec<String> = bench.items().into_iter().map(|i| i.title).collect();
    assert_eq!(titles, ["a 5\" disk", "a \"b\"", "c"]);
}
