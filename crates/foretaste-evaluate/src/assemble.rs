//! From stored events, items and users to what is trained on: dense indices, folded interactions.
//!
//! Items of the catalogue without events stay (content and "latest" need them), items with events
//! and without a record get an empty one, users without events are left out. Numbers are given by
//! falling number of events, then by id, so the order of import does not change a bundle.

use std::collections::HashMap;

use foretaste_core::{
    EventBatch, EventWeights, IdTable, Interactions, Item, ItemIdx, TimeMs, User, UserIdx,
};

use crate::held_out::HeldOut;
use crate::split::Split;

mod fold;
#[cfg(test)]
mod tests;

/// Everything that training starts from.
#[derive(Clone, Debug, Default)]
pub struct Assembled {
    /// The catalogue in order of item index.
    pub items: Vec<Item>,
    /// Ids of the users with events, in order of user index.
    pub users: IdTable,
    /// What is known about users, with or without events.
    pub user_records: Vec<User>,
    /// Users x items.
    pub interactions: Interactions,
    /// First and last known time of the events that count; zeros when no time is known.
    pub window: (TimeMs, TimeMs),
    /// Events that count.
    pub n_events: u64,
}

impl Assembled {
    /// The same catalogue and users with another set of interactions (one side of a split).
    pub fn with(&self, interactions: Interactions) -> Self {
        let last = interactions.last_ms.iter().copied().max().unwrap_or(0);
        let n_events = interactions.matrix.nnz() as u64;
        let window = (self.window.0.min(last), last);
        Self { interactions, window, n_events, ..self.clone() }
    }
}

/// Joins events with the catalogue and the users' records. Events without weight (impressions)
/// leave no entry.
///
/// # Cost
/// O(events), and O(n log n) in users and items for their order. Memory: 16 bytes per event beside
/// the batch.
pub fn assemble(
    events: &EventBatch,
    items: Vec<Item>,
    users: Vec<User>,
    config: &EventWeights,
) -> Assembled {
    let weights = fold::Weights::new(events, config);
    let (item_order, item_of) = number_items(events, &weights, items);
    let (user_table, user_of) = number_users(events, &weights);
    let map = fold::Map { user_of: &user_of, item_of: &item_of };
    let shape = (user_table.len(), item_order.len());
    let (interactions, n_events) = fold::fold(events, &weights, &map, shape, |_| true);
    let window = window(events, &weights);
    Assembled {
        items: item_order,
        users: user_table,
        user_records: users,
        interactions,
        window,
        n_events,
    }
}

/// A temporal split of the events themselves: what happened up to `cut_ms` is learned from, what a
/// user touched later for the first time is held out. Unlike [`crate::split::split`] it does not
/// take back what a user did before the cut with an item that was touched again later.
pub fn split_at(
    events: &EventBatch,
    assembled: &Assembled,
    config: &EventWeights,
    cut_ms: TimeMs,
) -> Split {
    let weights = fold::Weights::new(events, config);
    let ids: HashMap<&str, ItemIdx> =
        assembled.items.iter().zip(0..).map(|(item, at)| (item.item_id.as_str(), at)).collect();
    let item_of: Vec<u32> =
        events.items.iter().map(|id| ids.get(id).copied().unwrap_or(u32::MAX)).collect();
    let user_of: Vec<u32> =
        events.users.iter().map(|id| assembled.users.index_of(id).unwrap_or(u32::MAX)).collect();
    let map = fold::Map { user_of: &user_of, item_of: &item_of };
    let shape = (assembled.users.len(), assembled.items.len());
    let (train, _) = fold::fold(events, &weights, &map, shape, |time| time <= cut_ms);
    let (later, _) = fold::fold(events, &weights, &map, shape, |time| time > cut_ms);
    let new = |user: usize| {
        let before = train.row(user).0;
        let touched = later.row(user).0.iter().copied();
        touched.filter(|item| before.binary_search(item).is_err()).collect()
    };
    let held_out: HeldOut = (0..shape.0).map(new).collect();
    Split { train, held_out }
}

/// The time up to which all but the latest `share` of the timed events happened, if any has one.
pub fn time_cut(events: &EventBatch, share: f64) -> Option<TimeMs> {
    let mut times: Vec<TimeMs> = events.time_ms.iter().copied().filter(|&t| t != 0).collect();
    let at = ((1.0 - share) * times.len() as f64) as usize;
    let at = at.saturating_sub(1).min(times.len().checked_sub(1)?);
    Some(*times.select_nth_unstable(at).1)
}

/// The catalogue in order of index, and the index of every item of the batch.
fn number_items(
    events: &EventBatch,
    weights: &fold::Weights<'_>,
    mut items: Vec<Item>,
) -> (Vec<Item>, Vec<u32>) {
    let mut counts = vec![0u64; events.items.len()];
    weights.counting(events).for_each(|e| counts[events.item[e] as usize] += 1);
    let known: HashMap<&str, usize> =
        items.iter().zip(0..).map(|(item, at)| (item.item_id.as_str(), at)).collect();
    let strangers = (0..events.items.len() as u32).filter(|&i| counts[i as usize] > 0);
    let strangers = strangers.map(|i| events.items.get(i)).filter(|id| !known.contains_key(id));
    let strangers: Vec<Item> =
        strangers.map(|id| Item { item_id: id.to_owned(), ..Item::default() }).collect();
    items.extend(strangers);
    let count =
        |item: &Item| events.items.index_of(&item.item_id).map_or(0, |i| counts[i as usize]);
    items.sort_by_cached_key(|item| (std::cmp::Reverse(count(item)), item.item_id.clone()));
    items.dedup_by(|next, kept| next.item_id == kept.item_id);
    let mut item_of = vec![u32::MAX; events.items.len()];
    for (at, item) in items.iter().enumerate() {
        if let Some(i) = events.items.index_of(&item.item_id) {
            item_of[i as usize] = at as u32;
        }
    }
    (items, item_of)
}

/// The users with events in order of index, and the index of every user of the batch.
fn number_users(events: &EventBatch, weights: &fold::Weights<'_>) -> (IdTable, Vec<u32>) {
    let mut counts = vec![0u64; events.users.len()];
    weights.counting(events).for_each(|e| counts[events.user[e] as usize] += 1);
    let mut order: Vec<UserIdx> =
        (0..counts.len() as u32).filter(|&u| counts[u as usize] > 0).collect();
    order.sort_unstable_by(|&a, &b| {
        let by_count = counts[b as usize].cmp(&counts[a as usize]);
        by_count.then_with(|| events.users.get(a).cmp(events.users.get(b)))
    });
    let mut user_of = vec![u32::MAX; counts.len()];
    order.iter().zip(0..).for_each(|(&u, at)| user_of[u as usize] = at);
    (order.iter().map(|&u| events.users.get(u)).collect(), user_of)
}

fn window(events: &EventBatch, weights: &fold::Weights<'_>) -> (TimeMs, TimeMs) {
    let times = weights.counting(events).map(|e| events.time_ms[e]).filter(|&t| t != 0);
    times
        .fold(None, |range: Option<(TimeMs, TimeMs)>, t| {
            Some(range.map_or((t, t), |(first, last)| (first.min(t), last.max(t))))
        })
        .unwrap_or((0, 0))
}
