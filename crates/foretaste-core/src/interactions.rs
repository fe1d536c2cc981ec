//! Users x items with strength and last time: what trainers and histories are made from.

use crate::{Csr, TimeMs};

/// One row per user; an entry is everything that a user did to an item, folded into one weight.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Interactions {
    /// Users x items; the value is the folded weight of the events (> 0), before any decay.
    pub matrix: Csr,
    /// Last time of each entry, aligned with `matrix.values`; 0 when not known.
    pub last_ms: Vec<TimeMs>,
    /// What the user did with the item.
    pub kinds: KindSets,
}

/// A set of event kinds per entry.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct KindSets {
    /// Names of the kinds, at most [`KindSets::MOST`].
    pub names: Vec<String>,
    /// Bit `b` stands for `names[b]`, aligned with the entries; empty when every entry has all of
    /// the names (one kind only) or kinds are not known (no names).
    pub masks: Vec<u32>,
}

impl KindSets {
    /// Kinds that a set can hold.
    pub const MOST: usize = 32;
}

impl Interactions {
    /// Interactions without times.
    pub fn untimed(matrix: Csr) -> Self {
        let last_ms = vec![0; matrix.nnz()];
        Self { matrix, last_ms, kinds: KindSets::default() }
    }

    /// Items, weights and last times of a user, ascending by item.
    pub fn row(&self, user: usize) -> (&[u32], &[f32], &[TimeMs]) {
        let (items, weights) = self.matrix.row(user);
        let start = self.matrix.indptr[user] as usize;
        (items, weights, &self.last_ms[start..start + items.len()])
    }

    /// The same users and items with only the entries for which `keep(user, position)` holds,
    /// where `position` counts within the user's row.
    pub fn retain(&self, mut keep: impl FnMut(usize, usize) -> bool) -> Self {
        let mut out = Self::default();
        out.kinds.names.clone_from(&self.kinds.names);
        out.matrix.n_cols = self.matrix.n_cols;
        out.matrix.indptr.push(0);
        for user in 0..self.matrix.n_rows() {
            let (items, weights, times) = self.row(user);
            let start = self.matrix.indptr[user] as usize;
            for at in (0..items.len()).filter(|&at| keep(user, at)) {
                out.matrix.indices.push(items[at]);
                out.matrix.values.push(weights[at]);
                out.last_ms.push(times[at]);
                out.kinds.masks.extend(self.kinds.masks.get(start + at));
            }
            out.matrix.indptr.push(out.matrix.indices.len() as u64);
        }
        out
    }
}
