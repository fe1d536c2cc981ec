//! `foretaste load run`: one measurement, or several of the same for a baseline.

use anyhow::Result;
use foretaste_load::report;
use foretaste_load::result::RunResult;
use foretaste_load::run::Generator;

use super::args::{RunArgs, wrong};
use super::{Job, Unfit, live};
use crate::run::{Run, shown};

/// Measures, reports, and says by the exit code whether it was good enough.
pub fn run(run: &Run, args: &RunArgs) -> Result<()> {
    let mut job = Job::new(run, &args.shared)?;
    args.pace.apply(&mut job.scenario)?;
    if args.runs == 0 {
        return Err(wrong("--runs must be at least 1"));
    }
    let watch = live::of(run.quiet);
    let mut runs = Vec::with_capacity(args.runs);
    for at in 0..args.runs {
        let tag = format!("{}-{at}", job.tag);
        let mut generator = Generator::new(&job.scenario, &job.target, &tag)?;
        runs.push(generator.run(crate::run::now_ms()?, watch.as_ref())?);
    }
    if let Some(path) = &args.save {
        super::contrast::save(path, &runs)?;
    }
    let folder = args.shared.output.clone().unwrap_or_else(|| run.reports());
    let last = &runs[runs.len() - 1];
    let (_, html) = report::write(&folder, "load-run", last, &report::run_page(last))?;
    let value =
        if runs.len() == 1 { serde_json::to_value(last)? } else { serde_json::to_value(&runs)? };
    run.print(&value, || {
        let texts: Vec<String> = runs.iter().map(report::run_text).collect();
        format!("{}report: {}\n", texts.join("\n"), shown(&html))
    });
    judge(&runs)
}

/// The exit code of all runs together.
fn judge(runs: &[RunResult]) -> Result<()> {
    if let Some(reason) = runs.iter().flat_map(|run| &run.invalid_because).next() {
        return Err(Unfit::inconclusive(format!("the run is not valid: {reason}")).into());
    }
    match runs.iter().flat_map(|run| &run.missed).next() {
        Some(missed) => Err(Unfit::missed(format!("a goal was missed: {missed}")).into()),
        None => Ok(()),
    }
}
