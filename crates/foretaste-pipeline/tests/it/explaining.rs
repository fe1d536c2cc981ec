//! Why not: filters by name, ranks by channel, and what an item would have had to beat.

use foretaste_core::ErrorKind;
use foretaste_pipeline::{
    Explanation, FilterExpr, FilterKind, Query, SceneConfig, Scratch, Snapshot, explain, run,
};

use crate::planted::{asking, contents, only, scene, snapshot, world};

fn told(snapshot: &Snapshot, config: SceneConfig, query: &Query, item: u32) -> Explanation {
    explain(snapshot, &scene(config), query, item, &mut Scratch::default()).expect("it exists")
}

#[test]
fn the_first_filter_is_named() {
    let mut contents = contents(60, 1);
    contents.items.iter_mut().enumerate().for_each(|(i, item)| item.hidden = i == 10);
    let snapshot = snapshot(&contents);
    let mut config = SceneConfig::default();
    config.filters.only = Some(FilterExpr::Not(Box::new(FilterExpr::Category("leaf3".into()))));
    let query = Query {
        seen: vec![10, 12],
        owned: vec![12, 14],
        exclude: vec![14, 16],
        filter: Some(FilterExpr::Category("top0".into())),
        ..asking(&[2, 6], 10)
    };
    let expected = [
        (10, Some(FilterKind::Hidden)),
        (2, Some(FilterKind::Seen)),
        (12, Some(FilterKind::Seen)),
        (14, Some(FilterKind::Owned)),
        (16, Some(FilterKind::Excluded)),
        (19, Some(FilterKind::Scene)),
        (21, Some(FilterKind::Request)),
        (18, None),
    ];
    for (item, filter) in expected {
        let told = told(&snapshot, config.clone(), &query, item);
        assert_eq!(told.removed_by, filter, "item {item}");
        assert!(told.total.is_some() && told.channels.len() == 5, "item {item}");
        assert!(filter.is_none() || told.position.is_none(), "item {item}");
    }
}

#[test]
fn ranks_by_channel_count_the_allowed_items_only() {
    let snapshot = world(100, 2);
    let query = asking(&[0, 4, 8], 100);
    for channel in ["item_item", "spectral", "ials", "user_user"] {
        let config = only(&[(channel, 1.0)]);
        let outcome = run(&snapshot, &scene(config.clone()), &query, &mut Scratch::default());
        let ranked = outcome.slate.len() - outcome.work.filled;
        for (at, item) in outcome.slate[..ranked].iter().enumerate().step_by(7) {
            let told = told(&snapshot, config.clone(), &query, item.item);
            assert_eq!(told.channels[0].rank, Some(at + 1), "{channel}");
            assert!(told.channels[0].proposed, "{channel}");
        }
    }
}

#[test]
fn an_item_that_no_channel_proposed_has_a_score_but_no_rank() {
    let snapshot = world(100, 3);
    let config = SceneConfig { candidates: 2, ..only(&[("spectral", 1.0)]) };
    let query = asking(&[0, 4, 8], 2);
    let outcome = run(&snapshot, &scene(config.clone()), &query, &mut Scratch::default());
    let other = (0..100)
        .find(|&i| {
            outcome.slate.iter().all(|s| s.item != i)
                && told(&snapshot, config.clone(), &query, i).removed_by.is_none()
        })
        .expect("98 others");
    let told = told(&snapshot, config, &query, other);
    assert_eq!((told.rank, told.position), (None, None));
    assert!(told.channels[0].rank.is_some_and(|rank| rank > 2) && !told.channels[0].proposed);
    assert_eq!(told.slate_floor, Some(outcome.slate[1].score));
    assert!(told.total < told.slate_floor);
}

#[test]
fn an_item_outside_the_catalogue_is_not_found() {
    let snapshot = world(50, 4);
    let scene = scene(SceneConfig::default());
    let error = explain(&snapshot, &scene, &asking(&[0], 5), 50, &mut Scratch::default());
    assert_eq!(error.expect_err("there are 50").kind(), ErrorKind::NotFound);
}
