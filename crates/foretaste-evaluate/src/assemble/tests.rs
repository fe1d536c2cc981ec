use foretaste_core::Event;

use super::*;

fn event(user: &str, item: &str, kind: &str, time_ms: TimeMs) -> Event {
    Event {
        event_id: None,
        user: user.into(),
        item: item.into(),
        kind: kind.into(),
        value: 1.0,
        time_ms,
        context: None,
    }
}

fn batch(events: &[Event]) -> EventBatch {
    let mut batch = EventBatch::default();
    events.iter().for_each(|e| batch.push(e));
    batch
}

fn sample() -> Vec<Event> {
    vec![
        event("bo", "x", "view", 10),
        event("bo", "x", "view", 30),
        event("bo", "y", "order", 20),
        event("al", "x", "view", 15),
        event("al", "z", "impression", 16),
        event("cy", "z", "impression", 17),
    ]
}

fn item(id: &str) -> Item {
    Item { item_id: id.into(), title: format!("title of {id}"), ..Item::default() }
}

#[test]
fn events_fold_by_kind_and_items_and_users_are_numbered_by_activity() {
    let user = User {
        user_id: "al".into(),
        attributes: [("country".to_owned(), "DE".to_owned())].into(),
        created_ms: 0,
    };
    let stranger = User { user_id: "nobody".into(), ..User::default() };
    let catalogue = vec![item("w"), item("y")];
    let all =
        assemble(&batch(&sample()), catalogue, vec![user, stranger], &EventWeights::default());
    let ids: Vec<&str> = all.items.iter().map(|i| i.item_id.as_str()).collect();
    assert_eq!(ids, ["x", "y", "w"], "z has impressions only; w is in the catalogue");
    assert_eq!(all.items[1].title, "title of y");
    assert_eq!(all.users.iter().collect::<Vec<_>>(), ["bo", "al"]);
    assert_eq!(all.user_records.len(), 2);
    let (items, weights, times) = all.interactions.row(0);
    assert_eq!((items, times), (&[0, 1][..], &[30, 20][..]));
    assert_eq!(weights, [2.0, 5.0]);
    let kinds = &all.interactions.kinds;
    assert_eq!(kinds.names, ["order", "view"], "strongest first, impressions leave no entry");
    assert_eq!(kinds.masks, [0b10, 0b01, 0b10]);
    assert_eq!((all.n_events, all.window), (4, (10, 30)));
}

#[test]
fn the_order_of_events_changes_nothing() {
    let config = EventWeights::default();
    let mut events = sample();
    let one = assemble(&batch(&events), vec![item("w")], vec![], &config);
    events.reverse();
    let other = assemble(&batch(&events), vec![item("w")], vec![], &config);
    assert_eq!(one.interactions, other.interactions);
    assert_eq!(one.items, other.items);
    assert!(one.users.iter().eq(other.users.iter()));
}

#[test]
fn repeats_saturate_and_age_fades() {
    let weights = |config: EventWeights| {
        assemble(&batch(&sample()), vec![], vec![], &config).interactions.row(0).1.to_vec()
    };
    let base = EventWeights::default();
    assert_eq!(weights(EventWeights { most: 1.5, ..base.clone() }), [1.5, 1.5]);
    let aged = EventWeights { most: 1.0, half_life_days: 10.0 / 86_400_000.0, ..base };
    assert_eq!(weights(aged), [1.0, 0.5]);
}

#[test]
fn a_cut_in_time_keeps_what_was_known_and_holds_out_what_is_new() {
    let config = EventWeights::default();
    let mut events = sample();
    events.push(event("al", "y", "view", 40));
    let batch = batch(&events);
    let all = assemble(&batch, vec![], vec![], &config);
    let cut = time_cut(&batch, 0.3).unwrap();
    assert_eq!(cut, 17);
    let parts = split_at(&batch, &all, &config, cut);
    let (x, y) = (0, 1);
    let (bo, al) = (0, 1);
    // x was touched again after the cut: it stays known and is not held out.
    assert_eq!(parts.train.row(bo).0, [x]);
    assert_eq!(parts.train.row(bo).1, [1.0]);
    assert_eq!(parts.held_out.of(bo as u32), [y]);
    assert_eq!(parts.train.row(al).0, [x]);
    assert_eq!(parts.held_out.of(al as u32), [y]);
}

#[test]
fn nothing_gives_nothing() {
    let all = assemble(&EventBatch::default(), vec![], vec![], &EventWeights::default());
    assert_eq!((all.items.len(), all.users.len(), all.window), (0, 0, (0, 0)));
    assert_eq!(time_cut(&EventBatch::default(), 0.2), None);
}
