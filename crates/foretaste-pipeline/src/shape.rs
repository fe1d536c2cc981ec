//! The bridge from ranked candidates to [`crate::diversify`]: which candidates compete, what they
//! are alike in, and which caps and quotas apply to them.

use foretaste_bundle::ItemTable;
use foretaste_core::{BitSet, ItemIdx};

use crate::candidates::NOT_PROPOSED;
use crate::diversify::{self, Cap, CapConfig, Choice, Quota, Shape, Similarity};
use crate::merge::Ranked;
use crate::run::{Ranking, Request, Scratch};
use crate::snapshot::Snapshot;

/// How many times its quota a channel's best proposals count as its members (see
/// [`crate::scene::ChannelConfig::quota`]): times k.
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
    let shape = Shape {
        relevance: &relevance,
        lambda: diversity.mmr_lambda,
        caps: &caps,
        quotas: &quotas,
        k: request.k,
    };
    let mut likeness = Likeness::new(request.snapshot, diversity.similarity, pool);
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

/// How alike two candidates are, one row at a time: diversify asks for one candidate against all
/// others before it goes on to the next.
struct Likeness<'a> {
    snapshot: &'a Snapshot,
    similarity: Similarity,
    pool: &'a [Ranked],
    /// Candidates as a set, for channels to search in.
    members: BitSet,
    /// The candidate of `row`.
    current: Option<usize>,
    row: Vec<f32>,
}

impl<'a> Likeness<'a> {
    fn new(snapshot: &'a Snapshot, similarity: Similarity, pool: &'a [Ranked]) -> Self {
        let mut members = BitSet::default();
        if similarity == Similarity::Channel {
            members.reset_empty(snapshot.bundle.n_items());
            pool.iter().for_each(|r| members.insert(r.item));
        }
        Self { snapshot, similarity, pool, members, current: None, row: Vec::new() }
    }

    fn of(&mut self, a: usize, b: usize, scratch: &mut Scratch) -> f32 {
        if self.current != Some(a) {
            self.fill_row(a, scratch);
            self.current = Some(a);
        }
        self.row[b]
    }

    fn fill_row(&mut self, a: usize, scratch: &mut Scratch) {
        let items = self.snapshot.bundle.items();
        let item = self.pool[a].item;
        self.row.clear();
        if self.similarity == Similarity::Channel && self.fill_from_channel(item, scratch) {
            return;
        }
        self.row.extend(self.pool.iter().map(|r| label_similarity(items, item, r.item)));
    }

    /// False when there is no channel, or it knows no neighbour among the candidates.
    fn fill_from_channel(&mut self, item: ItemIdx, scratch: &mut Scratch) -> bool {
        let Some(channel) = self.snapshot.strongest_model() else { return false };
        let mut found = Vec::new();
        channel.similar(item, &self.members, self.pool.len(), &mut scratch.similar, &mut found);
        let best = found.iter().filter(|&&(i, _)| i != item).map(|&(_, s)| s).fold(0.0, f32::max);
        if best <= 0.0 {
            return false;
        }
        found.sort_unstable_by_key(|&(i, _)| i);
        let of = |r: &Ranked| {
            let at = found.binary_search_by_key(&r.item, |&(i, _)| i);
            at.map_or(0.0, |at| (found[at].1 / best).clamp(0.0, 1.0))
        };
        self.row.extend(self.pool.iter().map(of));
        true
    }
}

/// Jaccard index of the categories and tags of two items; 0 without any.
fn label_similarity(items: &ItemTable, a: ItemIdx, b: ItemIdx) -> f32 {
    let shared = |x: &[u32], y: &[u32]| x.iter().filter(|code| y.contains(code)).count();
    let pairs = [(items.categories(a), items.categories(b)), (items.tags(a), items.tags(b))];
    let both: usize = pairs.iter().map(|(x, y)| shared(x, y)).sum();
    let all: usize = pairs.iter().map(|(x, y)| x.len() + y.len()).sum::<usize>() - both;
    if both == 0 { 0.0 } else { both as f32 / all as f32 }
}
