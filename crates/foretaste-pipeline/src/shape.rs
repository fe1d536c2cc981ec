//! The bridge from ranked candidates to [`crate::diversify`]: which candidates compete, what they
//! are alike in, and which caps and quotas apply to them.

use foretaste_bundle::ItemTable;
use foretaste_core::ItemIdx;

use crate::candidates::NOT_PROPOSED;
use crate::diversify::{self, Cap, CapConfig, Choice, Quota, Shape};
use crate::likeness::Likeness;
use crate::merge::Ranked;
use crate::run::{Ranking, Request, Scratch};

/// A channel's best proposals count as its members for a quota (see
/// [`crate::scene::ChannelConfig::quota`]): this many times k of them.
const MEMBERS_PER_K: usize = 4;

/// Candidates that must come in order.
pub(crate) fn pool_size(request: &Request<'_>) -> usize {
    let diversity = &request.scene.config().diversity;
    if diversity.is_off() { request.k } else { request.k * diversity.pool }
}

/// The candidates that compete for the slate, best first: the best of all, and the best members
/// of each channel with a quota.
pub(crate) fn pool(request: &Request<'_>, ranking: &Ranking<'_>, scratch: &Scratch) -> Vec<Ranked> {
    let order = &ranking.merged.order;
    let (head, tail) = order.split_at(pool_size(request).min(order.len()));
    let mut pool = head.to_vec();
    for (c, channel) in ranking.plan.iter().enumerate().filter(|(_, ch)| ch.quota > 0) {
        let ranks = &scratch.candidates.ranks[c];
        let member = |r: &&Ranked| r.row.is_some_and(|row| is_member(request, ranks[row]));
        let mut members: Vec<&Ranked> = tail.iter().filter(member).collect();
        members.sort_unstable_by_key(|r| r.row.map(|row| ranks[row]));
        pool.extend(members.into_iter().take(channel.quota).copied());
    }
    let by_rank = |a: &Ranked, b: &Ranked| {
        let fills_last = a.row.is_none().cmp(&b.row.is_none());
        fills_last.then(foretaste_core::topk::by_rank(&(a.item, a.score), &(b.item, b.score)))
    };
    if pool.len() > head.len() {
        pool.sort_by(by_rank);
        pool.dedup_by_key(|r| r.item);
    }
    pool
}

fn is_member(request: &Request<'_>, rank: u32) -> bool {
    rank != NOT_PROPOSED && (rank as usize) < MEMBERS_PER_K * request.k
}

/// Chooses the slate from the pool.
pub(crate) fn choose(
    request: &Request<'_>,
    ranking: &Ranking<'_>,
    pool: &[Ranked],
    scratch: &mut Scratch,
) -> Choice {
    let diversity = &request.scene.config().diversity;
    let quotas = quotas(request, ranking, pool, scratch);
    if diversity.is_off() && quotas.is_empty() {
        return Choice { picks: (0..request.k.min(pool.len())).collect(), ..Choice::default() };
    }
    let items = request.snapshot.bundle.items();
    let caps: Vec<Cap> = diversity.caps.iter().map(|cap| bind_cap(cap, items, pool)).collect();
    let relevance: Vec<f32> = pool.iter().map(|r| r.score).collect();
    let wanted = diversity.mmr_lambda < 1.0;
    let mut likeness = Likeness::new(request.snapshot, diversity.similarity, pool, wanted);
    let shape = Shape {
        relevance: &relevance,
        // Where nothing is like anything, relevance alone gives the same order at less cost.
        lambda: if likeness.is_nowhere() { 1.0 } else { diversity.mmr_lambda },
        caps: &caps,
        quotas: &quotas,
        k: request.k,
    };
    diversify::diversify(&shape, &mut |a, b| likeness.of(a, b, scratch))
}

/// The quotas of the plan in its order, absent when no channel has one.
fn quotas(
    request: &Request<'_>,
    ranking: &Ranking<'_>,
    pool: &[Ranked],
    scratch: &Scratch,
) -> Vec<Quota> {
    let with_quota = ranking.plan.iter().enumerate().filter(|(_, channel)| channel.quota > 0);
    let bind = |(c, channel): (usize, &crate::plan::Planned<'_>)| {
        let ranks = &scratch.candidates.ranks[c];
        let member = |r: &Ranked| r.row.is_some_and(|row| is_member(request, ranks[row]));
        Quota { at_least: channel.quota, members: pool.iter().map(member).collect() }
    };
    with_quota.map(bind).collect()
}

fn bind_cap(cap: &CapConfig, items: &ItemTable, pool: &[Ranked]) -> Cap {
    let codes = pool.iter().map(|r| codes(&cap.attribute, items, r.item)).collect();
    Cap { at_most: cap.at_most, window: cap.window, codes }
}

/// The item's values of an attribute that caps may name.
fn codes(attribute: &str, items: &ItemTable, item: ItemIdx) -> Vec<u32> {
    match attribute {
        "category" => items.categories(item).to_vec(),
        "leaf_category" => items.categories(item).last().copied().into_iter().collect(),
        "tag" => items.tags(item).to_vec(),
        key => {
            let is_of = |code: &&u32| {
                let rest = items.attribute_vocabulary().name(**code).strip_prefix(key);
                rest.is_some_and(|rest| rest.starts_with('='))
            };
            items.attributes(item).iter().filter(is_of).copied().collect()
        }
    }
}
