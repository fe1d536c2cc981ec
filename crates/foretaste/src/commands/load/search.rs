//! `foretaste load find-max` and `foretaste load stress`: how much, and what happens beyond.

use anyhow::Result;
use foretaste_load::find_max::{FindMaxSettings, find_max};
use foretaste_load::report;
use foretaste_load::run::Generator;
use foretaste_load::scenario::Pace;
use foretaste_load::search::SearchSettings;
use foretaste_load::stress::{StressSettings, stress};

use super::args::{FindMaxArgs, StressArgs, check_positive, open_of, wrong};
use super::{Job, Unfit, live};
use crate::run::{Run, shown};

/// The p99 that counts as sustained where nothing else is asked for.
const DEFAULT_P99_MS: f64 = 100.0;

/// Searches for the highest rate and reports the way there.
pub fn find(run: &Run, args: &FindMaxArgs) -> Result<()> {
    check_positive("--start", args.start)?;
    check_positive("--most", args.most)?;
    if !(0.001..=0.5).contains(&args.precision) || args.soak_seconds < 0.0 {
        return Err(wrong("--precision must be from 0.001 to 0.5, --soak-seconds at least 0"));
    }
    let job = open_job(run, &args.shared)?;
    let open = open_of(job.scenario.pace);
    let settings = FindMaxSettings {
        search: SearchSettings {
            start: args.start,
            most: args.most,
            precision: args.precision,
            confirmations: args.confirmations,
            ..SearchSettings::default()
        },
        seconds: open.seconds,
        arrivals: open.arrivals,
        soak_seconds: args.soak_seconds,
    };
    let mut generator = Generator::new(&job.scenario, &job.target, &job.tag)?;
    let watch = live::of(run.quiet);
    let found = find_max(&mut generator, settings, &|| job.started_ms, watch.as_ref())?;
    let folder = args.shared.output.clone().unwrap_or_else(|| run.reports());
    let page = report::find_max_page(&found);
    let (_, html) = report::write(&folder, "load-find-max", &found, &page)?;
    run.print(&serde_json::to_value(&found)?, || {
        format!("{}report: {}\n", report::find_max_text(&found), shown(&html))
    });
    match (found.finding.rate, found.finding.is_confirmed) {
        (Some(_), true) => Ok(()),
        (Some(_), false) => Err(Unfit::inconclusive("no rate held as often as wanted").into()),
        (None, _) => Err(Unfit::missed("no rate was sustained").into()),
    }
}

/// Drives the server to its break and back.
pub fn break_it(run: &Run, args: &StressArgs) -> Result<()> {
    for (flag, value) in [
        ("--start", args.start),
        ("--most", args.most),
        ("--overload-seconds", args.overload_seconds),
        ("--recover-seconds", args.recover_seconds),
    ] {
        check_positive(flag, value)?;
    }
    if !(1.05..=10.0).contains(&args.factor) || !(1.0..=100.0).contains(&args.overload) {
        return Err(wrong("--factor must be from 1.05 to 10, --overload from 1 to 100"));
    }
    let job = open_job(run, &args.shared)?;
    let open = open_of(job.scenario.pace);
    let settings = StressSettings {
        start: args.start,
        factor: args.factor,
        most: args.most,
        step_seconds: open.seconds,
        overload: args.overload,
        overload_seconds: args.overload_seconds,
        recovery_seconds: args.recover_seconds,
        arrivals: open.arrivals,
    };
    let mut generator = Generator::new(&job.scenario, &job.target, &job.tag)?;
    let watch = live::of(run.quiet);
    let broken = stress(&mut generator, settings, &|| job.started_ms, watch.as_ref())?;
    let folder = args.shared.output.clone().unwrap_or_else(|| run.reports());
    let page = report::stress_page(&broken);
    let (_, html) = report::write(&folder, "load-stress", &broken, &page)?;
    run.print(&serde_json::to_value(&broken)?, || {
        format!("{}report: {}\n", report::stress_text(&broken), shown(&html))
    });
    match &broken.aftermath {
        Some(after) if !after.run.is_valid() => {
            let why = after.run.invalid_because.join("; ");
            Err(Unfit::inconclusive(format!("the overload is not valid: {why}")).into())
        }
        Some(after) if after.recovered_after_seconds.is_none() => {
            Err(Unfit::missed("the server did not recover").into())
        }
        _ => Ok(()),
    }
}

/// A job whose pace is an open loop, with a p99 to hold.
fn open_job(run: &Run, shared: &super::args::Shared) -> Result<Job> {
    let mut job = Job::new(run, shared)?;
    let mut open = open_of(job.scenario.pace);
    open.seconds = shared.seconds.unwrap_or(DEFAULT_SECONDS);
    job.scenario.pace = Pace::Open(open);
    job.scenario.limits.p99_ms.get_or_insert(DEFAULT_P99_MS);
    Ok(job)
}

/// Length of a try where nothing else is asked for.
const DEFAULT_SECONDS: f64 = 10.0;
