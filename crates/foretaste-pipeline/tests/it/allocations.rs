//! What a request allocates once the scratch has grown: its answer and a few small vectors, however
//! many items, candidates and events there are.

use allocation_counter::{AllocationInfo, measure};
use foretaste_pipeline::{Query, SceneConfig, Scratch, Snapshot, run};

use crate::planted::{asking, scene, world};

/// Allocations of the request when it comes again.
fn allocations(snapshot: &Snapshot, config: &SceneConfig, query: &Query) -> AllocationInfo {
    let (scene, mut scratch) = (scene(config.clone()), Scratch::default());
    run(snapshot, &scene, query, &mut scratch);
    measure(|| {
        run(snapshot, &scene, query, &mut scratch);
    })
}

fn with(candidates: usize) -> SceneConfig {
    SceneConfig { candidates, ..SceneConfig::default() }
}

#[test]
fn candidates_and_items_cost_no_allocation() {
    let (few, many) = (world(200, 1), world(2000, 1));
    let query = asking(&[0, 4, 8, 12], 10);
    let base = allocations(&few, &with(20), &query);
    assert!(base.count_total > 0, "the counter counts");
    for (snapshot, candidates) in [(&few, 150), (&many, 20), (&many, 1500)] {
        let found = allocations(snapshot, &with(candidates), &query);
        let (count, most) = (found.count_total, base.count_total + 12);
        assert!(count <= most, "{candidates} candidates: {count} allocations, {most} allowed");
    }
}

#[test]
fn an_item_of_the_answer_costs_a_few_allocations() {
    let snapshot = world(2000, 2);
    let of = |k, want_reasons| {
        let query = Query { want_reasons, ..asking(&[0, 4, 8, 12], k) };
        allocations(&snapshot, &with(200), &query).count_total
    };
    for (reasons, per_item) in [(false, 1), (true, 6)] {
        let (ten, fifty) = (of(10, reasons), of(50, reasons));
        assert!(ten <= 60 + 10 * per_item, "reasons: {reasons}, {ten} allocations for ten items");
        let more = fifty - ten;
        assert!(more <= 40 * per_item, "reasons: {reasons}, {more} allocations for forty more");
    }
}
