//! Planted behaviour: groups of users who like groups of items, with popular items for everyone.

use foretaste_core::{Event, EventBatch, EventWeights, Item, Rng, User, planted};
use foretaste_evaluate::assemble::{Assembled, assemble};

pub const GROUPS: usize = 6;

/// 420 users, 240 items in six groups; items below 12 are liked by a third of everybody.
pub fn events(timed: bool) -> EventBatch {
    let liked = planted::groups((420, 240, GROUPS), (0.35, 0.01), 11);
    let mut rng = Rng::new(5);
    let mut batch = EventBatch::default();
    for user in 0..420 {
        let mut items: Vec<u32> = liked.row(user).0.to_vec();
        items.extend((0..12).filter(|_| rng.below(3) == 0));
        items.sort_unstable();
        items.dedup();
        rng.shuffle(&mut items);
        for (at, item) in items.into_iter().enumerate() {
            batch.push(&Event {
                event_id: None,
                user: format!("user-{user}"),
                item: format!("item-{item}"),
                kind: "view".into(),
                value: 1.0,
                time_ms: if timed { 1_700_000_000_000 + at as i64 * 3_600_000 } else { 0 },
                context: None,
            });
        }
    }
    batch
}

pub fn catalogue() -> Vec<Item> {
    let item = |i: usize| Item {
        item_id: format!("item-{i}"),
        title: format!("thing {i} of kind {}", i % GROUPS),
        categories: vec![format!("kind-{}", i % GROUPS)],
        ..Item::default()
    };
    (0..240).map(item).collect()
}

pub fn users() -> Vec<User> {
    let user = |u: usize| User {
        user_id: format!("user-{u}"),
        attributes: [("group".to_owned(), (u % GROUPS).to_string())].into(),
        created_ms: 0,
    };
    (0..420).map(user).collect()
}

pub fn assembled(timed: bool) -> Assembled {
    assemble(&events(timed), catalogue(), users(), &EventWeights::default())
}
