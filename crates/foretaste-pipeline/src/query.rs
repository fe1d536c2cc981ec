//! What one request asks: everything that came from outside, already fetched and resolved to
//! dense indices of the snapshot that will answer it.

use foretaste_bundle::Bundle;
use foretaste_core::{ItemIdx, Limits, TimeMs, UserIdx};

use crate::{FilterExpr, Scene};

/// One item of the user's past.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HistoryEntry {
    /// The item.
    pub item: ItemIdx,
    /// Serving weight: kinds, values and decay already folded in. Higher means stronger; entries
    /// that are not positive and finite are ignored.
    pub weight: f32,
    /// Last time the user touched it; 0 when not known.
    pub time_ms: TimeMs,
}

/// What a channel outside of the process said about one request.
#[derive(Clone, Debug, PartialEq)]
pub struct External {
    /// Its number among [`crate::Snapshot::externals`].
    pub channel: u16,
    /// Its answer.
    pub said: Said,
}

/// The answer of a channel outside of the process.
#[derive(Clone, Debug, PartialEq)]
pub enum Said {
    /// Items with raw scores, higher is better; what is not positive and finite is dropped.
    Items(Vec<(ItemIdx, f32)>),
    /// None in time.
    Late,
    /// None that could be used.
    Nothing,
}

/// One request. Indices outside the snapshot's catalogue are ignored.
#[derive(Clone, Debug, Default)]
pub struct Query {
    /// The user's past, in any order; empty for a new user. Beyond
    /// [`Limits::history_items`] the newest count.
    pub history: Vec<HistoryEntry>,
    /// Items of the running session; they serve users without a past, and the channel `session`.
    pub session: Vec<ItemIdx>,
    /// What is known about the user, as `key=value`; serves users without behaviour.
    pub attributes: Vec<String>,
    /// Items that the user has seen, beyond those of `history` and `session`, which count as seen.
    pub seen: Vec<ItemIdx>,
    /// Items that the user owns.
    pub owned: Vec<ItemIdx>,
    /// Items that the caller does not want in this answer.
    pub exclude: Vec<ItemIdx>,
    /// What the caller wants the items to be like.
    pub filter: Option<FilterExpr>,
    /// Items wanted; 0 means the scene's page size. Never more than [`Limits::k`].
    pub k: usize,
    /// What channels outside of the process said; the scene gives them their weights.
    pub external: Vec<External>,
    /// The time of the request, which the pure part cannot know by itself.
    pub now_ms: TimeMs,
    /// Whether the slate should say why (channels are always named; this adds the history items).
    pub want_reasons: bool,
}

impl Query {
    /// A request for `k` items on behalf of a user as the bundle knows it.
    pub fn for_user(bundle: &Bundle, user: UserIdx, k: usize) -> Self {
        let (items, weights, times) = bundle.history(user);
        let entries = items.iter().zip(weights).zip(times);
        let history =
            entries.map(|((&item, &weight), &time_ms)| HistoryEntry { item, weight, time_ms });
        Self { history: history.collect(), k, ..Self::default() }
    }

    /// Adds to `owned` what the user did by the scene's owning kinds, as the bundle knows it.
    pub fn own(&mut self, bundle: &Bundle, user: UserIdx, scene: &Scene) {
        let filters = &scene.config().filters;
        if filters.owned {
            let owned = bundle.history_of_kinds(user, &filters.owned_kinds);
            self.owned.extend(owned.map(|(item, _)| item));
        }
    }

    /// The usable past: newest [`Limits::history_items`] entries, ascending by item, duplicates
    /// summed, without what is unknown to a catalogue of `n_items` or has no positive weight.
    pub(crate) fn usable_history(&self, n_items: usize) -> Vec<(ItemIdx, f32)> {
        let usable = |e: &&HistoryEntry| {
            (e.item as usize) < n_items && e.weight.is_finite() && e.weight > 0.0
        };
        let mut entries: Vec<HistoryEntry> = self.history.iter().filter(usable).copied().collect();
        if entries.len() > Limits::DEFAULT.history_items {
            entries.sort_unstable_by_key(|e| (std::cmp::Reverse(e.time_ms), e.item));
            entries.truncate(Limits::DEFAULT.history_items);
        }
        merged(entries.iter().map(|e| (e.item, e.weight)).collect())
    }

    /// The session as a past: each distinct known item with weight 1.
    pub(crate) fn usable_session(&self, n_items: usize) -> Vec<(ItemIdx, f32)> {
        let recent = self.session.iter().rev().take(Limits::DEFAULT.session_events);
        let known = recent.filter(|&&i| (i as usize) < n_items);
        let mut items: Vec<ItemIdx> = known.copied().collect();
        items.sort_unstable();
        items.dedup();
        items.into_iter().map(|i| (i, 1.0)).collect()
    }
}

/// Sorted by item, weights of one item summed.
pub(crate) fn merged(mut pairs: Vec<(ItemIdx, f32)>) -> Vec<(ItemIdx, f32)> {
    pairs.sort_unstable_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)));
    pairs.dedup_by(|next, kept| {
        let same = next.0 == kept.0;
        if same {
            kept.1 += next.1;
        }
        same
    });
    pairs
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(item: ItemIdx, weight: f32, time_ms: TimeMs) -> HistoryEntry {
        HistoryEntry { item, weight, time_ms }
    }

    #[test]
    fn history_is_cleaned_and_its_order_does_not_matter() {
        let mut query = Query {
            history: vec![
                entry(3, 1.0, 5),
                entry(1, f32::NAN, 5),
                entry(9, 1.0, 5),
                entry(0, 2.0, 1),
                entry(3, 0.5, 9),
                entry(2, 0.0, 9),
            ],
            ..Query::default()
        };
        let expected = vec![(0, 2.0), (3, 1.5)];
        assert_eq!(query.usable_history(9), expected);
        query.history.reverse();
        assert_eq!(query.usable_history(9), expected);
    }

    #[test]
    fn of_a_long_history_the_newest_count() {
        let n = Limits::DEFAULT.history_items as u32 + 10;
        let history = (0..n).map(|i| entry(i, 1.0, i64::from(n - i))).collect();
        let usable = Query { history, ..Query::default() }.usable_history(n as usize);
        assert_eq!(usable.len(), Limits::DEFAULT.history_items);
        assert_eq!(usable.last().map(|e| e.0), Some(n - 11));
    }

    #[test]
    fn a_session_counts_each_item_once() {
        let query = Query { session: vec![4, 2, 4, 99], ..Query::default() };
        assert_eq!(query.usable_session(10), [(2, 1.0), (4, 1.0)]);
    }
}
