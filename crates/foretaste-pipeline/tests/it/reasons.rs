//! Reasons are true: shares follow the scores, past items really led to the item, notes hold.

use foretaste_core::ItemIdx;
use foretaste_pipeline::{
    BuiltIn, ChannelId, Query, ReasonNote, SceneConfig, Scratch, TrendWindow, Trends, run,
};

use crate::planted::{DAY, NOW, asking, contents, only, scene, snapshot, world};

#[test]
fn shares_are_the_parts_of_the_score() {
    let snapshot = world(120, 1);
    let scene = scene(only(&[("item_item", 1.0), ("spectral", 0.5), ("popular", 0.1)]));
    let query = asking(&[0, 4, 8, 16], 10);
    let outcome = run(&snapshot, &scene, &query, &mut Scratch::default());
    for item in &outcome.slate {
        let told = foretaste_pipeline::explain(
            &snapshot,
            &scene,
            &query,
            item.item,
            &mut Scratch::default(),
        )
        .expect("the item exists");
        let positive: f32 = told.channels.iter().map(|c| c.part.max(0.0)).sum();
        for &(id, share) in &item.channels {
            let channel = told.channels.iter().find(|c| c.channel == id).expect("took part");
            assert!((share - channel.part / positive).abs() < 1e-5);
        }
    }
}

#[test]
fn past_items_are_named_with_their_shares_of_a_linear_score() {
    let planted = contents(120, 2);
    let snapshot = snapshot(&planted);
    let foretaste_bundle::ChannelModel::ItemItem(model) = &planted.channels[0].model else {
        panic!("planted as item-item");
    };
    let weight = |from: ItemIdx, to: ItemIdx| {
        let (items, values) = model.similar.row(from as usize);
        items.iter().position(|&i| i == to).map_or(0.0, |at| values[at])
    };
    let past = [0, 4, 8, 12, 16, 20];
    let scene = scene(only(&[("item_item", 1.0)]));
    let outcome = run(&snapshot, &scene, &asking(&past, 10), &mut Scratch::default());
    for item in outcome.slate.iter().filter(|s| s.score > 0.0) {
        let total: f32 = past.iter().map(|&p| weight(p, item.item)).sum();
        let mut expected: Vec<(ItemIdx, f32)> =
            past.iter().map(|&p| (p, weight(p, item.item) / total)).collect();
        expected.retain(|&(_, share)| share > 0.0);
        expected.sort_by(foretaste_core::topk::by_rank);
        expected.truncate(3);
        assert_eq!(item.because.len(), expected.len());
        for (found, expected) in item.because.iter().zip(&expected) {
            assert_eq!(found.0, expected.0);
            assert!((found.1 - expected.1).abs() < 1e-5);
        }
    }
}

#[test]
fn without_wanting_reasons_there_are_channels_only() {
    let snapshot = world(100, 3);
    let query = Query { want_reasons: false, ..asking(&[0, 4], 10) };
    let scene = scene(SceneConfig::default());
    let outcome = run(&snapshot, &scene, &query, &mut Scratch::default());
    assert!(outcome.slate.iter().all(|s| !s.channels.is_empty()));
    assert!(outcome.slate.iter().all(|s| s.because.is_empty() && s.note.is_none()));
}

/// Notes of every item of a world of 400 items, by item.
fn notes(created: impl Fn(usize) -> i64, hour: impl Fn(usize) -> f32) -> Vec<Option<ReasonNote>> {
    let mut planted = contents(400, 4);
    for (i, item) in planted.items.iter_mut().enumerate() {
        (item.hidden, item.created_ms) = (false, created(i));
    }
    planted.popularity = foretaste_bundle::Popularity::zeros(400);
    // Category leaf(i % 4), each with 100 items: the most popular are the lowest numbers.
    planted.popularity.total = (0..400).map(|i| 1000.0 - i as f32).collect();
    let snapshot = snapshot(&planted);
    let trends = Trends::new((0..400).map(hour).collect(), vec![0.0; 400], vec![0.0; 400]);
    let snapshot = snapshot.with_trends(trends.into());
    let scene = scene(SceneConfig::default());
    let outcome = run(&snapshot, &scene, &asking(&[], 400), &mut Scratch::default());
    let mut by_item = vec![None; 400];
    outcome.slate.iter().for_each(|s| by_item[s.item as usize] = s.note);
    by_item
}

#[test]
fn popular_in_category_is_said_of_the_best_ten_of_each() {
    let notes = notes(|_| 0, |_| 0.0);
    for (i, note) in notes.iter().enumerate() {
        let said = matches!(note, Some(ReasonNote::PopularInCategory(_)));
        assert_eq!(said, i < 40, "item {i}: {note:?}");
    }
}

#[test]
fn new_and_trending_are_said_when_they_are_true() {
    let two_weeks = 14 * DAY;
    let age = |i: usize| if i < 200 { two_weeks } else { two_weeks + 1 };
    let notes = notes(|i| NOW - age(i), |i| if i >= 395 { 5.0 } else { 0.0 });
    assert!(notes[..200].iter().all(|&n| n == Some(ReasonNote::New)));
    assert!(notes[200..395].iter().all(|&n| n.is_none()));
    let trending = Some(ReasonNote::Trending(TrendWindow::Hour));
    assert!(notes[395..].iter().all(|&n| n == trending));
}

#[test]
fn what_a_quota_brought_in_is_the_channels() {
    let snapshot = world(400, 5);
    let mut config = SceneConfig { k: 10, ..only(&[("item_item", 1.0)]) };
    let quota = foretaste_pipeline::ChannelConfig { weight: None, quota: 4, ..Default::default() };
    config.channels.insert("latest".into(), quota);
    let query = asking(&[0], 10);
    let outcome = run(&snapshot, &scene(config), &query, &mut Scratch::default());
    let latest = ChannelId::BuiltIn(BuiltIn::Latest);
    let brought = outcome.slate.iter().filter(|s| s.channels == [(latest, 1.0)]);
    assert!((1..=4).contains(&brought.count()));
}
