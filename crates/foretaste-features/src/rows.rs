//! Training rows: events with the features as they were before each of them.

mod moments;

use std::path::Path;
use std::sync::Arc;

use datafusion::arrow::array::{Array, AsArray};
use datafusion::arrow::datatypes::Int64Type;
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::basic::{Compression, ZstdLevel};
use datafusion::parquet::errors::ParquetError;
use datafusion::parquet::file::properties::WriterProperties;
use datafusion::prelude::{DataFrame, SessionContext};
use foretaste_core::moment::NAMES;
use foretaste_core::{Error, ErrorKind, Result};
use futures_util::StreamExt;
use serde::Serialize;

use crate::build::values;
use crate::check::Checked;
use crate::engine::{Engine, plan};
use crate::failure;
use crate::history::{AS_OF, Scope};
use crate::lake::{EVENTS, ITEMS, Inputs, USERS};
use crate::pairs::active;
use crate::table::DAY_MS;

use moments::{CATEGORY, CREATED, Moments};

/// The events that get features, with the time that these are of.
const LABELS: &str = "labels";
/// What errors are about.
const WHAT: &str = "training rows";

/// How exactly the time of an event is that of its features.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Grid {
    /// To the millisecond.
    Event,
    /// The hour before: as if values had been computed at each full hour.
    Hour,
    /// The midnight before (UTC): as if values had been computed once a day.
    Day,
}

impl Grid {
    fn step_ms(self) -> i64 {
        match self {
            Self::Event => 1,
            Self::Hour => DAY_MS / 24,
            Self::Day => DAY_MS,
        }
    }
}

/// Which events, with which features.
#[derive(Clone, Debug)]
pub struct RowsRequest {
    /// A condition in SQL on the columns of events; all of them where it is `None`.
    pub events: Option<String>,
    /// Only events at this time or later.
    pub since_ms: i64,
    /// Only events before this time.
    pub until_ms: i64,
    /// The time of the features of an event.
    pub grid: Grid,
    /// Kinds of events that a user does not do but meets; the features of the moment leave them
    /// out.
    pub passive_kinds: Vec<String>,
}

/// What was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct RowsOutcome {
    /// Rows, one for each event.
    pub rows: u64,
    /// Columns of features in each.
    pub features: usize,
}

/// Writes one row for each event of `request` into a Parquet file at `path`: user_id, item_id,
/// kind, value, time_ms, as_of, then the columns of `sets`, then the features of the moment
/// ([`foretaste_core::moment`], exact to the millisecond whatever the grid), in the order of users
/// and times. A value that there is none of yet is null, as it is missing when the same is asked
/// for a request.
///
/// No value depends on an event at or after the time of its row.
///
/// # Errors
/// `Invalid` for a condition that is no SQL, or a set that has two rows for one entity;
/// `Exhausted` when memory and spill folder are too small; `Io` when the disk refuses. There is
/// no file then.
///
/// # Cost
/// Every event of the window of an entity is looked at once for each of its rows: a coarser grid
/// makes popular items cheaper.
pub async fn rows(
    engine: &Engine,
    inputs: &Inputs,
    sets: &[Checked],
    (request, path): (&RowsRequest, &Path),
) -> Result<RowsOutcome> {
    let tables = [(EVENTS, &inputs.events), (ITEMS, &inputs.items), (USERS, &inputs.users)];
    let session = engine.merging_session(&tables)?;
    let labels = plan(&session, WHAT, &labels(request)).await?;
    let registered = session.register_table(LABELS, labels.into_view());
    registered.map_err(|e| failure::sql(LABELS, e))?;
    let Some((expected, from, to)) = bounds(engine, &session).await? else {
        let text = "no event is chosen; look at the condition and the times";
        return Err(Error::invalid(text));
    };
    for set in sets {
        let found = values(&session, set, Scope::Each { table: LABELS, from, to }).await?;
        let registered = session.register_table(view_name(set), found.into_view());
        registered.map_err(|e| failure::sql(&set.definition.name, e))?;
    }
    let frame = plan(&session, WHAT, &joined(sets)).await?;
    let steps = plan(&session, WHAT, &steps(request)).await?;
    let temporary = path.with_extension("tmp");
    let write = async || write(engine, (frame.clone(), steps.clone()), &temporary).await;
    let written = engine.attempt(write).await.and_then(|rows| {
        if rows != expected {
            let text = format!("{expected} events gave {rows} rows: a feature set has several");
            return Err(Error::invalid(text + " rows for one entity; check its joins"));
        }
        Ok(fs_err::rename(&temporary, path)?)
    });
    if let Err(e) = written {
        // What is left of the file serves nobody; the error says what happened.
        let _ = fs_err::remove_file(&temporary);
        return Err(e);
    }
    let of_sets: usize = sets.iter().map(|set| set.definition.columns.len()).sum();
    Ok(RowsOutcome { rows: expected, features: of_sets + NAMES.len() })
}

fn view_name(set: &Checked) -> String {
    format!("set_{}", set.definition.name)
}

/// The number of chosen events and the first and last time of features; `None` without events.
async fn bounds(engine: &Engine, session: &SessionContext) -> Result<Option<(u64, i64, i64)>> {
    let sql = format!("SELECT count(*), min({AS_OF}), max({AS_OF}) FROM {LABELS}");
    let found = engine.collect(plan(session, WHAT, &sql).await?, WHAT).await?;
    let number = |at: usize| {
        let column = found.first()?.column(at).as_primitive_opt::<Int64Type>()?;
        column.is_valid(0).then(|| column.value(0))
    };
    let all = || Some((number(0)? as u64, number(1)?, number(2)?));
    Ok(all().filter(|(events, ..)| *events > 0))
}

/// The chosen events, each with the columns of all sets.
fn joined(sets: &[Checked]) -> String {
    let mut columns = format!("l.*, i.category AS {CATEGORY}, i.created_ms AS {CREATED}");
    let mut from = format!("{LABELS} l LEFT JOIN {ITEMS} i ON i.item_id = l.item_id");
    for set in sets {
        let view = view_name(set);
        set.definition.columns.iter().for_each(|c| columns += &format!(", {view}.{}", c.name));
        let time = set.uses_history.then_some(AS_OF);
        let keys = set.definition.entity.keys().iter().copied().chain(time);
        let same: Vec<String> = keys.map(|key| format!("l.{key} = {view}.{key}")).collect();
        from += &format!(" LEFT JOIN {view} ON {}", same.join(" AND "));
    }
    format!("SELECT {columns} FROM {from} ORDER BY user_id, time_ms, item_id, kind, value")
}

/// What the users of the rows did, in the order of the rows.
fn steps(request: &RowsRequest) -> String {
    let active = active(&request.passive_kinds, "e.kind");
    format!(
        "SELECT e.user_id, e.time_ms, e.item_id, i.category FROM {EVENTS} e \
         LEFT SEMI JOIN {LABELS} l ON l.user_id = e.user_id \
         LEFT JOIN {ITEMS} i ON i.item_id = e.item_id \
         WHERE e.time_ms > 0 AND e.time_ms < {}{active} \
         ORDER BY user_id, time_ms, item_id",
        request.until_ms
    )
}

/// Writes what `frame` gives; returns the number of rows when the file is on disk.
async fn write(
    engine: &Engine,
    (frame, steps): (DataFrame, DataFrame),
    path: &Path,
) -> Result<u64> {
    let refused = |e: ParquetError| {
        let text = format!("writing {} failed; check free space", path.display());
        Error::new(ErrorKind::Io, text).with_source(e)
    };
    let zstd = Compression::ZSTD(ZstdLevel::try_new(1).expect("1 is a level of zstd"));
    let properties = WriterProperties::builder().set_compression(zstd).build();
    let mut moments = Moments::new(engine.stream(steps, WHAT).await?);
    let mut stream = engine.stream(frame, WHAT).await?;
    let schema = Moments::schema(&stream.schema());
    let file = fs_err::File::create(path)?;
    let mut writer =
        ArrowWriter::try_new(file, Arc::clone(&schema), Some(properties)).map_err(refused)?;
    let mut rows = 0;
    while let Some(batch) = stream.next().await {
        let batch = batch.map_err(|e| failure::sql(WHAT, e))?;
        rows += batch.num_rows() as u64;
        writer.write(&moments.add(&batch, &schema).await?).map_err(refused)?;
    }
    writer.into_inner().map_err(refused)?.sync_all()?;
    Ok(rows)
}

fn labels(request: &RowsRequest) -> String {
    let RowsRequest { events, since_ms, until_ms, grid, .. } = request;
    let step = grid.step_ms();
    let condition = events.as_deref().unwrap_or("true");
    format!(
        "SELECT user_id, item_id, kind, CAST(value AS DOUBLE) AS value, time_ms, \
         time_ms / {step} * {step} AS {AS_OF} FROM {EVENTS} \
         WHERE time_ms > 0 AND time_ms >= {since_ms} AND time_ms < {until_ms} AND ({condition})"
    )
}
