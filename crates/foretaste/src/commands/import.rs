//! `foretaste import`: files into the store.

use anyhow::{Context, Result};
use foretaste_core::Error;
use foretaste_ingest::{Entity, Format, ImportReport, ImportRequest, Mapping, import};
use serde_json::{Value, json};

use crate::cli::{EntityArg, ImportArgs, ImportFormat};
use crate::run::Run;

/// Imports every path in turn; what was stored before a failure stays stored.
pub fn run(run: &Run, args: &ImportArgs) -> Result<()> {
    let requests = args.paths.iter().map(|path| request(run, args, path));
    let requests = requests.collect::<Result<Vec<_>>>()?;
    fs_err::create_dir_all(&run.data)?;
    let store = run.store_for_writing()?;
    let mut total = ImportReport::default();
    for request in &requests {
        let report = import(store.as_ref(), request, run.progress.as_ref())?;
        total.sources.extend(report.sources);
    }
    run.print(&to_json(&total), || format!("{total}"));
    Ok(())
}

fn request(run: &Run, args: &ImportArgs, path: &std::path::Path) -> Result<ImportRequest> {
    if !path.exists() {
        let text = format!("there is no file or folder {}; nothing was imported", path.display());
        return Err(Error::not_found(text).into());
    }
    let delimiter = args.delimiter.map(u8::try_from).transpose();
    let delimiter = delimiter.context("--delimiter must be one ASCII character")?;
    let share = args.max_bad_share.unwrap_or(run.config.import.max_bad_share);
    if !(0.0..=1.0).contains(&share) {
        return Err(Error::invalid("--max-bad-share must be within 0 and 1").into());
    }
    Ok(ImportRequest {
        format: args.format.map(format),
        entity: args.entity.map(entity),
        mapping: mapping(&args.map)?,
        delimiter,
        kind: args.kind.clone(),
        max_bad_share: share,
        again: args.again,
        ..ImportRequest::new(path, run.data.join("quarantine"))
    })
}

fn mapping(pairs: &[String]) -> Result<Mapping> {
    let pair = |text: &String| {
        let (field, column) = text.split_once('=').ok_or_else(|| {
            Error::invalid(format!("--map {text}: expected FIELD=COLUMN, like user=uid"))
        })?;
        Ok((field.trim().to_owned(), column.trim().to_owned()))
    };
    Ok(Mapping { pairs: pairs.iter().map(pair).collect::<Result<_>>()? })
}

fn format(format: ImportFormat) -> Format {
    match format {
        ImportFormat::Csv => Format::Csv,
        ImportFormat::Tsv => Format::Tsv,
        ImportFormat::Jsonl => Format::Jsonl,
        ImportFormat::Parquet => Format::Parquet,
        ImportFormat::Movielens => Format::MovieLens,
        ImportFormat::Lists => Format::Lists,
    }
}

fn entity(entity: EntityArg) -> Entity {
    match entity {
        EntityArg::Events => Entity::Events,
        EntityArg::Items => Entity::Items,
        EntityArg::Users => Entity::Users,
    }
}

fn to_json(report: &ImportReport) -> Value {
    let source = |s: &foretaste_ingest::SourceReport| {
        let bad = s.bad.iter().map(|(reason, n)| (reason.name().to_owned(), json!(n)));
        json!({
            "name": s.name,
            "entity": s.entity.to_string(),
            "rows": s.rows,
            "accepted": s.accepted,
            "bad": bad.collect::<serde_json::Map<_, _>>(),
            "quarantine": s.quarantine,
            "skipped": s.skipped,
        })
    };
    json!({ "sources": report.sources.iter().map(source).collect::<Vec<_>>() })
}
