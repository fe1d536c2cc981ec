//! Counts, order, rhythm, funnel, arrival of items, texts; and the same bytes from any number of
//! threads.

use std::collections::{HashMap, HashSet};

use foretaste_core::{Error, ErrorKind, Event};
use foretaste_generate::{Spec, generate, items, users};

use crate::{batches, events, small};

fn hash(spec: &Spec) -> u64 {
    let mut sum = 0u64;
    for batch in batches(spec) {
        for (key, context) in batch.key.iter().zip(&batch.context) {
            let session = context.as_ref().and_then(|c| c.session.as_ref()).map_or(0, String::len);
            sum = sum.wrapping_mul(31).wrapping_add(*key).wrapping_add(session as u64);
        }
    }
    sum
}

#[test]
fn threads_change_nothing_and_seeds_change_everything() {
    let spec = Spec { events: 60_000, days: 3, ..small() };
    let with = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| hash(&spec))
    };
    assert_eq!(with(1), with(3));
    assert_ne!(hash(&spec), hash(&Spec { seed: 43, ..spec }));
    assert!(items(&spec).eq(items(&spec)) && users(&spec).eq(users(&spec)));
}

#[test]
fn events_are_as_many_as_asked_in_order_distinct_and_within_the_window() {
    let spec = small();
    let mut keys = HashSet::new();
    let mut last = spec.start_ms();
    for batch in batches(&spec) {
        keys.extend(batch.key.iter().copied());
        for &time in &batch.time_ms {
            assert!(time >= last && time < spec.end_ms);
            last = time;
        }
    }
    assert_eq!(keys.len() as u64, spec.events);
    assert_eq!(events(&Spec { events: 0, ..spec }).len(), 0);
}

#[test]
fn the_funnel_narrows_and_impressions_are_moderate() {
    let mut counts: HashMap<String, f64> = HashMap::new();
    let all = events(&small());
    all.iter().for_each(|e| *counts.entry(e.kind.clone()).or_default() += 1.0);
    let share = |kind: &str| counts[kind] / all.len() as f64;
    println!("{counts:?}");
    assert!((0.1..0.35).contains(&share("impression")));
    assert!(share("view") > 1.5 * share("click"));
    assert!(share("click") > 1.5 * share("favourite") && share("click") > 1.5 * share("order"));
    assert!(share("favourite") > 0.02 && share("order") > 0.02);
}

#[test]
fn top_positions_are_opened_more_often() {
    let on_slate =
        |e: &&Event| e.context.as_ref().is_some_and(|c| c.scene.as_deref() == Some("homepage"));
    let mut by_position = [0u32; 9];
    let all = events(&small());
    for e in all.iter().filter(|e| e.kind == "view").filter(on_slate) {
        by_position[usize::from(e.context.as_ref().unwrap().position.unwrap())] += 1;
    }
    assert!(by_position[1] > 2 * by_position[7], "{by_position:?}");
}

#[test]
fn popularity_is_long_tailed_and_most_items_are_met() {
    let spec = small();
    let mut counts: HashMap<String, u64> = HashMap::new();
    events(&spec).into_iter().for_each(|e| *counts.entry(e.item).or_default() += 1);
    let mut sorted: Vec<u64> = counts.into_values().collect();
    sorted.sort_unstable_by(|a, b| b.cmp(a));
    let head: u64 = sorted[..100].iter().sum();
    assert!((0.2..0.7).contains(&(head as f64 / spec.events as f64)), "{head}");
    assert!(sorted.len() > 950, "{}", sorted.len());
}

#[test]
fn nobody_meets_an_item_before_it_exists_and_new_ones_keep_arriving() {
    let spec = small();
    let created: HashMap<String, i64> = items(&spec).map(|i| (i.item_id, i.created_ms)).collect();
    let all = events(&spec);
    for e in &all {
        assert!(created[&e.item] <= e.time_ms, "{e:?} before {}", created[&e.item]);
    }
    let late = created.values().filter(|&&t| t >= spec.start_ms()).count();
    assert!((200..300).contains(&late), "{late}");
    assert!(created.values().all(|&t| t < spec.end_ms));
}

#[test]
fn items_can_be_read_filtered_and_grouped() {
    let all: Vec<_> = items(&small()).collect();
    let distinct = |f: &dyn Fn(&foretaste_core::Item) -> String| {
        all.iter().map(f).collect::<HashSet<_>>().len()
    };
    assert_eq!(distinct(&|i| i.item_id.clone()), 1_000);
    assert_eq!(distinct(&|i| i.categories[0].clone()), 10);
    assert!(distinct(&|i| i.title.clone()) > 700);
    assert!((10..=41).contains(&distinct(&|i| i.attributes["seller"].clone())));
    let chinese = all.iter().filter(|i| i.attributes["language"] == "zh").count();
    assert!((150..250).contains(&chinese), "{chinese}");
    let free = all.iter().filter(|i| i.price == Some(0.0)).count();
    assert!((150..400).contains(&free), "{free}");
    assert!(
        all.iter().all(|i| i.tags.len() == 4 && i.categories.len() == 2 && !i.title.is_empty())
    );
}

#[test]
fn a_spec_out_of_bounds_and_a_failing_sink_stop_at_once() {
    let refused = |spec: Spec| generate(&spec, &mut |_| Ok(())).unwrap_err().kind();
    for bad in [
        Spec { users: 0, ..small() },
        Spec { items: 0, ..small() },
        Spec { days: 0, ..small() },
        Spec { events: 5_000_000, days: 1, ..small() },
        Spec { end_ms: 0, ..small() },
    ] {
        assert_eq!(refused(bad), ErrorKind::Invalid, "{bad:?}");
    }
    let mut calls = 0;
    let failed = generate(&small(), &mut |_| {
        calls += 1;
        Err(Error::new(ErrorKind::Io, "full"))
    });
    assert_eq!((failed.unwrap_err().kind(), calls), (ErrorKind::Io, 1));
}

#[test]
fn the_smallest_market_works() {
    for n in [1, 2, 30] {
        let spec = Spec { users: n, items: n, events: 50, ..Spec::default() };
        assert_eq!(events(&spec).len(), 50);
    }
}
