//! Best-first search in one layer of a graph.

use super::pool::Pool;
use crate::kernels::simd::prefetch;
use crate::kernels::{ByteQuery, dot_i8_rows, prefetch_row};

/// Marks the places of a node's links that are not taken; they come last.
pub(super) const NONE: u32 = u32::MAX;

/// Nodes with up to `stride` links each.
#[derive(Clone, Copy)]
pub(super) struct Layer<'a> {
    pub links: &'a [u32],
    pub stride: usize,
}

impl<'a> Layer<'a> {
    /// All places of a node, those that are not taken too.
    #[inline]
    pub(super) fn places(&self, node: u32) -> &'a [u32] {
        &self.links[node as usize * self.stride..][..self.stride]
    }

    /// The links of a node.
    #[inline]
    pub(super) fn of(&self, node: u32) -> &'a [u32] {
        let places = self.places(node);
        &places[..places.iter().position(|&link| link == NONE).unwrap_or(places.len())]
    }
}

/// Rows of bytes, one per node, and what is looked for among them.
#[derive(Clone, Copy)]
pub(super) struct Target<'a> {
    pub bytes: &'a [i8],
    pub padded: usize,
    pub query: ByteQuery<'a>,
}

/// Memory of a walk, reused.
#[derive(Debug, Default)]
pub(crate) struct WalkScratch {
    pub(super) pool: Pool,
    /// One bit per node: was it scored?
    seen: Vec<u64>,
    scored: Vec<u32>,
    products: Vec<i32>,
}

impl WalkScratch {
    /// Begins a walk over `n_nodes` nodes: it goes on from the best `ef`, and keeps the best
    /// `most`.
    pub(super) fn begin(&mut self, n_nodes: usize, ef: usize, most: usize) {
        self.pool.reset(ef, most);
        self.scored.drain(..).for_each(|node| self.seen[node as usize / 64] = 0);
        if self.seen.len() < n_nodes.div_ceil(64) {
            self.seen.resize(n_nodes.div_ceil(64), 0);
        }
    }

    /// Scores the nodes before the first [`NONE`] that were not scored yet, and offers them to the
    /// pool.
    #[inline]
    pub(super) fn offer(
        &mut self,
        nodes: &[u32],
        target: Target<'_>,
        score: impl Fn(u32, i32) -> i32,
    ) {
        let start = self.scored.len();
        self.scored.resize(start + nodes.len(), 0);
        let (new, mut n) = (&mut self.scored[start..], 0);
        // Nobody can foresee which nodes are new, the processor neither: no branch on it.
        for &node in nodes.iter().take_while(|&&node| node != NONE) {
            prefetch_row(target.bytes, target.padded, node);
            let (word, bit) = (&mut self.seen[node as usize / 64], node % 64);
            new[n] = node;
            n += (!*word >> bit & 1) as usize;
            *word |= 1 << bit;
        }
        self.scored.truncate(start + n);
        self.products.resize(nodes.len().max(self.products.len()), 0);
        let (new, scores) = (&self.scored[start..], &mut self.products[..n]);
        dot_i8_rows(target.query, target.bytes, new, scores);
        scores.iter_mut().zip(new).for_each(|(product, &node)| *product = score(node, *product));
        self.pool.offer(new, scores);
    }

    /// Looks around the best node that waits, until none of the best waits or `may` does not allow
    /// so many rows as were scored since it was asked last.
    pub(super) fn walk(
        &mut self,
        layer: Layer<'_>,
        target: Target<'_>,
        score: impl Fn(u32, i32) -> i32 + Copy,
        mut may: impl FnMut(usize) -> bool,
    ) {
        let mut before = 0;
        while let Some(node) = self.pool.next() {
            if !may(self.scored.len() - before) {
                return;
            }
            before = self.scored.len();
            if let Some(after) = self.pool.peek() {
                prefetch(layer.places(after));
            }
            self.offer(layer.places(node), target, score);
        }
    }
}
