//! `foretaste evaluate`: hold out, train on the rest, replay through the serving pipeline.

use std::path::Path;

use anyhow::{Context, Result};
use foretaste_evaluate::assemble::{split_at, time_cut};
use foretaste_evaluate::held_out::{HeldOut, Unknown};
use foretaste_evaluate::replay::ReplayConfig;
use foretaste_evaluate::report::Report;
use foretaste_evaluate::split::{self, Split, SplitMethod};
use foretaste_store::Store;

use crate::cli::{EvaluateArgs, Profile, SplitArg};
use crate::learning::{self, Input, Settings};
use crate::run::{Run, shown};

/// Evaluates and writes the report.
pub fn run(run: &Run, args: &EvaluateArgs) -> Result<()> {
    let store = run.store_for_reading()?;
    let settings = Settings::new(run, args.profile.map(Profile::name), args.seed, true)?;
    let report = evaluate(run, store.as_ref(), &settings, args)?;
    let folder = args.output.clone().unwrap_or_else(|| run.reports());
    let (_, html) = report.write(&folder, "report")?;
    run.print(&serde_json::to_value(&report)?, || {
        format!("{}report: {}\n", report.to_text(), shown(&html))
    });
    Ok(())
}

/// Evaluates a store.
pub fn evaluate(
    run: &Run,
    store: &dyn Store,
    settings: &Settings,
    args: &EvaluateArgs,
) -> Result<Report> {
    let progress = run.progress.as_ref();
    let input = learning::read(store, &run.config.events, progress)?;
    let part = held_out(run, &input, settings.seed, args)?;
    let Input { events, data } = input;
    drop(events);
    let config = ReplayConfig { users: args.users, seed: settings.seed, ..ReplayConfig::default() };
    let fit = settings.fit(progress);
    let job = settings.job(fit.as_ref(), progress);
    let HeldOutPart { split, description, unknown } = part;
    Ok(job.evaluate(&data, split, (&description, unknown), &config)?)
}

struct HeldOutPart {
    split: Split,
    description: String,
    unknown: Unknown,
}

fn held_out(run: &Run, input: &Input, seed: u64, args: &EvaluateArgs) -> Result<HeldOutPart> {
    let Input { events, data } = input;
    if let Some(path) = &args.test {
        let lists = read_lists(path)?;
        let items: std::collections::HashMap<&str, u32> =
            data.items.iter().zip(0..).map(|(item, i)| (item.item_id.as_str(), i)).collect();
        let shape = (data.users.len(), data.items.len());
        let user = |id: &str| data.users.index_of(id);
        let (test, unknown) = HeldOut::from_ids(&lists, shape, user, |id| items.get(id).copied());
        let split = split::given(&data.interactions, test);
        return Ok(HeldOutPart { split, description: shown(path), unknown });
    }
    let cut = time_cut(events, args.share);
    let choice = args.split.unwrap_or(match cut {
        Some(_) => SplitArg::Temporal,
        None => SplitArg::Random,
    });
    if let (SplitArg::Temporal, Some(cut)) = (choice, cut) {
        let split = split_at(events, data, &run.config.events, cut);
        let description =
            format!("all events after {cut} (ms), the latest {:.0}%", args.share * 100.0);
        return Ok(HeldOutPart { split, description, unknown: Unknown::default() });
    }
    let method = method(choice, args.share, seed);
    let split = split::split(&data.interactions, &method, None)?;
    Ok(HeldOutPart { split, description: method.describe(), unknown: Unknown::default() })
}

/// The split that a flag means.
pub fn method(choice: SplitArg, share: f64, seed: u64) -> SplitMethod {
    match choice {
        SplitArg::Temporal => SplitMethod::Temporal { share },
        SplitArg::LeaveLastOut => SplitMethod::LastShare { share },
        SplitArg::Random => SplitMethod::Random { share, seed },
        SplitArg::PopularityMatched => {
            SplitMethod::PopularityMatched { share, exponent: 0.5, seed }
        }
    }
}

fn read_lists(path: &Path) -> Result<Vec<(String, Vec<String>)>> {
    let text = fs_err::read_to_string(path)?;
    let line = |line: &str| {
        let mut words = line.split_whitespace().map(str::to_owned);
        Some((words.next()?, words.collect::<Vec<_>>()))
    };
    let lists: Vec<_> = text.lines().filter_map(line).collect();
    let any = lists.iter().any(|(_, items)| !items.is_empty());
    any.then_some(lists).with_context(|| {
        format!("{}: expected lines of `user item item ...`, found none", path.display())
    })
}
