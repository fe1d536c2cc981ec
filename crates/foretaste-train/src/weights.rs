//! From events to interactions: everything that a user did to an item becomes one weight.

use std::collections::BTreeMap;

use foretaste_core::{Csr, EventBatch, Interactions, TimeMs};
use rayon::prelude::{IntoParallelIterator, ParallelIterator};
use serde::{Deserialize, Serialize};

/// Marks a user or item of a batch that takes no part.
pub const ABSENT: u32 = u32::MAX;

/// Users per task.
const USERS_PER_TASK: usize = 256;
const DAY_MS: f64 = 86_400_000.0;

/// What an event counts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WeightConfig {
    /// Weight per kind of event; 0 ignores a kind, a negative one counts against the item.
    pub kinds: BTreeMap<String, f32>,
    /// Weight of kinds that are not named.
    pub other_kinds: f32,
    /// Whether an event's value (rating, quantity) multiplies its weight.
    pub use_value: bool,
    /// Days after which an event counts half; `None`: never.
    pub half_life_days: Option<f32>,
    /// The weights of a user's events on an item are summed, then raised to this.
    pub repeat_exponent: f32,
}

impl Default for WeightConfig {
    fn default() -> Self {
        let kinds = [("impression", 0.0), ("view", 1.0), ("click", 1.0), ("rating", 1.0)];
        let strong = [("favourite", 3.0), ("cart", 3.0), ("order", 5.0), ("purchase", 5.0)];
        Self {
            kinds: kinds.iter().chain(&strong).map(|&(k, w)| (k.to_owned(), w)).collect(),
            other_kinds: 1.0,
            use_value: false,
            half_life_days: None,
            repeat_exponent: 0.5,
        }
    }
}

impl WeightConfig {
    /// The weight of each kind of `batch`.
    pub fn of_kinds(&self, batch: &EventBatch) -> Vec<f32> {
        let weight = |kind| self.kinds.get(kind).copied().unwrap_or(self.other_kinds);
        batch.kinds.iter().map(weight).collect()
    }
}

/// Dense indices of the users and items of a batch, [`ABSENT`] for those that take no part.
#[derive(Clone, Copy, Debug)]
pub struct Numbering<'a> {
    /// Per user of the batch.
    pub users: &'a [u32],
    /// Per item of the batch.
    pub items: &'a [u32],
    /// Rows of the result.
    pub n_users: usize,
    /// Columns of the result.
    pub n_items: usize,
}

/// Folds events into one weight per user and item; entries that are not positive are left out.
///
/// # Shapes
/// `numbering.n_users` x `numbering.n_items`; `last_ms` is the time of the last event that counted
/// for the entry.
///
/// # Units
/// Times in ms since the epoch; age is counted from `as_of_ms`, events after it are of age 0, and
/// events without a time are not decayed.
///
/// # Cost
/// O(events) and 4 bytes per event beyond the result.
pub fn fold(
    batch: &EventBatch,
    numbering: &Numbering<'_>,
    as_of_ms: TimeMs,
    config: &WeightConfig,
) -> Interactions {
    let kinds = config.of_kinds(batch);
    let (order, ends) = by_user(batch, numbering);
    let parts: Vec<(Csr, Vec<TimeMs>)> = (0..numbering.n_users.div_ceil(USERS_PER_TASK))
        .into_par_iter()
        .map(|task| {
            let users = task * USERS_PER_TASK..numbering.n_users.min((task + 1) * USERS_PER_TASK);
            let mut part = Csr { n_cols: numbering.n_items, indptr: vec![0], ..Csr::default() };
            let mut last_ms = Vec::new();
            let mut row: Vec<(u32, f64, TimeMs)> = Vec::new();
            for user in users {
                row.clear();
                for &e in &order[ends[user] as usize..ends[user + 1] as usize] {
                    let e = e as usize;
                    let weight = f64::from(kinds[batch.kind[e] as usize])
                        * if config.use_value { f64::from(batch.value[e]) } else { 1.0 }
                        * decay(batch.time_ms[e], as_of_ms, config.half_life_days);
                    let item = numbering.items[batch.item[e] as usize];
                    row.push((item, weight, batch.time_ms[e]));
                }
                push_user(&mut row, config.repeat_exponent, &mut part, &mut last_ms);
            }
            (part, last_ms)
        })
        .collect();
    let last_ms = parts.iter().flat_map(|p| p.1.iter().copied()).collect();
    let parts: Vec<Csr> = parts.into_iter().map(|p| p.0).collect();
    Interactions {
        matrix: crate::product::concat(numbering.n_items, &parts),
        last_ms,
        ..Interactions::default()
    }
}

/// 1 for events of age 0 or without a time, 1/2 after the half-life.
pub(crate) fn decay(time_ms: TimeMs, as_of_ms: TimeMs, half_life_days: Option<f32>) -> f64 {
    match half_life_days {
        Some(days) if time_ms != 0 && days > 0.0 => {
            let age_days = (as_of_ms - time_ms).max(0) as f64 / DAY_MS;
            (-age_days / f64::from(days)).exp2()
        }
        _ => 1.0,
    }
}

/// Events that take part, grouped by user in their given order, and where each group begins.
fn by_user(batch: &EventBatch, numbering: &Numbering<'_>) -> (Vec<u32>, Vec<u32>) {
    let user_of = |e: usize| match numbering.items[batch.item[e] as usize] {
        ABSENT => ABSENT,
        _ => numbering.users[batch.user[e] as usize],
    };
    let mut ends = vec![0u32; numbering.n_users + 1];
    for user in (0..batch.len()).map(user_of).filter(|&u| u != ABSENT) {
        ends[user as usize + 1] += 1;
    }
    for user in 0..numbering.n_users {
        ends[user + 1] += ends[user];
    }
    let mut next = ends.clone();
    let mut order = vec![0u32; ends[numbering.n_users] as usize];
    for e in 0..batch.len() {
        let user = user_of(e);
        if user != ABSENT {
            order[next[user as usize] as usize] = e as u32;
            next[user as usize] += 1;
        }
    }
    (order, ends)
}

/// Merges a user's events per item and appends the row.
fn push_user(
    row: &mut [(u32, f64, TimeMs)],
    exponent: f32,
    part: &mut Csr,
    last_ms: &mut Vec<TimeMs>,
) {
    row.sort_by_key(|e| e.0);
    let mut entries = Vec::new();
    for events in row.chunk_by(|a, b| a.0 == b.0) {
        let sum: f64 = events.iter().map(|e| e.1).sum();
        let weight = sum.max(0.0).powf(f64::from(exponent)) as f32;
        if sum > 0.0 && weight > 0.0 && weight.is_finite() {
            entries.push((events[0].0, weight));
            let counted = events.iter().filter(|e| e.1 != 0.0).map(|e| e.2);
            last_ms.push(counted.max().unwrap_or(0));
        }
    }
    part.push_row(entries);
}

#[cfg(test)]
mod tests {
    use foretaste_core::Event;

    use super::*;

    const DAY: TimeMs = 86_400_000;

    fn batch(events: &[(&str, &str, &str, f32, TimeMs)]) -> EventBatch {
        let mut batch = EventBatch::default();
        for &(user, item, kind, value, time_ms) in events {
            batch.push(&Event {
                event_id: None,
                user: user.into(),
                item: item.into(),
                kind: kind.into(),
                value,
                time_ms,
                context: None,
            });
        }
        batch
    }

    const BOTH: Numbering<'static> =
        Numbering { users: &[0, 1], items: &[0, 1], n_users: 3, n_items: 2 };

    #[test]
    fn kinds_repeats_and_last_times_are_folded() {
        let batch = batch(&[
            ("a", "x", "order", 1.0, 5),
            ("b", "y", "view", 1.0, 9),
            ("a", "x", "view", 1.0, 7),
            ("a", "x", "impression", 1.0, 8),
            ("a", "y", "impression", 1.0, 8),
        ]);
        let config = WeightConfig { repeat_exponent: 1.0, ..Default::default() };
        let folded = fold(&batch, &BOTH, 10, &config);
        assert_eq!(folded.row(0), (&[0u32][..], &[6.0f32][..], &[7i64][..]));
        assert_eq!(folded.row(1), (&[1u32][..], &[1.0f32][..], &[9i64][..]));
        assert!(folded.row(2).0.is_empty());
    }

    #[test]
    fn old_events_count_half_after_the_half_life() {
        let batch = batch(&[("a", "x", "view", 4.0, DAY), ("b", "x", "view", 4.0, 11 * DAY)]);
        let config = WeightConfig {
            half_life_days: Some(10.0),
            use_value: true,
            repeat_exponent: 1.0,
            ..Default::default()
        };
        let folded = fold(&batch, &Numbering { items: &[0], ..BOTH }, 11 * DAY, &config);
        assert_eq!((folded.row(0).1, folded.row(1).1), (&[2.0f32][..], &[4.0f32][..]));
    }

    #[test]
    fn absent_users_and_negative_sums_leave_no_entry() {
        let batch = batch(&[
            ("a", "x", "view", 1.0, 1),
            ("b", "x", "view", 1.0, 1),
            ("b", "x", "dislike", 1.0, 2),
        ]);
        let mut config = WeightConfig::default();
        config.kinds.insert("dislike".into(), -2.0);
        let numbering = Numbering { users: &[ABSENT, 0], items: &[0], ..BOTH };
        assert_eq!(fold(&batch, &numbering, 3, &config).matrix.nnz(), 0);
    }
}
