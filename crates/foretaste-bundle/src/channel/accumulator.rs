//! A dense vector that remembers which blocks of 64 were touched, so that clearing it and searching
//! it cost what was touched, without a branch per addition.

use foretaste_core::BitSet;
use foretaste_core::topk::TopK;

const BLOCK: usize = 64;

/// Sums by index.
#[derive(Debug, Default)]
pub(crate) struct Accumulator {
    sums: Vec<f32>,
    touched: Vec<u8>,
}

impl Accumulator {
    /// Makes all of `0..n` zero.
    pub(crate) fn reset(&mut self, n: usize) {
        let n_blocks = n.div_ceil(BLOCK);
        if self.touched.len() != n_blocks {
            self.sums = vec![0.0; n_blocks * BLOCK];
            self.touched = vec![0; n_blocks];
            return;
        }
        for (block, touched) in self.touched.iter_mut().enumerate() {
            if *touched != 0 {
                self.sums[block * BLOCK..][..BLOCK].fill(0.0);
                *touched = 0;
            }
        }
    }

    #[inline]
    pub(crate) fn add(&mut self, index: u32, value: f32) {
        self.sums[index as usize] += value;
        self.touched[index as usize / BLOCK] = 1;
    }

    /// Adds `factor * values[i]` at `indices[i]`.
    #[inline]
    pub(crate) fn add_scaled(&mut self, indices: &[u32], values: &[f32], factor: f32) {
        for (&index, &value) in indices.iter().zip(values) {
            self.sums[index as usize] += factor * value;
            self.touched[index as usize / BLOCK] = 1;
        }
    }

    #[inline]
    pub(crate) fn get(&self, index: u32) -> f32 {
        self.sums[index as usize]
    }

    /// Offers every allowed index with a sum other than 0 to `top`, its sum times its scale.
    pub(crate) fn select(&self, allowed: &BitSet, scale: &[f32], top: &mut TopK) {
        for (block, &word) in allowed.words().iter().enumerate() {
            if self.touched[block] != 0 && word != 0 {
                self.select_block(block, word, scale, top);
            }
        }
    }

    /// Offers every index with a sum other than 0.
    pub(crate) fn select_all(&self, top: &mut TopK) {
        for block in 0..self.touched.len() {
            if self.touched[block] != 0 {
                self.select_block(block, u64::MAX, &[], top);
            }
        }
    }

    #[inline]
    fn select_block(&self, block: usize, word: u64, scale: &[f32], top: &mut TopK) {
        let start = block * BLOCK;
        let sums: &[f32; BLOCK] = self.sums[start..start + BLOCK].try_into().expect("a block");
        let mut scaled = *sums;
        if !scale.is_empty() {
            scaled.iter_mut().zip(&scale[start..]).for_each(|(s, f)| *s *= f);
        }
        let threshold = top.threshold();
        let mut above = 0u64;
        for (bit, &s) in scaled.iter().enumerate() {
            above |= u64::from(s != 0.0 && s >= threshold) << bit;
        }
        let mut rest = above & word;
        while rest != 0 {
            let bit = rest.trailing_zeros();
            rest &= rest - 1;
            top.push(start as u32 + bit, scaled[bit as usize]);
        }
    }
}
