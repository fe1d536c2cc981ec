//! The guarantee of n: when the channels rank fewer items than are wanted, the most popular of
//! the other allowed items fill up the end, so that min(k, allowed) items are always answered.

use foretaste_core::ItemIdx;

use crate::merge::Ranked;
use crate::run::{Ranking, Request, Scratch};

/// Appends the most popular allowed items that no channel ranked, up to `request.k` in all. Their
/// score is not above that of any ranked item.
///
/// # Cost
/// Nothing when the channels found enough; else a walk down the order of popularity.
pub(crate) fn fill_up(request: &Request<'_>, ranking: &mut Ranking<'_>, scratch: &Scratch) {
    let ranked = &mut ranking.merged.order;
    let missing = request.k.saturating_sub(ranked.len());
    if missing == 0 {
        return;
    }
    let score = ranked.last().map_or(0.0, |worst| worst.score.min(0.0));
    let mut taken: Vec<ItemIdx> = ranked.iter().map(|r| r.item).collect();
    taken.sort_unstable();
    let free =
        |item: &&ItemIdx| scratch.allowed.contains(**item) && taken.binary_search(item).is_err();
    let fills = request.snapshot.tables.by_popularity.iter().filter(free).take(missing);
    ranked.extend(fills.map(|&item| Ranked { item, row: None, score }));
    let fills = &ranked[taken.len()..];
    let unrankable = fills.iter().filter(|r| scratch.candidates.members.contains(r.item)).count();
    ranking.work.unrankable -= unrankable;
    ranking.work.filled = fills.len();
}
