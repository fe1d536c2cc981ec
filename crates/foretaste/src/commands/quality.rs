//! `foretaste quality`: what the store holds, checked; a report, and an exit code for scripts.

use anyhow::Result;
use foretaste_quality::page;
use serde_json::Value;

use crate::quality::alerting::Telling;
use crate::quality::{Judged, measure_store, metrics};
use crate::run::{Run, shown};

pub mod args;

use args::QualityArgs;

const ADVICE: &str = "correct the data, or accept them with `foretaste quality --accept`";

/// Measures, writes the report, and fails when a check does.
pub fn run(run: &Run, args: &QualityArgs) -> Result<()> {
    let store = run.store_for_reading()?;
    let judged = Judged::new(run, measure_store(run, store.as_ref())?)?;
    let telling = Telling::start(run, &judged.report)?;
    let written = write(run, args, &judged);
    telling.finish();
    written?;
    if args.accept { Ok(()) } else { Ok(judged.refuse(1, ADVICE)?) }
}

fn write(run: &Run, args: &QualityArgs, judged: &Judged) -> Result<()> {
    let folder = args.output.clone().unwrap_or_else(|| run.reports());
    fs_err::create_dir_all(&folder)?;
    let html = folder.join("quality.html");
    fs_err::write(&html, page(&judged.report, &judged.profile, judged.accepted.as_ref()))?;
    let value = serde_json::to_value(&judged.report)?;
    fs_err::write(folder.join("quality.json"), format!("{value:#}\n"))?;
    if let Some(path) = &args.metrics {
        write_metrics(path, &metrics::figures(&judged.report).exposition()?)?;
    }
    if args.accept {
        judged.accept(run)?;
    }
    show(run, args, judged, &value, &shown(&html));
    Ok(())
}

fn show(run: &Run, args: &QualityArgs, judged: &Judged, value: &Value, html: &str) {
    run.print(value, || {
        let compared = match (&judged.accepted, args.accept) {
            (_, true) => "accepted: later runs are compared with these data\n",
            (Some(_), false) => "",
            (None, false) => {
                "no run was accepted yet: changes show from the next training or --accept on\n"
            }
        };
        format!("{}{compared}report: {html}\n", judged.report.to_text())
    });
}

/// A collector may read at any moment, so the file is replaced as a whole.
fn write_metrics(path: &std::path::Path, text: &str) -> Result<()> {
    let temporary = path.with_extension("part");
    fs_err::write(&temporary, text)?;
    fs_err::rename(&temporary, path)?;
    Ok(())
}
