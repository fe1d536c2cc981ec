//! Item vectors in f32 and in bytes: exact scores, an exhaustive int8 search, and for large
//! catalogues the choice between it and a walk through a graph.
//!
//! Bytes share one scale over the whole matrix: a scale per vector would lose the norms that
//! inner products need.

use std::ops::Range;
use std::sync::OnceLock;

use foretaste_core::topk::TopK;
use foretaste_core::{BitSet, Error, ItemIdx, Matrix, Result};

use super::ChannelScratch;
use super::graph::Graph;
use super::meter::Meter;
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
    /// Made by the first search of many.
    packed: OnceLock<PackedRows>,
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
            packed: OnceLock::new(),
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

    /// All rows, one after the other.
    pub(crate) fn all(&self) -> &[f32] {
        self.rows.get()
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
    pub(crate) fn packed(&self) -> &PackedRows {
        let pack = || PackedRows::new(self.bytes.get(), self.row_sums.get(), padded_len(self.dims));
        self.packed.get_or_init(pack)
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
            let all = 0..self.affordable(&mut scratch.meter);
            let (query, top, meter) = (&scratch.query_i8, &mut scratch.top, &mut scratch.meter);
            self.scan_until(all, allowed, (query, top), || meter.is_stopped());
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
        let n_allowed = allowed.count();
        let Some(ef) = worth_walking(rows, n_allowed, ef) else { return false };
        let ChannelScratch { query_i8, walk, found, top, meter, .. } = scratch;
        let query = ByteQuery::new(query_i8);
        let most = widened(by_bytes(n), self.n_items, n_allowed);
        let found_by_bytes = graph.search(self.bytes.get(), query, (ef, most), (walk, meter));
        top.reset(by_bytes(n));
        let allowed = found_by_bytes.filter(|&(item, _)| allowed.contains(item));
        allowed.for_each(|(item, product)| top.push(item, product as f32));
        found.clear();
        found.extend(top.drain_unordered().map(|(item, _)| item));
        found.len() >= n || meter.ended().is_some()
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

    /// Takes the work for scanning as many blocks as there may be, from the first on.
    pub(super) fn affordable(&self, meter: &mut Meter) -> usize {
        let work = BLOCK * padded_len(self.dims) / 4;
        meter.afford(self.n_items.div_ceil(BLOCK), work)
    }

    /// Scans blocks until it is over, if ever. Returns whether it was.
    pub(super) fn scan_until(
        &self,
        blocks: Range<usize>,
        allowed: &BitSet,
        (query, top): (&[i8], &mut TopK),
        mut is_over: impl FnMut() -> bool,
    ) -> bool {
        let mut starts = blocks.clone().step_by(LOOK);
        starts.any(|at| {
            let over = is_over();
            if !over {
                self.scan(allowed, at..blocks.end.min(at + LOOK), query, top);
            }
            over
        })
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

/// Blocks that are scanned between two looks at whether it is over.
const LOOK: usize = 64;
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
    let wide = widened(ef, n_items, n_allowed);
    let walk = wide * (WALK_WORK.0 + WALK_WORK.1 * padded);
    let scan = n_items.min(ALONE * n_allowed) * padded / 4;
    (walk < scan).then_some(wide)
}

/// Of how many items the best `n` allowed ones are the best.
fn widened(n: usize, n_items: usize, n_allowed: usize) -> usize {
    n * n_items / n_allowed.max(1) + n.min(n_items - n_allowed.min(n_items))
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
