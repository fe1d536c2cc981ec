//! Folding events into one weight per user and item.

use foretaste_core::{Csr, EventBatch, EventWeights, Interactions, KindSets, TimeMs};

/// The least weight of an entry.
const FADED: f32 = 1e-3;

/// Weights of a batch's events.
pub(super) struct Weights<'a> {
    config: &'a EventWeights,
    kinds: Vec<&'a str>,
    /// The kinds that sets of kinds can hold, and the bit of each kind of the batch.
    names: Vec<String>,
    bits: Vec<u32>,
}

/// Numbers of the batch's users and items in the result; `u32::MAX` leaves them out.
pub(super) struct Map<'a> {
    pub(super) user_of: &'a [u32],
    pub(super) item_of: &'a [u32],
}

#[derive(Clone, Copy, Default)]
struct Entry {
    item: u32,
    weight: f32,
    time: TimeMs,
    kinds: u32,
}

impl<'a> Weights<'a> {
    pub(super) fn new(events: &'a EventBatch, config: &'a EventWeights) -> Self {
        let kinds: Vec<&str> = events.kinds.iter().collect();
        let mut order: Vec<&str> =
            kinds.iter().copied().filter(|kind| config.of(kind, 1.0) > 0.0).collect();
        // Of too many kinds the strongest are kept: orders and the like.
        order.sort_unstable_by(|a, b| {
            config.of(b, 1.0).total_cmp(&config.of(a, 1.0)).then(a.cmp(b))
        });
        order.truncate(KindSets::MOST);
        let bit = |kind: &&str| order.iter().position(|k| k == kind).map_or(0, |at| 1 << at);
        let bits = kinds.iter().map(bit).collect();
        Self { config, bits, names: order.into_iter().map(str::to_owned).collect(), kinds }
    }

    /// The weight of event `e`.
    fn of(&self, events: &EventBatch, e: usize) -> f32 {
        self.config.of(self.kinds[usize::from(events.kind[e])], events.value[e])
    }

    /// The events that count.
    pub(super) fn counting<'b>(
        &'b self,
        events: &'b EventBatch,
    ) -> impl Iterator<Item = usize> + 'b {
        (0..events.len()).filter(|&e| self.of(events, e) > 0.0)
    }
}

/// Interactions from the counting events whose time passes `within`, and the number of them.
pub(super) fn fold(
    events: &EventBatch,
    weights: &Weights<'_>,
    map: &Map<'_>,
    (n_users, n_items): (usize, usize),
    within: impl Fn(TimeMs) -> bool,
) -> (Interactions, u64) {
    let place = |e: &usize| {
        let user = map.user_of[events.user[*e] as usize];
        let item = map.item_of[events.item[*e] as usize];
        (user != u32::MAX && item != u32::MAX && within(events.time_ms[*e])).then_some((user, item))
    };
    let mut starts = vec![0usize; n_users + 1];
    let mut last_ms = 0;
    for (e, (user, _)) in weights.counting(events).filter_map(|e| Some((e, place(&e)?))) {
        starts[user as usize + 1] += 1;
        last_ms = last_ms.max(events.time_ms[e]);
    }
    (0..n_users).for_each(|u| starts[u + 1] += starts[u]);
    let mut entries = vec![Entry::default(); starts[n_users]];
    let mut next = starts.clone();
    for (e, (user, item)) in weights.counting(events).filter_map(|e| Some((e, place(&e)?))) {
        let weight = weights.of(events, e);
        let kinds = weights.bits[usize::from(events.kind[e])];
        entries[next[user as usize]] = Entry { item, weight, time: events.time_ms[e], kinds };
        next[user as usize] += 1;
    }
    let n_events = entries.len() as u64;
    let mut out = Interactions::untimed(Csr { n_cols: n_items, ..Csr::default() });
    out.kinds.names.clone_from(&weights.names);
    let several = weights.names.len() > 1;
    out.matrix.indptr.push(0);
    for user in 0..n_users {
        let row = &mut entries[starts[user]..starts[user + 1]];
        // Weights within an item are ordered, too, so that their sum has one value.
        row.sort_unstable_by(|a, b| a.item.cmp(&b.item).then(a.weight.total_cmp(&b.weight)));
        for same in row.chunk_by(|a, b| a.item == b.item) {
            let weight = same.iter().fold(0.0, |sum, e| weights.config.fold(sum, e.weight));
            let time = same.iter().map(|e| e.time).max().unwrap_or(0);
            // Never quite nothing: an entry must stay positive to stay in the history.
            let decayed = (weight * weights.config.decay(time, last_ms)).max(FADED);
            out.matrix.indices.push(same[0].item);
            out.matrix.values.push(decayed);
            out.last_ms.push(time);
            if several {
                out.kinds.masks.push(same.iter().fold(0, |set, e| set | e.kinds));
            }
        }
        out.matrix.indptr.push(out.matrix.indices.len() as u64);
    }
    (out, n_events)
}
