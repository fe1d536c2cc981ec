//! The merged score: linear in the weights, blind to the order of channels, never won by NaN.

use foretaste_bundle::{BundleContents, Channel, ChannelModel, ItemItem};
use foretaste_core::{Csr, ItemIdx, Rng};
use foretaste_pipeline::{
    Degraded, Merge, Outcome, Query, SceneConfig, Scratch, Snapshot, channel_scores, explain, run,
};

use crate::planted::{self, asking, contents, only, scene, snapshot, world};

fn answer(snapshot: &Snapshot, config: SceneConfig, query: &Query) -> Outcome {
    run(snapshot, &scene(config), query, &mut Scratch::default())
}

fn total(snapshot: &Snapshot, weights: &[(&str, f32)], query: &Query, item: ItemIdx) -> f32 {
    let scene = scene(only(weights));
    let told = explain(snapshot, &scene, query, item, &mut Scratch::default());
    told.expect("the item exists").total.expect("it is finite")
}

#[test]
fn the_merged_score_is_linear_in_the_weights() {
    let (snapshot, query) = (world(100, 1), asking(&[0, 4, 8, 12], 10));
    for item in 20..60 {
        let a = total(&snapshot, &[("item_item", 1.0)], &query, item);
        let b = total(&snapshot, &[("spectral", 1.0)], &query, item);
        let both = total(&snapshot, &[("item_item", 0.25), ("spectral", 3.0)], &query, item);
        let expected = 0.25 * a + 3.0 * b;
        assert!((both - expected).abs() <= 1e-4 * expected.abs().max(1.0), "{both} {expected}");
    }
}

#[test]
fn a_channels_part_is_its_raw_score_over_its_scale() {
    let (snapshot, query) = (world(100, 2), asking(&[1, 5, 9], 10));
    let scene = scene(only(&[("item_item", 0.5), ("ials", 2.0)]));
    let scores = channel_scores(&snapshot, &scene, &query, &mut Scratch::default());
    assert_eq!(scores.channels.len(), 2);
    assert!(scores.items.is_sorted());
    for (row, &item) in scores.items.iter().enumerate() {
        let sum: f32 = scores.channels.iter().map(|c| c.raw[row] * (c.weight / c.scale)).sum();
        let merged = total(&snapshot, &[("item_item", 0.5), ("ials", 2.0)], &query, item);
        assert!((sum - merged).abs() < 1e-4, "{sum} is not {merged}");
    }
}

#[test]
fn long_answers_are_merged_from_more_than_they_hold() {
    let (snapshot, query) = (world(200, 2), asking(&[1, 5, 9], 30));
    let config = SceneConfig { candidates: 5, ..only(&[("spectral", 1.0)]) };
    assert_eq!(answer(&snapshot, config, &query).n_candidates, 60);
}

#[test]
fn the_order_of_channels_in_a_bundle_changes_nothing() {
    let here = contents(100, 3);
    let mut turned = here.clone();
    turned.channels.reverse();
    let (here, there) = (snapshot(&here), snapshot(&turned));
    for seed in 0..20 {
        let query = planted::random_query(100, &mut Rng::new(seed));
        for merge in [Merge::Calibrated, Merge::Rrf] {
            let config = SceneConfig { merge, ..SceneConfig::default() };
            let slate = |s: &Snapshot| {
                let slate = answer(s, config.clone(), &query).slate;
                slate.into_iter().map(|i| (i.item, i.score, i.because)).collect::<Vec<_>>()
            };
            assert_eq!(slate(&here), slate(&there), "seed {seed}");
        }
    }
}

#[test]
fn reciprocal_ranks_add_up() {
    let (snapshot, query) = (world(100, 4), asking(&[2, 6, 10], 10));
    let config = SceneConfig { merge: Merge::Rrf, ..only(&[("item_item", 1.0), ("ials", 0.5)]) };
    let scene = scene(config);
    for item in run(&snapshot, &scene, &query, &mut Scratch::default()).slate {
        let told = explain(&snapshot, &scene, &query, item.item, &mut Scratch::default())
            .expect("the item exists");
        let part = |c: &foretaste_pipeline::ChannelExplanation| match (c.proposed, c.rank) {
            (true, Some(rank)) => c.weight / (60.0 + rank as f32),
            _ => 0.0,
        };
        let expected: f32 = told.channels.iter().map(part).sum();
        assert!((item.score - expected).abs() < 1e-6, "{} is not {expected}", item.score);
    }
}

/// A channel whose sums overflow to NaN for item 20 and to infinity for item 21.
fn overflowing(n_items: usize) -> Channel {
    let big = f32::MAX;
    let mut rows = vec![Vec::new(); n_items];
    rows[0] = vec![(20, big), (21, big), (22, 1.0)];
    rows[1] = vec![(20, big), (21, big)];
    rows[2] = vec![(20, -big)];
    rows[3] = vec![(20, -big)];
    let similar = Csr::from_rows(n_items, rows);
    let model = ChannelModel::ItemItem(ItemItem { similar, history_exponent: 0.0 });
    Channel { name: "overflowing".to_owned(), scale: 1.0, weight: 1.0, model }
}

fn with_overflow(keep: usize) -> (BundleContents, Query) {
    let mut contents = contents(100, 5);
    contents.items.iter_mut().for_each(|i| i.hidden = false);
    contents.channels.truncate(keep);
    contents.channels.push(overflowing(100));
    let mut query = asking(&[0, 1, 2, 3], 30);
    query.history.iter_mut().for_each(|e| e.weight = 2.0);
    (contents, query)
}

#[test]
fn what_is_not_finite_never_wins() {
    let (contents, query) = with_overflow(2);
    let snapshot = snapshot(&contents);
    for merge in [Merge::Calibrated, Merge::Rrf] {
        let outcome = answer(&snapshot, SceneConfig { merge, ..Default::default() }, &query);
        assert_eq!(outcome.slate.len(), 30);
        assert!(outcome.work.unrankable >= 1, "{merge:?}");
        assert!(outcome.slate.iter().all(|s| s.item != 20 && s.item != 21), "{merge:?}");
    }
}

#[test]
fn what_is_not_finite_may_only_fill_up_the_end() {
    let (contents, mut query) = with_overflow(0);
    query.k = 96;
    let outcome = answer(&snapshot(&contents), SceneConfig::default(), &query);
    assert_eq!(outcome.slate.len(), 96);
    assert_eq!(outcome.slate[0].item, 22);
    assert_eq!(outcome.work.filled, 95);
    assert_eq!(outcome.work.unrankable, 0, "they are in the slate, so they are not counted again");
}

#[test]
fn a_channel_that_is_not_finite_at_all_is_left_out_and_named() {
    let mut contents = contents(100, 6);
    contents.channels.truncate(1);
    let mut rows = vec![vec![]; 100];
    rows[0] = (0..100).map(|j| (j, f32::MAX)).collect();
    let similar = Csr::from_rows(100, rows);
    let model = ChannelModel::ItemItem(ItemItem { similar, history_exponent: 0.0 });
    let weight = 1.0;
    contents.channels.push(Channel { name: "broken".to_owned(), scale: 1.0, weight, model });
    let snapshot = snapshot(&contents);
    let mut query = asking(&[0, 4, 8], 10);
    query.history.iter_mut().for_each(|e| e.weight = 2.0);
    let outcome = answer(&snapshot, SceneConfig::default(), &query);
    let id = snapshot.channel_named("broken").expect("the bundle has it");
    assert_eq!(outcome.degraded, [Degraded::ChannelFailed(id)]);
    let plain = answer(&snapshot, only(&[("item_item", 1.0)]), &query);
    let items = |o: &Outcome| o.slate.iter().map(|s| s.item).collect::<Vec<_>>();
    assert_eq!(items(&outcome), items(&plain));
}

#[test]
fn planted_groups_are_recovered_by_every_channel() {
    let snapshot = world(120, 7);
    for channel in ["item_item", "spectral", "ials", "content", "user_user"] {
        for group in 0..planted::GROUPS as ItemIdx {
            let past: Vec<ItemIdx> = (0..8).map(|n| group + 4 * n).collect();
            let outcome = answer(&snapshot, only(&[(channel, 1.0)]), &asking(&past, 5));
            let right = outcome.slate.iter().filter(|s| s.item % 4 == group).count();
            assert!(right >= 4, "{channel}: {right} of 5 in group {group}");
        }
    }
}
