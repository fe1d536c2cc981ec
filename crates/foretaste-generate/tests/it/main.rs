//! The generated behaviour is what the documentation says: deterministic, ordered, structured.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test may panic and say what it measured"
)]

mod learnable;
mod structure;

use foretaste_core::{Event, EventBatch};
use foretaste_generate::{Spec, generate};

/// A market small enough for a test.
pub fn small() -> Spec {
    Spec { users: 2_000, items: 1_000, events: 100_000, ..Spec::default() }
}

/// All events of a spec, batch by batch.
pub fn batches(spec: &Spec) -> Vec<EventBatch> {
    let mut all = Vec::new();
    generate(spec, &mut |batch| {
        all.push(batch);
        Ok(())
    })
    .unwrap();
    all
}

/// All events of a spec.
pub fn events(spec: &Spec) -> Vec<Event> {
    batches(spec).iter().flat_map(|b| (0..b.len()).map(|i| b.get(i))).collect()
}
