//! From one score per channel to one score per candidate, and the order that follows.
//!
//! A candidate's score is a sum of parts, one per channel, added in order of the channels' names,
//! so that the order of a configuration changes nothing. A candidate with a part that is not
//! finite cannot be ranked and can never win.

use foretaste_core::{ItemIdx, topk::by_rank};

use crate::candidates::{Candidates, NOT_PROPOSED};
use crate::outcome::Degraded;
use crate::plan::Planned;
use crate::scene::Merge;

/// The constant of reciprocal rank fusion.
///
/// # Source
/// Cormack, Clarke & Büttcher, "Reciprocal rank fusion outperforms Condorcet and individual rank
/// learning methods", SIGIR 2009.
const RRF_K: f32 = 60.0;

/// A rankable candidate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Ranked {
    pub item: ItemIdx,
    /// Row in the candidates' columns; `None` for what popularity added.
    pub row: Option<usize>,
    /// Merged score, finite.
    pub score: f32,
}

/// What the merge made of the candidates.
#[derive(Default)]
pub(crate) struct Merged {
    /// Best first: score descending, item ascending.
    pub order: Vec<Ranked>,
    /// Candidates without a finite score.
    pub unrankable: usize,
    pub degraded: Vec<Degraded>,
}

/// The parts of one channel in the scores of candidates.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Parts {
    merge: Merge,
    weight: f32,
    /// `weight / scale`, 0 for a channel without a scale.
    factor: f32,
}

impl Parts {
    pub fn of(merge: Merge, channel: &Planned<'_>) -> Self {
        let scale = channel.recall.scale();
        let factor = if scale > 0.0 { channel.weight / scale } else { 0.0 };
        Self { merge, weight: channel.weight, factor }
    }

    /// The raw score in units that channels share: `weight * raw / scale`.
    #[inline]
    pub fn calibrated(self, raw: f32) -> f32 {
        raw * self.factor
    }

    /// The part in the merged score. Not finite when `raw` is not.
    #[inline]
    pub fn part(self, raw: f32, rank: u32) -> f32 {
        match self.merge {
            Merge::Calibrated => self.calibrated(raw),
            Merge::Rrf if !raw.is_finite() => f32::NAN,
            Merge::Rrf if rank == NOT_PROPOSED => 0.0,
            Merge::Rrf => self.weight / (RRF_K + 1.0 + rank as f32),
        }
    }
}

/// Merges all columns and orders the best `keep` candidates; the others follow in any order. A
/// channel of which every score is not finite is left out (its column is zeroed) and named.
///
/// # Cost
/// O(channels x candidates + keep log keep).
pub(crate) fn merge(
    plan: &[Planned<'_>],
    merge: Merge,
    candidates: &mut Candidates,
    keep: usize,
) -> Merged {
    let mut merged = Merged::default();
    let mut totals = vec![0.0f32; candidates.items.len()];
    for (c, channel) in plan.iter().enumerate() {
        if silence_failed(&mut candidates.raw[c]) {
            merged.degraded.push(Degraded::ChannelFailed(channel.id));
        }
        let parts = Parts::of(merge, channel);
        let column = candidates.raw[c].iter().zip(&candidates.ranks[c]);
        totals.iter_mut().zip(column).for_each(|(t, (&raw, &rank))| *t += parts.part(raw, rank));
    }
    let rows = candidates.items.iter().zip(&totals).enumerate();
    let finite = rows.filter(|(_, (_, score))| score.is_finite());
    merged.order.extend(finite.map(|(row, (&item, &score))| Ranked {
        item,
        row: Some(row),
        score,
    }));
    merged.unrankable = candidates.items.len() - merged.order.len();
    sort_best(&mut merged.order, keep);
    merged
}

/// Zeroes a column in which nothing is finite, and says whether it did.
fn silence_failed(raw: &mut [f32]) -> bool {
    let failed = !raw.is_empty() && raw.iter().all(|s| !s.is_finite());
    if failed {
        raw.fill(0.0);
    }
    failed
}

/// Puts the best `keep` in order to the front.
fn sort_best(order: &mut [Ranked], keep: usize) {
    let better = |a: &Ranked, b: &Ranked| by_rank(&(a.item, a.score), &(b.item, b.score));
    if keep < order.len() {
        order.select_nth_unstable_by(keep, better);
    }
    let keep = keep.min(order.len());
    order[..keep].sort_unstable_by(better);
}
