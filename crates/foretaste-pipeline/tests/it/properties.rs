//! What holds for every request, whatever the scene and the query.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::sync::Arc;

use foretaste_core::{ItemIdx, Rng};
use foretaste_pipeline::diversify::{CapConfig, DiversityConfig, Similarity};
use foretaste_pipeline::{
    Batch, ChannelConfig, Degraded, Executor, FilterExpr, Merge, Outcome, Query, Scene,
    SceneConfig, Scratch, Snapshot, explain, run,
};

use crate::planted::{self, random_query, scene};

/// A scene of any shape.
fn random_scene(rng: &mut Rng) -> Scene {
    let mut config = SceneConfig { k: 20, candidates: 5 + rng.below(100), ..Default::default() };
    config.merge = [Merge::Calibrated, Merge::Rrf][rng.below(2)];
    config.bundle_channels = rng.below(3) > 0;
    config.filters.seen = rng.below(2) > 0;
    config.filters.owned = rng.below(2) > 0;
    config.filters.only = (rng.below(3) == 0).then(|| planted::random_filter(rng, 2));
    for name in ["popular", "trending_day", "latest", "segment", "session", "ials", "nonsense"] {
        let weight = [None, Some(0.0), Some(0.5)][rng.below(3)];
        let quota = if rng.below(5) == 0 { rng.below(4) } else { 0 };
        if rng.below(2) > 0 {
            let work_budget = [0, 0, 60, 2000][rng.below(4)];
            let setting = ChannelConfig { weight, quota, work_budget, ..Default::default() };
            config.channels.insert(name.to_owned(), setting);
        }
    }
    if rng.below(2) > 0 {
        config.diversity = random_diversity(rng);
    }
    scene(config)
}

fn random_diversity(rng: &mut Rng) -> DiversityConfig {
    let attribute = ["category", "leaf_category", "tag", "seller"][rng.below(4)].to_owned();
    DiversityConfig {
        mmr_lambda: [0.0, 0.5, 0.9, 1.0][rng.below(4)],
        similarity: [Similarity::Labels, Similarity::Channel][rng.below(2)],
        caps: vec![CapConfig { attribute, at_most: 1 + rng.below(3), window: 2 + rng.below(6) }],
        pool: 1 + rng.below(4),
    }
}

/// Calls `check` with many worlds, scenes and queries.
fn everywhere(check: impl Fn(&Snapshot, &Scene, &Query, &str)) {
    for seed in 0..12 {
        let mut rng = Rng::new(1000 + seed);
        let n_items = 40 + rng.below(120);
        let snapshot = planted::world(n_items, seed);
        for round in 0..40 {
            let (scene, query) = (random_scene(&mut rng), random_query(n_items, &mut rng));
            check(&snapshot, &scene, &query, &format!("seed {seed}, round {round}"));
        }
    }
}

fn answer(snapshot: &Snapshot, scene: &Scene, query: &Query) -> Outcome {
    run(snapshot, scene, query, &mut Scratch::default())
}

/// The items that may be shown, by the plainest code that can say it.
fn allowed(snapshot: &Snapshot, scene: &Scene, query: &Query) -> BTreeSet<ItemIdx> {
    let filters = &scene.config().filters;
    let past: Vec<ItemIdx> = query.history.iter().map(|e| e.item).collect();
    let seen =
        |i: &ItemIdx| past.contains(i) || query.session.contains(i) || query.seen.contains(i);
    (0..snapshot.bundle.n_items() as ItemIdx)
        .filter(|&i| !snapshot.hidden.contains(i))
        .filter(|i| !(filters.seen && seen(i)))
        .filter(|i| !(filters.owned && query.owned.contains(i)))
        .filter(|i| !query.exclude.contains(i))
        .filter(|&i| filters.only.as_ref().is_none_or(|f| matches(snapshot, f, i)))
        .filter(|&i| query.filter.as_ref().is_none_or(|f| matches(snapshot, f, i)))
        .collect()
}

fn matches(snapshot: &Snapshot, filter: &FilterExpr, i: ItemIdx) -> bool {
    let items = snapshot.bundle.items();
    match filter {
        FilterExpr::And(parts) => parts.iter().all(|p| matches(snapshot, p, i)),
        FilterExpr::Or(parts) => parts.iter().any(|p| matches(snapshot, p, i)),
        FilterExpr::Not(part) => !matches(snapshot, part, i),
        FilterExpr::Category(name) => {
            items.categories(i).iter().any(|&c| items.category_name(c) == name)
        }
        FilterExpr::Tag(name) => {
            items.tags(i).iter().any(|&c| items.tag_vocabulary().name(c) == name)
        }
        FilterExpr::Attribute(is) => {
            let name = format!("{}={}", is.key, is.value);
            items.attributes(i).iter().any(|&c| items.attribute_vocabulary().name(c) == name)
        }
        FilterExpr::Price(range) => {
            let price = f64::from(items.price(i));
            range.min.is_none_or(|min| price >= min)
                && range.max.is_none_or(|max| price <= max)
                && !price.is_nan()
        }
        FilterExpr::CreatedAfterMs(time) => items.created_ms(i) > 0 && items.created_ms(i) > *time,
    }
}

#[test]
fn exactly_n_distinct_allowed_items_when_n_exist() {
    everywhere(|snapshot, scene, query, place| {
        let outcome = answer(snapshot, scene, query);
        let allowed = allowed(snapshot, scene, query);
        let items: BTreeSet<ItemIdx> = outcome.slate.iter().map(|s| s.item).collect();
        assert_eq!(items.len(), outcome.slate.len(), "{place}: distinct");
        assert!(items.is_subset(&allowed), "{place}: only allowed items");
        assert_eq!(items.len(), query.k.min(allowed.len()), "{place}: as many as there are");
        assert_eq!(outcome.work.allowed, allowed.len(), "{place}");
    });
}

#[test]
fn every_item_and_every_candidate_is_kept_or_counted_once() {
    everywhere(|snapshot, scene, query, place| {
        let outcome = answer(snapshot, scene, query);
        let work = &outcome.work;
        let removed: usize = work.removed.iter().map(|&(_, n)| n).sum();
        assert_eq!(work.n_items, work.allowed + removed, "{place}: items");
        assert_eq!(work.n_items, snapshot.bundle.n_items(), "{place}");
        let rest = work.unused + work.unrankable;
        assert_eq!(outcome.n_candidates, outcome.slate.len() + rest, "{place}: candidates");
    });
}

#[test]
fn the_same_request_gives_the_same_answer_in_used_scratch() {
    let scratch = std::cell::RefCell::new(Scratch::default());
    everywhere(|snapshot, scene, query, place| {
        let fresh = answer(snapshot, scene, query);
        assert_eq!(run(snapshot, scene, query, &mut scratch.borrow_mut()), fresh, "{place}");
    });
}

#[test]
fn helpers_change_nothing() {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().expect("a pool");
    let mut helped = Scratch::default();
    helped.set_executor(Executor::Pool { pool: Arc::new(pool), least_work: 0 });
    let helped = RefCell::new(helped);
    everywhere(|snapshot, scene, query, at| {
        let together = run(snapshot, scene, query, &mut helped.borrow_mut());
        assert_eq!(together, answer(snapshot, scene, query), "{at}");
    });
}

#[test]
fn the_order_of_lists_in_a_query_changes_nothing() {
    everywhere(|snapshot, scene, query, place| {
        let mut turned = query.clone();
        turned.history.reverse();
        turned.session.reverse();
        turned.seen.reverse();
        turned.exclude.reverse();
        let same = answer(snapshot, scene, &turned);
        assert_eq!(same, answer(snapshot, scene, query), "{place}");
    });
}

#[test]
fn filters_commute() {
    everywhere(|snapshot, scene, query, place| {
        // The same conditions by another way: as one expression of the request, in turned order.
        let both = [query.filter.clone(), scene.config().filters.only.clone()];
        let joined = FilterExpr::And(both.into_iter().flatten().collect());
        let mut config = scene.config().clone();
        config.filters.only = None;
        let mut other = query.clone();
        other.filter = Some(joined);
        std::mem::swap(&mut other.owned, &mut other.exclude);
        if !config.filters.owned {
            std::mem::swap(&mut other.owned, &mut other.exclude);
        }
        let here = answer(snapshot, scene, query);
        let there = answer(snapshot, &planted::scene(config), &other);
        assert_eq!(here.slate, there.slate, "{place}");
        assert_eq!(here.work.allowed, there.work.allowed, "{place}");
    });
}

#[test]
fn shares_are_positive_and_sum_to_one() {
    everywhere(|snapshot, scene, query, place| {
        for item in answer(snapshot, scene, query).slate {
            let sum: f32 = item.channels.iter().map(|&(_, share)| share).sum();
            assert!((sum - 1.0).abs() < 1e-4, "{place}: {item:?}");
            assert!(item.channels.iter().all(|&(_, share)| share > 0.0), "{place}: {item:?}");
            let descends = |shares: &[(_, f32)]| shares.windows(2).all(|w| w[0].1 >= w[1].1);
            assert!(descends(&item.channels), "{place}: {item:?}");
            assert!(item.because.len() <= 3, "{place}: {item:?}");
            assert!(item.because.iter().all(|&(_, s)| s > 0.0), "{place}: {item:?}");
        }
    });
}

#[test]
fn scores_are_finite_and_descend_without_diversity() {
    everywhere(|snapshot, scene, query, place| {
        let outcome = answer(snapshot, scene, query);
        assert!(outcome.slate.iter().all(|s| s.score.is_finite()), "{place}");
        let config = scene.config();
        if config.diversity.is_off() && config.channels.values().all(|c| c.quota == 0) {
            let descends = outcome.slate.windows(2).all(|w| w[0].score >= w[1].score);
            assert!(descends, "{place}");
        }
    });
}

#[test]
fn explain_agrees_with_run() {
    let scratch = std::cell::RefCell::new(Scratch::default());
    everywhere(|snapshot, scene, query, place| {
        let outcome = answer(snapshot, scene, query);
        for (at, item) in outcome.slate.iter().enumerate().step_by(5) {
            let scratch = &mut scratch.borrow_mut();
            let told = explain(snapshot, scene, query, item.item, scratch).expect("it exists");
            assert_eq!(told.removed_by, None, "{place}");
            assert_eq!(told.position, Some(at + 1), "{place}");
            assert_eq!(told.total, Some(item.score), "{place}");
            assert_eq!(told.because, item.because, "{place}");
            assert_eq!(told.note, item.note, "{place}");
            assert_eq!(told.fallback, outcome.fallback, "{place}");
            if scene.config().diversity.is_off()
                && scene.config().channels.values().all(|c| c.quota == 0)
            {
                assert_eq!(told.rank, Some(at + 1), "{place}");
            }
        }
    });
}

#[test]
fn explain_names_the_filter_exactly_when_an_item_is_not_allowed() {
    everywhere(|snapshot, scene, query, place| {
        let allowed = allowed(snapshot, scene, query);
        for item in (0..snapshot.bundle.n_items() as ItemIdx).step_by(17) {
            let told = explain(snapshot, scene, query, item, &mut Scratch::default())
                .expect("the item exists");
            assert_eq!(told.removed_by.is_none(), allowed.contains(&item), "{place}, item {item}");
        }
    });
}

#[test]
fn unmet_quotas_and_unknown_channels_are_named() {
    everywhere(|snapshot, scene, query, place| {
        let outcome = answer(snapshot, scene, query);
        let nonsense = Degraded::ChannelMissing("nonsense".to_owned());
        let named = outcome.degraded.contains(&nonsense);
        assert_eq!(named, scene.config().channels.contains_key("nonsense"), "{place}");
    });
}

#[test]
fn many_requests_together_get_the_answers_that_each_gets_alone() {
    for seed in 0..12 {
        let mut rng = Rng::new(2000 + seed);
        let n_items = 40 + rng.below(400);
        let snapshot = planted::world(n_items, seed);
        let mut scratch = Scratch::default();
        for round in 0..10 {
            let scene = random_scene(&mut rng);
            let n = rng.below(100);
            let queries: Vec<Query> = (0..n).map(|_| random_query(n_items, &mut rng)).collect();
            let together = Batch::new(&snapshot, &scene).run(&queries, &mut scratch);
            let alone: Vec<Outcome> =
                queries.iter().map(|query| answer(&snapshot, &scene, query)).collect();
            assert_eq!(together, alone, "seed {seed}, round {round}");
            let items = Batch::new(&snapshot, &scene).items(&queries, &mut scratch);
            let slate = |o: &Outcome| o.slate.iter().map(|s| s.item).collect::<Vec<ItemIdx>>();
            assert_eq!(items, alone.iter().map(slate).collect::<Vec<_>>(), "seed {seed}");
        }
    }
}
