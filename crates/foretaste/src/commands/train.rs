//! `foretaste train`: from all that is stored to a new current bundle.

use std::path::Path;

use anyhow::Result;
use foretaste_bundle::{BundleId, Form, activate, list, reform};
use foretaste_evaluate::job::Trained;
use foretaste_quality::{Report, Verdict};
use foretaste_store::Store;
use serde_json::json;
use tracing::warn;

use crate::cli::{Profile, TrainArgs};
use crate::commands::bundle::older;
use crate::config::PackedBundles;
use crate::learning::{self, Input, Settings};
use crate::quality::alerting::Telling;
use crate::quality::{self, Judged};
use crate::run::{Run, read_whole};

/// Exit code when the data failed a check.
const REFUSED: u8 = 6;
const ADVICE: &str = "no bundle was made, and the current one stays; correct the data, or train on \
    them as they are with --accept-quality (`foretaste quality` shows all checks)";

/// Checks the data, trains, activates, and removes bundles beyond those that are kept.
pub fn run(run: &Run, args: &TrainArgs) -> Result<()> {
    let store = run.store_for_reading()?;
    let settings = Settings::new(run, args.profile.map(Profile::name), args.seed, !args.untuned)?;
    if args.no_activate {
        let trained = train(run, store.as_ref(), &settings)?;
        remove_old(run, &trained.id)?;
        report(run, &trained, None);
        return Ok(());
    }
    let store = store.as_ref();
    let (weights, progress) = (&run.config.events, run.progress.as_ref());
    let (input, measure) = read_whole(store, || {
        let mut measure = quality::measure(run)?;
        let input = learning::read_measured(store, weights, progress, Some(&mut measure))?;
        Ok((input, measure))
    })?;
    let judged = Judged::new(run, measure.finish())?;
    let telling = Telling::start(run, &judged.report)?;
    let is_open = !run.config.quality.gate || args.accept_quality;
    let trained = match judged.refuse(REFUSED, ADVICE) {
        Err(refused) if !is_open => Err(refused.into()),
        _ => fit(run, input, &settings),
    };
    telling.finish();
    let trained = trained?;
    activate(&run.bundles(), &trained.id)?;
    let is_fit = judged.report.verdict < Verdict::Fail;
    if is_fit || args.accept_quality {
        judged.accept(run)?;
    }
    remove_old(run, &trained.id)?;
    report(run, &trained, Some(&judged.report));
    Ok(())
}

/// Trains on a store and writes a bundle.
pub fn train(run: &Run, store: &dyn Store, settings: &Settings) -> Result<Trained> {
    let input = learning::read(store, &run.config.events, run.progress.as_ref())?;
    fit(run, input, settings)
}

fn fit(run: &Run, input: Input, settings: &Settings) -> Result<Trained> {
    let progress = run.progress.as_ref();
    // The events are in the interactions by now, and large.
    drop(input.events);
    let fit = settings.fit(progress);
    let trained = settings.job(fit.as_ref(), progress).train(input.data, &run.bundles())?;
    Ok(trained)
}

/// Says what was made; it is the current bundle where its data were checked.
fn report(run: &Run, trained: &Trained, quality: Option<&Report>) {
    let Trained { id, weights, learned } = trained;
    let validation = learned.as_ref().map(|l| l.blend.objective);
    let by_name: serde_json::Map<_, _> =
        weights.iter().map(|(name, w)| (name.clone(), json!(w))).collect();
    let active = quality.is_some();
    let value = json!({
        "bundle": id.as_str(),
        "current": active,
        "weights": by_name,
        "validation_ndcg": validation,
        "quality": quality.map(|report| report.score),
    });
    run.print(&value, || {
        let list: Vec<_> = weights.iter().map(|(name, w)| format!("{name} {w:.3}")).collect();
        let source = match validation {
            Some(v) => format!("learned on held-out items, NDCG@20 {v:.4} there"),
            None => "too little data to learn them; defaults".to_owned(),
        };
        let state = if active { "current" } else { "written, not current" };
        let quality = quality.map_or_else(String::new, |report| format!("{report}\n"));
        let list = list.join(", ");
        format!("{quality}bundle {id} ({state})\nchannel weights: {list} ({source})\n")
    });
}

/// Removes the oldest bundles, never the current, the previous or the new one, and packs those that
/// are to be packed.
fn remove_old(run: &Run, new: &BundleId) -> Result<()> {
    let root = run.bundles();
    let ids = older(run, Some(new))?;
    let kept = list(&root)?.len() - ids.len();
    let room = run.config.train.keep_bundles.saturating_sub(kept);
    let (excess, older) = ids.split_at(ids.len().saturating_sub(room));
    for id in excess {
        fs_err::remove_dir_all(root.join(id.as_str()))?;
    }
    match run.config.train.packed_bundles {
        PackedBundles::None => {}
        PackedBundles::Older => pack(&root, older),
        PackedBundles::All => pack(&root, &list(&root)?),
    }
    Ok(())
}

/// Packs what is not packed. What cannot be packed stays as it is: training has done its work.
fn pack(root: &Path, ids: &[BundleId]) {
    for id in ids {
        if let Err(e) = reform(root, id, Form::Packed) {
            warn!(bundle = id.as_str(), error = %e, "a bundle is not packed");
        }
    }
}
