//! `foretaste generate`: a seeded data set as Parquet.

use anyhow::Result;
use foretaste_generate::{Dialect, Schema, Spec, write_parquet, write_sql};
use serde_json::json;

use crate::cli::{DialectArg, GenerateArgs, SchemaArg, SizeArgs};
use crate::run::{Run, shown};

/// Writes the files.
pub fn run(run: &Run, args: &GenerateArgs) -> Result<()> {
    let spec = spec(args.size);
    if let Some(schema) = args.sql {
        return script(run, args, (&spec, schema));
    }
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

/// Writes the rows of a database's tables.
fn script(run: &Run, args: &GenerateArgs, (spec, schema): (&Spec, SchemaArg)) -> Result<()> {
    let (schema, name) = match schema {
        SchemaArg::Matomo => (Schema::Matomo, "matomo.sql"),
        SchemaArg::Marketplace => (Schema::Marketplace, "marketplace.sql"),
    };
    let dialect = match args.dialect {
        DialectArg::Mysql => Dialect::MySql,
        DialectArg::Postgres => Dialect::Postgres,
    };
    fs_err::create_dir_all(&args.output)?;
    let path = args.output.join(name);
    write_sql(spec, (schema, dialect), &path, run.progress.as_ref())?;
    let file = shown(&path);
    run.print(&json!({ "file": file, "spec": spec }), || format!("{file}\n"));
    Ok(())
}

/// The spec that sizes on the command line mean.
pub fn spec(size: SizeArgs) -> Spec {
    let SizeArgs { users, items, events, seed } = size;
    Spec { users, items, events, seed, ..Spec::default() }
}
