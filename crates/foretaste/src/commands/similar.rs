//! `foretaste similar`: items like an item.

use anyhow::{Context, Result};
use foretaste_pipeline::{Query, Scratch};

use super::slate;
use crate::cli::SimilarArgs;
use crate::run::Run;

/// Prints the neighbours of an item.
pub fn run(run: &Run, args: &SimilarArgs) -> Result<()> {
    let snapshot = run.snapshot()?;
    let scene = run.scene(&args.scene)?;
    let item = snapshot.bundle.items().index_of(&args.item);
    let item = item.with_context(|| format!("the current bundle has no item `{}`", args.item))?;
    let query = Query { k: args.k, ..Query::default() };
    let outcome =
        foretaste_pipeline::similar(&snapshot, &scene, item, &query, &mut Scratch::default());
    run.print(&slate::to_json(&snapshot, &outcome), || slate::to_text(&snapshot, &outcome));
    Ok(())
}
