//! `foretaste features tidy`: fewer files, and none that nobody reads.

use std::time::Duration;

use anyhow::Result;
use foretaste_features::Table;
use foretaste_features::table::{Compaction, Vacuumed};
use serde_json::{Value, json};

use super::Work;
use super::args::TidyArgs;

/// What was done to one table.
struct Tidied {
    table: String,
    merged: Compaction,
    removed: Vacuumed,
}

/// Goes over all tables of the lake.
pub fn run(work: &Work<'_>, args: &TidyArgs) -> Result<()> {
    let age = Duration::from_secs(args.keep_hours.saturating_mul(3_600));
    let mut done = Vec::new();
    for name in work.runtime.block_on(Table::names(work.lake.place()))? {
        let table = work.lake.table(&name)?;
        let merged = work.runtime.block_on(table.compact(args.small_mb.saturating_mul(1 << 20)))?;
        let removed = work.runtime.block_on(table.vacuum(age))?;
        done.push(Tidied { table: name, merged, removed });
    }
    let values: Value = done.iter().map(value).collect();
    work.run.print(&values, || done.iter().map(line).collect());
    Ok(())
}

fn value(Tidied { table, merged, removed }: &Tidied) -> Value {
    json!({
        "table": table, "merged": merged.before, "into": merged.after, "skipped": merged.skipped,
        "removed_files": removed.files, "removed_bytes": removed.bytes,
        "removed_manifests": removed.manifests,
    })
}

fn line(Tidied { table, merged, removed }: &Tidied) -> String {
    let (before, after, unused) = (merged.before, merged.after, removed.files);
    format!("{table:<28} {before} files became {after}; {unused} unused ones removed\n")
}
