//! The lake and its files as their users see them.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod files;
mod lake;
mod shelf;

use foretaste_core::{Event, EventBatch, EventContext, Rng};

fn random_event(rng: &mut Rng, i: usize) -> Event {
    let context = i.is_multiple_of(3).then(|| EventContext {
        session: i.is_multiple_of(2).then(|| format!("s{}", i / 7)),
        scene: Some("home".into()),
        position: i.is_multiple_of(5).then_some(i as u16),
        request_id: i.is_multiple_of(6).then(|| format!("r{i}")),
    });
    Event {
        event_id: i.is_multiple_of(4).then(|| format!("id{i}")),
        user: format!("用户{}", rng.below(50)),
        item: format!("i{}", rng.below(30)),
        kind: ["view", "click", "order"][rng.below(3)].into(),
        value: rng.f32(),
        time_ms: rng.below(1_000_000) as i64 - 500,
        context,
    }
}

fn random_batch(seed: u64, n: usize) -> EventBatch {
    let (mut rng, mut batch) = (Rng::new(seed), EventBatch::default());
    (0..n).for_each(|i| batch.push(&random_event(&mut rng, i)));
    batch
}

fn rows(batch: &EventBatch) -> Vec<(Event, u64)> {
    (0..batch.len()).map(|i| (batch.get(i), batch.key[i])).collect()
}
