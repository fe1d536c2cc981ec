//! Users without a usable past: session, then attributes, then popularity, then the fixed list.

use foretaste_core::{BitSet, Interactions, ItemIdx};
use foretaste_pipeline::{
    BuiltIn, ChannelConfig, ChannelId, Fallback, FilterExpr, Outcome, Query, SceneConfig, Scratch,
    Snapshot, run,
};

use crate::planted::{asking, contents, only, scene, snapshot, world};

fn answer(snapshot: &Snapshot, config: SceneConfig, query: &Query) -> Outcome {
    run(snapshot, &scene(config), query, &mut Scratch::default())
}

fn items(outcome: &Outcome) -> Vec<ItemIdx> {
    outcome.slate.iter().map(|s| s.item).collect()
}

#[test]
fn the_chain_takes_the_first_that_knows_anything() {
    let snapshot = world(100, 1);
    let new = asking(&[], 10);
    let session = Query { session: vec![5, 9], ..new.clone() };
    let known = Query { attributes: vec!["country=DE".into()], ..new.clone() };
    let unknown = Query { attributes: vec!["country=XX".into()], ..new.clone() };
    let all = Query { attributes: vec!["country=DE".into()], ..session.clone() };
    let expected = [
        (asking(&[0, 4], 10), None),
        (all, Some(Fallback::Session)),
        (session, Some(Fallback::Session)),
        (known, Some(Fallback::Segment)),
        (unknown, Some(Fallback::Popular)),
        (new, Some(Fallback::Popular)),
    ];
    for (query, fallback) in expected {
        let outcome = answer(&snapshot, SceneConfig::default(), &query);
        assert_eq!((outcome.fallback, outcome.slate.len()), (fallback, 10));
    }
}

#[test]
fn a_session_serves_like_a_past_and_says_so() {
    let snapshot = world(100, 2);
    let session = Query { session: vec![8, 4, 12], ..asking(&[], 10) };
    let by_session = answer(&snapshot, SceneConfig::default(), &session);
    let by_past = answer(&snapshot, SceneConfig::default(), &asking(&[4, 8, 12], 10));
    assert_eq!(items(&by_session), items(&by_past));
    assert!(by_session.slate[0].because.iter().all(|&(i, _)| [4, 8, 12].contains(&i)));
    assert!(!by_session.slate[0].because.is_empty());
}

#[test]
fn a_segment_serves_its_items_in_its_order() {
    let contents = contents(100, 3);
    let snapshot = snapshot(&contents);
    let query = Query { attributes: vec!["plan=pro".into()], ..asking(&[], 5) };
    let outcome = answer(&snapshot, SceneConfig::default(), &query);
    let segment = contents.segments.iter().find(|s| s.key == "plan=pro").expect("planted");
    let shown = segment.items.iter().map(|&(i, _)| i).filter(|&i| !snapshot.hidden.contains(i));
    assert_eq!(items(&outcome), shown.take(5).collect::<Vec<_>>());
    let segment = ChannelId::BuiltIn(BuiltIn::Segment);
    assert!(outcome.slate.iter().all(|s| s.channels == [(segment, 1.0)]));
}

#[test]
fn popularity_serves_in_its_order() {
    let mut contents = contents(100, 4);
    contents.items.iter_mut().for_each(|i| i.hidden = false);
    let snapshot = snapshot(&contents);
    let outcome = answer(&snapshot, SceneConfig::default(), &asking(&[], 100));
    let popularity = |i: ItemIdx| contents.popularity.total[i as usize];
    let mut expected: Vec<ItemIdx> = (0..100).collect();
    expected.sort_by(|&a, &b| popularity(b).total_cmp(&popularity(a)).then(a.cmp(&b)));
    assert_eq!(items(&outcome), expected);
}

#[test]
fn without_any_event_the_fixed_list_serves() {
    let mut contents = contents(50, 5);
    contents.items.iter_mut().for_each(|i| i.hidden = false);
    contents.popularity = foretaste_bundle::Popularity::zeros(50);
    contents.segments.clear();
    contents.channels.clear();
    contents.histories = Interactions::untimed(foretaste_core::Csr::empty(24, 50));
    let fixed = ["item-7", "item-3", "no-such-item", "item-7", "item-9"].map(str::to_owned);
    let config = SceneConfig { static_items: fixed.to_vec(), ..SceneConfig::default() };
    let outcome = answer(&snapshot(&contents), config, &asking(&[], 6));
    assert_eq!(outcome.fallback, Some(Fallback::Static));
    assert_eq!(items(&outcome), [7, 3, 9, 0, 1, 2]);
    let fixed = ChannelId::BuiltIn(BuiltIn::Static);
    assert!(outcome.slate.iter().all(|s| s.channels == [(fixed, 1.0)]));
}

#[test]
fn a_past_that_no_model_knows_falls_through() {
    let mut contents = contents(60, 6);
    contents.channels.retain(|c| c.name == "item_item");
    let foretaste_bundle::ChannelModel::ItemItem(model) = &mut contents.channels[0].model else {
        panic!("planted as item-item");
    };
    let rows = (0..60).map(|i| if i == 0 { Vec::new() } else { vec![(0, 1.0)] });
    model.similar = foretaste_core::Csr::from_rows(60, rows.collect::<Vec<_>>());
    let snapshot = snapshot(&contents);
    let outcome = answer(&snapshot, SceneConfig::default(), &asking(&[0], 5));
    assert_eq!((outcome.fallback, outcome.slate.len()), (Some(Fallback::Popular), 5));
}

#[test]
fn a_scene_without_models_is_no_fallback() {
    let snapshot = world(60, 7);
    let outcome = answer(&snapshot, only(&[("popular", 1.0)]), &asking(&[], 5));
    assert_eq!(outcome.fallback, None);
}

#[test]
fn few_proposals_are_filled_up_by_popularity_behind_them() {
    let snapshot = world(100, 8);
    let config = SceneConfig { candidates: 3, ..only(&[("item_item", 1.0)]) };
    let outcome = answer(&snapshot, config, &asking(&[0], 40));
    assert_eq!(outcome.slate.len(), 40);
    assert!(outcome.work.filled > 0 && outcome.fallback.is_none());
    let personal = outcome.slate.len() - outcome.work.filled;
    let model = snapshot.channel_named("item_item").expect("planted");
    for (at, item) in outcome.slate.iter().enumerate() {
        assert_eq!(item.channels[0].0 == model, at < personal, "slot {at}");
    }
}

#[test]
fn nothing_allowed_gives_an_empty_answer() {
    let snapshot = world(50, 9);
    let query =
        Query { filter: Some(FilterExpr::Category("no such".into())), ..asking(&[1, 2, 3], 10) };
    let outcome = answer(&snapshot, SceneConfig::default(), &query);
    assert_eq!((outcome.slate.len(), outcome.fallback, outcome.work.allowed), (0, None, 0));
}

#[test]
fn an_empty_catalogue_gives_an_empty_answer() {
    let snapshot = snapshot(&foretaste_bundle::BundleContents {
        histories: Interactions::untimed(foretaste_core::Csr::empty(0, 0)),
        ..Default::default()
    });
    assert!(answer(&snapshot, SceneConfig::default(), &asking(&[0], 10)).slate.is_empty());
}

#[test]
fn a_quota_holds_for_new_users_too() {
    let snapshot = world(100, 10);
    let mut config = SceneConfig { k: 10, ..SceneConfig::default() };
    config
        .channels
        .insert("latest".into(), ChannelConfig { weight: None, quota: 3, ..Default::default() });
    for query in [asking(&[], 10), asking(&[0, 4], 10)] {
        let outcome = answer(&snapshot, config.clone(), &query);
        let items = snapshot.bundle.items();
        let mut ages: Vec<i64> = (0..100u32)
            .filter(|&i| !snapshot.hidden.contains(i) && !query.history.iter().any(|e| e.item == i))
            .map(|i| items.created_ms(i))
            .collect();
        ages.sort_unstable_by_key(|&t| std::cmp::Reverse(t));
        let new = outcome.slate.iter().filter(|s| items.created_ms(s.item) >= ages[39]).count();
        assert!(new >= 3, "{new} of the 40 newest");
        assert!(outcome.degraded.is_empty());
    }
}

#[test]
fn hiding_an_item_removes_it_from_the_next_answer() {
    let snapshot = world(100, 11);
    for query in [asking(&[], 10), asking(&[0, 4], 10)] {
        let first = answer(&snapshot, SceneConfig::default(), &query).slate[0].item;
        let mut hidden = BitSet::clone(&snapshot.hidden);
        hidden.insert(first);
        let next = snapshot.with_hidden(hidden.into());
        assert_eq!(next.generation, snapshot.generation + 1);
        let outcome = answer(&next, SceneConfig::default(), &query);
        assert!(outcome.slate.len() == 10 && !items(&outcome).contains(&first));
    }
}
