//! What `extract` prints: reports, previews, status.
#![allow(clippy::print_stdout)] // results

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Result;
use foretaste_ingest::tables::{Preview, StatementFigures, TableReport, TableState};
use foretaste_store::Record;
use serde_json::{Value, json};

use crate::run::Run;

/// A transaction that holds back the rows of an exact table for so long is mentioned.
const LONG_S: u64 = 60;

/// Beginning of a statement that is enough to know it by.
const STATEMENT_CHARS: usize = 400;

/// How a pass went, for machines and for remembering.
pub fn to_json(table: &str, what: &str, done: &foretaste_core::Result<TableReport>) -> Value {
    let now_ms = now_ms();
    match done {
        Ok(report) => {
            let bad = report.bad.iter().map(|(reason, n)| (reason.name().to_owned(), json!(n)));
            json!({
                "table": table,
                "what": what,
                "finished_ms": now_ms,
                "ok": true,
                "rows": report.outcome.rows,
                "added": report.outcome.added,
                "changed": report.outcome.changed,
                "removed": report.outcome.removed,
                "bad": bad.collect::<serde_json::Map<_, _>>(),
                "quarantine": report.quarantine,
                "watermark": report.watermark,
                "held_s": report.held_s,
                "stopped": report.stopped,
                "differing": report.differing,
                "unreadable": report.unreadable,
            })
        }
        Err(error) => json!({
            "table": table,
            "what": what,
            "finished_ms": now_ms,
            "ok": false,
            "error": error.to_string(),
        }),
    }
}

/// What statements cost, for machines and for remembering.
pub fn statements(all: &[StatementFigures]) -> Value {
    let one = |figures: &StatementFigures| {
        let text: String = figures.statement.split_whitespace().collect::<Vec<_>>().join(" ");
        json!({
            "statement": text.chars().take(STATEMENT_CHARS).collect::<String>(),
            "count": figures.count,
            "failed": figures.failed,
            "rows": figures.rows,
            "total_ms": figures.total.as_millis() as u64,
            "longest_ms": figures.longest.as_millis() as u64,
        })
    };
    all.iter().map(one).collect()
}

/// The wall clock.
pub fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |t| t.as_millis() as i64)
}

/// One line about a pass that went well.
pub fn report(run: &Run, what: &str, report: &TableReport, note: &Value) {
    if run.json {
        println!("{note}");
        return;
    }
    let all = &report.outcome;
    let mut line = format!(
        "{} {what}: {} rows read, {} new, {} changed, {} removed",
        report.table, all.rows, all.added, all.changed, all.removed
    );
    if what == "reconcile" {
        line += &format!("; {} buckets differed", report.differing);
    }
    if report.unreadable > 0 {
        line += &format!("; {} rows have no watermark or id", report.unreadable);
    }
    if report.held_s >= LONG_S {
        line += &format!("; held back by a transaction that is open for {} s", report.held_s);
    }
    if let Some(path) = &report.quarantine {
        let reasons: Vec<_> = report.bad.iter().map(|(r, n)| format!("{r} {n}")).collect();
        line += &format!("; rejected: {}, see {}", reasons.join(", "), path.display());
    }
    if let Some(watermark) = &report.watermark {
        line += &format!("; read up to {watermark}");
    }
    println!("{line}{}", if report.stopped { "; stopped" } else { "" });
}

/// The first rows of a table and what they would become.
pub fn preview(run: &Run, table: &str, rows: &[Preview]) {
    let record = |row: &Preview| match &row.record {
        Ok(Record::Event(event)) => json!({ "event": event }),
        Ok(Record::Item(item)) => json!({ "item": item }),
        Ok(Record::User(user)) => json!({ "user": user }),
        Ok(Record::Nothing) => json!({ "deleted": true }),
        Err(reason) => json!({ "rejected": reason.name() }),
    };
    let shown =
        |row: &Preview| json!({ "id": row.row, "fields": row.fields, "becomes": record(row) });
    let all: Vec<_> = rows.iter().map(shown).collect();
    if run.json {
        println!("{}", json!({ "table": table, "rows": all }));
        return;
    }
    println!("{table}: the first {} rows", rows.len());
    for row in rows {
        println!("  {} {}\n    -> {}", row.row, row.fields, record(row));
    }
}

/// How far each table was read, and how the last pass went.
pub fn status(run: &Run) -> Result<()> {
    let store = run.store_for_reading()?;
    let mut all = Vec::new();
    for source in &run.config.source {
        for table in &source.tables {
            let key = format!("{}/{}", source.name, table.name());
            let state = store.watermark(&key)?.map(|text| TableState::parse(&text)).transpose()?;
            let rows: u64 = store.row_buckets(&key)?.iter().map(|bucket| bucket.rows).sum();
            let last = |what: &str| -> Result<Value> {
                let text = store.control(&format!("extract.{what}.{key}"))?;
                Ok(text.map(|t| serde_json::from_str(&t)).transpose()?.unwrap_or(Value::Null))
            };
            all.push(json!({
                "table": key,
                "rows": rows,
                "read_up_to": state.map(|state| state.at).filter(|at| !at.is_empty()),
                "last_pass": last("pass")?,
                "last_reconcile": last("reconcile")?,
            }));
        }
    }
    run.print(&json!({ "tables": all }), || all.iter().map(line).collect());
    Ok(())
}

fn line(table: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or("nothing yet").to_owned();
    let last = &table["last_pass"];
    let how = match (last["ok"].as_bool(), &last["error"]) {
        (Some(true), _) => "ok".to_owned(),
        (Some(false), error) => format!("failed: {}", text(error)),
        (None, _) => "never read".to_owned(),
    };
    let name = text(&table["table"]);
    let (rows, read_up_to) = (&table["rows"], text(&table["read_up_to"]));
    let dearest = last["statements"].get(0).map(|first| {
        let [count, total, longest] = ["count", "total_ms", "longest_ms"].map(|key| &first[key]);
        let statement = text(&first["statement"]);
        format!("  dearest: {count} times, {total} ms in all, {longest} at most: {statement}\n")
    });
    format!("{name}: {rows} rows, read up to {read_up_to}, {how}\n{}", dearest.unwrap_or_default())
}
