//! `foretaste advise`: which indexes and settings the databases of the sources lack.

use anyhow::{Context, Result};
use foretaste_core::{Error, ErrorKind};
use foretaste_ingest::tables::advise::{Advice, Advisor, Building, Cost, Latency, Proposal, Query};

use crate::commands::extract::chosen;
use crate::run::Run;

pub mod args;

use args::AdviseArgs;

/// Advises on every chosen source, and builds indexes where that was asked for.
pub fn run(run: &Run, args: &AdviseArgs) -> Result<()> {
    let sources = chosen(run, &args.sources)?;
    if args.admin_url_env.is_some() && sources.len() != 1 {
        let text = "--admin-url-env is the URL of one source; name that source";
        return Err(Error::new(ErrorKind::Config, text).into());
    }
    let mut all = Vec::new();
    for (source, url) in &sources {
        let advisor = Advisor { source, url };
        let mut advice = advisor.advise()?;
        if args.apply {
            let admin = args.admin_url_env.as_deref().map(url_in).transpose()?;
            let url = admin.as_deref().unwrap_or(url);
            let building = Building { url, probe: args.probe_writes };
            for index in &mut advice.indexes {
                index.applied = Some(advisor.apply(index, building)?);
            }
        }
        all.push(advice);
    }
    run.print(&serde_json::to_value(&all)?, || all.iter().map(text).collect());
    Ok(())
}

#[allow(clippy::disallowed_methods)] // this is the binary
fn url_in(variable: &str) -> Result<String> {
    let url = std::env::var(variable);
    let url = url.with_context(|| format!("the environment has no {variable}; set it"))?;
    Ok(url.trim().to_owned())
}

/// What people read.
fn text(advice: &Advice) -> String {
    let mut out = format!("{}: {}\n", advice.source, advice.server);
    for table in &advice.tables {
        let index = table.index.as_ref().map(|name| format!("pages use the index {name}"));
        out += &format!("  {}: {}", table.table, index.unwrap_or_else(|| "no index".to_owned()));
        out += &table.page.map(|page| format!("; a page takes {}", cost(page))).unwrap_or_default();
        out += "\n";
        table.queries.iter().for_each(|query| out += &plan(query));
        table.notes.iter().for_each(|note| out += &format!("    note: {note}\n"));
    }
    advice.indexes.iter().for_each(|index| out += &proposal(index));
    for setting in &advice.settings {
        let (name, found, wanted) = (&setting.name, &setting.found, &setting.wanted);
        out += &format!("  setting {name} is {found}, better {wanted}: {}\n", setting.why);
        out += &format!("    {}\n", setting.how);
    }
    if advice.indexes.is_empty() && advice.settings.is_empty() {
        out += "  nothing to change\n";
    }
    out
}

fn plan(query: &Query) -> String {
    let read = query.plan.accesses.iter().map(|access| {
        let how = match (&access.index, access.whole) {
            (Some(index), false) => format!("by {index}"),
            (Some(index), true) => format!("whole, in the order of {index}"),
            (None, _) => "whole".to_owned(),
        };
        format!("{} {how}, about {} rows", access.table, access.rows)
    });
    let (read, sorts) = (read.collect::<Vec<_>>(), if query.plan.sorts { "; sorted" } else { "" });
    format!("    {}: {}{sorts}\n", query.query, read.join("; "))
}

fn proposal(index: &Proposal) -> String {
    let columns = index.columns.join(", ");
    let mut out = format!(
        "  missing for {}: an index of {} on ({columns})\n    {};\n",
        index.needed_by, index.table, index.ddl
    );
    let Some(applied) = &index.applied else { return out };
    let before = applied.before.map_or_else(|| "longer than the timeout".to_owned(), cost);
    out += &format!(
        "    built in {:.1} s and checked; a page took {before}, takes {}\n",
        applied.seconds,
        cost(applied.after)
    );
    if let Some(writer) = &applied.writer {
        let during = writer.during.map_or_else(|| "too short to tell".to_owned(), latency);
        out += &format!(
            "    a writer: before {}; during {during}; after {}\n",
            latency(writer.before),
            latency(writer.after)
        );
    }
    out
}

fn cost(cost: Cost) -> String {
    format!("{:.1} ms for {} rows, {} looked at", cost.ms, cost.rows, cost.examined)
}

fn latency(latency: Latency) -> String {
    let Latency { writes, median_ms, p95_ms, worst_ms } = latency;
    format!("{median_ms:.2} ms median, {p95_ms:.2} p95, {worst_ms:.1} worst of {writes}")
}
