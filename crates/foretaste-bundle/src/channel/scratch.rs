//! Working memory of one channel on one worker, reused between requests.

use foretaste_core::topk::TopK;
use foretaste_core::{BitSet, ItemIdx};

use super::accumulator::Accumulator;
use super::graph::WalkScratch;
use super::item_item::scale_of;
use super::meter::{Ended, Meter};

/// Buffers that hold the prepared user and all intermediate values; nothing is allocated once they
/// have grown to the size of the catalogue.
#[derive(Debug, Default)]
pub struct ChannelScratch {
    /// Sparse scores by item.
    pub(crate) scores: Accumulator,
    /// Similarities by user.
    pub(crate) users: Accumulator,
    /// History items that take part in similarities of users, with their parts.
    pub(crate) order: Vec<(u32, f32)>,
    /// The best users with their votes.
    pub(crate) neighbours: Vec<(u32, f32)>,
    /// The user's vector.
    pub(crate) query: Vec<f32>,
    /// The user's vector in bytes.
    pub(crate) query_i8: Vec<i8>,
    /// Items found by bytes, and their exact scores.
    pub(crate) found: Vec<u32>,
    pub(crate) exact: Vec<f32>,
    /// A search through a graph.
    pub(crate) walk: WalkScratch,
    /// What the channel may still do, and how many items of the history it took, at most.
    pub(crate) meter: Meter,
    pub(crate) taken: usize,
    /// Selection of the best.
    pub(crate) top: TopK,
    /// The system of a fold-in, or its Cholesky factor.
    pub(crate) system: Vec<f32>,
    /// Vectors of the conjugate gradient.
    pub(crate) vectors: [Vec<f32>; 4],
    /// The item's side of what contributions are read from.
    pub(crate) target: Vec<f32>,
    /// Confidence of each history item.
    pub(crate) factors: Vec<f32>,
}

impl ChannelScratch {
    /// The user's vector that `prepare` of a channel of vectors left.
    pub fn vector(&self) -> &[f32] {
        &self.query
    }

    /// Bounds the work of all further calls with this scratch.
    pub fn limit(&mut self, meter: Meter) {
        self.meter = meter;
    }

    /// Why the channel ended early since it was last limited, if it did.
    pub fn ended(&self) -> Option<Ended> {
        self.meter.ended()
    }

    /// Leaves a vector as `prepare` would, for `search` and `score`.
    pub fn set_vector(&mut self, vector: &[f32]) {
        self.query.clear();
        self.query.extend_from_slice(vector);
        self.taken = usize::MAX;
    }

    /// The best `n` allowed items by their sums times `scale` (empty: 1), best first.
    pub(crate) fn search_sums(
        &mut self,
        allowed: &BitSet,
        n: usize,
        scale: &[f32],
        out: &mut Vec<(ItemIdx, f32)>,
    ) {
        self.top.reset(n);
        self.scores.select(allowed, scale, &mut self.top);
        out.extend(self.top.drain_sorted());
    }

    /// The sums of `items` times `scale` (empty: 1).
    pub(crate) fn score_sums(&self, items: &[ItemIdx], scale: &[f32], out: &mut [f32]) {
        for (&item, out) in items.iter().zip(out) {
            *out = self.scores.get(item) * scale_of(scale, item);
        }
    }
}
