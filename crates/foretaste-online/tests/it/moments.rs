//! Features of the moment from published and live events, against the function itself on all events.

use std::collections::BTreeMap;
use std::path::Path;

use foretaste_core::Rng;
use foretaste_core::moment::{Candidate, MAX_STEPS, NAMES, Step, features};
use foretaste_online::{
    Asking, Block, FeatureReader, LastEvent, LastEventsDraft, LiveEvent, MOMENT, Plan, Publisher,
};
use tempfile::tempdir;

use crate::world::{NOW, head, reader};

const MINUTE_MS: i64 = 60_000;

#[derive(Clone, Debug, PartialEq)]
struct Event {
    user: String,
    item: String,
    kind: String,
    value: f32,
    time_ms: i64,
}

/// Events of a few users with items `i0` to `i29`, of which the catalogue knows 25, oldest first.
fn events(n: usize, rng: &mut Rng) -> Vec<Event> {
    let mut all: Vec<Event> = (0..n)
        .map(|_| Event {
            user: format!("u{}", rng.below(4)),
            item: format!("i{}", rng.below(30)),
            kind: ["view", "click"][rng.below(2)].to_owned(),
            value: rng.below(3) as f32,
            time_ms: NOW - rng.below(40_000) as i64 * MINUTE_MS / 10,
        })
        .collect();
    all.sort_by(|a, b| (&a.user, a.time_ms, &a.item).cmp(&(&b.user, b.time_ms, &b.item)));
    all
}

fn category(item: &str) -> Option<String> {
    let n: u32 = item[1..].parse().unwrap();
    (n < 25 && !n.is_multiple_of(5)).then(|| format!("c{}", n % 3))
}

fn created_ms(item: &str) -> i64 {
    let n: i64 = item[1..].parse().unwrap();
    if n < 25 && n % 4 > 0 { NOW - n * 86_400_000 } else { 0 }
}

/// Publishes what there is of `events`.
fn publish(root: &Path, events: &[Event]) {
    let mut draft = LastEventsDraft::new(vec!["impression".into()]);
    for n in 0..25 {
        let id = format!("i{n}");
        draft.item(&id, category(&id).as_deref(), created_ms(&id)).unwrap();
    }
    let mut of_user: BTreeMap<&str, Vec<&Event>> = BTreeMap::new();
    events.iter().for_each(|event| of_user.entry(&event.user).or_default().push(event));
    for (user, events) in of_user {
        for e in events {
            let (item, kind) = (e.item.as_str(), e.kind.as_str());
            draft
                .event(user, LastEvent { item, kind, value: e.value, time_ms: e.time_ms })
                .unwrap();
        }
    }
    Publisher::open(root, NOW).unwrap().last_events(&head(MOMENT, NOW), &draft).unwrap();
}

fn live(event: &Event) -> LiveEvent<'_> {
    let Event { item, kind, value, time_ms, .. } = event;
    LiveEvent { item, kind, value: *value, time_ms: *time_ms }
}

/// What is read of one user at one time.
fn read(
    reader: &FeatureReader,
    (user, now_ms): (&str, i64),
    (items, live): (&[&str], &[LiveEvent<'_>]),
) -> Vec<Vec<Option<f32>>> {
    let plan = Plan::new(reader, &[MOMENT.into()], &[]).unwrap();
    let mut block = Block::default();
    let asking = Asking { user: Some(user), items, now_ms, live, ..Asking::default() };
    reader.read(&plan, &asking, &mut block).unwrap();
    let number = |value: &f32| (!value.is_nan()).then_some(*value);
    (0..items.len()).map(|row| block.row(row).iter().map(number).collect()).collect()
}

/// What the function of training rows says of all events.
fn expected(events: &[Event], (user, now_ms): (&str, i64), item: &str) -> Vec<Option<f32>> {
    let of_user = events.iter().filter(|event| event.user == user);
    let step =
        |e: &Event| Step { time_ms: e.time_ms, item: e.item.clone(), category: category(&e.item) };
    let steps: Vec<Step<String>> = of_user.map(step).collect();
    let (category, created_ms) = (category(item), created_ms(item));
    features(now_ms, &steps, &Candidate { item: item.to_owned(), category, created_ms }).to_vec()
}

#[test]
fn published_and_live_events_together_are_the_whole_past() {
    let items: Vec<String> = (0..32).map(|n| format!("i{n}")).collect();
    let items: Vec<&str> = items.iter().map(String::as_str).collect();
    for (seed, n) in [(1, 40), (2, 400), (3, 2_000)] {
        let mut rng = Rng::new(seed);
        let all = events(n, &mut rng);
        // What was published may lack late events, and what is live may be published, too.
        let (mut published, mut live_events) = (Vec::new(), Vec::new());
        for event in &all {
            let is_young = NOW - event.time_ms < 600 * MINUTE_MS;
            let (both, late) = (rng.below(10) == 0, rng.below(10) == 0);
            if !is_young || both {
                published.push(event.clone());
            }
            if is_young || both || late {
                live_events.push(event.clone());
            }
        }
        let folder = tempdir().unwrap();
        publish(folder.path(), &published);
        let reader = reader(folder.path());
        for user in ["u0", "u1", "u3", "nobody"] {
            let mut of_user: Vec<&Event> = live_events.iter().filter(|e| e.user == user).collect();
            rng.shuffle(&mut of_user);
            let live: Vec<LiveEvent<'_>> = of_user.into_iter().map(live).collect();
            for now_ms in [NOW, NOW - 5 * MINUTE_MS, NOW + 1, NOW + 90 * MINUTE_MS] {
                let found = read(&reader, (user, now_ms), (&items, &live));
                for (item, found) in items.iter().zip(found) {
                    let expected = expected(&all, (user, now_ms), item);
                    assert_eq!(found, expected, "{user} {item} {now_ms} {seed}: {NAMES:?}");
                }
            }
        }
    }
}

#[test]
fn events_of_one_content_count_as_often_as_they_were() {
    let event = |seconds: i64| Event {
        user: "u0".into(),
        item: "i1".into(),
        kind: "view".into(),
        value: 1.0,
        time_ms: NOW - seconds * 1_000,
    };
    let folder = tempdir().unwrap();
    publish(folder.path(), &[event(60), event(60), event(30)]);
    let reader = reader(folder.path());
    let all = [event(60), event(60), event(60), event(30), event(10)];
    let live: Vec<LiveEvent<'_>> = all.iter().map(live).collect();
    let found = read(&reader, ("u0", NOW), (&["i1"], &live));
    let item_events = NAMES.iter().position(|n| *n == "now_item_events").unwrap();
    assert_eq!(found[0][item_events], Some(5.0), "two of the three were published");
}

#[test]
fn what_was_erased_is_no_past_and_without_published_events_live_ones_count() {
    let folder = tempdir().unwrap();
    let all = events(300, &mut Rng::new(5));
    publish(folder.path(), &all);
    let reader = reader(folder.path());
    let plan = Plan::new(&reader, &[MOMENT.into()], &[]).unwrap();
    let erased_ms = NOW - 1_000 * MINUTE_MS;
    let mut block = Block::default();
    let items = ["i1", "i2"];
    let asking = Asking {
        user: Some("u2"),
        items: &items,
        now_ms: NOW,
        erased_ms: Some(erased_ms),
        ..Asking::default()
    };
    reader.read(&plan, &asking, &mut block).unwrap();
    let kept: Vec<Event> = all.iter().filter(|e| e.time_ms > erased_ms).cloned().collect();
    let expected: Vec<Option<f32>> = expected(&kept, ("u2", NOW), "i1");
    let found: Vec<Option<f32>> =
        block.row(0).iter().map(|v| (!v.is_nan()).then_some(*v)).collect();
    assert_eq!(found, expected);

    let nothing = FeatureReader::new(Vec::new(), None);
    let of_user: Vec<&Event> = all.iter().filter(|e| e.user == "u2").collect();
    let live: Vec<LiveEvent<'_>> = of_user.iter().map(|e| live(e)).collect();
    let found = read(&nothing, ("u2", NOW), (&["i1", "i1", "unseen"], &live));
    let item_events = NAMES.iter().position(|n| *n == "now_item_events").unwrap();
    let n = of_user.iter().rev().take(MAX_STEPS).filter(|e| e.item == "i1").count();
    assert_eq!(found[0][item_events], Some(n as f32));
    assert_eq!((found[1][item_events], found[2][item_events]), (Some(n as f32), Some(0.0)));
}

#[test]
fn events_out_of_order_are_refused() {
    let mut draft = LastEventsDraft::new(Vec::new());
    let event = |time_ms| LastEvent { item: "i", kind: "view", value: 1.0, time_ms };
    draft.event("a", event(5)).unwrap();
    assert!(draft.event("a", event(4)).is_err(), "of one user in order of time");
    draft.event("b", event(1)).unwrap();
    assert!(draft.event("a", event(6)).is_err(), "users come one after the other");
    draft.item("x", None, 0).unwrap();
    assert!(draft.item("x", None, 0).is_err());
}

#[test]
fn of_many_events_of_a_user_the_last_ones_stay() {
    let published = |first: i64| {
        let mut draft = LastEventsDraft::new(Vec::new());
        ["i0", "i1"].iter().for_each(|item| draft.item(item, None, 0).unwrap());
        let event = |n: i64| {
            let item = if n % 2 == 0 { "i0" } else { "i1" };
            LastEvent { item, kind: "view", value: n as f32, time_ms: NOW + n }
        };
        draft.event("a", event(1)).unwrap();
        (first..400).for_each(|n| draft.event("b", event(n)).unwrap());
        draft.event("c", event(2)).unwrap();
        let folder = tempdir().unwrap();
        let publisher = Publisher::open(folder.path(), NOW).unwrap();
        publisher.last_events(&head(MOMENT, NOW), &draft).unwrap().version
    };
    let last = 400 - MAX_STEPS as i64;
    assert_eq!(published(0), published(last));
    assert_ne!(published(0), published(last + 1));
}
