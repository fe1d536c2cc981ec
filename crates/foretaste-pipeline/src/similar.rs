//! Items like a given one: each model's neighbours as a short list, merged, filled up and shaped
//! like any answer.

use foretaste_bundle::{LoadedChannel, Meter};
use foretaste_core::ItemIdx;

use crate::candidates::Candidates;
use crate::outcome::{BuiltIn, ChannelId, Fallback, FilterKind, Outcome};
use crate::plan::{self, Planned};
use crate::recall::ListRecall;
use crate::run::{Request, Scratch, finish, ranked};
use crate::{Query, Scene, Snapshot, mask, shape};

/// Weight of "popular in the same category": it orders what the models left unsaid, and never
/// competes with them.
const FILL_WEIGHT: f32 = 1e-6;

/// The items most similar to `item`, without itself: each model's neighbours relative to its
/// nearest one, merged with the weights of the scene; where the models know fewer than k, popular
/// items of the same categories, then popular ones. Works for every index; an item that is not in
/// the catalogue has no neighbours.
///
/// # Cost
/// One neighbour search per model.
pub fn similar(
    snapshot: &Snapshot,
    scene: &Scene,
    item: ItemIdx,
    query: &Query,
    scratch: &mut Scratch,
) -> Outcome {
    let request = Request::new(snapshot, scene, query);
    let mut work = mask::build(&request, &mut scratch.allowed);
    if scratch.allowed.remove(item) {
        work.allowed -= 1;
        work.removed.push((FilterKind::Excluded, 1));
    }
    let mut plan = neighbours(&request, item, scratch);
    let found = search(&request, &plan, scratch);
    let mut fallback = None;
    if found < request.k {
        plan.push(same_category(&request, item, scratch));
        fallback = (found == 0).then_some(Fallback::Popular);
        search(&request, &plan, scratch);
    }
    let mut ranking = ranked(&request, (work, plan, fallback), shape::pool_size(&request), scratch);
    ranking.merged.degraded.extend(scratch.watch.ended_early());
    finish(&request, ranking, scratch)
}

fn search(request: &Request<'_>, plan: &[Planned<'_>], scratch: &mut Scratch) -> usize {
    let n = request.proposals();
    let Scratch { candidates, allowed, executor, watch, .. } = scratch;
    Candidates::search(candidates, plan, (allowed, n), (executor, watch))
}

/// The neighbours that each model of the scene knows, in order of the models' names.
fn neighbours<'a>(request: &Request<'a>, item: ItemIdx, scratch: &mut Scratch) -> Vec<Planned<'a>> {
    let n = request.proposals();
    let known = (item as usize) < request.snapshot.bundle.n_items();
    let Scratch { watch, allowed, similar, .. } = scratch;
    watch.begin();
    let mut found = Vec::new();
    let models = plan::models(request).into_iter().filter(|_| known);
    let list = |(id, weight, model): (ChannelId, f32, &'a LoadedChannel)| {
        if watch.stop.is_set() {
            watch.note(id, true);
            return None;
        }
        found.clear();
        watch.limit_one(plan::work_budget(request, model), similar);
        model.similar(item, allowed, n, similar, &mut found);
        watch.account_one(id, similar, &mut found);
        let recall = Box::new(ListRecall::new(found.clone()));
        Some(Planned { id, weight, quota: 0, budget: 0, recall })
    };
    let planned = models.filter_map(list).collect();
    similar.limit(Meter::default());
    planned
}

/// The most popular items that share a category with `item`.
fn same_category<'a>(request: &Request<'a>, item: ItemIdx, scratch: &Scratch) -> Planned<'a> {
    let (items, tables) = (request.snapshot.bundle.items(), &request.snapshot.tables);
    let known = (item as usize) < request.snapshot.bundle.n_items();
    let categories = if known { items.categories(item) } else { &[] };
    let alike = |i: &&ItemIdx| {
        scratch.allowed.contains(**i)
            && items.categories(**i).iter().any(|c| categories.contains(c))
    };
    let best = tables.by_popularity.iter().filter(alike).take(request.k);
    let scored = best.map(|&i| (i, tables.popular.scores[i as usize]));
    let recall = Box::new(ListRecall::new(scored.collect()));
    let id = ChannelId::BuiltIn(BuiltIn::Popular);
    Planned { id, weight: FILL_WEIGHT, quota: 0, budget: 0, recall }
}
