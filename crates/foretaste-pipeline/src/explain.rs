//! Why, and why not: everything a request would say about one item, through the very stages that
//! answer it.

use foretaste_bundle::{Meter, Stop};
use foretaste_core::topk::by_rank;
use foretaste_core::{Error, ItemIdx, Result};

use crate::candidates::{NOT_PROPOSED, Scored};
use crate::merge::Parts;
use crate::outcome::{ChannelId, Degraded, Fallback, FilterKind, ReasonNote};
use crate::run::{Ranking, Request, Scratch, rank};
use crate::{Query, Scene, Snapshot, fill, mask, reasons, shape};

/// What a request says about one item.
#[derive(Clone, Debug, PartialEq)]
pub struct Explanation {
    /// The item.
    pub item: ItemIdx,
    /// The first filter that keeps it out of the answer. Scores and ranks are then those that it
    /// would have without the filters.
    pub removed_by: Option<FilterKind>,
    /// Every channel that took part, in order of their names.
    pub channels: Vec<ChannelExplanation>,
    /// Merged score; `None` when it is not finite.
    pub total: Option<f32>,
    /// 1-based place by merged score; `None` when no channel proposed it among its best.
    pub rank: Option<usize>,
    /// 1-based place in the slate, after diversity; `None` when it is not in it.
    pub position: Option<usize>,
    /// Merged score of the lowest-ranked item of the slate: what the item would have to beat.
    pub slate_floor: Option<f32>,
    /// Items of the past that lead to it with their shares of its score, at most 3.
    pub because: Vec<(ItemIdx, f32)>,
    /// Something true about the item that speaks for it.
    pub note: Option<ReasonNote>,
    /// What served instead of the user's past.
    pub fallback: Option<Fallback>,
    /// What could not be done as configured.
    pub degraded: Vec<Degraded>,
}

/// What one channel says about the item.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ChannelExplanation {
    /// The channel.
    pub channel: ChannelId,
    /// Its weight in the scene.
    pub weight: f32,
    /// Its own score; 0 when it knows nothing of the item.
    pub raw: f32,
    /// `weight * raw / scale`: comparable between channels.
    pub calibrated: f32,
    /// Its part in the merged score: the same, or the reciprocal-rank part.
    pub part: f32,
    /// 1-based place among all allowed items by this channel alone; `None` when it would not
    /// propose the item at any length.
    pub rank: Option<usize>,
    /// Whether it was among the channel's proposals.
    pub proposed: bool,
}

/// Explains one item for one request. An item of the slate of [`crate::run()`] with the same
/// arguments gets the slate's score and position.
///
/// # Errors
/// `NotFound` for an index outside the catalogue.
///
/// # Cost
/// That of the request, and one search over the whole catalogue per channel: milliseconds.
pub fn explain(
    snapshot: &Snapshot,
    scene: &Scene,
    query: &Query,
    item: ItemIdx,
    scratch: &mut Scratch,
) -> Result<Explanation> {
    let request = Request::new(snapshot, scene, query);
    let n_items = snapshot.bundle.n_items();
    if item as usize >= n_items {
        return Err(Error::not_found(format!("item index {item} of a catalogue of {n_items}")));
    }
    let removed_by = mask::removed_by(&request, item);
    let work = mask::build(&request, &mut scratch.allowed);
    scratch.allowed.insert(item);
    let mut ranking = rank(&request, work, usize::MAX, scratch);
    fill::fill_up(&request, &mut ranking, scratch);
    let scored = scored(&ranking, item, scratch);
    let at = ranking.merged.order.iter().position(|r| r.item == item);
    // What fills an answer up is there because it is popular, whatever a channel that was cut
    // short would say about it.
    let is_filled = at.is_some() && scratch.candidates.row_of(item).is_none();
    let mut because = Vec::new();
    if !is_filled {
        because = reasons::because(&ranking.plan, &mut scratch.candidates, &scored, item);
    }
    let total = at.map_or_else(
        || total(&request, &ranking, &scored),
        |at| Some(ranking.merged.order[at].score),
    );
    let (position, slate_floor) = in_slate(&request, &ranking, item, scratch);
    Ok(Explanation {
        item,
        removed_by,
        channels: channels(&request, &ranking, &scored, scratch, item),
        total,
        rank: at.map(|at| at + 1),
        position: position.filter(|_| removed_by.is_none()),
        slate_floor,
        because,
        note: reasons::note(&request, item),
        fallback: ranking.fallback,
        degraded: ranking.merged.degraded,
    })
}

/// What each channel says about the item, candidate or not.
fn scored(ranking: &Ranking<'_>, item: ItemIdx, scratch: &Scratch) -> Scored {
    let candidates = &scratch.candidates;
    if let Some(row) = candidates.row_of(item) {
        let mut scored = Scored::default();
        candidates.scored(row, ranking.plan.len(), &mut scored);
        return scored;
    }
    let mut raw = vec![0.0; ranking.plan.len()];
    for (c, channel) in ranking.plan.iter().enumerate() {
        channel.recall.score(&[item], &candidates.scratch[c], &mut raw[c..=c]);
    }
    Scored { ranks: vec![NOT_PROPOSED; raw.len()], raw }
}

/// The merged score of an item that is no candidate.
fn total(request: &Request<'_>, ranking: &Ranking<'_>, scored: &Scored) -> Option<f32> {
    let merge = request.scene.config().merge;
    let said = ranking.plan.iter().zip(&scored.raw).zip(&scored.ranks);
    let total: f32 = said.map(|((c, &raw), &rank)| Parts::of(merge, c).part(raw, rank)).sum();
    total.is_finite().then_some(total)
}

/// The item's place in the slate, and the lowest merged score in the slate.
fn in_slate(
    request: &Request<'_>,
    ranking: &Ranking<'_>,
    item: ItemIdx,
    scratch: &mut Scratch,
) -> (Option<usize>, Option<f32>) {
    let pool = shape::pool(request, ranking, scratch);
    let choice = shape::choose(request, ranking, &pool, scratch);
    let position = choice.picks.iter().position(|&pick| pool[pick].item == item);
    let floor = choice.picks.iter().map(|&pick| pool[pick].score).min_by(f32::total_cmp);
    (position.map(|at| at + 1), floor)
}

fn channels(
    request: &Request<'_>,
    ranking: &Ranking<'_>,
    scored: &Scored,
    scratch: &mut Scratch,
    item: ItemIdx,
) -> Vec<ChannelExplanation> {
    let n_allowed = scratch.allowed.count();
    let mut found = Vec::new();
    let mut said = Vec::with_capacity(ranking.plan.len());
    for (c, channel) in ranking.plan.iter().enumerate() {
        let own = &mut scratch.candidates.scratch[c];
        own.limit(Meter::new(channel.budget, Stop::default()));
        channel.recall.prepare(own);
        channel.recall.search(&scratch.allowed, n_allowed, own, &mut found);
        found.sort_by(by_rank);
        let parts = Parts::of(request.scene.config().merge, channel);
        said.push(ChannelExplanation {
            channel: channel.id,
            weight: channel.weight,
            raw: scored.raw[c],
            calibrated: parts.calibrated(scored.raw[c]),
            part: parts.part(scored.raw[c], scored.ranks[c]),
            rank: found.iter().position(|&(i, _)| i == item).map(|at| at + 1),
            proposed: scored.ranks[c] != NOT_PROPOSED,
        });
    }
    said
}
