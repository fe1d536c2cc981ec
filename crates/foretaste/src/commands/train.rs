//! `foretaste train`: from all that is stored to a new current bundle.

use anyhow::Result;
use foretaste_bundle::{BundleId, activate, current, list, previous};
use foretaste_evaluate::job::Trained;
use foretaste_store::Store;
use serde_json::json;

use crate::cli::{Profile, TrainArgs};
use crate::learning::{self, Settings};
use crate::run::Run;

/// Trains, activates, and removes bundles beyond those that are kept.
pub fn run(run: &Run, args: &TrainArgs) -> Result<()> {
    let store = run.store_for_reading()?;
    let settings = Settings::new(run, args.profile.map(Profile::name), args.seed, !args.untuned)?;
    let trained = train(run, store.as_ref(), &settings)?;
    if !args.no_activate {
        activate(&run.bundles(), &trained.id)?;
    }
    remove_old(run, &trained.id)?;
    report(run, &trained, !args.no_activate);
    Ok(())
}

/// Trains on a store and writes a bundle.
pub fn train(run: &Run, store: &dyn Store, settings: &Settings) -> Result<Trained> {
    let progress = run.progress.as_ref();
    let input = learning::read(store, &run.config.events, progress)?;
    // The events are in the interactions by now, and large.
    drop(input.events);
    let fit = settings.fit(progress);
    let trained = settings.job(fit.as_ref(), progress).train(input.data, &run.bundles())?;
    Ok(trained)
}

fn report(run: &Run, trained: &Trained, active: bool) {
    let Trained { id, weights, learned } = trained;
    let validation = learned.as_ref().map(|l| l.blend.objective);
    let by_name: serde_json::Map<_, _> =
        weights.iter().map(|(name, w)| (name.clone(), json!(w))).collect();
    let value = json!({
        "bundle": id.as_str(),
        "current": active,
        "weights": by_name,
        "validation_ndcg": validation,
    });
    run.print(&value, || {
        let list: Vec<_> = weights.iter().map(|(name, w)| format!("{name} {w:.3}")).collect();
        let source = match validation {
            Some(v) => format!("learned on held-out items, NDCG@20 {v:.4} there"),
            None => "too little data to learn them; defaults".to_owned(),
        };
        let state = if active { "current" } else { "written, not current" };
        format!("bundle {id} ({state})\nchannel weights: {} ({source})\n", list.join(", "))
    });
}

/// Removes the oldest bundles; never the current, the previous or the new one.
fn remove_old(run: &Run, new: &BundleId) -> Result<()> {
    let root = run.bundles();
    let kept = [current(&root)?, previous(&root)?, Some(new.clone())];
    let mut ids = list(&root)?;
    ids.retain(|id| !kept.contains(&Some(id.clone())));
    let room = run.config.train.keep_bundles.saturating_sub(kept.iter().flatten().count());
    let excess = ids.len().saturating_sub(room);
    for id in ids.iter().take(excess) {
        fs_err::remove_dir_all(root.join(id.as_str()))?;
    }
    Ok(())
}
