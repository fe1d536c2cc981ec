//! `foretaste tune`: a resumable search for better settings on a validation part of the data.

use std::time::Instant;

use anyhow::Result;
use foretaste_evaluate::assemble::Assembled;
use foretaste_evaluate::settings::{of_profile, space};
use foretaste_evaluate::split;
use foretaste_evaluate::tune::{
    Parameter, Run as Search, SearchConfig, Trial, TrialTable, search, set,
};
use serde_json::{Value, json};

use super::evaluate::method;
use crate::cli::{Profile, TuneArgs};
use crate::learning::{self, Settings, save_tuned};
use crate::run::{Run, shown};

/// Searches, saves the table and the best settings.
pub fn run(run: &Run, args: &TuneArgs) -> Result<()> {
    let store = run.store_for_reading()?;
    let progress = run.progress.as_ref();
    let settings = Settings::new(run, args.profile.map(Profile::name), args.seed, false)?;
    let data = learning::read(store.as_ref(), &run.config.events, progress)?.data;
    let parts =
        split::split(&data.interactions, &method(args.split, args.share, settings.seed), None)?;
    let (profile, seed) = (settings.profile.as_str(), settings.seed);
    let defaults = of_profile(profile, seed, &data.interactions.matrix)?;
    let space = space(profile, seed, &data.interactions.matrix)?;
    let config = SearchConfig {
        trials: args.trials,
        seconds: args.minutes * 60.0,
        seed,
        ..SearchConfig::default()
    };
    let path = run.reports().join(format!("trials-{profile}.jsonl"));
    let mut table = TrialTable::open(&path, &search_name(&settings, args, &data, &space)?)?;
    let began = Instant::now();
    let best = search(
        &space,
        &defaults,
        &config,
        &mut table,
        Search {
            objective: &mut |over| {
                let mut tried = settings.over.clone();
                foretaste_evaluate::tune::overlay(&mut tried, over);
                let fit = foretaste_evaluate::settings::trainers(
                    profile,
                    seed,
                    &tried,
                    &foretaste_core::NoProgress,
                );
                let job = settings.job(fit.as_ref(), &foretaste_core::NoProgress);
                job.trial(&data, parts.clone())
            },
            elapsed: &|| began.elapsed(),
            progress,
        },
    )?;
    let first = table.trials().first().map_or(best.objective, |t| t.objective);
    save_tuned(&run.tuned_path(), profile, &nested(&best))?;
    report(run, &best, (first, &shown(&path)));
    Ok(())
}

/// What makes the figures of two trials comparable: data, split, space and base settings.
fn search_name(
    settings: &Settings,
    args: &TuneArgs,
    data: &Assembled,
    space: &[Parameter],
) -> Result<String> {
    let name = json!({
        "profile": settings.profile,
        "seed": settings.seed,
        "over": settings.over,
        "split": format!("{:?}", args.split),
        "share": args.share,
        "events": data.n_events,
        "window_ms": [data.window.0, data.window.1],
        "space": serde_json::to_value(space)?,
    });
    Ok(name.to_string())
}

/// A trial's dotted names as nested settings.
fn nested(trial: &Trial) -> Value {
    let mut settings = json!({});
    for (name, value) in &trial.settings {
        set(&mut settings, name, value.clone());
    }
    settings
}

fn report(run: &Run, best: &Trial, (first, table): (Option<f64>, &str)) {
    let value = json!({
        "best": best.settings,
        "objective": best.objective,
        "defaults_objective": first,
        "table": table,
        "saved": shown(&run.tuned_path()),
    });
    run.print(&value, || {
        let show = |v: Option<f64>| v.map_or("failed".to_owned(), |v| format!("{v:.4}"));
        let mut out = format!(
            "NDCG@20 on the validation part: {} (defaults: {})\n",
            show(best.objective),
            show(first)
        );
        for (name, value) in &best.settings {
            out += &format!("  {name} = {value}\n");
        }
        out + &format!(
            "saved to {}; `foretaste train` uses it\nall trials: {table}\n",
            shown(&run.tuned_path())
        )
    });
}
