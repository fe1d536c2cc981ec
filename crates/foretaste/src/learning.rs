//! What `train`, `evaluate`, `tune` and `demo` share: the store as training input, and the job
//! with the settings in force.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use foretaste_bundle::GraphConfig;
use foretaste_core::{EventBatch, EventWeights, Item, Progress, User};
use foretaste_evaluate::assemble::{Assembled, assemble};
use foretaste_evaluate::job::Job;
use foretaste_evaluate::learn::{Fit, LearnConfig};
use foretaste_evaluate::settings;
use foretaste_quality::Measure;
use foretaste_store::{Columns, Store, load_watched};
use serde_json::{Value, json};

use crate::run::{Run, read_whole};

/// All events, and what training makes of them and the catalogue.
pub struct Input {
    /// Sorted by user and time, each event once.
    pub events: EventBatch,
    /// Users x items with catalogue.
    pub data: Assembled,
}

/// Reads a store for learning.
pub fn read(store: &dyn Store, weights: &EventWeights, progress: &dyn Progress) -> Result<Input> {
    read_whole(store, || read_measured(store, weights, progress, None))
}

/// Reads a store for learning and measures it in the same pass, to be repeated as a whole with
/// [`read_whole`].
pub fn read_measured(
    store: &dyn Store,
    weights: &EventWeights,
    progress: &dyn Progress,
    mut measure: Option<&mut Measure>,
) -> Result<Input> {
    let mut watch = |batch: &EventBatch| {
        measure.iter_mut().for_each(|measure| measure.events(batch));
    };
    let events = load_watched(store, Columns::NoContext, progress, &mut watch)?;
    anyhow::ensure!(!events.is_empty(), "the store holds no events; import some first");
    let (mut items, mut users): (Vec<Item>, Vec<User>) = Default::default();
    store.items(&mut |item| {
        measure.iter_mut().for_each(|measure| measure.item(&item));
        items.push(item);
        Ok(())
    })?;
    store.users(&mut |user| {
        measure.iter_mut().for_each(|measure| measure.user(&user));
        users.push(user);
        Ok(())
    })?;
    let data = assemble(&events, items, users, weights);
    Ok(Input { events, data })
}

/// The settings of one learning run.
pub struct Settings {
    /// `fast` or `accurate`.
    pub profile: String,
    /// Everything random follows from it.
    pub seed: u64,
    /// What lies over the profile: what `tune` found, then the configuration.
    pub over: Value,
    /// Which channels get a graph.
    pub graphs: GraphConfig,
    /// How weights are learned.
    pub learn: LearnConfig,
    /// What the manifest says about it.
    manifest: Value,
    /// For temporary bundles.
    scratch: PathBuf,
}

impl Settings {
    /// Settings from flags, `tuned.json` and the configuration.
    pub fn new(
        run: &Run,
        profile: Option<&'static str>,
        seed: Option<u64>,
        tuned: bool,
    ) -> Result<Self> {
        let profile = profile.unwrap_or(&run.config.train.profile).to_owned();
        let seed = seed.unwrap_or(run.config.train.seed);
        let mut over = if tuned { read_tuned(&run.tuned_path(), &profile)? } else { json!({}) };
        foretaste_evaluate::tune::overlay(
            &mut over,
            &serde_json::to_value(&run.config.train.models)?,
        );
        let graphs = run.config.train.graph;
        let manifest = json!({
            "event_weights": run.config.events,
            "models": over,
            "profile": profile,
        });
        let scratch = run.bundles();
        let learn = LearnConfig::default();
        Ok(Self { profile, seed, over, graphs, learn, manifest, scratch })
    }

    /// The trainers with these settings bound.
    pub fn fit<'a>(&'a self, progress: &'a dyn Progress) -> Box<Fit<'a>> {
        settings::trainers(&self.profile, self.seed, &self.over, progress)
    }

    /// The job that uses `fit`.
    pub fn job<'a>(&'a self, fit: &'a Fit<'a>, progress: &'a dyn Progress) -> Job<'a> {
        Job {
            graphs: GraphConfig { seed: self.seed, ..self.graphs },
            fit,
            learn: &self.learn,
            profile: &self.profile,
            config: &self.manifest,
            seed: self.seed,
            scratch: &self.scratch,
            progress,
        }
    }
}

/// What `tune` saved for a profile; nothing when it never ran.
fn read_tuned(path: &Path, profile: &str) -> Result<Value> {
    if !path.exists() {
        return Ok(json!({}));
    }
    let text = fs_err::read_to_string(path)?;
    let all: Value = serde_json::from_str(&text)
        .with_context(|| format!("{}: remove it, or give --untuned", path.display()))?;
    Ok(all.get(profile).cloned().unwrap_or_else(|| json!({})))
}

/// Saves what `tune` found for a profile beside what it found for others.
pub fn save_tuned(path: &Path, profile: &str, settings: &Value) -> Result<()> {
    let text = fs_err::read_to_string(path).unwrap_or_else(|_| "{}".to_owned());
    let mut all: Value = serde_json::from_str(&text).unwrap_or_else(|_| json!({}));
    all[profile] = settings.clone();
    let temporary = path.with_extension("json.part");
    fs_err::write(&temporary, serde_json::to_string_pretty(&all)? + "\n")?;
    fs_err::rename(&temporary, path)?;
    Ok(())
}
