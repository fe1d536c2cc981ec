//! Item vectors in f32 and in bytes: exact scores, and an exhaustive int8 search.
//!
//! Bytes share one scale over the whole matrix: a scale per vector would lose the norms that
//! inner products need.

use foretaste_core::topk::TopK;
use foretaste_core::{BitSet, Error, ItemIdx, Matrix, Result};

use super::ChannelScratch;
use crate::contents::MAX_FACTORS;
use crate::format::{Column, SectionReader, SectionWriter};
use crate::kernels::pack::PackedRows;
use crate::kernels::select::{BLOCK, offer_block};
use crate::kernels::{dot_i8, dot_rows, padded_len};

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

    /// The bytes in the form for many queries.
    pub(crate) fn packed(&self) -> PackedRows {
        PackedRows::new(self.bytes.get(), self.row_sums.get(), padded_len(self.dims))
    }

    /// Exact scores of `items` with the user's vector.
    /// Multiply-adds of a search in units of f32: four bytes count as one.
    pub(crate) fn work(&self) -> usize {
        self.n_items * self.dims / 4
    }

    pub(crate) fn score(&self, items: &[ItemIdx], query: &[f32], out: &mut [f32]) {
        dot_rows(query, self.rows.get(), items, out);
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
        if !quantise(&scratch.query, &mut scratch.query_i8) {
            return;
        }
        scratch.top.reset(by_bytes(n));
        self.scan(allowed, &scratch.query_i8, &mut scratch.top);
        let ChannelScratch { query, top, found, exact, .. } = scratch;
        self.rescore(n, query, (top, found, exact), out);
    }

    /// Cuts what `top` holds to the best `n` by exact scores.
    pub(crate) fn rescore(
        &self,
        n: usize,
        query: &[f32],
        (top, found, exact): (&mut TopK, &mut Vec<u32>, &mut Vec<f32>),
        out: &mut Vec<(ItemIdx, f32)>,
    ) {
        found.clear();
        found.extend(top.drain_unordered().map(|(item, _)| item));
        exact.resize(found.len(), 0.0);
        self.score(found, query, exact);
        top.reset(n);
        let finite = found.iter().zip(&*exact).filter(|(_, score)| score.is_finite());
        finite.for_each(|(&item, &score)| top.push(item, score));
        out.extend(top.drain_sorted());
    }

    /// Offers the products of all allowed rows with a query of bytes.
    fn scan(&self, allowed: &BitSet, query: &[i8], top: &mut TopK) {
        let (bytes, sums) = (self.bytes.get(), self.row_sums.get());
        let mut products = [0; BLOCK];
        for (block, &word) in allowed.words().iter().enumerate().filter(|(_, word)| **word != 0) {
            let start = block * BLOCK;
            let n = BLOCK.min(self.n_items - start);
            let rows = &bytes[start * query.len()..(start + n) * query.len()];
            dot_i8(query, rows, &sums[start..start + n], &mut products[..n]);
            offer_block(&products, word, start as u32, top);
        }
    }
}

/// Candidates by bytes for `n` exact ones.
pub(crate) fn by_bytes(n: usize) -> usize {
    n + n / 4 + 16
}

/// Writes the bytes of a query. False when it is zero or not finite: then nothing can be found.
pub(crate) fn quantise(query: &[f32], bytes: &mut Vec<i8>) -> bool {
    let largest = query.iter().fold(0f32, |m, v| m.max(v.abs()));
    if largest <= 0.0 || query.iter().any(|v| !v.is_finite()) {
        return false;
    }
    let factor = 127.0 / largest;
    bytes.clear();
    bytes.extend(query.iter().map(|v| (v * factor).round() as i8));
    bytes.resize(padded_len(query.len()), 0);
    true
}
