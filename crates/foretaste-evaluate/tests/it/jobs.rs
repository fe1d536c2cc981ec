//! `train`, `evaluate` and `tune` from events to answers.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use foretaste_bundle::Bundle;
use foretaste_core::{EventBatch, EventWeights, NoProgress, Result};
use foretaste_evaluate::assemble::{self, Assembled};
use foretaste_evaluate::held_out::Unknown;
use foretaste_evaluate::job::{Job, Trained};
use foretaste_evaluate::learn::LearnConfig;
use foretaste_evaluate::replay::ReplayConfig;
use foretaste_evaluate::split::{SplitMethod, split};
use foretaste_evaluate::tune::{Run, SearchConfig, TrialTable, search};
use foretaste_evaluate::{recommend, settings};
use foretaste_pipeline::{Scenes, Snapshot};
use serde_json::{Value, json};

use crate::market;

/// Small models, so that the test is quick in a debug build.
fn small() -> Value {
    json!({
        "channels": ["ease", "ials", "content"],
        "ials": {"factors": 12, "iterations": 4},
        "scale_users": 64,
    })
}

fn with_job<T>(over: &Value, learn: &LearnConfig, run: impl FnOnce(&Job<'_>, &Path) -> T) -> T {
    let folder = tempfile::tempdir().unwrap();
    let fit = settings::trainers("fast", 7, over, &NoProgress);
    let config = json!({"event_weights": EventWeights::default(), "models": over});
    let job = Job {
        graphs: foretaste_bundle::GraphConfig::default(),
        fit: fit.as_ref(),
        learn,
        profile: "fast",
        config: &config,
        seed: 7,
        scratch: folder.path(),
        progress: &NoProgress,
    };
    run(&job, folder.path())
}

fn train(data: &Assembled, learn: &LearnConfig) -> (Trained, Value, Vec<String>) {
    with_job(&small(), learn, |job, root| {
        let trained = job.train(data.clone(), root).unwrap();
        let bundle = Arc::new(Bundle::open(root, &trained.id).unwrap());
        let manifest = serde_json::to_value(bundle.manifest()).unwrap();
        let snapshot = Snapshot::new(bundle);
        let scenes = Scenes::built_in();
        let scene = scenes.get("evaluation").unwrap();
        let lists = recommend::recommend_all(&snapshot, scene, 5);
        let lines = lists.map(|(u, items)| recommend::line(&snapshot, u, &items)).collect();
        let left = fs_err::read_dir(root).unwrap().count();
        assert_eq!(left, 1, "only the bundle stays in the folder");
        (trained, manifest, lines)
    })
}

#[test]
fn training_learns_weights_and_the_bundle_recommends_the_users_groups() {
    let data = market::assembled(false);
    let (trained, manifest, lines) = train(&data, &LearnConfig::default());
    let learned = trained.learned.expect("420 users are enough");
    assert!(learned.blend.n_users > 300);
    assert!(trained.weights.iter().any(|(_, w)| *w == 1.0), "{:?}", trained.weights);
    for (name, weight) in &trained.weights {
        assert_eq!(learned.weight(name), Some(*weight));
    }
    let text = manifest.to_string();
    assert!(text.contains("event_weights") && text.contains("validation"), "{text}");

    assert_eq!(lines.len(), 420);
    let number = |id: &str| id.rsplit('-').next().unwrap().parse::<usize>().unwrap();
    let (mut right, mut all) = (0, 0);
    for line in &lines {
        let mut ids = line.split(' ').map(number);
        let user = ids.next().unwrap();
        for item in ids.filter(|&i| i >= 12) {
            all += 1;
            right += usize::from(item % market::GROUPS == user % market::GROUPS);
        }
    }
    assert!(right * 10 > all * 8, "{right} of {all} in the user's group");
}

#[test]
fn the_same_input_gives_the_same_bundle() {
    let data = market::assembled(true);
    let learn = LearnConfig { users: 120, ..LearnConfig::default() };
    let (one, other) = (train(&data, &learn), train(&data, &learn));
    assert_eq!((one.0.id, one.2), (other.0.id, other.2));
    assert!(one.0.learned.unwrap().split.starts_with("last 20.0%"), "times are known");
}

#[test]
fn too_little_data_keeps_the_proposed_weights() {
    let data = market::assembled(false);
    let learn = LearnConfig { least_users: 1_000, ..LearnConfig::default() };
    let (trained, _, lines) = train(&data, &learn);
    assert_eq!(trained.learned, None);
    assert!(trained.weights.iter().any(|(_, w)| *w > 0.0) && lines.len() == 420);
}

#[test]
fn nothing_at_all_still_makes_a_bundle() {
    for items in [vec![], market::catalogue()] {
        let weights = EventWeights::default();
        let data = assemble::assemble(&EventBatch::default(), items, vec![], &weights);
        let (trained, _, lines) = train(&data, &LearnConfig::default());
        assert_eq!((trained.learned, lines.len()), (None, 0));
    }
}

#[test]
fn the_blend_beats_popularity_and_chance() {
    let data = market::assembled(true);
    let method = SplitMethod::Random { share: 0.2, seed: 1 };
    let parts = split(&data.interactions, &method, None).unwrap();
    let replay = ReplayConfig { ks: vec![5, 20], ..ReplayConfig::default() };
    let report = with_job(&small(), &LearnConfig::default(), |job, _| {
        job.evaluate(&data, parts, (&method.describe(), Unknown::default()), &replay).unwrap()
    });
    let recall = |name: &str| report.system(name).unwrap().quality.main().unwrap().recall.mean;
    assert!(recall("blend") > 1.5 * recall("popular"), "{}", report.to_text());
    assert!(recall("popular") > 1.5 * recall("random"), "{}", report.to_text());
    let best = report.systems[1..].iter().map(|s| recall(&s.name)).fold(0.0, f64::max);
    assert!(recall("blend") > 0.95 * best, "{}", report.to_text());
    assert!(report.system("blend").unwrap().quality.diversity.is_some());
    assert_eq!(report.counts.users, 420);
}

#[test]
fn a_temporal_evaluation_learns_from_the_past_only() {
    let (events, data) = (market::events(true), market::assembled(true));
    let weights = EventWeights::default();
    let cut = assemble::time_cut(&events, 0.2).unwrap();
    let parts = assemble::split_at(&events, &data, &weights, cut);
    assert!(parts.train.last_ms.iter().all(|&t| t <= cut) && !parts.held_out.is_empty());
    let replay = ReplayConfig { ks: vec![20], ..ReplayConfig::default() };
    let report = with_job(&small(), &LearnConfig::default(), |job, _| {
        job.evaluate(&data, parts, ("temporal", Unknown::default()), &replay).unwrap()
    });
    let recall = |name: &str| report.system(name).unwrap().quality.main().unwrap().recall.mean;
    assert!(recall("blend") > recall("random") && report.counts.judged_users > 100);
}

#[test]
fn tune_finds_settings_that_are_not_worse_and_train_takes_them() -> Result<()> {
    let data = market::assembled(false);
    let method = SplitMethod::Random { share: 0.2, seed: 3 };
    let space: Vec<_> = settings::space("fast", 7, &data.interactions.matrix)?
        .into_iter()
        .filter(|p| p.name.starts_with("ials"))
        .collect();
    assert!(space.iter().any(|p| p.name == "ials.alpha"));
    let mut defaults = settings::of_profile("fast", 7, &data.interactions.matrix)?;
    foretaste_evaluate::tune::overlay(&mut defaults, &small());
    let mut objective = |fragment: &Value| {
        let mut over = small();
        foretaste_evaluate::tune::overlay(&mut over, fragment);
        let parts = split(&data.interactions, &method, None)?;
        with_job(&over, &LearnConfig::default(), |job, _| job.trial(&data, parts))
    };
    let config = SearchConfig { trials: 3, ..SearchConfig::default() };
    let mut table = TrialTable::in_memory();
    let run = Run { objective: &mut objective, elapsed: &|| Duration::ZERO, progress: &NoProgress };
    let best = search(&space, &defaults, &config, &mut table, run)?;
    assert!(table.trials().iter().all(|t| t.error.is_none() && t.objective > Some(0.05)));
    assert!(best.objective >= table.trials()[0].objective);
    let tuned = settings::resolve("fast", 7, &best.fragment(), &data.interactions.matrix)?;
    assert_eq!(
        Some(f64::from(tuned.ials.unwrap().alpha) as f32),
        best.settings["ials.alpha"].as_f64().map(|a| a as f32)
    );
    Ok(())
}

#[test]
fn wrong_settings_are_named() {
    let r = market::assembled(false).interactions.matrix;
    let error = settings::resolve("fast", 1, &json!({"ials": {"alhpa": 3}}), &r).unwrap_err();
    assert!(error.to_string().contains("alhpa"), "{error}");
    assert!(settings::resolve("best", 1, &json!({}), &r).is_err());
}
