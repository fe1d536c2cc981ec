//! How alike the candidates for a slate are: by their labels, or by what a channel of the bundle
//! calls similar.

use foretaste_bundle::ItemTable;
use foretaste_core::{BitSet, ItemIdx};

use crate::diversify::Similarity;
use crate::merge::Ranked;
use crate::run::Scratch;
use crate::snapshot::Snapshot;

/// Similarities within one pool, one row at a time: diversify asks for one candidate against all
/// others before it goes on to the next.
pub(crate) struct Likeness<'a> {
    snapshot: &'a Snapshot,
    similarity: Similarity,
    pool: &'a [Ranked],
    labels: Labels,
    /// Candidates as a set, for channels to search in.
    members: BitSet,
    /// The candidate of `row`.
    current: Option<usize>,
    row: Vec<f32>,
}

impl<'a> Likeness<'a> {
    /// `wanted` is false when no similarity will be asked for.
    pub fn new(
        snapshot: &'a Snapshot,
        similarity: Similarity,
        pool: &'a [Ranked],
        wanted: bool,
    ) -> Self {
        let mut members = BitSet::default();
        if wanted && similarity == Similarity::Channel {
            members.reset_empty(snapshot.bundle.n_items());
            pool.iter().for_each(|r| members.insert(r.item));
        }
        let labelled = if wanted { pool } else { &[] };
        let labels = Labels::of(snapshot.bundle.items(), labelled);
        Self { snapshot, similarity, pool, labels, members, current: None, row: Vec::new() }
    }

    /// Whether no candidate is like another, without asking for each pair.
    pub fn is_nowhere(&self) -> bool {
        self.similarity == Similarity::Labels && self.labels.words.is_empty()
    }

    /// Similarity of two candidates, within 0..=1.
    pub fn of(&mut self, a: usize, b: usize, scratch: &mut Scratch) -> f32 {
        if self.current != Some(a) {
            self.fill_row(a, scratch);
            self.current = Some(a);
        }
        self.row[b]
    }

    fn fill_row(&mut self, a: usize, scratch: &mut Scratch) {
        let item = self.pool[a].item;
        self.row.clear();
        if self.similarity == Similarity::Channel && self.fill_from_channel(item, scratch) {
            return;
        }
        self.row.extend((0..self.pool.len()).map(|b| self.labels.jaccard(a, b)));
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

/// Categories and tags of the candidates as one bit each among those that occur.
#[derive(Default)]
struct Labels {
    words_per_candidate: usize,
    words: Vec<u64>,
    /// Labels of each candidate.
    sizes: Vec<u32>,
}

impl Labels {
    fn of(items: &ItemTable, pool: &[Ranked]) -> Self {
        let n_categories = items.category_vocabulary().len() as u32;
        let codes = |item: ItemIdx| {
            let tags = items.tags(item).iter().map(move |code| code + n_categories);
            items.categories(item).iter().copied().chain(tags)
        };
        let mut known: Vec<u32> = pool.iter().flat_map(|r| codes(r.item)).collect();
        known.sort_unstable();
        known.dedup();
        let words_per_candidate = known.len().div_ceil(64);
        let mut words = vec![0u64; words_per_candidate * pool.len()];
        for (at, ranked) in pool.iter().enumerate() {
            for code in codes(ranked.item) {
                let bit = known.binary_search(&code).expect("collected from the same pool");
                words[at * words_per_candidate + bit / 64] |= 1 << (bit % 64);
            }
        }
        let size = |at: usize| {
            let set = &words[at * words_per_candidate..][..words_per_candidate];
            set.iter().map(|w| w.count_ones()).sum()
        };
        let sizes = (0..pool.len()).map(size).collect();
        Self { words_per_candidate, words, sizes }
    }

    fn set(&self, at: usize) -> &[u64] {
        &self.words[at * self.words_per_candidate..][..self.words_per_candidate]
    }

    /// Shared labels / all labels; 0 without any.
    fn jaccard(&self, a: usize, b: usize) -> f32 {
        let shared = self.set(a).iter().zip(self.set(b)).map(|(x, y)| x & y);
        // Most pairs share nothing, and counting bits costs more than seeing that there are none.
        let both: u32 = shared.filter(|&w| w != 0).map(u64::count_ones).sum();
        if both == 0 { 0.0 } else { both as f32 / (self.sizes[a] + self.sizes[b] - both) as f32 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jaccard_counts_shared_over_all() {
        let words = vec![0b111, 1, 0b110, 3, 0, 0];
        let labels = Labels { words_per_candidate: 2, words, sizes: vec![4, 4, 0] };
        assert_eq!(labels.jaccard(0, 1), 3.0 / 5.0);
        assert_eq!(
            (labels.jaccard(0, 0), labels.jaccard(0, 2), labels.jaccard(2, 2)),
            (1.0, 0.0, 0.0)
        );
    }
}
