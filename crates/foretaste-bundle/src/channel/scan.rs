//! One scan of all vectors that several threads share, range by range.
//!
//! The best of each range are the only ones that can be among the best of all, and the order of
//! results is total: the answer is that of one thread, bit for bit.

use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use foretaste_core::topk::TopK;
use foretaste_core::{BitSet, ItemIdx};

use super::ChannelScratch;
use super::meter::{Meter, Stop};
use super::vectors::{VectorIndex, by_bytes, quantise};

/// A scan for the best `n` allowed items of a prepared user.
pub struct Scan<'a> {
    vectors: &'a VectorIndex,
    allowed: &'a BitSet,
    n: usize,
    query: &'a [f32],
    bytes: &'a [i8],
    /// What there is to scan, and what says when it is over.
    n_blocks: usize,
    stop: Stop,
    gathered: Mutex<Gathered<'a>>,
}

struct Gathered<'a> {
    top: &'a mut TopK,
    found: &'a mut Vec<u32>,
    exact: &'a mut Vec<f32>,
    meter: &'a mut Meter,
}

impl<'a> Scan<'a> {
    /// `None` when the user's vector finds nothing.
    pub(super) fn new(
        vectors: &'a VectorIndex,
        (allowed, n): (&'a BitSet, usize),
        scratch: &'a mut ChannelScratch,
    ) -> Option<Self> {
        let ChannelScratch { query, query_i8, top, found, exact, meter, .. } = scratch;
        quantise(query, query_i8).then(|| {
            top.reset(by_bytes(n));
            let n_blocks = vectors.affordable(meter);
            let stop = meter.sign();
            let gathered = Mutex::new(Gathered { top, found, exact, meter });
            Self { vectors, allowed, n, query, bytes: query_i8, n_blocks, stop, gathered }
        })
    }

    /// The items, in at most `n_ranges` ranges of about equal length.
    pub fn ranges(&self, n_ranges: usize) -> impl Iterator<Item = Range<usize>> + use<> {
        let n_blocks = self.n_blocks;
        let step = n_blocks.div_ceil(n_ranges.max(1)).max(1);
        (0..n_blocks).step_by(step).map(move |first| first..n_blocks.min(first + step))
    }

    /// Scans one of the ranges, each of which must be scanned once.
    ///
    /// # Cost
    /// One int8 pass over the range's allowed rows; one allocation for its best.
    pub fn run(&self, range: Range<usize>) {
        let mut best = TopK::new(by_bytes(self.n));
        // A budget that is used up has bounded the ranges; only the sign is looked at here.
        let to = (self.bytes, &mut best);
        let stopped = self.vectors.scan_until(range, self.allowed, to, || self.stop.is_set());
        let mut gathered = self.gathered.lock().unwrap_or_else(PoisonError::into_inner);
        best.drain_unordered().for_each(|(item, score)| gathered.top.push(item, score));
        if stopped {
            gathered.meter.is_stopped();
        }
    }

    /// Writes what [`super::LoadedChannel::search`] would have found, once all ranges are scanned.
    pub fn finish(&self, out: &mut Vec<(ItemIdx, f32)>) {
        out.clear();
        let mut gathered = self.gathered.lock().unwrap_or_else(PoisonError::into_inner);
        let Gathered { top, found, exact, .. } = &mut *gathered;
        self.vectors.rescore(self.n, self.query, (top, found, exact), out);
    }
}
