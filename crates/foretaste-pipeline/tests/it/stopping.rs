//! Requests whose time is over: models that have not begun are left out and named, everything
//! else holds as ever; a sign that is not set changes nothing.

use foretaste_pipeline::{Degraded, Fallback, SceneConfig, Scratch, Stop, run, similar};

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
