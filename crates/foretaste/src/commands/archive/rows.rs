//! `foretaste archive --source`: old rows of a source's tables into files, and back.

use anyhow::Result;
use foretaste_core::time::date;
use foretaste_core::{Error, ErrorKind};
use foretaste_ingest::tables::SourceConfig;
use foretaste_ingest::tables::archive::{Archiver, RowPlan, RowReport, RowStatus};
use serde_json::{Value, json};

use super::args::{ArchiveArgs, ArchiveCommand, TablesArgs};
use crate::commands::extract::chosen;
use crate::logging;
use crate::run::Run;

/// Archives the rows of tables, one table after the other.
pub fn run(run: &Run, args: &ArchiveArgs, from: &TablesArgs) -> Result<()> {
    logging::start_warnings(run.json);
    let names: Vec<String> = from.source.iter().cloned().collect();
    let store = run.store_for_reading()?;
    let folder = run.archive_of_sources();
    for (source, url) in chosen(run, &names)? {
        let archiver = Archiver {
            store: store.as_ref(),
            source: &source,
            url: &url,
            folder: &folder,
            older_than_days: args.older_than.unwrap_or(run.config.archive.older_than_days),
            batch_rows: run.config.archive.delete_rows,
            progress: run.progress.as_ref(),
        };
        let tables = match &from.table {
            Some(table) => vec![table.as_str()],
            None => archiver.tables(),
        };
        for table in tables {
            let key = format!("{}/{table}", source.name);
            if args.command.is_none() {
                refuse_others(run, &source, table)?;
            }
            one(run, args, &archiver, (table, &key))?;
        }
    }
    Ok(())
}

/// Another source of the same database would take archived rows for deleted ones.
fn refuse_others(run: &Run, source: &SourceConfig, table: &str) -> Result<()> {
    let address = |own: &SourceConfig| (own.url_env.clone(), own.url_file.clone());
    let reads = |own: &SourceConfig| own.tables.iter().any(|read| read.table == table);
    let mut others = run.config.source.iter().filter(|own| own.name != source.name);
    match others.find(|own| address(own) == address(source) && reads(own)) {
        None => Ok(()),
        Some(other) => {
            let (name, other) = (&source.name, &other.name);
            let text = format!(
                "source {name}, table {table}: source {other} reads it, too, and would take \
                 archived rows for deleted ones; read it in one source"
            );
            Err(Error::new(ErrorKind::Config, text).into())
        }
    }
}

fn one(
    run: &Run,
    args: &ArchiveArgs,
    archiver: &Archiver<'_>,
    (table, key): (&str, &str),
) -> Result<()> {
    let (mut value, text) = match &args.command {
        Some(ArchiveCommand::Status { verify, .. }) => {
            shown_status(&archiver.status(table, *verify)?, *verify)
        }
        Some(ArchiveCommand::Restore { .. }) => {
            let n = archiver.restore(table)?;
            (json!({ "restored": n }), format!("{n} rows are in the table again\n"))
        }
        None if args.dry_run => shown_plan(&archiver.plan(table)?, archiver.older_than_days),
        None => shown_report(&archiver.run(table, args.delete)?, args.delete),
    };
    value["table"] = key.into();
    run.print(&value, || format!("{key}: {text}"));
    Ok(())
}

fn shown_report(report: &RowReport, delete: bool) -> (Value, String) {
    let value = json!({
        "copied": report.copied,
        "bytes": report.bytes,
        "deleted": report.deleted,
        "waiting": report.waiting,
    });
    let stay = if delete { "" } else { " (they stay in the table without --delete)" };
    let waiting = match report.waiting {
        0 => String::new(),
        n => format!("; {n} wait, as they are not in the store as they are in the table"),
    };
    let text = format!(
        "{} rows copied ({:.1} MB){stay}, {} deleted{waiting}\n",
        report.copied,
        report.bytes as f64 / 1e6,
        report.deleted,
    );
    (value, text)
}

fn shown_plan(plan: &RowPlan, days: u32) -> (Value, String) {
    let total: u64 = plan.days.iter().map(|(_, rows)| rows).sum();
    let day = |(day, rows): &(i64, u64)| json!({ "day": date(*day), "rows": rows });
    let value = json!({
        "days": plan.days.iter().map(day).collect::<Vec<_>>(),
        "rows": total,
        "bytes": plan.bytes,
    });
    let line = |(day, rows): &(i64, u64)| format!("\n  {}  {rows:>12} rows", date(*day));
    let lines: String = plan.days.iter().map(line).collect();
    let text = format!(
        "{total} rows are older than {days} days, about {:.1} MB with their indexes{lines}\n",
        plan.bytes as f64 / 1e6
    );
    (value, text)
}

fn shown_status(status: &RowStatus, verify: bool) -> (Value, String) {
    let value = json!({
        "files": status.files,
        "rows": status.rows,
        "moved": status.moved,
        "bytes": status.bytes,
        "first": status.range.as_ref().map(|(first, _)| first),
        "last": status.range.as_ref().map(|(_, last)| last),
        "restoring": status.restoring,
        "verified": verify,
    });
    let Some((first, last)) = &status.range else {
        return (value, "nothing has been archived\n".to_owned());
    };
    let text = format!(
        "{} rows in {} files, {:.1} MB, {first} to {last}{}; {} of them have left the table{}\n",
        status.rows,
        status.files,
        status.bytes as f64 / 1e6,
        if verify { "; every file is whole" } else { "" },
        status.moved,
        if status.restoring { "; a restore was cut off, let it end" } else { "" },
    );
    (value, text)
}
