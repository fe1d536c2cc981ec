//! `foretaste archive`: old events from the tables of a server into files, and back; and rows of
//! sources.

use anyhow::Result;
use foretaste_core::time::{DAY_MS, date};
use foretaste_core::{Error, ErrorKind};
use foretaste_store::{ArchiveOptions, ServerStore};
use serde_json::json;

use crate::run::Run;

pub mod args;
mod rows;

use args::{ArchiveArgs, ArchiveCommand};

/// Archives, or says what there is.
pub fn run(run: &Run, args: &ArchiveArgs) -> Result<()> {
    if let Some(tables) = args.tables() {
        return rows::run(run, args, tables);
    }
    let Some(store) = run.store_on_server()? else {
        let text = "events are kept in files of the data folder, as Parquet; `archive` is for a \
                    store on a database's server ([store] of the configuration), `archive \
                    --source NAME` for the tables of a source";
        return Err(Error::new(ErrorKind::Config, text).into());
    };
    let section = &run.config.archive;
    let options = ArchiveOptions {
        older_than_days: args.older_than.unwrap_or(section.older_than_days),
        delete: args.delete || section.delete,
        delete_rows: section.delete_rows,
        folder: run.data.join("archive"),
    };
    match &args.command {
        Some(ArchiveCommand::Status { verify, .. }) => status(run, &store, *verify),
        Some(ArchiveCommand::Restore { .. }) => {
            let n = store.archive_restore(&options, run.progress.as_ref())?;
            run.print(&json!({ "restored": n }), || {
                format!("{n} events are in the tables again; the archive is empty\n")
            });
            Ok(())
        }
        None if args.dry_run => plan(run, &store, &options),
        None => archive(run, &store, &options),
    }
}

fn archive(run: &Run, store: &ServerStore, options: &ArchiveOptions) -> Result<()> {
    let report = store.archive(options, run.progress.as_ref())?;
    let value = json!({
        "before_ms": report.before_ms,
        "copied": report.copied,
        "bytes": report.bytes,
        "deleted": report.deleted,
        "purged": report.purged,
        "rewritten": report.rewritten,
        "months_dropped": report.months_dropped,
    });
    run.print(&value, || {
        let stay = if options.delete { "" } else { " (they stay in the tables without --delete)" };
        format!(
            "events before {}: {} copied ({:.1} MB){stay}, {} deleted from the tables, \
             {} empty months dropped\n{} files written anew, {} events left out of them\n",
            day(report.before_ms),
            report.copied,
            report.bytes as f64 / 1e6,
            report.deleted,
            report.months_dropped,
            report.rewritten,
            report.purged,
        )
    });
    Ok(())
}

fn plan(run: &Run, store: &ServerStore, options: &ArchiveOptions) -> Result<()> {
    let months = store.archive_plan(options.older_than_days)?;
    let total: u64 = months.iter().map(|month| month.events).sum();
    let month =
        |m: &foretaste_store::ArchiveMonth| json!({ "from": day(m.start_ms), "events": m.events });
    let value = json!({
        "months": months.iter().map(month).collect::<Vec<_>>(),
        "events": total,
        "delete": options.delete,
    });
    run.print(&value, || {
        let line = |m: &foretaste_store::ArchiveMonth| {
            format!("from {}  {:>12} events\n", day(m.start_ms), m.events)
        };
        let lines: String = months.iter().map(line).collect();
        let days = options.older_than_days;
        format!("{lines}{total} events of the tables are older than {days} days\n")
    });
    Ok(())
}

fn status(run: &Run, store: &ServerStore, verify: bool) -> Result<()> {
    let status = store.archive_status(verify)?;
    let value = json!({
        "id": status.id,
        "folder": status.folder,
        "segments": status.segments,
        "events": status.events,
        "moved": status.moved,
        "bytes": status.bytes,
        "first_ms": status.time_range.map(|(first, _)| first),
        "last_ms": status.time_range.map(|(_, last)| last),
        "erased": status.erased,
        "verified": verify,
    });
    run.print(&value, || {
        let (Some(id), Some(folder)) = (&status.id, &status.folder) else {
            return "nothing has been archived\n".to_owned();
        };
        let range = status.time_range.map(|(first, last)| (day(first), day(last)));
        let range = range.map_or(String::new(), |(first, last)| format!(", {first} to {last}"));
        format!(
            "{id} in {}\n{} events in {} files, {:.1} MB{range}{}\n\
             {} of them have left the tables; {} erasures wait for the next run\n",
            folder.display(),
            status.events,
            status.segments,
            status.bytes as f64 / 1e6,
            if verify { "; every file is whole" } else { "" },
            status.moved,
            status.erased,
        )
    });
    Ok(())
}

fn day(time_ms: i64) -> String {
    date(time_ms.div_euclid(DAY_MS))
}
