//! Why an item is in a slate, said only when it is true: channels with their shares of the score,
//! items of the user's past that led to it, and a note about the item itself.

use foretaste_core::ItemIdx;
use foretaste_core::topk::by_rank;

use crate::candidates::{Candidates, NOT_PROPOSED, Scored};
use crate::merge::Parts;
use crate::outcome::{BuiltIn, ChannelId, ReasonNote};
use crate::plan::Planned;
use crate::run::Request;
use crate::scene::Merge;
use crate::snapshot::TrendWindow;

/// An item counts as new for two weeks after its creation.
pub const NEW_MS: i64 = 14 * 24 * 3600 * 1000;
/// Items of the past that are named per item.
const MOST_BECAUSE: usize = 3;

/// The channels that speak for an item with their shares of the positive parts of its score,
/// largest first. When no part is positive, the channels that proposed it share equally; what
/// popularity added is popularity's.
pub(crate) fn shares(
    request: &Request<'_>,
    plan: &[Planned<'_>],
    scored: Option<&Scored>,
    item: ItemIdx,
) -> Vec<(ChannelId, f32)> {
    let Some(scored) = scored else {
        return vec![(filler(request, item), 1.0)];
    };
    let merge = request.scene.config().merge;
    let part = |(c, channel): (usize, &Planned<'_>)| {
        (channel.id, Parts::of(merge, channel).part(scored.raw[c], scored.ranks[c]))
    };
    let mut parts = Vec::with_capacity(plan.len());
    parts.extend(plan.iter().enumerate().map(part).filter(|&(_, part)| part > 0.0));
    if parts.is_empty() {
        let proposed = |c: &usize| scored.ranks[*c] != NOT_PROPOSED;
        parts.extend((0..plan.len()).filter(proposed).map(|c| (plan[c].id, 1.0)));
    }
    let total: f32 = parts.iter().map(|&(_, part)| part).sum();
    parts.iter_mut().for_each(|(_, part)| *part /= total);
    parts.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    parts
}

/// The channel to name for an item that popularity added.
fn filler(request: &Request<'_>, item: ItemIdx) -> ChannelId {
    let known = request.snapshot.tables.popular.values[item as usize] > 0.0;
    ChannelId::BuiltIn(if known { BuiltIn::Popular } else { BuiltIn::Static })
}

/// The items of the past that led to an item with their shares of the positive parts of its
/// calibrated score, largest first, at most three. Exact for linear channels, where all of them
/// sum to the channel's share; the first-order effect of each item for fold-in.
pub(crate) fn because(
    plan: &[Planned<'_>],
    candidates: &mut Candidates,
    scored: &Scored,
    item: ItemIdx,
) -> Vec<(ItemIdx, f32)> {
    let (mut all, mut found, mut total) = (Vec::new(), Vec::new(), 0.0);
    for (c, channel) in plan.iter().enumerate() {
        let parts = Parts::of(Merge::Calibrated, channel);
        let part = parts.calibrated(scored.raw[c]);
        if part > 0.0 {
            total += part;
            channel.recall.contributions(item, &mut candidates.scratch[c], &mut found);
            all.extend(found.iter().map(|&(from, raw)| (from, parts.calibrated(raw))));
        }
    }
    let mut sums = crate::query::merged(all);
    sums.retain(|&(_, part)| part.is_finite() && part > 0.0);
    sums.sort_unstable_by(by_rank);
    sums.truncate(MOST_BECAUSE);
    sums.iter_mut().for_each(|(_, part)| *part /= total);
    sums
}

/// The most specific true note: trending (shortest window first), new, popular in one of its
/// categories (the last, most specific first), popular.
pub(crate) fn note(request: &Request<'_>, item: ItemIdx) -> Option<ReasonNote> {
    let (snapshot, now_ms) = (request.snapshot, request.query.now_ms);
    let tops = |w: &TrendWindow| {
        let table = snapshot.trends.table(*w);
        table.values[item as usize] >= table.cut
    };
    if let Some(window) = TrendWindow::ALL.into_iter().find(tops) {
        return Some(ReasonNote::Trending(window));
    }
    let items = snapshot.bundle.items();
    let created = items.created_ms(item);
    if created > 0 && (0..=NEW_MS).contains(&(now_ms - created)) {
        return Some(ReasonNote::New);
    }
    let popularity = snapshot.tables.popular.values[item as usize];
    let leads = |code: &&u32| snapshot.tables.is_popular_in(**code, popularity);
    if let Some(&code) = items.categories(item).iter().rev().find(leads) {
        return Some(ReasonNote::PopularInCategory(code));
    }
    (popularity >= snapshot.tables.popular.cut).then_some(ReasonNote::Popular)
}
