//! Item vectors in f32 and in bytes: exact scores, and an exhaustive int8 search.
//!
//! Bytes share one scale over the whole matrix: a scale per vector would lose the norms that
//! inner products need.

use foretaste_core::{BitSet, Error, ItemIdx, Matrix, Result};

use super::ChannelScratch;
use crate::contents::MAX_FACTORS;
use crate::format::{Column, SectionReader, SectionWriter};
use crate::kernels::{dot, dot_i8, padded_len};

/// Rows that are scanned between two looks at the mask; one word of it.
const BLOCK: usize = 64;

/// Vectors of all items.
#[derive(Debug)]
pub struct VectorIndex {
    rows: Column<f32>,
    bytes: Column<i8>,
    row_sums: Column<i32>,
    n_items: usize,
    dims: usize,
}

impl VectorIndex {
    pub(crate) fn write(out: &mut SectionWriter, items: &Matrix) -> Result<()> {
        let padded = padded_len(items.n_cols);
        let largest = items.data.iter().fold(0f32, |m, v| m.max(v.abs()));
        let factor = if largest > 0.0 { 127.0 / largest } else { 0.0 };
        let mut bytes = vec![0i8; items.n_rows * padded];
        let mut row_sums = vec![0i32; items.n_rows];
        for (i, row) in bytes.chunks_exact_mut(padded).enumerate() {
            for (byte, &value) in row.iter_mut().zip(items.row(i)) {
                *byte = (value * factor).round() as i8;
            }
            row_sums[i] = row.iter().map(|&b| i32::from(b)).sum();
        }
        out.put(&[items.n_cols as u64])?;
        out.put(&items.data)?;
        out.put(&bytes)?;
        out.put(&row_sums)
    }

    pub(crate) fn read(input: &mut SectionReader, n_items: usize) -> Result<Self> {
        let stored = input.take::<u64>()?;
        let dims = match stored.get() {
            &[dims] if (1..=MAX_FACTORS as u64).contains(&dims) => dims as usize,
            _ => {
                let text = format!("{}: an impossible number of dimensions", input.name());
                return Err(Error::corrupt(text));
            }
        };
        let index = Self {
            rows: input.take()?,
            bytes: input.take()?,
            row_sums: input.take()?,
            n_items,
            dims,
        };
        let bad = |text: &str| Err(Error::corrupt(format!("{}: {text}", input.name())));
        let (rows, bytes, sums) = (index.rows.get(), index.bytes.get(), index.row_sums.get());
        let padded = padded_len(dims);
        if rows.len() != n_items * dims || bytes.len() != n_items * padded || sums.len() != n_items
        {
            return bad("vectors do not match the number of items");
        }
        if rows.iter().any(|v| !v.is_finite()) {
            return bad("a vector holds a number that is not finite");
        }
        let sum = |row: &[i8]| row.iter().map(|&b| i32::from(b)).sum::<i32>();
        if bytes.chunks_exact(padded).zip(sums).any(|(row, &s)| sum(row) != s) {
            return bad("the sum of a row of bytes is wrong");
        }
        Ok(index)
    }

    /// Number of dimensions.
    pub fn dims(&self) -> usize {
        self.dims
    }

    /// The vector of an item.
    #[inline]
    pub fn row(&self, item: ItemIdx) -> &[f32] {
        &self.rows.get()[item as usize * self.dims..][..self.dims]
    }

    /// Exact scores of `items` with the query in the scratch.
    pub(crate) fn score(&self, items: &[ItemIdx], scratch: &ChannelScratch, out: &mut [f32]) {
        for (&item, out) in items.iter().zip(out) {
            *out = dot(&scratch.query, self.row(item));
        }
    }

    /// The best `n` allowed items for the query in the scratch: a quarter more by bytes, cut to
    /// `n` by f32.
    pub(crate) fn search(
        &self,
        allowed: &BitSet,
        n: usize,
        scratch: &mut ChannelScratch,
        out: &mut Vec<(ItemIdx, f32)>,
    ) {
        if !self.quantise_query(scratch) {
            return;
        }
        scratch.top.reset(n + n / 4 + 16);
        self.scan(allowed, scratch);
        out.extend(scratch.top.drain_sorted());
        for (item, score) in out.iter_mut() {
            *score = dot(&scratch.query, self.row(*item));
        }
        out.retain(|(_, score)| score.is_finite());
        out.sort_unstable_by(foretaste_core::topk::by_rank);
        out.truncate(n);
    }

    /// False when the query is zero or not finite: then nothing can be found.
    fn quantise_query(&self, scratch: &mut ChannelScratch) -> bool {
        let largest = scratch.query.iter().fold(0f32, |m, v| m.max(v.abs()));
        if largest <= 0.0 || scratch.query.iter().any(|v| !v.is_finite()) {
            return false;
        }
        let factor = 127.0 / largest;
        scratch.query_i8.clear();
        scratch.query_i8.extend(scratch.query.iter().map(|v| (v * factor).round() as i8));
        scratch.query_i8.resize(padded_len(self.dims), 0);
        true
    }

    fn scan(&self, allowed: &BitSet, scratch: &mut ChannelScratch) {
        let padded = padded_len(self.dims);
        let (bytes, sums) = (self.bytes.get(), self.row_sums.get());
        scratch.products.resize(BLOCK, 0);
        for (block, &word) in allowed.words().iter().enumerate() {
            if word == 0 {
                continue;
            }
            let start = block * BLOCK;
            let n = BLOCK.min(self.n_items - start);
            let rows = &bytes[start * padded..(start + n) * padded];
            let products = &mut scratch.products[..n];
            dot_i8(&scratch.query_i8, rows, &sums[start..start + n], products);
            let threshold = scratch.top.threshold();
            let mut rest = 0u64;
            for (bit, &p) in products.iter().enumerate() {
                rest |= u64::from(p as f32 >= threshold) << bit;
            }
            rest &= word;
            while rest != 0 {
                let bit = rest.trailing_zeros();
                rest &= rest - 1;
                scratch.top.push(start as u32 + bit, products[bit as usize] as f32);
            }
        }
    }
}
