//! What a query costs, by clock and by the rows that the server looked at, and what a writer feels
//! meanwhile.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use foretaste_core::{Error, ErrorKind, Result};
use serde::Serialize;
use serde_json::Value;

use crate::tables::connection::{Connection, Dialect, number, text};
use crate::tables::open::{Open, Place};
use crate::tables::sql::{Range, Statement};

/// How often a query is timed; its median counts. A slow one is timed once.
const TIMES: usize = 3;
const SLOW: Duration = Duration::from_secs(5);
/// Writes before and after an index is built, and the pause between two of them.
const WRITES: usize = 50;
const PAUSE: Duration = Duration::from_millis(20);

/// What a query cost.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Cost {
    /// Until the last row was here, in milliseconds.
    pub ms: f64,
    /// Rows that the server looked at.
    pub examined: u64,
    /// Rows that it gave.
    pub rows: u64,
}

/// How long a writer's transactions took.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Latency {
    /// How many there were.
    pub writes: usize,
    /// Half took no longer, in milliseconds.
    pub median_ms: f64,
    /// Nineteen of twenty took no longer.
    pub p95_ms: f64,
    /// The slowest.
    pub worst_ms: f64,
}

/// What a writer felt of an index that was built.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct WriterCost {
    /// Without the index.
    pub before: Latency,
    /// While it was built; absent when that was shorter than one write.
    pub during: Option<Latency>,
    /// With the index.
    pub after: Latency,
}

/// Runs a query and says what it cost.
pub fn cost(connection: &mut Connection, statement: &Statement) -> Result<Cost> {
    let (mut times, mut n_rows) = (Vec::new(), 0);
    let before = handler_reads(connection)?;
    while times.len() < TIMES && times.last().is_none_or(|took| *took < SLOW) {
        let began = Instant::now();
        n_rows = connection.rows(&statement.sql, &statement.values)?.len();
        times.push(began.elapsed());
    }
    let examined = match connection.dialect() {
        Dialect::Postgres => examined_by_postgres(connection, statement)?,
        Dialect::MySql => (handler_reads(connection)? - before) / times.len() as u64,
    };
    let latency = Latency::of(&mut times);
    Ok(Cost { ms: latency.median_ms, examined, rows: n_rows as u64 })
}

/// The session's count of rows that were read, by key or one after the other.
fn handler_reads(connection: &mut Connection) -> Result<u64> {
    if connection.dialect() == Dialect::Postgres {
        return Ok(0);
    }
    let rows = connection.plain("SHOW SESSION STATUS LIKE 'Handler\\_read\\_%'")?;
    let mut sum = 0;
    for row in &rows {
        // Other counters of this name count attempts and retries.
        let name = text(row, 0)?.unwrap_or_default().to_lowercase();
        if ["first", "key", "last", "next", "prev", "rnd", "rnd_next"]
            .iter()
            .any(|end| name == format!("handler_read_{end}"))
        {
            sum += number::<u64>(row, 1)?.unwrap_or(0);
        }
    }
    Ok(sum)
}

fn examined_by_postgres(connection: &mut Connection, statement: &Statement) -> Result<u64> {
    let sql = format!("EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) {}", statement.sql);
    let row = connection.row(&sql, &statement.values)?;
    let plan: Value = serde_json::from_str(text(&row, 0)?.unwrap_or_default())
        .map_err(|e| Error::new(ErrorKind::Unsupported, "the server's EXPLAIN").with_source(e))?;
    Ok(scanned(&plan[0]["Plan"]))
}

/// Rows that the scans of a plan saw, also those that they threw away.
fn scanned(node: &Value) -> u64 {
    let count = |key: &str| node[key].as_f64().unwrap_or(0.0);
    let own = if node["Alias"].is_string() {
        let seen = ["Actual Rows", "Rows Removed by Filter", "Rows Removed by Index Recheck"];
        (seen.map(count).iter().sum::<f64>() * count("Actual Loops")).round() as u64
    } else {
        0
    };
    own + node["Plans"].as_array().into_iter().flatten().map(scanned).sum::<u64>()
}

impl Latency {
    fn of(times: &mut [Duration]) -> Self {
        times.sort();
        let at = |share: f64| {
            let place = ((times.len() as f64 * share).ceil() as usize).clamp(1, times.len());
            times[place - 1].as_secs_f64() * 1000.0
        };
        Self { writes: times.len(), median_ms: at(0.5), p95_ms: at(0.95), worst_ms: at(1.0) }
    }
}

/// The statement by which the probe changes the newest row; it is rolled back. `None` when the
/// table is empty or its watermark identifies rows.
pub fn write_of(open: &mut Open<'_>) -> Result<Option<Statement>> {
    if open.table.id.contains(&open.table.watermark) {
        return Ok(None);
    }
    let from = (!open.state.at.is_empty()).then(|| open.state.at.clone());
    let (page, _) = open.page(&Range { from, ..open.range() }, 1)?;
    let Some(newest) = page.first() else { return Ok(None) };
    let place = Place::after(open.table, newest)?;
    open.writer().touch(&place.0[1..]).map(Some)
}

/// Without the index, while it is built, with it, and when the probe has ended.
const BEFORE: usize = 0;
const DURING: usize = 1;
const AFTER: usize = 2;
const ENDED: usize = 3;

/// Builds by `build` while a writer changes a row at most 50 times a second, each time in a
/// transaction that is rolled back, and before and after that.
pub fn beside_a_writer<T>(
    mut writer: Connection,
    write: &Statement,
    build: impl FnOnce() -> Result<T>,
) -> Result<(T, WriterCost)> {
    let phase = &AtomicUsize::new(BEFORE);
    std::thread::scope(|scope| {
        let probe = scope.spawn(move || {
            let done = probe(&mut writer, write, phase);
            // Whoever waits for this thread must hear of its end.
            phase.store(ENDED, Ordering::Release);
            done
        });
        while phase.load(Ordering::Acquire) == BEFORE {
            std::thread::sleep(PAUSE);
        }
        let built = (phase.load(Ordering::Acquire) == DURING).then(build);
        let _ = phase.compare_exchange(DURING, AFTER, Ordering::AcqRel, Ordering::Acquire);
        let cost = probe.join().map_err(|_| Error::internal("the writing thread panicked"))??;
        let built = built.ok_or_else(|| Error::internal("the writing thread ended early"))?;
        built.map(|built| (built, cost))
    })
}

fn probe(writer: &mut Connection, write: &Statement, phase: &AtomicUsize) -> Result<WriterCost> {
    let mut times: [Vec<Duration>; 3] = Default::default();
    loop {
        let now = phase.load(Ordering::Acquire);
        let enough = times[now].len() == WRITES;
        match now {
            BEFORE if enough => phase.store(DURING, Ordering::Release),
            AFTER if enough => break,
            _ => {
                let began = Instant::now();
                writer.execute("BEGIN")?;
                writer.rows(&write.sql, &write.values)?;
                writer.execute("ROLLBACK")?;
                times[now].push(began.elapsed());
                std::thread::sleep(PAUSE);
            }
        }
    }
    let [before, during, after] = &mut times;
    let during = (!during.is_empty()).then(|| Latency::of(during));
    Ok(WriterCost { before: Latency::of(before), during, after: Latency::of(after) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latencies_of_few_and_many() {
        let ms = |n: u64| Duration::from_millis(n);
        let one = Latency::of(&mut [ms(7)]);
        assert_eq!((one.median_ms, one.p95_ms, one.worst_ms), (7.0, 7.0, 7.0));
        let mut many: Vec<_> = (1..=100).rev().map(ms).collect();
        let many = Latency::of(&mut many);
        assert_eq!((many.median_ms, many.p95_ms, many.worst_ms), (50.0, 95.0, 100.0));
    }

    #[test]
    fn rows_that_were_thrown_away_count() {
        let plan = serde_json::json!({ "Node Type": "Limit", "Actual Rows": 5, "Plans": [
            { "Alias": "base", "Actual Rows": 5, "Rows Removed by Filter": 95, "Actual Loops": 2 },
            { "Alias": "sku", "Actual Rows": 1, "Actual Loops": 10 }] });
        assert_eq!(scanned(&plan), 210);
    }
}
