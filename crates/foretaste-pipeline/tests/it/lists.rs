//! Similar items, and lists that are the same for everyone.

use foretaste_core::ItemIdx;
use foretaste_pipeline::{
    BuiltIn, ChannelId, Fallback, FilterExpr, Listing, Outcome, Query, Scenes, Scratch, Snapshot,
    TrendWindow, Trends, listing, similar,
};

use crate::planted::{GROUPS, NOW, asking, contents, snapshot, world};

fn similar_to(snapshot: &Snapshot, item: ItemIdx, query: &Query) -> Outcome {
    let scenes = Scenes::built_in();
    let scene = scenes.get("similar").expect("a built-in scene");
    similar(snapshot, scene, item, query, &mut Scratch::default())
}

fn list(snapshot: &Snapshot, which: Listing, query: &Query) -> Outcome {
    listing(snapshot, which, query, &mut Scratch::default())
}

fn items(outcome: &Outcome) -> Vec<ItemIdx> {
    outcome.slate.iter().map(|s| s.item).collect()
}

#[test]
fn similar_items_are_of_the_items_group_and_never_the_item() {
    let snapshot = world(120, 1);
    for item in 0..20 {
        let outcome = similar_to(&snapshot, item, &asking(&[], 6));
        let right =
            outcome.slate.iter().filter(|s| s.item as usize % GROUPS == item as usize % GROUPS);
        assert!(right.count() >= 5, "item {item}");
        assert!(!items(&outcome).contains(&item));
        assert_eq!(outcome.slate.len(), 6);
        let removed: usize = outcome.work.removed.iter().map(|&(_, n)| n).sum();
        assert_eq!(outcome.work.allowed + removed, 120);
    }
}

#[test]
fn similar_items_obey_filters_and_hides_but_may_be_seen() {
    let snapshot = world(120, 2);
    let leaf = FilterExpr::Category("leaf1".into());
    let query = Query { filter: Some(leaf), exclude: vec![9], ..asking(&[5, 13, 17], 20) };
    let outcome = similar_to(&snapshot, 1, &query);
    assert_eq!(outcome.slate.len(), 20);
    assert!(outcome.slate.iter().all(|s| s.item % 4 == 1 && s.item != 9));
    assert!(outcome.slate.iter().all(|s| !snapshot.hidden.contains(s.item)));
    assert!(outcome.slate.iter().any(|s| [5, 13, 17].contains(&s.item)));
}

#[test]
fn an_item_without_neighbours_gets_what_is_popular_in_its_category() {
    let mut contents = contents(100, 3);
    contents.channels.retain(|c| c.name == "item_item");
    let foretaste_bundle::ChannelModel::ItemItem(model) = &mut contents.channels[0].model else {
        panic!("planted as item-item");
    };
    model.similar = foretaste_core::Csr::empty(100, 100);
    let snapshot = snapshot(&contents);
    let outcome = similar_to(&snapshot, 2, &asking(&[], 10));
    assert_eq!(outcome.fallback, Some(Fallback::Popular));
    let shares = |s: ItemIdx| s.is_multiple_of(2);
    assert!(outcome.slate.iter().all(|s| shares(s.item)), "top0 holds all even items");
    let total = &contents.popularity.total;
    let popularity: Vec<f32> = outcome.slate.iter().map(|s| total[s.item as usize]).collect();
    assert!(popularity.is_sorted_by(|a, b| a >= b));
}

#[test]
fn an_unknown_item_is_similar_to_nothing_and_still_answered() {
    let snapshot = world(50, 4);
    let outcome = similar_to(&snapshot, 5000, &asking(&[], 5));
    assert_eq!((outcome.slate.len(), outcome.fallback), (5, Some(Fallback::Popular)));
}

#[test]
fn listings_follow_their_measure() {
    let contents = contents(100, 5);
    let snapshot = snapshot(&contents);
    let query = asking(&[], 10);
    let shown = |i: &ItemIdx| !snapshot.hidden.contains(*i);
    let mut newest: Vec<ItemIdx> = (0..100).filter(shown).collect();
    newest.sort_by_key(|&i| (std::cmp::Reverse(contents.items[i as usize].created_ms), i));
    assert_eq!(items(&list(&snapshot, Listing::Latest, &query)), newest[..10]);
    let total = |i: ItemIdx| contents.popularity.total[i as usize];
    let mut popular: Vec<ItemIdx> = (0..100).filter(shown).collect();
    popular.sort_by(|&a, &b| total(b).total_cmp(&total(a)).then(a.cmp(&b)));
    assert_eq!(items(&list(&snapshot, Listing::Popular, &query)), popular[..10]);
}

#[test]
fn trending_follows_live_trends_then_popularity() {
    let snapshot = world(100, 6);
    let mut hour = vec![0.0; 100];
    let shown: Vec<ItemIdx> = (0..100).filter(|&i| !snapshot.hidden.contains(i)).collect();
    let (first, second) = (shown[40], shown[7]);
    (hour[first as usize], hour[second as usize]) = (9.0, 4.0);
    let live = snapshot.with_trends(Trends::new(hour, vec![0.0; 100], vec![0.0; 100]).into());
    let hour = Listing::Trending(TrendWindow::Hour);
    let outcome = list(&live, hour, &asking(&[], 5));
    assert_eq!(items(&outcome)[..2], [first, second]);
    assert_eq!((outcome.slate.len(), outcome.work.filled), (5, 3));
    let trending = ChannelId::BuiltIn(BuiltIn::Trending(TrendWindow::Hour));
    assert_eq!(outcome.slate[0].channels, [(trending, 1.0)]);
    let quiet = list(&snapshot, hour, &asking(&[], 5));
    assert_eq!(quiet.fallback, Some(Fallback::Popular));
    assert_eq!(items(&quiet), items(&list(&snapshot, Listing::Popular, &asking(&[], 5))));
}

#[test]
fn listings_obey_a_category() {
    let snapshot = world(100, 7);
    let leaf = FilterExpr::Category("leaf3".into());
    let query = Query { filter: Some(leaf), now_ms: NOW, ..asking(&[], 15) };
    for which in [Listing::Popular, Listing::Latest, Listing::Trending(TrendWindow::Week)] {
        let outcome = list(&snapshot, which, &query);
        assert_eq!(outcome.slate.len(), 15);
        assert!(outcome.slate.iter().all(|s| s.item % 4 == 3));
    }
}

#[test]
#[should_panic(expected = "trends of another bundle")]
fn trends_of_another_bundle_are_refused() {
    world(50, 8).with_trends(Trends::new(vec![], vec![], vec![]).into());
}
