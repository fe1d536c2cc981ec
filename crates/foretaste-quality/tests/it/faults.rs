use std::collections::{BTreeMap, BTreeSet};

use foretaste_core::{Event, Rng, User};
use foretaste_generate::Spec;
use foretaste_quality::{QualityConfig, Verdict, check};

use crate::world::{DAY_MS, HOUR_MS, World, check_finds};

const SEEDS: [u64; 3] = [1, 2, 3];

/// Puts a fault into a week that follows accepted ones, for several seeds.
#[track_caller]
fn finds(name: &str, verdict: Verdict, fault: impl Fn(&mut World)) {
    for seed in SEEDS {
        let clean = World::of(seed);
        let mut broken = clean.clone();
        fault(&mut broken);
        check_finds(&broken.report(Some(&clean.days_before(7))), name, verdict);
    }
}

/// The same without any accepted run.
#[track_caller]
fn finds_at_first(name: &str, verdict: Verdict, fault: impl Fn(&mut World)) {
    for seed in SEEDS {
        let mut broken = World::of(seed);
        fault(&mut broken);
        check_finds(&broken.report(None), name, verdict);
    }
}

#[test]
fn a_table_that_is_not_fed_any_more() {
    finds("freshness:events", Verdict::Warn, |world| world.now_ms += 4 * DAY_MS);
    let mut config = QualityConfig::default();
    config.max_age_hours.events = 24.0;
    let mut world = World::of(1);
    check_finds(&world.report_with(None, &config), "freshness:events", Verdict::Ok);
    world.now_ms += DAY_MS;
    check_finds(&world.report_with(None, &config), "freshness:events", Verdict::Warn);
    world.now_ms += DAY_MS;
    check_finds(&world.report_with(None, &config), "freshness:events", Verdict::Fail);
}

#[test]
fn a_kind_that_stopped() {
    let stop = |world: &mut World| {
        let from = world.now_ms - 5 * DAY_MS;
        world.events.retain(|event| event.kind != "click" || event.time_ms < from);
    };
    finds("silence:click", Verdict::Fail, stop);
    finds_at_first("silence:click", Verdict::Warn, stop);
}

#[test]
fn a_kind_whose_end_was_accepted_is_not_raised_again() {
    let mut world = World::of(1);
    let from = world.now_ms - 9 * DAY_MS;
    world.events.retain(|event| event.kind != "click" || event.time_ms < from);
    let report = world.report(Some(&world.days_before(1)));
    assert!(report.checks.iter().all(|check| check.name() != "silence:click"));
    assert!(report.skipped.iter().any(|skipped| skipped.why.starts_with("click:")));
}

#[test]
fn a_day_that_is_missing() {
    let lose = |world: &mut World| {
        let day = (world.now_ms - 3 * DAY_MS).div_euclid(DAY_MS);
        world.events.retain(|event| event.time_ms.div_euclid(DAY_MS) != day);
    };
    finds("gap:events", Verdict::Fail, lose);
    finds_at_first("gap:events", Verdict::Warn, lose);
}

#[test]
fn a_day_of_which_most_is_missing() {
    finds("gap:events", Verdict::Warn, |world| {
        let day = (world.now_ms - 3 * DAY_MS).div_euclid(DAY_MS);
        let mut rng = Rng::new(1);
        let is_other = |event: &Event| event.time_ms.div_euclid(DAY_MS) != day;
        world.events.retain(|event| is_other(event) || rng.f64() < 0.3);
    });
}

#[test]
fn a_flood() {
    finds_at_first("surge:events", Verdict::Warn, |world| {
        let day = (world.now_ms - 3 * DAY_MS).div_euclid(DAY_MS);
        let of_day = world.events.iter().filter(|e| e.time_ms.div_euclid(DAY_MS) == day);
        let more: Vec<Event> = of_day
            .flat_map(|e| (1..=4).map(|n| Event { time_ms: e.time_ms + n, ..e.clone() }))
            .filter(|e| e.time_ms.div_euclid(DAY_MS) == day)
            .collect();
        world.events.extend(more);
    });
}

#[test]
fn fields_that_are_empty() {
    let empty = |world: &mut World, share: f64, what: fn(&mut foretaste_core::Item)| {
        let mut rng = Rng::new(3);
        world.items.iter_mut().filter(|_| rng.f64() < share).for_each(what);
    };
    finds("nulls:items.title", Verdict::Fail, |w| empty(w, 0.4, |i| i.title.clear()));
    finds("nulls:items.price", Verdict::Warn, |w| empty(w, 0.1, |i| i.price = None));
    finds("nulls:items.categories", Verdict::Fail, |w| empty(w, 1.0, |i| i.categories.clear()));
    finds("nulls:users.attributes.country", Verdict::Fail, |world| {
        world.users.iter_mut().for_each(|user| {
            user.attributes.remove("country");
        });
    });
    finds("nulls:events.time_ms", Verdict::Warn, |w| w.change(90, 0.1, |e| e.time_ms = 0));
}

#[test]
fn a_required_field_that_is_lacking() {
    let mut config = QualityConfig::default();
    config.required.items = vec!["title".to_owned()];
    let mut world = World::of(1);
    check_finds(&world.report_with(None, &config), "missing:items.title", Verdict::Ok);
    world.items.iter_mut().step_by(10).for_each(|item| item.title.clear());
    check_finds(&world.report_with(None, &config), "missing:items.title", Verdict::Fail);
}

#[test]
fn data_brought_in_twice() {
    let again = |world: &World, id: bool| -> Vec<Event> {
        let name = |(at, event): (usize, &Event)| {
            let event_id = id.then(|| format!("again {at}"));
            Event { event_id, ..event.clone() }
        };
        world.events.iter().enumerate().map(name).collect()
    };
    finds_at_first("duplicates:events", Verdict::Fail, |world| {
        let more = again(world, true);
        world.events.extend(more);
    });
    finds_at_first("repeats:events", Verdict::Warn, |world| {
        let more = again(world, false);
        world.events.extend(more);
    });
    finds_at_first("duplicates:events", Verdict::Warn, |world| {
        let more = again(world, true).into_iter().step_by(15).collect::<Vec<_>>();
        world.events.extend(more);
    });
}

#[test]
fn impossible_times() {
    finds_at_first("future:events", Verdict::Fail, |w| {
        w.change(90, 0.02, |event| event.time_ms += 400 * DAY_MS);
    });
    finds_at_first("future:events", Verdict::Warn, |w| {
        w.change(90, 0.003, |event| event.time_ms += 400 * DAY_MS);
    });
    finds_at_first("future:items", Verdict::Fail, |world| {
        world.items.iter_mut().step_by(20).for_each(|item| item.created_ms += 400 * DAY_MS);
    });
    finds_at_first("ancient:events", Verdict::Fail, |w| {
        w.change(90, 0.02, |event| event.time_ms /= 1_000);
    });
}

#[test]
fn prices_and_values_out_of_range() {
    finds_at_first("range:items.price below 0", Verdict::Fail, |world| {
        world.items.iter_mut().step_by(30).for_each(|item| item.price = Some(-1.0));
    });
    finds("range:items.price", Verdict::Fail, |world| {
        world.items.iter_mut().step_by(30).for_each(|item| item.price = Some(1e9));
    });
    finds("range:events.value of view", Verdict::Fail, |world| {
        let views = world.events.iter_mut().filter(|event| event.kind == "view");
        views.step_by(40).for_each(|event| event.value = -1e6);
    });
    let mut config = QualityConfig::default();
    config.bounds.price = vec![0.0, 1e8];
    config.bounds.values = BTreeMap::from([("order".to_owned(), vec![0.0, 1e6])]);
    let mut world = World::of(1);
    for name in ["range:items.price", "range:events.value of order"] {
        check_finds(&world.report_with(None, &config), name, Verdict::Ok);
    }
    world.change(90, 0.05, |event| event.value = 2e6);
    let name = "range:events.value of order";
    check_finds(&world.report_with(None, &config), name, Verdict::Fail);
}

#[test]
fn events_without_records() {
    let lose = |world: &mut World| {
        let mut rng = Rng::new(4);
        world.items.retain(|_| rng.f64() < 0.6);
    };
    finds("orphans:items", Verdict::Fail, lose);
    finds_at_first("orphans:items", Verdict::Warn, lose);
    finds("orphans:users", Verdict::Fail, |w| w.change(90, 0.4, |e| e.user.insert(0, ' ')));
}

#[test]
fn a_table_that_lost_rows() {
    finds("shrinkage:events", Verdict::Warn, |world| {
        let mut rng = Rng::new(4);
        world.events.retain(|_| rng.f64() < 0.7);
    });
    finds("shrinkage:users", Verdict::Fail, |world| world.users.truncate(500));
}

#[test]
fn a_robot() {
    finds_at_first("abnormal_users:robot", Verdict::Warn, |world| {
        let n_items = world.items.len();
        let copy = |(at, event): (usize, &Event)| Event {
            user: "robot".to_owned(),
            item: world.items[at % n_items].item_id.clone(),
            time_ms: event.time_ms + 1,
            ..event.clone()
        };
        let more: Vec<Event> = world.events.iter().enumerate().step_by(25).map(copy).collect();
        world.events.extend(more);
    });
}

#[test]
fn one_item_that_is_everywhere() {
    let heat = |world: &mut World| world.change(90, 0.2, |event| event.item = "d7".to_owned());
    finds_at_first("abnormal_items:d7", Verdict::Warn, heat);
    finds("abnormal_items:d7", Verdict::Warn, heat);
}

#[test]
fn attention_that_narrows() {
    finds("concentration:items", Verdict::Fail, |world| {
        world.change(90, 0.5, |event| event.item = format!("d{}", event.time_ms % 10));
    });
    finds("drift:item_popularity", Verdict::Fail, |world| {
        world.change(15, 0.8, |event| event.item = format!("d{}", event.time_ms % 40));
    });
}

#[test]
fn rows_in_quarantine() {
    let config = QualityConfig::default();
    let profile = World::of(1).profile(&config);
    let report = |rows| check(&profile, None, Some(rows), &config);
    check_finds(&report(100), "quarantine:rows", Verdict::Ok);
    check_finds(&report(5_000), "quarantine:rows", Verdict::Warn);
}

#[test]
fn categories_that_shifted() {
    finds("drift:categories", Verdict::Fail, |world| {
        let items = world.items.iter_mut().step_by(3);
        items.for_each(|item| item.categories = vec!["uncategorised".to_owned()]);
    });
    finds("drift:categories", Verdict::Fail, |world| {
        let first = world.items[0].categories.clone();
        world.items.iter_mut().step_by(2).for_each(|item| item.categories = first.clone());
    });
}

#[test]
fn prices_in_another_unit() {
    finds("drift:price", Verdict::Fail, |world| {
        world.items.iter_mut().filter_map(|item| item.price.as_mut()).for_each(|p| *p *= 10.0);
    });
}

#[test]
fn hours_in_another_time_zone() {
    finds("drift:hours", Verdict::Fail, |world| {
        world.change(8, 1.0, |event| event.time_ms -= event.time_ms.rem_euclid(DAY_MS));
    });
    // An audience of one country; where the whole world comes, hours are nearly even.
    let spec = Spec { users: 16_000, items: 500, events: 400_000, seed: 8, ..Spec::default() };
    let mut world = World::new(&spec);
    let country = |user: &User| user.attributes.get("country").cloned();
    let home = country(&world.users[0]);
    let local = world.users.iter().filter(|user| country(user) == home);
    let local: BTreeSet<String> = local.map(|user| user.user_id.clone()).collect();
    world.events.retain(|event| local.contains(&event.user));
    let before = world.days_before(7);
    check_finds(&world.report(Some(&before)), "drift:hours", Verdict::Ok);
    world.change(8, 1.0, |event| event.time_ms -= 8 * HOUR_MS);
    check_finds(&world.report(Some(&before)), "drift:hours", Verdict::Fail);
}

#[test]
fn kinds_that_shifted() {
    finds("drift:kinds", Verdict::Fail, |world| {
        world.change(8, 0.6, |event| event.kind = "order".to_owned());
    });
}

#[test]
fn users_that_are_split_into_sessions() {
    finds("drift:events_per_user", Verdict::Fail, |world| {
        world.change(15, 1.0, |event| {
            event.user = format!("{}-{}", event.user, event.time_ms);
        });
    });
}
