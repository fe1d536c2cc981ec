//! A dense vector that remembers which blocks of 64 were touched, so that clearing it and searching
//! it cost what was touched, without a branch per addition.

use foretaste_core::BitSet;
use foretaste_core::topk::TopK;

use crate::kernels::scatter::add_scaled;
use crate::kernels::select::{BLOCK, Scores, offer_nonzero};

/// Sums by index.
#[derive(Debug, Default)]
pub(crate) struct Accumulator {
    sums: Vec<f32>,
    /// One byte per block; other than 0 where something may have been added.
    touched: Vec<u8>,
    /// Whether additions may leave the bytes alone, because all of them are set.
    everywhere: bool,
}

impl Accumulator {
    /// Makes all of `0..n` zero. About `additions` are expected: where they would touch most blocks
    /// anyway, all count as touched from the start.
    pub(crate) fn reset(&mut self, n: usize, additions: usize) {
        let n_blocks = n.div_ceil(BLOCK);
        if self.touched.len() != n_blocks {
            self.sums = vec![0.0; n_blocks * BLOCK];
            self.touched = vec![0; n_blocks];
        } else if self.everywhere {
            self.sums.fill(0.0);
            self.touched.fill(0);
        } else {
            self.clear_touched();
        }
        self.everywhere = additions >= n_blocks;
        if self.everywhere {
            self.touched.fill(1);
        }
    }

    fn clear_touched(&mut self) {
        for (block, touched) in self.touched.iter_mut().enumerate() {
            if *touched != 0 {
                self.sums[block * BLOCK..][..BLOCK].fill(0.0);
                *touched = 0;
            }
        }
    }

    /// Adds `value` at every index.
    #[inline]
    pub(crate) fn add_each(&mut self, indices: &[u32], value: f32) {
        self.touch(indices);
        let sums = &mut self.sums[..];
        indices.iter().for_each(|&index| sums[index as usize] += value);
    }

    /// Adds `factor * values[i]` at `indices[i]`.
    #[inline]
    pub(crate) fn add_scaled(&mut self, indices: &[u32], values: &[f32], factor: f32) {
        self.touch(indices);
        add_scaled(&mut self.sums, indices, values, factor);
    }

    #[inline]
    fn touch(&mut self, indices: &[u32]) {
        if !self.everywhere {
            let touched = &mut self.touched[..];
            indices.iter().for_each(|&index| touched[index as usize / BLOCK] = 1);
        }
    }

    #[inline]
    pub(crate) fn get(&self, index: u32) -> f32 {
        self.sums[index as usize]
    }

    /// Offers every allowed index with a sum other than 0 to `top`, its sum times its scale.
    pub(crate) fn select(&self, allowed: &BitSet, scale: &[f32], top: &mut TopK) {
        let scores = Scores { values: &self.sums, scale, touched: &self.touched };
        offer_nonzero(&scores, (0, allowed.words()), top);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_added_is_found_and_cleared_in_either_way() {
        let mut sums = Accumulator::default();
        let mut top = TopK::new(9);
        for additions in [2, 1000, 2, 2, 1000, 1000, 0] {
            sums.reset(1000, additions);
            sums.select(&BitSet::full(1000), &[], &mut top);
            assert_eq!(top.drain_sorted().count(), 0, "left over before {additions}");
            top.reset(9);
            sums.add_scaled(&[3, 999], &[1.0, 2.0], 2.0);
            sums.add_each(&[3, 500], 0.5);
            sums.add_each(&[500], 1.0);
            sums.select(&BitSet::full(1000), &[], &mut top);
            let found: Vec<_> = top.drain_sorted().collect();
            assert_eq!(found, [(999, 4.0), (3, 2.5), (500, 1.5)]);
            top.reset(9);
        }
    }
}
