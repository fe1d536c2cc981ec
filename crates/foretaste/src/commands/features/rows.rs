//! `foretaste features rows` and `pairs`: what is computed from all events at once.

use anyhow::Result;
use foretaste_features::{Grid, PairsRequest, RowsRequest, rows};
use serde_json::json;

use super::args::{GridArg, PairsArgs, RowsArgs};
use super::{Work, end};
use crate::run::shown;

/// Writes training rows.
pub fn run(work: &Work<'_>, args: &RowsArgs) -> Result<()> {
    let catalogue = work.catalogue()?;
    let sets = catalogue.chosen(&args.names)?;
    let request = RowsRequest {
        events: args.condition.clone(),
        since_ms: end(args.since.as_ref(), 0)?,
        until_ms: end(args.until.as_ref(), i64::MAX)?,
        passive_kinds: passive_kinds(work),
        grid: match args.as_of_each {
            GridArg::Event => Grid::Event,
            GridArg::Hour => Grid::Hour,
            GridArg::Day => Grid::Day,
        },
    };
    let inputs = work.inputs()?;
    let sets = work.checked(&sets, &inputs)?;
    let engine = work.engine()?;
    work.run.progress.start("training rows", None, "rows");
    let done = work.runtime.block_on(rows(&engine, &inputs, &sets, (&request, &args.output)));
    work.run.progress.finish();
    let done = done?;
    work.run.print(&json!(done), || {
        let (rows, features) = (done.rows, done.features);
        format!("{rows} rows of {features} features in {}\n", shown(&args.output))
    });
    Ok(())
}

/// Counts the users that items have in common.
pub fn pairs(work: &Work<'_>, args: &PairsArgs) -> Result<()> {
    let request = PairsRequest {
        until_ms: end(args.until.as_ref(), i64::MAX)?,
        passive_kinds: passive_kinds(work),
        max_user_items: args.max_user_items,
        k: args.k,
    };
    let (inputs, engine) = (work.inputs()?, work.engine()?);
    work.run.progress.start("pairs of items", None, "rows");
    let counting = foretaste_features::pairs(&work.lake, &engine, (&inputs, &request));
    let rows = work.runtime.block_on(counting);
    work.run.progress.finish();
    let rows = rows?;
    work.run.print(&json!({ "rows": rows }), || format!("{rows} pairs in item_pairs\n"));
    Ok(())
}

/// Kinds that are no sign of taste: what a user was shown and did not do.
pub fn passive_kinds(work: &Work<'_>) -> Vec<String> {
    let kinds = work.run.config.events.kinds.iter();
    kinds.filter(|(_, weight)| **weight == 0.0).map(|(kind, _)| kind.clone()).collect()
}
