//! Requests whose time is over: models that have not begun are left out and named, everything
//! else holds as ever; a sign that is not set changes nothing.

use foretaste_bundle::Stop;
use foretaste_pipeline::{
    Batch, ChannelConfig, Degraded, Fallback, Outcome, Query, SceneConfig, Scratch, run, similar,
};

use crate::planted::{asking, scene, world};

fn late(degraded: &[Degraded]) -> usize {
    degraded.iter().filter(|d| matches!(d, Degraded::ChannelLate(_))).count()
}

#[test]
fn a_request_that_is_stopped_is_served_by_what_costs_nothing() {
    let (snapshot, scene) = (world(60, 1), scene(SceneConfig::default()));
    let query = asking(&[1, 5, 9], 10);
    let mut scratch = Scratch::default();
    let whole = run(&snapshot, &scene, &query, &mut scratch);
    let n_models = snapshot.bundle.channels().len();

    let stop = Stop::new();
    scratch.set_stop(stop.clone());
    assert_eq!(run(&snapshot, &scene, &query, &mut scratch), whole, "not set, nothing changes");
    assert_eq!((late(&whole.degraded), whole.fallback), (0, None));

    stop.set();
    let stopped = run(&snapshot, &scene, &query, &mut scratch);
    assert_eq!(late(&stopped.degraded), n_models, "{:?}", stopped.degraded);
    assert_eq!(stopped.fallback, Some(Fallback::Popular));
    assert_eq!(stopped.slate.len(), whole.slate.len());
    assert_eq!(stopped.work.removed, whole.work.removed, "filters hold whatever the time");

    scratch.set_stop(Stop::default());
    assert_eq!(run(&snapshot, &scene, &query, &mut scratch), whole, "the sign is gone");
}

#[test]
fn a_channel_that_uses_up_its_budget_is_named_and_what_it_found_takes_part() {
    let snapshot = world(60, 1);
    let names: Vec<&str> = snapshot.bundle.channels().iter().map(|c| c.name()).collect();
    let with_budget = |work_budget: usize| {
        let mut config = SceneConfig::default();
        let setting = ChannelConfig { work_budget, ..ChannelConfig::default() };
        config.channels = names.iter().map(|name| ((*name).to_owned(), setting)).collect();
        run(&snapshot, &scene(config), &asking(&[1, 5, 9], 10), &mut Scratch::default())
    };
    let cut = |outcome: &Outcome| {
        outcome.degraded.iter().filter(|d| matches!(d, Degraded::ChannelCut(_))).count()
    };
    let (whole, nothing) = (with_budget(0), with_budget(1));
    assert_eq!((cut(&whole), cut(&nothing)), (0, names.len()), "{:?}", nothing.degraded);
    assert_eq!(nothing.fallback, Some(Fallback::Popular), "no channel could begin");
    assert_eq!(with_budget(usize::MAX), whole);
    let some = with_budget(500);
    assert!((1..names.len()).contains(&cut(&some)), "{:?}", some.degraded);
    assert_eq!((some.fallback, &some), (None, &with_budget(500)));
    let query = asking(&[1, 5, 9], 10);
    let mut config = SceneConfig::default();
    let setting = ChannelConfig { work_budget: 1, ..ChannelConfig::default() };
    config.channels = names.iter().map(|name| ((*name).to_owned(), setting)).collect();
    let mut scratch = Scratch::default();
    let alike = similar(&snapshot, &scene(config), 5, &query, &mut scratch);
    assert_eq!(cut(&alike), names.len(), "{:?}", alike.degraded);

    // Requests that want reasons are not searched together.
    let query = Query { want_reasons: false, ..query };
    let unbounded = scene(SceneConfig::default());
    let alone = run(&snapshot, &unbounded, &query, &mut Scratch::default());
    let together = Batch::new(&snapshot, &unbounded).run(&[query], &mut scratch);
    assert_eq!(together, [alone], "the bounds of one request are not those of the next");
}

#[test]
fn similar_items_are_popular_ones_when_the_models_are_late() {
    let (snapshot, scene) = (world(60, 1), scene(SceneConfig::default()));
    let query = asking(&[1, 5, 9], 10);
    let mut scratch = Scratch::default();
    let whole = similar(&snapshot, &scene, 5, &query, &mut scratch);
    let stop = Stop::new();
    stop.set();
    scratch.set_stop(stop);
    let stopped = similar(&snapshot, &scene, 5, &query, &mut scratch);
    assert!(late(&whole.degraded) == 0 && late(&stopped.degraded) > 0);
    assert_eq!(stopped.fallback, Some(Fallback::Popular));
    assert_eq!(stopped.slate.len(), whole.slate.len());
}
