//! Item vectors in f32 and in bytes: exact scores, an exhaustive int8 search, and for large
//! catalogues the choice between it and a walk through a graph.
//!
//! Bytes share one scale over the whole matrix: a scale per vector would lose the norms that
//! inner products need.

use std::ops::Range;

use foretaste_core::topk::TopK;
use foretaste_core::{BitSet, Error, ItemIdx, Matrix, Result};

use super::ChannelScratch;
use super::graph::Graph;
use crate::contents::MAX_FACTORS;
use crate::format::{Column, SectionReader, SectionWriter};
use crate::kernels::pack::PackedRows;
use crate::kernels::select::{BLOCK, offer_block};
use crate::kernels::{ByteQuery, dot_i8, dot_i8_rows, dot_rows, padded_len, prefetch_row};

/// Vectors of all items.
#[derive(Debug)]
pub struct VectorIndex {
    rows: Column<f32>,
    bytes: Column<i8>,
    row_sums: Column<i32>,
    n_items: usize,
    dims: usize,
    graph: Option<Graph>,
}

/// Rows as bytes with one scale for all.
pub(crate) struct ByteRows {
    /// Row-major, each row padded.
    pub bytes: Vec<i8>,
    /// Bytes of a row.
    pub padded: usize,
    row_sums: Vec<i32>,
}

impl ByteRows {
    pub(crate) fn of(items: &Matrix) -> Self {
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
        Self { bytes, padded, row_sums }
    }
}

impl VectorIndex {
    pub(crate) fn write(out: &mut SectionWriter, items: &Matrix) -> Result<()> {
        let rows = ByteRows::of(items);
        out.put(&[items.n_cols as u64])?;
        out.put(&items.data)?;
        out.put(&rows.bytes)?;
        out.put(&rows.row_sums)
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
            graph: None,
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

    /// Number of vectors.
    pub fn n_items(&self) -> usize {
        self.n_items
    }

    /// All rows in bytes.
    pub(crate) fn bytes(&self) -> &[i8] {
        self.bytes.get()
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

    /// Takes the graph that was built from these vectors.
    pub(crate) fn attach(&mut self, graph: Graph) {
        self.graph = Some(graph);
    }

    /// Whether searches may go through a graph and then are approximate.
    pub fn has_graph(&self) -> bool {
        self.graph.is_some()
    }

    /// Bytes that a search touches: the rows in bytes and, where there is one, the graph.
    pub fn index_bytes(&self) -> usize {
        self.bytes.get().len() + self.graph.as_ref().map_or(0, Graph::size_bytes)
    }

    /// Multiply-adds of a search in units of f32: four bytes count as one.
    pub(crate) fn work(&self) -> usize {
        self.n_items * self.dims / 4
    }

    /// Exact scores of `items` with the user's vector.
    pub(crate) fn score(&self, items: &[ItemIdx], query: &[f32], out: &mut [f32]) {
        dot_rows(query, self.rows.get(), items, out);
    }

    /// The best `n` allowed items for the query in the scratch: a quarter more by bytes, cut to
    /// `n` by f32. `ef` is the breadth of a search through the graph, 0 for [`default_ef`].
    pub(crate) fn search(
        &self,
        allowed: &BitSet,
        (n, ef): (usize, usize),
        scratch: &mut ChannelScratch,
        out: &mut Vec<(ItemIdx, f32)>,
    ) {
        if !quantise(&scratch.query, &mut scratch.query_i8) {
            return;
        }
        if !self.walk(allowed, (n, ef), scratch) {
            scratch.top.reset(by_bytes(n));
            let all = 0..allowed.words().len();
            self.scan(allowed, all, &scratch.query_i8, &mut scratch.top);
            scratch.found.clear();
            scratch.found.extend(scratch.top.drain_unordered().map(|(item, _)| item));
        }
        let ChannelScratch { query, top, found, exact, .. } = scratch;
        self.best_exact(n, query, (top, found, exact), out);
    }

    /// Leaves what the graph finds in `found`. False where a scan is to be done instead: there is
    /// no graph, it would cost more, or it led to fewer than `n` allowed items.
    fn walk(
        &self,
        allowed: &BitSet,
        (n, ef): (usize, usize),
        scratch: &mut ChannelScratch,
    ) -> bool {
        let Some(graph) = &self.graph else { return false };
        let ef = if ef == 0 { default_ef(n) } else { ef };
        let rows = (self.n_items, padded_len(self.dims));
        let Some(ef) = worth_walking(rows, allowed.count(), ef) else { return false };
        let ChannelScratch { query_i8, walk, found, .. } = scratch;
        let query = ByteQuery::new(query_i8);
        let items = graph.search(self.bytes.get(), query, ef, walk);
        found.clear();
        found.extend(items.filter(|&item| allowed.contains(item)).take(by_bytes(n)));
        found.len() >= n
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
        self.best_exact(n, query, (top, found, exact), out);
    }

    /// The best `n` of `found` by exact scores.
    fn best_exact(
        &self,
        n: usize,
        query: &[f32],
        (top, found, exact): (&mut TopK, &[u32], &mut Vec<f32>),
        out: &mut Vec<(ItemIdx, f32)>,
    ) {
        exact.resize(found.len(), 0.0);
        self.score(found, query, exact);
        top.reset(n);
        let finite = found.iter().zip(&*exact).filter(|(_, score)| score.is_finite());
        finite.for_each(|(&item, &score)| top.push(item, score));
        out.extend(top.drain_sorted());
    }

    /// Offers the products of all allowed rows in some blocks with a query of bytes.
    pub(super) fn scan(
        &self,
        allowed: &BitSet,
        blocks: Range<usize>,
        query: &[i8],
        top: &mut TopK,
    ) {
        let mut few = Few { picks: [0; BLOCK], n: 0, rows: self.bytes.get(), query };
        let sums = self.row_sums.get();
        let mut products = [0; BLOCK];
        let words = blocks.clone().zip(&allowed.words()[blocks]);
        for (block, &word) in words.filter(|(_, word)| **word != 0) {
            let start = block * BLOCK;
            if word.count_ones() <= MAX_FEW {
                few.add(start as u32, word, top);
                continue;
            }
            let n = BLOCK.min(self.n_items - start);
            let rows = &few.rows[start * query.len()..(start + n) * query.len()];
            dot_i8(query, rows, &sums[start..start + n], &mut products[..n]);
            offer_block(&products, word, start as u32, top);
        }
        few.flush(top);
    }
}

/// Up to this many rows of a block are read one by one.
const MAX_FEW: u32 = 8;

/// Allowed rows of blocks in which few are allowed, gathered until there are 64.
struct Few<'a> {
    picks: [u32; BLOCK],
    n: usize,
    rows: &'a [i8],
    query: &'a [i8],
}

impl Few<'_> {
    fn add(&mut self, start: u32, mut word: u64, top: &mut TopK) {
        if self.n + word.count_ones() as usize > BLOCK {
            self.flush(top);
        }
        while word != 0 {
            let pick = start + word.trailing_zeros();
            word &= word - 1;
            prefetch_row(self.rows, self.query.len(), pick);
            self.picks[self.n] = pick;
            self.n += 1;
        }
    }

    fn flush(&mut self, top: &mut TopK) {
        let (picks, mut products) = (&self.picks[..self.n], [0; BLOCK]);
        dot_i8_rows(ByteQuery::new(self.query), self.rows, picks, &mut products[..self.n]);
        picks.iter().zip(products).for_each(|(&item, product)| top.push(item, product as f32));
        self.n = 0;
    }
}

/// Breadth of a search through a graph for the best `n`, where nobody says another.
pub(crate) fn default_ef(n: usize) -> usize {
    n + n / 2 + 64
}

/// What a walk takes for each node that it keeps: for the node, and per byte of its row.
const WALK_WORK: (usize, usize) = (2500, 15);
/// What a row takes that is read alone, beside one that is read in a row of rows.
const ALONE: usize = 4;

/// How many nodes a walk must keep so that the best `ef` allowed are among them; `None` where
/// reading all allowed rows costs less. Costs are in multiply-adds of f32, as measured
/// (`docs/vector-search.md`).
///
/// The best `ef` of a share of all items are about the best `ef / share` of all; and where few are
/// not allowed, they are what the user has seen, which are the best of all.
fn worth_walking((n_items, padded): (usize, usize), n_allowed: usize, ef: usize) -> Option<usize> {
    let wide = ef * n_items / n_allowed.max(1) + ef.min(n_items - n_allowed.min(n_items));
    let walk = wide * (WALK_WORK.0 + WALK_WORK.1 * padded);
    let scan = n_items.min(ALONE * n_allowed) * padded / 4;
    (walk < scan).then_some(wide)
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
