//! From tables of values to the immutable files that requests read, and with them what features of
//! the moment need: the last events of every user, and category and age of every item.

use std::time::Duration;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Float64Type, Int64Type};
use datafusion::prelude::{DataFrame, SessionContext};
use foretaste_core::feature::Class;
use foretaste_core::{Error, ErrorKind, Result, TimeMs};
use foretaste_online::{
    Cell, ColumnHead, ColumnKind, Head, LastEvent, LastEventsDraft, MOMENT, Published, Publisher,
    ValuesDraft,
};
use futures_util::StreamExt;

use crate::build::as_of;
use crate::definition::Definition;
use crate::engine::{Engine, plan};
use crate::failure;
use crate::lake::{EVENTS, ITEMS, Inputs};
use crate::pairs::active;
use crate::table::{ColumnType, TableState};

const VALUES: &str = "published";

/// Publishes the values of `set` as its table has them; `synced_ms` is when the copy of the events
/// that they are computed from began, 0 when not known. Values that are published already are not
/// written again.
///
/// # Errors
/// `NotFound` when the set has no values, or none of the present definition; what the publisher and
/// the storage say. The version before stays then.
///
/// # Cost
/// All rows in memory, 4 bytes a value, and sorted.
pub async fn publish_set(
    engine: &Engine,
    (set, values): (&Definition, &TableState),
    (publisher, synced_ms): (&Publisher, TimeMs),
) -> Result<Published> {
    let missing = |what: &str| {
        let text = format!("feature set {} {what}; `foretaste features build` it first", set.name);
        Error::new(ErrorKind::NotFound, text)
    };
    let as_of_ms = as_of(values).ok_or_else(|| missing("has no values yet"))?;
    if values.marks().get("definition") != Some(&set.digest()) {
        return Err(missing("has been changed since its values were computed"));
    }
    let head = Head {
        set: set.name.clone(),
        class: set.class,
        ttl: Duration::from_secs(set.ttl_s),
        as_of_ms,
        synced_ms,
        schema_hash: values.marks().get("schema_hash").cloned().unwrap_or_default(),
        source: source(&[values], ""),
    };
    if let Some(again) = publisher.again(&head)? {
        return Ok(again);
    }
    let columns = columns(set, values)?;
    let session = engine.session(&[(VALUES, values)])?;
    let keys = set.entity.keys();
    let names: Vec<&str> = keys.iter().copied().chain(columns.iter().map(|c| &*c.name)).collect();
    let sql = format!("SELECT {} FROM {VALUES}", names.join(", "));
    let frame = plan(&session, VALUES, &sql).await?;
    let mut draft = ValuesDraft::new(set.entity, columns)?;
    let mut stream = executed(frame).await?;
    while let Some(batch) = stream.next().await {
        let batch = batch.map_err(|e| failure::sql(VALUES, e))?;
        add_rows(&mut draft, keys.len(), &batch)?;
    }
    publisher.values(&head, &draft)
}

/// Publishes the last events of every user, without those of `passive_kinds`, which are not things
/// that a user did, and the catalogue's items. `as_of_ms` is the present time.
///
/// # Errors
/// What the publisher and the storage say. The version before stays then.
///
/// # Cost
/// A sort of all events, which spills; at most 256 events of a user, 17 bytes each, in memory.
pub async fn publish_last_events(
    engine: &Engine,
    (inputs, passive_kinds): (&Inputs, &[String]),
    (publisher, as_of_ms, synced_ms): (&Publisher, TimeMs, TimeMs),
) -> Result<Published> {
    let head = Head {
        set: MOMENT.to_owned(),
        class: Class::Dynamic,
        ttl: Class::Dynamic.ttl(),
        as_of_ms,
        synced_ms,
        schema_hash: passive_kinds.join(","),
        source: source(&[&inputs.events, &inputs.items], &passive_kinds.join(",")),
    };
    if let Some(again) = publisher.again(&head)? {
        return Ok(again);
    }
    let session = engine.session(&[(EVENTS, &inputs.events), (ITEMS, &inputs.items)])?;
    let mut draft = LastEventsDraft::new(passive_kinds.to_vec());
    if inputs.items.generation() > 0 {
        add_items(&session, &mut draft).await?;
    }
    add_events(&session, passive_kinds, &mut draft).await?;
    publisher.last_events(&head, &draft)
}

/// Names what a file is made from: tables never change the files that they name.
fn source(states: &[&TableState], with: &str) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(with.as_bytes());
    for state in states {
        hasher.update(format!("\n{} ", state.table().name()).as_bytes());
        state.files().iter().for_each(|file| {
            hasher.update(file.path.as_bytes());
        });
    }
    hasher.finalize().to_hex()[..32].to_owned()
}

/// The columns of a set as requests read them.
fn columns(set: &Definition, values: &TableState) -> Result<Vec<ColumnHead>> {
    let head = |name: &String| {
        let column = values.columns().get(name);
        let column_type = column.map(|column| column.column_type).ok_or_else(|| {
            Error::corrupt(format!("the values of feature set {} lack {name}", set.name))
        })?;
        let kind = match column_type {
            ColumnType::Text => ColumnKind::Text,
            _ => ColumnKind::Number,
        };
        Ok(ColumnHead { name: name.clone(), kind })
    };
    set.columns.iter().map(|column| head(&column.name)).collect()
}

async fn executed(frame: DataFrame) -> Result<datafusion::execution::SendableRecordBatchStream> {
    frame.execute_stream().await.map_err(|e| failure::sql(VALUES, e))
}

/// Adds the rows of a batch, whose first columns are the keys.
fn add_rows(draft: &mut ValuesDraft, n_keys: usize, batch: &RecordBatch) -> Result<()> {
    let texts = |column: &ArrayRef| cast(column, &DataType::Utf8View).map_err(failure::arrow);
    let keys = batch.columns()[..n_keys].iter().map(texts).collect::<Result<Vec<_>>>()?;
    let values = batch.columns()[n_keys..].iter().map(|column| match column.data_type() {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => texts(column),
        _ => cast(column, &DataType::Float64).map_err(failure::arrow),
    });
    let values = values.collect::<Result<Vec<_>>>()?;
    for row in 0..batch.num_rows() {
        let key: Vec<&str> = keys.iter().map(|key| key.as_string_view().value(row)).collect();
        draft.push(&key, values.iter().map(|column| cell(column, row)))?;
    }
    Ok(())
}

/// A value of a column of texts or of numbers.
fn cell(column: &ArrayRef, row: usize) -> Cell<'_> {
    if column.is_null(row) {
        return Cell::Missing;
    }
    match column.as_string_view_opt() {
        Some(texts) => Cell::Text(texts.value(row)),
        None => Cell::Number(column.as_primitive::<Float64Type>().value(row)),
    }
}

async fn add_items(session: &SessionContext, draft: &mut LastEventsDraft) -> Result<()> {
    let sql = format!(
        "SELECT item_id, category, CAST(created_ms AS BIGINT) AS created_ms FROM {ITEMS} \
         ORDER BY item_id"
    );
    let mut stream = executed(plan(session, ITEMS, &sql).await?).await?;
    while let Some(batch) = stream.next().await {
        let batch = batch.map_err(|e| failure::sql(ITEMS, e))?;
        let (ids, categories) = (texts(&batch, 0)?, texts(&batch, 1)?);
        let (ids, categories) = (ids.as_string_view(), categories.as_string_view());
        let created = batch.column(2).as_primitive::<Int64Type>();
        for row in 0..batch.num_rows() {
            let category = categories.is_valid(row).then(|| categories.value(row));
            let created_ms = if created.is_valid(row) { created.value(row) } else { 0 };
            draft.item(ids.value(row), category, created_ms)?;
        }
    }
    Ok(())
}

async fn add_events(
    session: &SessionContext,
    passive_kinds: &[String],
    draft: &mut LastEventsDraft,
) -> Result<()> {
    let active = active(passive_kinds, "kind");
    let sql = format!(
        "SELECT user_id, time_ms, item_id, kind, CAST(value AS DOUBLE) AS value \
         FROM {EVENTS} WHERE time_ms > 0{active} \
         ORDER BY user_id, time_ms, item_id, kind, value"
    );
    let mut stream = executed(plan(session, EVENTS, &sql).await?).await?;
    while let Some(batch) = stream.next().await {
        let batch = batch.map_err(|e| failure::sql(EVENTS, e))?;
        let (users, items, kinds) = (texts(&batch, 0)?, texts(&batch, 2)?, texts(&batch, 3)?);
        let (users, items) = (users.as_string_view(), items.as_string_view());
        let kinds = kinds.as_string_view();
        let times = batch.column(1).as_primitive::<Int64Type>();
        let values = batch.column(4).as_primitive::<Float64Type>();
        for row in 0..batch.num_rows() {
            let (item, kind) = (items.value(row), kinds.value(row));
            let (value, time_ms) = (values.value(row) as f32, times.value(row));
            draft.event(users.value(row), LastEvent { item, kind, value, time_ms })?;
        }
    }
    Ok(())
}

fn texts(batch: &RecordBatch, at: usize) -> Result<ArrayRef> {
    cast(batch.column(at), &DataType::Utf8View).map_err(failure::arrow)
}
