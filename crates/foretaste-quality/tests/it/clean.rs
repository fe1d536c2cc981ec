use foretaste_generate::Spec;
use foretaste_quality::{Measure, QualityConfig};

use crate::world::{World, check_clean};

#[test]
fn clean_data_raise_nothing_at_first_and_as_they_grow() {
    for seed in 1..=6 {
        let world = World::of(seed);
        check_clean(&world.report(None));
        for days in [0, 1, 3, 7, 10] {
            check_clean(&world.report(Some(&world.days_before(days))));
        }
    }
}

#[test]
fn clean_data_of_other_sizes_raise_nothing() {
    let sizes = [(60, 30, 1_000, 30), (500, 2_000, 20_000, 14), (20_000, 300, 300_000, 60)];
    for (seed, (users, items, events, days)) in (10..).zip(sizes) {
        let spec = Spec { users, items, events, seed, days, ..Spec::default() };
        let world = World::new(&spec);
        check_clean(&world.report(None));
        for before in [1, 7] {
            check_clean(&world.report(Some(&world.days_before(before))));
        }
    }
}

#[test]
fn the_order_of_events_changes_nothing() {
    let world = World::of(3);
    let mut reversed = world.clone();
    reversed.events.reverse();
    let config = QualityConfig::default();
    let (mut one, mut other) = (world.profile(&config), reversed.profile(&config));
    for profile in [&mut one, &mut other] {
        for skew in [&mut profile.user_skew, &mut profile.item_skew] {
            // Sums of logarithms round differently in another order.
            skew.mean_log = (skew.mean_log * 1e9).round();
            skew.sigma_log = (skew.sigma_log * 1e9).round();
            skew.above = (skew.above * 1e6).round();
            skew.largest.truncate(3);
        }
    }
    assert_eq!(one, other);
}

#[test]
fn an_empty_store_is_measured_too() {
    let profile = Measure::new(&QualityConfig::default(), 0).finish();
    let config = QualityConfig::default();
    check_clean(&foretaste_quality::check(&profile, None, None, &config));
    check_clean(&foretaste_quality::check(&profile, Some(&profile), None, &config));
}

#[test]
fn a_profile_survives_its_text() {
    let profile = World::of(4).profile(&QualityConfig::default());
    let text = serde_json::to_string(&profile).unwrap();
    let read: foretaste_quality::Profile = serde_json::from_str(&text).unwrap();
    assert_eq!((&read.events.days, &read.prices), (&profile.events.days, &profile.prices));
    assert!((read.user_skew.gini - profile.user_skew.gini).abs() < 1e-12);
    assert!(text.len() < 200_000, "{}", text.len());
}
