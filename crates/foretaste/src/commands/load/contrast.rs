//! `foretaste load compare`: against a baseline file, or two servers in turn.

use std::path::Path;

use anyhow::{Context, Result};
use foretaste_load::compare::{
    CompareSettings, Comparison, Side, Verdict, compare, interleaved, read_baseline,
};
use foretaste_load::report;
use foretaste_load::result::RunResult;
use foretaste_load::run::{Generator, Watch};
use foretaste_load::target::Target;

use super::args::{CompareArgs, wrong};
use super::{Job, Unfit, live};
use crate::run::{Run, shown};

/// Measures, compares, and says by the exit code what came out.
pub fn run(run: &Run, args: &CompareArgs) -> Result<()> {
    if args.runs == 0 || !(0.0..=10.0).contains(&args.threshold) {
        return Err(wrong("--runs must be at least 1, --threshold from 0 to 10"));
    }
    let mut job = Job::new(run, &args.shared)?;
    args.pace.apply(&mut job.scenario)?;
    let watch = live::of(run.quiet);
    let (base, now) = match (&args.baseline, &args.against) {
        (Some(path), _) => (read_baseline(path)?, against_file(&job, args.runs, watch.as_ref())?),
        (None, Some(url)) => in_turn(&job, url, args.runs, watch.as_ref())?,
        (None, None) => return Err(wrong("--baseline FILE or --against URL is needed")),
    };
    let settings = CompareSettings { threshold: args.threshold, ..CompareSettings::default() };
    let comparison = compare(&base, &now, settings)?;
    let folder = args.shared.output.clone().unwrap_or_else(|| run.reports());
    let page = report::compare_page(&comparison, &base, &now);
    let (_, html) = report::write(&folder, "load-compare", &comparison, &page)?;
    if let Some(path) = &args.save {
        save(path, &now)?;
    }
    run.print(&serde_json::to_value(&comparison)?, || {
        format!("{}report: {}\n", report::compare_text(&comparison), shown(&html))
    });
    judge(&comparison)
}

/// Writes runs to a file that `--baseline` reads.
pub fn save(path: &Path, runs: &[RunResult]) -> Result<()> {
    let text = serde_json::to_string_pretty(runs).context("runs have no JSON form")?;
    Ok(fs_err::write(path, text + "\n")?)
}

fn against_file(job: &Job, n: usize, watch: &dyn Watch) -> Result<Vec<RunResult>> {
    (0..n).map(|at| one(job, &job.target, at, watch)).collect()
}

/// Runs of the server at `url`, then those of the job's own target; measured in turn.
fn in_turn(
    job: &Job,
    url: &str,
    n: usize,
    watch: &dyn Watch,
) -> Result<(Vec<RunResult>, Vec<RunResult>)> {
    let other = Target::parse(url)?;
    let (mut base, mut now) = (Vec::new(), Vec::new());
    for (at, side) in interleaved(n).into_iter().enumerate() {
        match side {
            Side::Base => base.push(one(job, &other, at, watch)?),
            Side::Now => now.push(one(job, &job.target, at, watch)?),
        }
    }
    Ok((base, now))
}

fn one(job: &Job, target: &Target, at: usize, watch: &dyn Watch) -> Result<RunResult> {
    let mut generator = Generator::new(&job.scenario, target, &format!("{}-{at}", job.tag))?;
    Ok(generator.run(crate::run::now_ms()?, watch)?)
}

fn judge(comparison: &Comparison) -> Result<()> {
    match comparison.verdict {
        Verdict::Regression => {
            let worse = comparison.differences.iter().filter(|d| d.verdict == Verdict::Regression);
            let worse: Vec<String> =
                worse.map(|d| format!("{} x {:.2}", d.figure, d.ratio)).collect();
            Err(Unfit::missed(format!("regression: {}", worse.join("; "))).into())
        }
        Verdict::Inconclusive => {
            Err(Unfit::inconclusive(format!("inconclusive: {}", comparison.because.join("; ")))
                .into())
        }
        Verdict::NoChange | Verdict::Improvement => Ok(()),
    }
}
