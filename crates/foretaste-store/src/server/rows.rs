//! Rows of outside tables: a step is one transaction.

use std::collections::{BTreeMap, HashMap};

use foretaste_core::event::id_key;
use foretaste_core::{Error, Item, Result, User};

use super::append::{add_kinds, insert, known_kinds, row as event_row};
use super::catalogue::{add_items, add_users, put_flag};
use super::sql::{Arg, Changing, marks, maybe_text, number, text};
use super::{ServerStore, catalogue, warm};
use crate::rows::{Record, RowBucket, RowChanges, RowOutcome, RowStep, RowStore};
use crate::validate;

/// Rows that one statement names.
const ROWS_AT_ONCE: usize = 2_000;
const COLUMNS: &str = "table_name, h1, h2, row_id, bucket, digest, record_kind, record_id, \
                       event_key, time_ms";

const NOTHING: i64 = 0;
const EVENT: i64 = 1;
const ITEM: i64 = 2;
const USER: i64 = 3;

/// Two digests of a primary key, which may be of any length.
type Place = (i64, i64);

/// What a row has left here.
struct Trace {
    digest: i64,
    kind: i64,
    record: String,
    /// Time and key of its event.
    event: (i64, i64),
}

/// What a step does to events and records, once all of it is known.
#[derive(Default)]
struct Effects<'a> {
    rows: Vec<Vec<Arg>>,
    events: Vec<Vec<Arg>>,
    retracted: Vec<(i64, i64)>,
    items: BTreeMap<String, Option<&'a Item>>,
    users: BTreeMap<String, Option<&'a User>>,
    changes: RowChanges,
    outcome: RowOutcome,
}

impl RowStore for ServerStore {
    fn apply_rows_telling(
        &self,
        table: &str,
        step: RowStep,
        changes: &mut RowChanges,
    ) -> Result<RowOutcome> {
        validate::name("table", table)?;
        step.check()?;
        let apply = async |changing: &mut Changing<'_>| apply(changing, table, step).await;
        let (outcome, told) = self.database.wait(self.database.transaction(apply))?;
        changes.events.extend(told.events);
        changes.retracted.extend(told.retracted);
        changes.items.extend(told.items);
        changes.users.extend(told.users);
        Ok(outcome)
    }

    fn watermark(&self, table: &str) -> Result<Option<String>> {
        let sql = "SELECT watermark FROM foretaste_tables WHERE name = ?";
        let rows = self.database.rows(sql, vec![Arg::text(table)])?;
        rows.first().map_or(Ok(None), |row| maybe_text(row, 0))
    }

    fn row_digests(&self, table: &str, rows: &[&str]) -> Result<Vec<Option<u64>>> {
        let sql = "SELECT digest FROM foretaste_rows WHERE table_name = ? AND h1 = ? AND h2 = ?";
        let digest = |row: &&str| {
            let (h1, h2) = place(row);
            let rows = self.database.rows(sql, vec![Arg::text(table), h1.into(), h2.into()])?;
            rows.first().map(|row| number(row, 0).map(|digest| digest as u64)).transpose()
        };
        rows.iter().map(digest).collect()
    }

    fn row_buckets(&self, table: &str) -> Result<Vec<RowBucket>> {
        let as_text = self.database.text_type();
        let sql = format!(
            "SELECT bucket, count(*), CAST(sum(digest) AS {as_text}) FROM foretaste_rows \
             WHERE table_name = ? GROUP BY bucket ORDER BY bucket"
        );
        let bucket = |row| {
            let sum = text(row, 2)?;
            let sum = sum.parse().map_err(|_| Error::internal("a sum is no number"))?;
            Ok(RowBucket { bucket: number(row, 0)?, rows: number(row, 1)? as u64, sum })
        };
        self.database.rows(&sql, vec![Arg::text(table)])?.iter().map(bucket).collect()
    }

    fn bucket_rows(&self, table: &str, bucket: i64) -> Result<Vec<(String, Option<u64>)>> {
        let sql = "SELECT row_id, digest FROM foretaste_rows \
                   WHERE table_name = ? AND bucket = ? ORDER BY h1, h2";
        let rows = self.database.rows(sql, vec![Arg::text(table), bucket.into()])?;
        let row = |row| {
            let id = catalogue::of_json(&text(row, 0)?)?;
            Ok((id, Some(number(row, 1)? as u64)))
        };
        rows.iter().map(row).collect()
    }
}

fn place(row: &str) -> Place {
    (id_key("1", row) as i64, id_key("2", row) as i64)
}

async fn apply(
    changing: &mut Changing<'_>,
    table: &str,
    mut step: RowStep,
) -> Result<(RowOutcome, RowChanges)> {
    let number_of_step = next_step(changing, table).await?;
    validate::step(table, number_of_step as u64, &mut step)?;
    let mut kinds = known_kinds(changing).await?;
    let old_kinds = kinds.len();
    let mut events = step.rows.iter().filter_map(|row| row.record.event());
    events.try_for_each(|event| validate::kind(&mut kinds, &event.kind))?;
    add_kinds(changing, &kinds, old_kinds).await?;
    let named = step.rows.iter().map(|row| &row.row).chain(&step.gone);
    let places: Vec<Place> = named.map(|row| place(row)).collect();
    let known = known_rows(changing, table, &places).await?;

    let mut effects = Effects::default();
    for row in &step.rows {
        let at = place(&row.row);
        match known.get(&at) {
            Some(trace) if trace.digest == row.digest as i64 => {
                effects.outcome.unchanged += 1;
                continue;
            }
            Some(trace) => {
                effects.undo(trace, row.record.id());
                effects.outcome.changed += 1;
            }
            None => effects.outcome.added += 1,
        }
        let left = effects.put(&row.record, &mut changing.seq);
        let mut columns = vec![Arg::text(table), at.0.into(), at.1.into()];
        columns.push(Arg::Text(Some(catalogue::json(&row.row)?)));
        columns.extend([row.bucket.into(), (row.digest as i64).into()]);
        columns.extend(left);
        effects.rows.push(columns);
    }
    let gone: Vec<Place> =
        step.gone.iter().map(|row| place(row)).filter(|at| known.contains_key(at)).collect();
    for at in &gone {
        effects.undo(&known[at], None);
        effects.outcome.removed += 1;
    }
    let done = (effects.outcome, std::mem::take(&mut effects.changes));
    effects.store(changing).await?;
    forget(changing, table, &gone).await?;
    close(changing, table, number_of_step, step.watermark).await?;
    changing.keep_seq().await?;
    Ok(done)
}

impl<'a> Effects<'a> {
    /// Takes back what a row was, unless it becomes the record `still` again.
    fn undo(&mut self, trace: &Trace, still: Option<&str>) {
        let id = &trace.record;
        match trace.kind {
            EVENT => {
                self.retracted.push(trace.event);
                self.changes.retracted.push(trace.event.1 as u64);
            }
            ITEM if Some(id.as_str()) != still => {
                self.items.insert(id.clone(), None);
                self.changes.items.push(id.clone());
            }
            USER if Some(id.as_str()) != still => {
                self.users.insert(id.clone(), None);
                self.changes.users.push(id.clone());
            }
            _ => {}
        }
    }

    /// Notes a record, and gives the columns of its trace.
    fn put(&mut self, record: &'a Record, seq: &mut i64) -> [Arg; 4] {
        let (none, no) = (|| Arg::Text(None), || Arg::Number(None));
        match record {
            Record::Event(event) => {
                *seq += 1;
                self.events.push(event_row(event, Some(*seq)));
                self.changes.events.push(event.clone());
                [EVENT.into(), none(), (event.key() as i64).into(), event.time_ms.into()]
            }
            Record::Item(item) => {
                self.items.insert(item.item_id.clone(), Some(item));
                self.changes.items.push(item.item_id.clone());
                [ITEM.into(), Arg::text(&item.item_id), no(), no()]
            }
            Record::User(user) => {
                self.users.insert(user.user_id.clone(), Some(user));
                self.changes.users.push(user.user_id.clone());
                [USER.into(), Arg::text(&user.user_id), no(), no()]
            }
            Record::Nothing => [NOTHING.into(), none(), no(), no()],
        }
    }

    async fn store(self, changing: &mut Changing<'_>) -> Result<()> {
        drop_events(changing, &self.retracted).await?;
        warm::retract(changing, &self.retracted).await?;
        insert(changing, self.events).await?;
        let items = self.items.iter().filter(|(_, item)| item.is_none());
        let items: Vec<&str> = items.map(|(id, _)| id.as_str()).collect();
        put_flag(changing, "deleted", &items).await?;
        drop_records(changing, "items", "item_id", &items).await?;
        add_items(changing, self.items.values().copied().flatten()).await?;
        let users = self.users.iter().filter(|(_, user)| user.is_none());
        let users: Vec<&str> = users.map(|(id, _)| id.as_str()).collect();
        drop_records(changing, "users", "user_id", &users).await?;
        add_users(changing, self.users.values().copied().flatten()).await?;
        let conflict = changing.conflict(
            "rows",
            "table_name, h1, h2",
            &["bucket", "digest", "record_kind", "record_id", "event_key", "time_ms"],
        );
        changing.insert(&format!("foretaste_rows ({COLUMNS})"), &conflict, self.rows).await
    }
}

async fn next_step(changing: &mut Changing<'_>, table: &str) -> Result<i64> {
    let sql = "SELECT step FROM foretaste_tables WHERE name = ?";
    let rows = changing.rows(sql, vec![Arg::text(table)]).await?;
    Ok(1 + rows.first().map_or(Ok(0), |row| number(row, 0))?)
}

/// Notes the step as done. Without a watermark the table has been read as far as before.
async fn close(
    changing: &mut Changing<'_>,
    table: &str,
    step: i64,
    watermark: Option<String>,
) -> Result<()> {
    let changed: &[&str] = if watermark.is_some() { &["step", "watermark"] } else { &["step"] };
    let conflict = changing.conflict("tables", "name", changed);
    let row = vec![Arg::text(table), step.into(), Arg::Text(watermark)];
    changing.insert("foretaste_tables (name, step, watermark)", &conflict, vec![row]).await
}

async fn known_rows(
    changing: &mut Changing<'_>,
    table: &str,
    places: &[Place],
) -> Result<HashMap<Place, Trace>> {
    let mut known = HashMap::with_capacity(places.len());
    for some in places.chunks(ROWS_AT_ONCE) {
        let sql = format!(
            "SELECT h1, h2, digest, record_kind, record_id, event_key, time_ms \
             FROM foretaste_rows WHERE table_name = ? AND (h1, h2) IN ({})",
            vec!["(?,?)"; some.len()].join(",")
        );
        let hashes = some.iter().flat_map(|&(h1, h2)| [h1.into(), h2.into()]);
        let args = [Arg::text(table)].into_iter().chain(hashes).collect();
        for row in changing.rows(&sql, args).await? {
            let kind = number(&row, 3)?;
            let event = match kind {
                EVENT => (number(&row, 6)?, number(&row, 5)?),
                _ => (0, 0),
            };
            let record = maybe_text(&row, 4)?.unwrap_or_default();
            let trace = Trace { digest: number(&row, 2)?, kind, record, event };
            known.insert((number(&row, 0)?, number(&row, 1)?), trace);
        }
    }
    Ok(known)
}

async fn forget(changing: &mut Changing<'_>, table: &str, gone: &[Place]) -> Result<()> {
    for some in gone.chunks(ROWS_AT_ONCE) {
        let places = vec!["(?,?)"; some.len()].join(",");
        let sql =
            format!("DELETE FROM foretaste_rows WHERE table_name = ? AND (h1, h2) IN ({places})");
        let hashes = some.iter().flat_map(|&(h1, h2)| [h1.into(), h2.into()]);
        changing.run(&sql, [Arg::text(table)].into_iter().chain(hashes).collect()).await?;
    }
    Ok(())
}

/// Deletes events by time and key, and says how many there were.
pub(super) async fn drop_events(changing: &mut Changing<'_>, events: &[(i64, i64)]) -> Result<u64> {
    let mut dropped = 0;
    for some in events.chunks(ROWS_AT_ONCE) {
        let places = vec!["(?,?)"; some.len()].join(",");
        // MariaDB looks for pairs in all of the table, unless it is told where.
        let sql = format!(
            "DELETE FROM foretaste_events WHERE time_ms BETWEEN ? AND ? \
             AND (time_ms, event_key) IN ({places})"
        );
        let times = || some.iter().map(|&(time, _)| time);
        let bounds = [times().min(), times().max()].map(Arg::Number);
        let pairs = some.iter().flat_map(|&(t, k)| [t.into(), k.into()]);
        let args = bounds.into_iter().chain(pairs).collect();
        dropped += changing.run(&sql, args).await?;
    }
    Ok(dropped)
}

async fn drop_records(
    changing: &mut Changing<'_>,
    table: &str,
    key: &str,
    ids: &[&str],
) -> Result<()> {
    for some in ids.chunks(ROWS_AT_ONCE) {
        let marks = marks(some.len());
        let sql = format!("DELETE FROM foretaste_{table} WHERE {key} IN ({marks})");
        changing.run(&sql, some.iter().map(|id| Arg::text(id)).collect()).await?;
    }
    Ok(())
}
