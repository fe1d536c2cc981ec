//! `foretaste generate`: a seeded data set as Parquet.

use anyhow::Result;
use foretaste_generate::{Spec, write_parquet};
use serde_json::json;

use crate::cli::{GenerateArgs, SizeArgs};
use crate::run::{Run, shown};

/// Writes the files.
pub fn run(run: &Run, args: &GenerateArgs) -> Result<()> {
    let spec = spec(args.size);
    write_parquet(&spec, &args.output, run.progress.as_ref())?;
    let folder = shown(&args.output);
    run.print(&json!({ "folder": folder, "spec": spec }), || {
        format!(
            "{folder}: {} events of {} users on {} items (seed {})\n\
             next: foretaste import {folder}\n",
            spec.events, spec.users, spec.items, spec.seed
        )
    });
    Ok(())
}

/// The spec that sizes on the command line mean.
pub fn spec(size: SizeArgs) -> Spec {
    let SizeArgs { users, items, events, seed } = size;
    Spec { users, items, events, seed, ..Spec::default() }
}
