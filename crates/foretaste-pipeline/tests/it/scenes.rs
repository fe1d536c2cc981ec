//! Scenes as configuration, and what diversity and queries do with them.

use std::collections::BTreeMap;

use foretaste_core::{ErrorKind, KindSets, Limits, UserIdx};
use foretaste_pipeline::diversify::{CapConfig, DiversityConfig, Similarity};
use foretaste_pipeline::{
    ChannelConfig, Degraded, Fallback, FilterExpr, Merge, Query, SceneConfig, Scenes, Scratch, run,
};

use crate::planted::{NOW, asking, contents, only, scene, snapshot, world};

#[test]
fn a_scene_reads_as_it_is_written() {
    let text = r#"{
        "k": 12,
        "merge": "rrf",
        "candidates": 200,
        "channels": {"latest": {"quota": 2}, "item_item": {"weight": 0.5}},
        "bundle_channels": false,
        "filters": {"seen": false, "only": {"and": [{"category": "a"}, {"not": {"tag": "b"}},
            {"or": [{"attribute": {"key": "seller", "value": "x"}}, {"price": {"max": 9.5}}]},
            {"created_after_ms": 5}]}},
        "diversity": {"mmr_lambda": 0.7, "similarity": "channel",
            "caps": [{"attribute": "seller", "at_most": 2, "window": 5}]},
        "fallback": ["popular", "static"],
        "static_items": ["x"]
    }"#;
    let config: SceneConfig = serde_json::from_str(text).expect("it is valid");
    assert_eq!((config.k, config.merge, config.candidates), (12, Merge::Rrf, 200));
    assert_eq!(
        config.channels["latest"],
        ChannelConfig { weight: None, quota: 2, ..Default::default() }
    );
    assert!(!config.filters.seen && config.filters.owned);
    assert!(matches!(&config.filters.only, Some(FilterExpr::And(parts)) if parts.len() == 4));
    assert_eq!(config.diversity.similarity, Similarity::Channel);
    assert_eq!(config.fallback, [Fallback::Popular, Fallback::Static]);
    let again = serde_json::to_string(&config).expect("plain data");
    assert_eq!(serde_json::from_str::<SceneConfig>(&again).expect("just written"), config);
    assert!(config.resolve("mine").is_ok());
}

#[test]
fn unknown_keys_are_refused_at_every_level() {
    for text in [
        r#"{"page": 3}"#,
        r#"{"channels": {"a": {"wait": 1}}}"#,
        r#"{"filters": {"scene": true}}"#,
        r#"{"filters": {"only": {"kategory": "a"}}}"#,
        r#"{"filters": {"only": {"price": {"mini": 1}}}}"#,
        r#"{"diversity": {"lambda": 1}}"#,
        r#"{"diversity": {"caps": [{"attribute": "a", "at_most": 1, "window": 3, "x": 1}]}}"#,
    ] {
        assert!(serde_json::from_str::<SceneConfig>(text).is_err(), "{text}");
    }
}

#[test]
fn settings_out_of_bounds_are_named() {
    let quota = |quota| {
        BTreeMap::from([(
            "a".to_owned(),
            ChannelConfig { weight: None, quota, ..Default::default() },
        )])
    };
    let weight = |w| {
        BTreeMap::from([(
            "a".to_owned(),
            ChannelConfig { weight: Some(w), quota: 0, ..Default::default() },
        )])
    };
    let wrong = [
        ("k = 0", SceneConfig { k: 0, ..Default::default() }),
        ("k = 501", SceneConfig { k: 501, ..Default::default() }),
        ("candidates = 0", SceneConfig { candidates: 0, ..Default::default() }),
        ("quotas", SceneConfig { channels: quota(21), ..Default::default() }),
        ("weight", SceneConfig { channels: weight(-1.0), ..Default::default() }),
        ("weight", SceneConfig { channels: weight(f32::NAN), ..Default::default() }),
    ];
    for (name, config) in wrong {
        let error = config.resolve("mine").expect_err(name);
        assert_eq!(error.kind(), ErrorKind::Config);
        let text = error.to_string();
        assert!(text.contains("mine") && text.contains(name), "{text}");
    }
}

#[test]
fn filters_have_a_depth_and_a_sensible_price() {
    let mut deep = FilterExpr::Tag("x".into());
    for _ in 1..Limits::DEFAULT.filter_depth {
        deep = FilterExpr::Not(Box::new(deep));
    }
    assert!(deep.check().is_ok());
    let deeper = FilterExpr::And(vec![deep]);
    assert_eq!(deeper.check().expect_err("one too deep").kind(), ErrorKind::Invalid);
    let range = r#"{"or": [{"price": {"min": 3, "max": 2}}]}"#;
    let filter: FilterExpr = serde_json::from_str(range).expect("it is well formed");
    assert!(filter.check().expect_err("empty").to_string().contains("swap"));
}

#[test]
fn configured_scenes_overlay_the_built_in_ones() {
    let mine = SceneConfig { k: 3, ..Default::default() };
    let configured = BTreeMap::from([("homepage".to_owned(), mine.clone())]);
    let scenes = Scenes::new(configured).expect("it is valid");
    assert_eq!(scenes.get("homepage").map(|s| s.config().k), Some(3));
    let names: Vec<&str> = scenes.iter().map(|s| s.name()).collect();
    assert_eq!(names, ["default", "evaluation", "homepage", "similar"]);
    let error = Scenes::new(BTreeMap::from([("evaluation".to_owned(), mine)]));
    assert_eq!(error.expect_err("it is fixed").kind(), ErrorKind::Config);
}

#[test]
fn the_evaluation_scene_ranks_by_merged_score_alone() {
    let snapshot = world(120, 1);
    let scenes = Scenes::built_in();
    let evaluation = scenes.get("evaluation").expect("built in");
    assert!(evaluation.config().diversity.is_off());
    let query = Query::for_user(&snapshot.bundle, 3 as UserIdx, 20);
    let outcome = run(&snapshot, evaluation, &query, &mut Scratch::default());
    let past = snapshot.bundle.history(3).0;
    assert_eq!(outcome.slate.len(), 20);
    assert!(outcome.slate.iter().all(|s| !past.contains(&s.item)));
    assert!(outcome.slate.windows(2).all(|w| w[0].score >= w[1].score));
    assert_eq!(outcome.work.proposed.len(), snapshot.bundle.channels().len());
}

#[test]
fn what_a_user_owns_stays_out_where_what_was_seen_may_come_again() {
    let mut contents = contents(120, 1);
    let n = contents.histories.matrix.nnz();
    let names = ["order", "view"].map(str::to_owned).to_vec();
    contents.histories.kinds =
        KindSets { names, masks: (0..n as u32).map(|at| 1 << (at % 2)).collect() };
    let snapshot = snapshot(&contents);
    let mut config = SceneConfig { k: 100, ..SceneConfig::default() };
    config.filters.seen = false;
    let shown = |config: SceneConfig| {
        let scene = scene(config);
        let mut query = Query::for_user(&snapshot.bundle, 3, 100);
        query.own(&snapshot.bundle, 3, &scene);
        let outcome = run(&snapshot, &scene, &query, &mut Scratch::default());
        outcome.slate.iter().map(|s| s.item).collect::<Vec<_>>()
    };
    let kinds = ["order".to_owned()];
    let ordered: Vec<u32> = snapshot.bundle.history_of_kinds(3, &kinds).map(|o| o.0).collect();
    let hits = |list: &[u32]| ordered.iter().filter(|item| list.contains(item)).count();
    let again = shown(config.clone());
    assert!(hits(&again) == 0 && snapshot.bundle.history(3).0.iter().any(|i| again.contains(i)));
    config.filters.owned = false;
    assert!(hits(&shown(config)) > 0);
}

#[test]
fn caps_hold_for_any_attribute_in_any_window() {
    let snapshot = world(200, 2);
    for attribute in ["seller", "leaf_category", "category"] {
        let cap = CapConfig { attribute: attribute.to_owned(), at_most: 2, window: 4 };
        let diversity = DiversityConfig { caps: vec![cap], pool: 20, ..Default::default() };
        let config = SceneConfig { diversity, k: 12, ..Default::default() };
        let query = asking(&[0, 4, 8, 12], 12);
        let outcome = run(&snapshot, &scene(config), &query, &mut Scratch::default());
        assert!(!outcome.degraded.iter().any(|d| matches!(d, Degraded::CapsRelaxed(_))));
        let items = snapshot.bundle.items();
        for window in outcome.slate.windows(4) {
            let codes: Vec<u32> = window
                .iter()
                .flat_map(|s| match attribute {
                    "seller" => items.attributes(s.item).to_vec(),
                    "category" => items.categories(s.item).to_vec(),
                    _ => items.categories(s.item)[1..].to_vec(),
                })
                .collect();
            let most = codes.iter().map(|c| codes.iter().filter(|d| *d == c).count()).max();
            assert!(most <= Some(2), "{attribute}: {codes:?}");
        }
    }
}

#[test]
fn impossible_caps_are_relaxed_and_counted() {
    let snapshot = world(100, 3);
    let cap = CapConfig { attribute: "category".to_owned(), at_most: 1, window: 10 };
    let diversity = DiversityConfig { caps: vec![cap], ..Default::default() };
    let config = SceneConfig { diversity, ..Default::default() };
    let query = Query { filter: Some(FilterExpr::Category("leaf1".into())), ..asking(&[1], 8) };
    let outcome = run(&snapshot, &scene(config), &query, &mut Scratch::default());
    assert_eq!(outcome.slate.len(), 8);
    assert_eq!(outcome.degraded, [Degraded::CapsRelaxed(7)]);
}

#[test]
fn mmr_mixes_groups() {
    let mut planted = contents(200, 4);
    planted.channels.retain(|c| c.name == "spectral");
    let snapshot = snapshot(&planted);
    let leaves = |lambda: f32, similarity: Similarity| {
        let diversity =
            DiversityConfig { mmr_lambda: lambda, similarity, pool: 20, ..Default::default() };
        let config = SceneConfig { diversity, ..only(&[("spectral", 1.0)]) };
        let query = asking(&[0, 4, 8, 12, 1], 10);
        let outcome = run(&snapshot, &scene(config), &query, &mut Scratch::default());
        let mut groups: Vec<u32> = outcome.slate.iter().map(|s| s.item % 4).collect();
        groups.sort_unstable();
        groups.dedup();
        groups.len()
    };
    assert_eq!(leaves(1.0, Similarity::Labels), 1);
    assert!(leaves(0.5, Similarity::Labels) >= 2);
    assert!(leaves(0.5, Similarity::Channel) >= 2);
}

#[test]
fn k_comes_from_the_query_or_the_scene_and_is_bounded() {
    let snapshot = world(60, 5);
    let scene = scene(SceneConfig { k: 7, ..Default::default() });
    let slots = |k: usize| {
        let query = Query { now_ms: NOW, ..asking(&[], k) };
        run(&snapshot, &scene, &query, &mut Scratch::default()).slate.len()
    };
    assert_eq!((slots(0), slots(3)), (7, 3));
    assert!(slots(usize::MAX) <= 60);
}
