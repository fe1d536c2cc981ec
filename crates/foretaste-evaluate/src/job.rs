//! The three jobs behind `train`, `evaluate` and a trial of `tune`, each from assembled data.

use std::path::Path;

use foretaste_bundle::{BundleContents, BundleId, GraphConfig};
use foretaste_core::{Progress, Result};
use serde_json::{Map, Value, json};

use crate::assemble::Assembled;
use crate::contents;
use crate::held_out::Unknown;
use crate::learn::{self, Fit, LearnConfig, Learned, Scored};
use crate::replay::{ReplayConfig, replay};
use crate::report::{Counts, Report};
use crate::split::Split;
use crate::tune::Figures;

/// What the jobs have in common.
pub struct Job<'a> {
    /// The trainers with their settings bound.
    pub fit: &'a Fit<'a>,
    /// How weights are learned.
    pub learn: &'a LearnConfig,
    /// Which channels get a graph.
    pub graphs: GraphConfig,
    /// Name of the profile, for the manifest.
    pub profile: &'a str,
    /// The whole configuration as it is in force, for the manifest.
    pub config: &'a Value,
    /// Everything random follows from it.
    pub seed: u64,
    /// Where temporary bundles may be written; nothing stays there.
    pub scratch: &'a Path,
    /// Who looks.
    pub progress: &'a dyn Progress,
}

/// What `train` made.
#[derive(Clone, Debug)]
pub struct Trained {
    /// The bundle, written and not yet current.
    pub id: BundleId,
    /// The channels with their weights.
    pub weights: Vec<(String, f32)>,
    /// What was learned; `None` when there was too little data and proposed weights stand.
    pub learned: Option<Learned>,
}

impl Job<'_> {
    /// Learns weights on a part of the data, fits on all of it and writes a bundle below `root`.
    ///
    /// # Errors
    /// When a trainer fails or a bundle cannot be written.
    ///
    /// # Cost
    /// Two fits, two bundles written.
    pub fn train(&self, data: Assembled, root: &Path) -> Result<Trained> {
        let (contents, learned) = self.contents(data)?;
        let weights = contents.channels.iter().map(|c| (c.name.clone(), c.weight)).collect();
        let id = foretaste_bundle::write_watched(root, &contents, self.progress)?;
        Ok(Trained { id, weights, learned })
    }

    /// The contents of a bundle with learned weights.
    fn contents(&self, data: Assembled) -> Result<(BundleContents, Option<Learned>)> {
        let place = (self.scratch, self.seed);
        let learned = learn::learn(&data, self.fit, self.learn, place, self.progress)?;
        let channels = (self.fit)(&data)?;
        let mut contents = contents::of(data, channels, self.graphs);
        if let Some(learned) = &learned {
            for channel in &mut contents.channels {
                channel.weight = learned.weight(&channel.name).unwrap_or(channel.weight);
            }
        }
        let manifest = &mut contents.manifest;
        manifest.profile = self.profile.to_owned();
        manifest.seed = self.seed;
        manifest.config = self.config.clone();
        manifest.config_hash = config_hash(self.config);
        manifest.quality = learned.as_ref().map_or(Value::Null, quality);
        Ok((contents, learned))
    }

    /// Trains on one side of a split and replays the other through the serving pipeline.
    ///
    /// # Errors
    /// As [`Job::train`], and `Invalid` when nothing is held out.
    pub fn evaluate(
        &self,
        data: &Assembled,
        split: Split,
        (description, unknown): (&str, Unknown),
        config: &ReplayConfig,
    ) -> Result<Report> {
        let Split { train, held_out } = split;
        let train_pairs = train.matrix.nnz();
        let (contents, learned) = self.contents(data.with(train))?;
        let (_folder, snapshot) = learn::temporary(self.scratch, &contents)?;
        drop(contents);
        let systems = replay(&snapshot, &held_out, config, self.progress)?;
        let judged = systems.first().and_then(|s| s.quality.main()).map_or(0, |at| at.recall.n);
        let counts = Counts {
            users: snapshot.bundle.n_users(),
            items: snapshot.bundle.n_items(),
            train_pairs,
            held_out_pairs: held_out.len(),
            judged_users: judged as usize,
            unknown,
        };
        Ok(Report {
            title: "Evaluation".to_owned(),
            bundle: snapshot.bundle.id().to_string(),
            profile: self.profile.to_owned(),
            split: description.to_owned(),
            counts,
            learned,
            systems,
        })
    }

    /// The objective of these settings: weights are learned on one half of the judged users, the
    /// blend is measured on the other, and the other way round.
    ///
    /// # Errors
    /// When a trainer fails.
    pub fn trial(&self, data: &Assembled, split: Split) -> Result<Figures> {
        let judged = learn::sample(&split.held_out, self.learn.users, self.seed);
        let place = (self.scratch, self.progress);
        let Scored { groups: names, proposed, pool } =
            learn::scored(data, split, &judged, self.fit, place)?;
        let config = &self.learn.blend;
        let halves = pool.halves();
        let mut figures = Map::new();
        let mut total = 0.0;
        for (learn_on, judge_on) in [(0, 1), (1, 0)] {
            let blend = crate::blend::learn(&halves[learn_on], &proposed, config);
            total += 0.5 * halves[judge_on].objective(&blend.weights, config.objective, config.k);
            for (name, weight) in names.iter().zip(&blend.weights) {
                figures.insert(format!("weight.{name}.{learn_on}"), json!(weight));
            }
            for (name, alone) in names.iter().zip(&blend.alone) {
                figures.insert(format!("alone.{name}.{learn_on}"), json!(alone));
            }
        }
        Ok(Figures { objective: total, others: figures })
    }
}

fn config_hash(config: &Value) -> String {
    let text = config.to_string();
    format!("{:016x}", foretaste_core::event::id_key("config", &text))
}

fn quality(learned: &Learned) -> Value {
    let per_channel = |values: &[f64]| -> Map<String, Value> {
        learned.channels.iter().cloned().zip(values.iter().map(|v| json!(v))).collect()
    };
    json!({
        "validation": {
            "split": learned.split,
            "users": learned.blend.n_users,
            "blend": learned.blend.objective,
            "alone": per_channel(&learned.blend.alone),
        }
    })
}
