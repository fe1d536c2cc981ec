//! Events lie in one partition per month (UTC), made ahead; what is older or later than any month
//! lies in a partition of its own. Retention drops whole months, which costs nothing.

use std::time::Duration;

use foretaste_core::time::{DAY_MS, civil, day_of};
use foretaste_core::{Error, ErrorKind, Result, TimeMs};
use sqlx::pool::PoolConnection;
use sqlx::{AssertSqlSafe, Row};
use sqlx_core::any::{Any, AnyConnection};

use super::failure::failure;
use super::sql::{Arg, Changing, Database, Dialect, number, run, wait_for_locks, whole_seconds};
use super::warm;

/// Months that are there before they are needed.
const AHEAD: i64 = 3;
/// The first month that has a partition of its own, January 2000; times before are hardly times.
const FIRST: i64 = 2_000 * 12;
/// Whoever reads or writes events waits behind a statement that waits for a month, so it does not
/// wait for long.
const MONTH_TIMEOUT: Duration = Duration::from_secs(1);
/// Rows that one statement deletes, so that nobody waits for it for long.
const ROWS_AT_ONCE: u64 = 10_000;

/// Makes the months ahead and drops those that `retention` no longer keeps, as far as nobody is in
/// the way.
pub(super) async fn keep(database: &Database, retention: Option<u32>) -> Result<()> {
    let dialect = database.dialect;
    let this_month = month_of(now_ms(database).await?);
    let ahead: Vec<i64> = (this_month - 1..=this_month + AHEAD).collect();
    let keep = async |connection: &mut AnyConnection| {
        add(dialect, connection, &ahead).await?;
        match retention {
            Some(months) => forget(dialect, connection, this_month - i64::from(months)).await,
            None => Ok(()),
        }
    };
    alone(database, keep).await?;
    let Some(months) = retention else { return Ok(()) };
    let bound = start_of(this_month - i64::from(months));
    let forget = async |changing: &mut Changing<'_>| warm::forget(changing, bound).await;
    later(database.transaction(forget).await)
}

/// Makes partitions for those of the months that may have one. Without them events are stored all
/// the same.
pub(super) async fn make(database: &Database, mut months: Vec<i64>) -> Result<()> {
    let last = month_of(now_ms(database).await?) + AHEAD;
    months.retain(|month| (FIRST..=last).contains(month));
    months.sort_unstable();
    months.dedup();
    let add =
        async |connection: &mut AnyConnection| add(database.dialect, connection, &months).await;
    alone(database, add).await
}

/// Does `work` while no other process makes or drops months. Events do without it, so what is held
/// up by somebody who reads for long, or by another process at the same work, is left to the next
/// upkeep.
async fn alone(
    database: &Database,
    work: impl AsyncFnOnce(&mut AnyConnection) -> Result<()>,
) -> Result<()> {
    later(locked(database, work).await)
}

fn later(done: Result<()>) -> Result<()> {
    match done {
        Err(e) if e.kind() == ErrorKind::Unavailable => Ok(()),
        done => done,
    }
}

/// The lock is the session's: it ends with the connection, however this ends.
async fn locked(
    database: &Database,
    work: impl AsyncFnOnce(&mut AnyConnection) -> Result<()>,
) -> Result<()> {
    let mut connection = lock(database, Work::Months).await?;
    let timeout = MONTH_TIMEOUT.min(database.lock_timeout);
    wait_for_locks(database.dialect, timeout, &mut connection).await.map_err(failure)?;
    work(&mut connection).await
}

/// What one process does at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Work {
    Months,
    Archive,
}

/// A connection whose session has the right to do `work`, until it ends.
pub(super) async fn lock(database: &Database, work: Work) -> Result<PoolConnection<Any>> {
    let mut connection = database.own_connection().await?;
    let (number, name, what) = match work {
        Work::Months => (7_106_514, "foretaste_", "making or dropping months of events"),
        Work::Archive => (7_106_515, "foretaste_archive_", "archiving events"),
    };
    let sql = match database.dialect {
        // Waits for lock_timeout, as any statement of the session.
        Dialect::Postgres => {
            format!("SELECT CAST(1 AS bigint) FROM (SELECT pg_advisory_lock({number})) AS locked")
        }
        // Names of locks belong to the whole server.
        Dialect::MySql => format!(
            "SELECT CAST(GET_LOCK(CONCAT('{name}', MD5(DATABASE())), {}) AS SIGNED)",
            whole_seconds(database.lock_timeout)
        ),
    };
    let answer = sqlx::query(AssertSqlSafe(sql)).fetch_one(&mut *connection).await;
    let answer: Option<i64> = answer.and_then(|row| row.try_get(0)).map_err(failure)?;
    if answer == Some(1) {
        return Ok(connection);
    }
    let text = format!("another process has been {what} for too long");
    Err(Error::new(ErrorKind::Unavailable, text))
}

/// Makes those of the months that are not there.
async fn add(dialect: Dialect, connection: &mut AnyConnection, months: &[i64]) -> Result<()> {
    let mut ends = ends(dialect, connection).await?;
    for &month in months {
        let end = start_of(month + 1);
        if ends.contains(&end) {
            continue;
        }
        let sql = match dialect {
            Dialect::Postgres => format!(
                "CREATE TABLE foretaste_events_{} PARTITION OF foretaste_events \
                 FOR VALUES FROM ({}) TO ({end})",
                name(month),
                start_of(month)
            ),
            Dialect::MySql => split(month, &mut ends),
        };
        match run(dialect, connection, &sql, Vec::new()).await {
            Ok(_) => ends.push(end),
            // Events of the month lie among the others already, where they may stay.
            Err(e) if dialect == Dialect::Postgres && e.kind() == ErrorKind::Io => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

/// MySQL's partitions leave no gap, so a month is cut out of the one that holds it. A partition is
/// named after its last month.
fn split(month: i64, ends: &mut Vec<TimeMs>) -> String {
    let (start, end) = (start_of(month), start_of(month + 1));
    let next = ends.iter().copied().filter(|&known| known > end).min();
    let (cut, bound) = match next {
        Some(next) => (named(next), format!("({next})")),
        None => ("later".to_owned(), "MAXVALUE".to_owned()),
    };
    let mut before = String::new();
    if !ends.contains(&start) {
        before = format!("PARTITION {} VALUES LESS THAN ({start}), ", named(start));
        ends.push(start);
    }
    format!(
        "ALTER TABLE foretaste_events REORGANIZE PARTITION {cut} INTO ({before}\
         PARTITION {} VALUES LESS THAN ({end}), PARTITION {cut} VALUES LESS THAN {bound})",
        named(end)
    )
}

/// The bounds of the partitions there are, without the last one.
async fn ends(dialect: Dialect, connection: &mut AnyConnection) -> Result<Vec<TimeMs>> {
    let sql = match dialect {
        Dialect::Postgres => {
            "SELECT CAST(substring(pg_get_expr(c.relpartbound, c.oid) \
             FROM 'TO \\(''([0-9]+)''\\)') AS bigint) \
             FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid \
             WHERE i.inhparent = CAST('foretaste_events' AS regclass) \
               AND pg_get_expr(c.relpartbound, c.oid) <> 'DEFAULT'"
        }
        Dialect::MySql => {
            "SELECT CAST(partition_description AS SIGNED) FROM information_schema.partitions \
             WHERE table_schema = DATABASE() AND table_name = 'foretaste_events' \
               AND partition_description <> 'MAXVALUE'"
        }
    };
    let rows = sqlx::query(sql).fetch_all(connection).await.map_err(failure)?;
    rows.iter().map(|row| number(row, 0)).collect()
}

/// Drops the months before `month`; events of no month that are older go row by row.
async fn forget(dialect: Dialect, connection: &mut AnyConnection, month: i64) -> Result<()> {
    let bound = start_of(month);
    let old = ends(dialect, connection).await?.into_iter().filter(|&end| end <= bound);
    for end in old.filter(|&end| end > start_of(FIRST)) {
        run(dialect, connection, &drop_month(dialect, end), Vec::new()).await?;
    }
    let sql = match dialect {
        Dialect::Postgres => {
            "DELETE FROM foretaste_events_other WHERE ctid IN (SELECT ctid \
             FROM foretaste_events_other WHERE time_ms < ? AND time_ms > 0 LIMIT ?)"
        }
        Dialect::MySql => "DELETE FROM foretaste_events WHERE time_ms < ? AND time_ms > 0 LIMIT ?",
    };
    loop {
        let args: Vec<Arg> = vec![bound.into(), (ROWS_AT_ONCE as i64).into()];
        if run(dialect, connection, sql, args).await? < ROWS_AT_ONCE {
            return Ok(());
        }
    }
}

/// Drops the months before `bound` that have no event any more, and says how many. Those that
/// somebody reads or writes stay until another time.
pub(super) async fn drop_empty(database: &Database, bound: TimeMs) -> Result<u64> {
    let dialect = database.dialect;
    let mut dropped = 0;
    let each = async |connection: &mut AnyConnection| {
        let known = ends(dialect, connection).await?.into_iter();
        for end in known.filter(|&end| end <= bound && end > start_of(FIRST)) {
            if !is_empty(dialect, connection, end).await? {
                continue;
            }
            // Nobody adds an event between the look and the end of the month.
            plain(connection, lock_events(dialect)).await?;
            if is_empty(dialect, connection, end).await? {
                run(dialect, connection, &drop_month(dialect, end), Vec::new()).await?;
                dropped += 1;
            }
            plain(connection, unlock_events(dialect)).await?;
        }
        Ok(())
    };
    alone(database, each).await?;
    Ok(dropped)
}

fn lock_events(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Postgres => "BEGIN; LOCK TABLE foretaste_events IN ACCESS EXCLUSIVE MODE",
        Dialect::MySql => "LOCK TABLES foretaste_events WRITE",
    }
}

fn unlock_events(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Postgres => "COMMIT",
        Dialect::MySql => "UNLOCK TABLES",
    }
}

async fn plain(connection: &mut AnyConnection, sql: &'static str) -> Result<()> {
    sqlx::raw_sql(sql).execute(connection).await.map(drop).map_err(failure)
}

async fn is_empty(dialect: Dialect, connection: &mut AnyConnection, end: TimeMs) -> Result<bool> {
    let sql = match dialect {
        Dialect::Postgres => {
            format!("SELECT time_ms FROM foretaste_events_{} LIMIT 1", name(month_of(end - 1)))
        }
        Dialect::MySql => {
            format!("SELECT time_ms FROM foretaste_events PARTITION ({}) LIMIT 1", named(end))
        }
    };
    let rows = sqlx::query(AssertSqlSafe(sql)).fetch_all(connection).await;
    rows.map(|rows| rows.is_empty()).map_err(failure)
}

fn drop_month(dialect: Dialect, end: TimeMs) -> String {
    match dialect {
        Dialect::Postgres => format!("DROP TABLE foretaste_events_{}", name(month_of(end - 1))),
        Dialect::MySql => format!("ALTER TABLE foretaste_events DROP PARTITION {}", named(end)),
    }
}

pub(super) async fn now_ms(database: &Database) -> Result<TimeMs> {
    let sql = match database.dialect {
        Dialect::Postgres => "SELECT CAST(extract(epoch FROM now()) AS bigint)",
        Dialect::MySql => "SELECT CAST(UNIX_TIMESTAMP() AS SIGNED)",
    };
    let mut connection = database.connection().await?;
    let row = sqlx::query(sql).fetch_one(&mut *connection).await;
    Ok(1_000 * number(&row.map_err(failure)?, 0)?)
}

/// The month of a time, counted from the year 0.
pub(super) fn month_of(time_ms: TimeMs) -> i64 {
    let (year, month, _) = civil(time_ms.div_euclid(DAY_MS));
    year * 12 + i64::from(month) - 1
}

pub(super) fn start_of(month: i64) -> TimeMs {
    let (year, month) = (month.div_euclid(12), month.rem_euclid(12) as u32 + 1);
    day_of(year, month, 1).expect("every month has a first day") * DAY_MS
}

fn name(month: i64) -> String {
    format!("{}_{:02}", month.div_euclid(12), month.rem_euclid(12) + 1)
}

/// MySQL's name of the partition that ends here.
fn named(end: TimeMs) -> String {
    format!("m{}", name(month_of(end - 1)))
}
