//! A graph over the bytes of item vectors: searches look at a few thousand rows instead of all.
//!
//! The graph holds links only; bytes and exact rows are those that the channel has anyway. It is
//! approximate, so it is built only for catalogues where a scan of all rows costs much more
//! (`docs/vector-search.md`), and what it finds is scored exactly afterwards.

use foretaste_core::{Error, ItemIdx, Matrix, Progress, Result};
use serde::{Deserialize, Serialize};

use super::meter::Meter;
use super::vectors::{ByteRows, VectorIndex};
use crate::format::{Column, SectionReader, SectionWriter};
use crate::kernels::select::BLOCK;
use crate::kernels::{ByteQuery, dot_i8, padded_len};

mod build;
mod pool;
mod walk;

pub(crate) use walk::WalkScratch;

use walk::{Layer, NONE, Target};

/// Which channels of vectors get a graph, and how it is built.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GraphConfig {
    /// Whether there is one at all.
    pub build: GraphChoice,
    /// With `auto`: bytes of vectors (items x dimensions, dimensions up to the next multiple of
    /// 64) from which a graph is built; below, a scan of all rows is about as fast and exact.
    pub from_bytes: usize,
    /// Links that a new item chooses, M; an item keeps up to twice as many. 2 to 64.
    pub links: usize,
    /// Items that are kept in the search for a new item's neighbours, efConstruction.
    pub ef_construction: usize,
    /// Seed of the order in which items enter.
    #[serde(skip)]
    pub seed: u64,
}

/// Which vectors get a graph.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GraphChoice {
    /// Those of catalogues that are large enough.
    #[default]
    Auto,
    /// All, however few.
    Always,
    /// None: every search is a scan, and exact.
    Never,
}

impl Default for GraphConfig {
    fn default() -> Self {
        Self {
            build: GraphChoice::Auto,
            from_bytes: 32 << 20,
            links: 24,
            ef_construction: 200,
            seed: 1,
        }
    }
}

/// Most links that an item chooses.
const MAX_LINKS: usize = 64;

impl GraphConfig {
    /// Checks the settings.
    ///
    /// # Errors
    /// `Invalid`, naming the setting.
    pub fn check(&self) -> Result<()> {
        if !(2..=MAX_LINKS).contains(&self.links) {
            let text = format!("graph: links are {}, expected 2..={MAX_LINKS}", self.links);
            return Err(Error::invalid(text));
        }
        match self.ef_construction {
            1..=10_000 => Ok(()),
            other => Err(Error::invalid(format!(
                "graph: ef_construction is {other}, expected 1..=10000"
            ))),
        }
    }

    /// Whether these vectors get a graph.
    pub(crate) fn wants(&self, items: &Matrix) -> bool {
        let bytes = items.n_rows * padded_len(items.n_cols);
        let wanted = match self.build {
            GraphChoice::Auto => bytes >= self.from_bytes,
            GraphChoice::Always => true,
            GraphChoice::Never => false,
        };
        wanted && items.n_rows > 1
    }
}

/// Most items of the sample that a search begins with.
const SAMPLE: usize = 1024;
/// Items of the sample from which a walk sets out.
const STARTS: usize = 32;

/// A graph of an opened bundle.
#[derive(Debug)]
pub(crate) struct Graph {
    /// Places for links of each item.
    stride: usize,
    links: Column<u32>,
    /// Items taken at random.
    sample: Column<u32>,
    /// The sample's rows side by side, and the sums of their bytes.
    sample_rows: Vec<i8>,
    sample_sums: Vec<i32>,
}

impl Graph {
    /// Builds and writes the graph of these vectors.
    ///
    /// # Cost
    /// About 0.2 ms of one core per item of 64 dimensions, on all threads of the rayon pool.
    pub(crate) fn write(
        out: &mut SectionWriter,
        items: &Matrix,
        (config, progress): (&GraphConfig, &dyn Progress),
    ) -> Result<()> {
        let rows = ByteRows::of(items);
        progress.start("graph", Some(items.n_rows as u64), "items");
        let (mut order, links) = build::build(&rows.bytes, rows.padded, (config, progress));
        progress.finish();
        order.truncate(SAMPLE);
        out.put(&[2 * config.links as u64, config.ef_construction as u64, config.seed])?;
        out.put(&order)?;
        out.put(&links)
    }

    pub(crate) fn read(mut input: SectionReader, vectors: &VectorIndex) -> Result<Self> {
        let settings: Column<u64> = input.take()?;
        let (sample, links): (Column<u32>, Column<u32>) = (input.take()?, input.take()?);
        let bad = |text: &str| Err(Error::corrupt(format!("{}: {text}", input.name())));
        let stride = match settings.get() {
            &[stride, _, _] if (4..=2 * MAX_LINKS as u64).contains(&stride) => stride as usize,
            _ => return bad("impossible settings"),
        };
        let (n, padded) = (vectors.n_items(), padded_len(vectors.dims()));
        let is_item = |item: &u32| (*item as usize) < n;
        let in_sample = sample.get();
        if !(1..=SAMPLE).contains(&in_sample.len()) || !in_sample.iter().all(is_item) {
            return bad("the sample holds what is no item");
        }
        if links.get().len() != n * stride {
            return bad("links do not match the number of items");
        }
        if !links.get().iter().all(|link| *link == NONE || is_item(link)) {
            return bad("a link leads to what is no item");
        }
        let row = |&item: &u32| &vectors.bytes()[item as usize * padded..][..padded];
        let sample_rows: Vec<i8> = in_sample.iter().flat_map(row).copied().collect();
        let sum = |row: &[i8]| row.iter().map(|&b| i32::from(b)).sum();
        let sample_sums = sample_rows.chunks_exact(padded).map(sum).collect();
        input.finish()?;
        Ok(Self { stride, links, sample, sample_rows, sample_sums })
    }

    /// The best `most` items by bytes (`ef` if that is more) of those that a walk of breadth `ef`
    /// scores, in any order. It sets out from the best of a sample: a user with several interests
    /// is between them, and from one start the walk would end in one of them.
    ///
    /// # Cost
    /// The rows of the sample, and about five rows for each of `ef`.
    pub(crate) fn search<'a>(
        &self,
        rows: &[i8],
        query: ByteQuery<'_>,
        (ef, most): (usize, usize),
        (scratch, meter): (&'a mut WalkScratch, &mut Meter),
    ) -> impl Iterator<Item = (ItemIdx, i32)> + use<'a> {
        let padded = query.len();
        let score = |_: u32, product: i32| product;
        let mut starts = [NONE; STARTS];
        self.starts(query, scratch, &mut starts);
        let target = Target { bytes: rows, padded, query };
        scratch.begin(rows.len() / padded, ef, most);
        if meter.spend(self.sample_rows.len() / 4) {
            scratch.offer(&starts, target, score);
        }
        let layer = Layer { links: self.links.get(), stride: self.stride };
        // Rows that are read one by one take four times as long.
        scratch.walk(layer, target, score, |n_rows| meter.spend(n_rows * padded));
        scratch.pool.kept()
    }

    /// The best of the sample.
    fn starts(&self, query: ByteQuery<'_>, scratch: &mut WalkScratch, starts: &mut [u32]) {
        let members = self.sample.get();
        scratch.pool.reset(1, starts.len());
        let rows = self.sample_rows.chunks(BLOCK * query.len());
        for ((rows, sums), members) in
            rows.zip(self.sample_sums.chunks(BLOCK)).zip(members.chunks(BLOCK))
        {
            let mut products = [0; BLOCK];
            dot_i8(query.bytes(), rows, sums, &mut products[..sums.len()]);
            scratch.pool.offer(members, &products[..sums.len()]);
        }
        starts.iter_mut().zip(scratch.pool.kept()).for_each(|(start, (item, _))| *start = item);
    }

    /// Bytes of the graph without the rows that searches read anyway.
    pub(crate) fn size_bytes(&self) -> usize {
        self.sample_rows.len() + 4 * (2 * self.sample.get().len() + self.links.get().len())
    }
}
