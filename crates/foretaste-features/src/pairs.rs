//! How many users two items have in common, for all pairs, in SQL: for catalogues whose pairs do
//! not fit into the memory of the trainer's kernel, whose counts these are.

use std::collections::BTreeMap;

use foretaste_core::Result;
use futures_util::StreamExt;

use crate::engine::{Engine, plan};
use crate::failure;
use crate::lake::{EVENTS, FeatureLake, Inputs};
use crate::table::{Change, Removal, TableWriter};

/// The table of pairs.
const PAIRS: &str = "item_pairs";
/// What errors are about.
const WHAT: &str = "pairs of items";

/// Which events count, and how many pairs are kept.
#[derive(Clone, Debug)]
pub struct PairsRequest {
    /// Only events before this time.
    pub until_ms: i64,
    /// Kinds of events that do not join a user to an item.
    pub passive_kinds: Vec<String>,
    /// Items of a user that take part: of more, those that the fewest users have.
    pub max_user_items: u32,
    /// Pairs kept for each item: those with the most users.
    pub k: u32,
}

/// Counts the users of each pair of items into the table `item_pairs`: item_id, other_id, users,
/// with both orders of a pair. Returns its number of rows.
///
/// # Errors
/// `Exhausted` when memory and spill folder are too small; what the storage says. The table is as
/// before then.
///
/// # Cost
/// The sum over users of the square of their items, sorted and grouped; it spills.
pub async fn pairs(
    lake: &FeatureLake,
    engine: &Engine,
    (inputs, request): (&Inputs, &PairsRequest),
) -> Result<u64> {
    let session = engine.merging_session(&[(EVENTS, &inputs.events)])?;
    let frame = plan(&session, WHAT, &sql(request)).await?;
    let state = lake.table(PAIRS)?.state().await?;
    let written = async || {
        let mut writer = TableWriter::anew(&state, frame.schema().inner())?;
        let mut stream = engine.stream(frame.clone(), WHAT).await?;
        while let Some(batch) = stream.next().await {
            writer.write(&batch.map_err(|e| failure::sql(WHAT, e))?).await?;
        }
        writer.finish().await
    };
    let (add, columns) = engine.attempt(written).await?;
    let until = ("until_ms".to_owned(), Some(request.until_ms.to_string()));
    let change = Change {
        add,
        columns,
        remove: Removal::All,
        marks: BTreeMap::from([until]),
        expected: Some(state.generation()),
    };
    Ok(state.table().commit(&change).await?.rows())
}

fn sql(request: &PairsRequest) -> String {
    let PairsRequest { until_ms, passive_kinds, max_user_items, k } = request;
    let active = active(passive_kinds, "kind");
    format!(
        "WITH met AS (
             SELECT DISTINCT user_id, item_id FROM {EVENTS} WHERE time_ms < {until_ms}{active}
         ), sized AS (
             SELECT user_id, item_id, count(*) OVER (PARTITION BY item_id) AS users FROM met
         ), ranked AS (
             SELECT user_id, item_id,
                    row_number() OVER (PARTITION BY user_id ORDER BY users, item_id) AS at
             FROM sized
         ), kept AS (
             SELECT user_id, item_id FROM ranked WHERE at <= {max_user_items}
         ), counted AS (
             SELECT a.item_id, b.item_id AS other_id, count(*) AS users
             FROM kept a JOIN kept b ON a.user_id = b.user_id
             WHERE a.item_id <> b.item_id
             GROUP BY a.item_id, b.item_id
         ), best AS (
             SELECT item_id, other_id, users, row_number() OVER
                        (PARTITION BY item_id ORDER BY users DESC, other_id) AS place
             FROM counted
         )
         SELECT item_id, other_id, users FROM best WHERE place <= {k}"
    )
}

/// A condition that leaves out some kinds of events.
pub(crate) fn active(passive_kinds: &[String], column: &str) -> String {
    let quoted = |kind: &String| format!(" AND {column} <> '{}'", kind.replace('\'', "''"));
    passive_kinds.iter().map(quoted).collect()
}
