//! One request from recall to slate.

use std::time::{Duration, Instant};

use foretaste_bundle::{ChannelScratch, Stop};
use foretaste_core::{BitSet, ItemIdx, Limits};

use crate::batch::{Ahead, Together};
use crate::candidates::Candidates;
use crate::diversify::Choice;
use crate::executor::Executor;
use crate::merge::{Merged, Ranked};
use crate::outcome::{Fallback, Outcome, StageWork};
use crate::plan::{self, Asked, Planned};
use crate::stop::Watch;
use crate::{Query, Scene, Snapshot, fallback, fill, mask, merge, respond, shape};

/// Proposals of a channel for each item of the answer, at least.
const PROPOSALS_PER_ITEM: usize = 2;

/// Memory that requests reuse, one per worker thread. It carries nothing from one request to the
/// next: the same request with a fresh scratch gives the same answer.
#[derive(Default)]
pub struct Scratch {
    pub(crate) allowed: BitSet,
    pub(crate) candidates: Candidates,
    pub(crate) similar: ChannelScratch,
    pub(crate) executor: Executor,
    pub(crate) watch: Watch,
    pub(crate) together: Together,
    recall_time: Duration,
}

impl Scratch {
    /// Lets further requests with this scratch be helped by `executor`; answers do not change.
    pub fn set_executor(&mut self, executor: Executor) {
        self.executor = executor;
    }

    /// Lets further requests with this scratch be stopped: models that have not ended their search
    /// when the sign is set take no part, and the answer names them as late.
    pub fn set_stop(&mut self, stop: Stop) {
        self.watch.stop = stop;
    }

    /// How long the channels of the last request searched, planning and fallbacks included.
    pub fn recall_time(&self) -> Duration {
        self.recall_time
    }
}

/// The three inputs of a request, and the number of items that it wants.
#[derive(Clone, Copy)]
pub(crate) struct Request<'a> {
    pub snapshot: &'a Snapshot,
    pub scene: &'a Scene,
    pub query: &'a Query,
    pub k: usize,
    /// What was found out for many requests together.
    pub ahead: &'a [Ahead<'a>],
    /// The usable past, where it is known.
    pub past: Option<&'a Asked>,
}

impl<'a> Request<'a> {
    pub fn new(snapshot: &'a Snapshot, scene: &'a Scene, query: &'a Query) -> Self {
        let wanted = if query.k == 0 { scene.config().k } else { query.k };
        Self { snapshot, scene, query, k: wanted.min(Limits::DEFAULT.k), ahead: &[], past: None }
    }

    /// Items that each channel is asked for: never fewer than [`PROPOSALS_PER_ITEM`] for each item
    /// of the answer, nor than compete for the slate.
    pub fn proposals(&self) -> usize {
        let least = (PROPOSALS_PER_ITEM * self.k).max(shape::pool_size(self));
        self.scene.config().candidates.max(least)
    }

    /// The usable past as models are asked with it.
    pub fn usable_past(&self) -> Asked {
        let n_items = self.snapshot.bundle.n_items();
        self.past.map_or_else(|| self.query.usable_history(n_items).into(), Asked::clone)
    }

    /// All that counts as seen; items may repeat.
    pub fn seen(&self) -> impl Iterator<Item = ItemIdx> {
        let past = self.query.history.iter().map(|entry| entry.item);
        past.chain(self.query.session.iter().copied()).chain(self.query.seen.iter().copied())
    }
}

/// What recall and merge made of a request.
pub(crate) struct Ranking<'a> {
    pub work: StageWork,
    /// The channels that took part.
    pub plan: Vec<Planned<'a>>,
    pub fallback: Option<Fallback>,
    pub merged: Merged,
}

/// Answers one request: at most k distinct allowed items, best first, and exactly
/// min(k, allowed) of them.
///
/// # Cost
/// Per channel its search and its scores of all candidates; then O(candidates). Allocates only
/// the outcome and a few small vectors once the scratch has grown.
pub fn run(snapshot: &Snapshot, scene: &Scene, query: &Query, scratch: &mut Scratch) -> Outcome {
    let request = Request::new(snapshot, scene, query);
    let work = mask::build(&request, &mut scratch.allowed);
    answer(&request, work, scratch)
}

/// Answers a request within `scratch.allowed`.
pub(crate) fn answer(request: &Request<'_>, work: StageWork, scratch: &mut Scratch) -> Outcome {
    let ranking = rank(request, work, shape::pool_size(request), scratch);
    finish(request, ranking, scratch)
}

/// The items of [`answer`] alone.
pub(crate) fn items(request: &Request<'_>, work: StageWork, scratch: &mut Scratch) -> Vec<ItemIdx> {
    let mut ranking = rank(request, work, shape::pool_size(request), scratch);
    let (pool, choice) = chosen(request, &mut ranking, scratch);
    choice.picks.iter().map(|&pick| pool[pick].item).collect()
}

/// From what recall and merge made of a request to its answer.
pub(crate) fn finish(
    request: &Request<'_>,
    mut ranking: Ranking<'_>,
    scratch: &mut Scratch,
) -> Outcome {
    let (pool, choice) = chosen(request, &mut ranking, scratch);
    respond::respond(request, ranking, (&pool, choice), scratch)
}

/// What competes for the slate, and what was chosen of it.
fn chosen(
    request: &Request<'_>,
    ranking: &mut Ranking<'_>,
    scratch: &mut Scratch,
) -> (Vec<Ranked>, Choice) {
    fill::fill_up(request, ranking, scratch);
    let pool = shape::pool(request, ranking, scratch);
    let choice = shape::choose(request, ranking, &pool, scratch);
    (pool, choice)
}

/// Recall and merge within `scratch.allowed`; the best `keep` candidates come in order.
pub(crate) fn rank<'a>(
    request: &Request<'a>,
    work: StageWork,
    keep: usize,
    scratch: &mut Scratch,
) -> Ranking<'a> {
    let began = Instant::now();
    let (plan, fallback) = fallback::recall(request, scratch);
    scratch.recall_time = began.elapsed();
    let mut ranking = ranked(request, (work, plan, fallback), keep, scratch);
    ranking.merged.degraded.extend(plan::missing(request));
    ranking.merged.degraded.extend(plan::unanswered(request));
    ranking.merged.degraded.extend(scratch.watch.ended_early());
    ranking
}

/// Scores and merges what a plan has proposed.
pub(crate) fn ranked<'a>(
    request: &Request<'a>,
    (mut work, plan, fallback): (StageWork, Vec<Planned<'a>>, Option<Fallback>),
    keep: usize,
    scratch: &mut Scratch,
) -> Ranking<'a> {
    let candidates = &mut scratch.candidates;
    candidates.score(&plan);
    let merged = merge::merge(&plan, request.scene.config().merge, candidates, keep);
    work.unrankable = merged.unrankable;
    let proposed = plan.iter().zip(&candidates.proposals);
    work.proposed = proposed.map(|(channel, found)| (channel.id, found.len())).collect();
    Ranking { work, plan, fallback, merged }
}
