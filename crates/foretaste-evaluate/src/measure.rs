//! Measuring any way to rank: a list per user in, [`Quality`] out.
//!
//! Users are taken in fixed chunks whose sums are joined in order, so the figures do not depend on
//! the number of threads. Ranking itself is the caller's function.

use std::sync::atomic::{AtomicU32, Ordering};

use foretaste_core::{ItemIdx, Progress, UserIdx, metrics};
use rayon::prelude::{IntoParallelRefIterator, ParallelIterator, ParallelSlice};

use crate::facts::ItemFacts;
use crate::held_out::HeldOut;
use crate::quality::{AtK, Bucket, Moments, Quality};

/// Users per chunk of work.
const CHUNK: usize = 256;
/// Upper ends of the levels of activity, in items of the user's past.
const LEVELS: [(usize, &str); 7] = [
    (0, "0"),
    (4, "1-4"),
    (9, "5-9"),
    (19, "10-19"),
    (49, "20-49"),
    (99, "50-99"),
    (usize::MAX, "100+"),
];
const ACCURACIES: usize = 6;

/// Whom to measure and how.
pub struct Measure<'a> {
    /// Facts about the items.
    pub facts: &'a ItemFacts,
    /// What is looked for.
    pub held_out: &'a HeldOut,
    /// The users to rank for.
    pub users: &'a [UserIdx],
    /// The past of a user, items ascending.
    pub history: Box<dyn Fn(UserIdx) -> &'a [ItemIdx] + Sync + 'a>,
    /// Cuts, ascending; lists must be as long as the last.
    pub ks: &'a [usize],
    /// The cut of all figures that have only one.
    pub main_k: usize,
}

impl Measure<'_> {
    /// Ranks for every user with `rank(scratch, user, list)` (best first) and sums up.
    pub fn run<S>(
        &self,
        scratch: impl Fn() -> S + Sync,
        rank: impl Fn(&mut S, UserIdx, &mut Vec<ItemIdx>) + Sync,
        progress: &dyn Progress,
    ) -> Quality {
        let exposure: Vec<AtomicU32> =
            (0..self.facts.n_items()).map(|_| AtomicU32::new(0)).collect();
        let chunk = |users: &[UserIdx]| {
            let (mut tally, mut state, mut list) =
                (Tally::new(self.ks.len()), scratch(), Vec::new());
            for &user in users {
                list.clear();
                rank(&mut state, user, &mut list);
                self.judge(user, &list, &mut tally);
                let shown = list.iter().take(self.main_k);
                shown.for_each(|&i| {
                    exposure[i as usize].fetch_add(1, Ordering::Relaxed);
                });
            }
            progress.advance(users.len() as u64);
            tally
        };
        let tallies: Vec<Tally> = self.users.par_chunks(CHUNK).map(chunk).collect();
        let mut total = Tally::new(self.ks.len());
        tallies.iter().for_each(|t| total.add(t));
        let counts: Vec<u64> =
            exposure.par_iter().map(|c| c.load(Ordering::Relaxed).into()).collect();
        self.sum_up(&total, &counts)
    }

    fn judge(&self, user: UserIdx, list: &[ItemIdx], tally: &mut Tally) {
        let (relevant, history) = (self.held_out.of(user), (self.history)(user));
        for (k, moments) in self.ks.iter().zip(&mut tally.accuracy) {
            let values = accuracies(list, relevant, *k);
            moments.iter_mut().zip(values).for_each(|(m, v)| m.push(v));
        }
        let shown = &list[..list.len().min(self.main_k)];
        tally.short_lists += u64::from(shown.len() < self.main_k);
        tally.diversity.push_some(self.facts.diversity(shown));
        tally.novelty.push_some(self.facts.mean_surprise(shown));
        tally.popularity.push_some(self.facts.mean_percentile(shown));
        tally.history_popularity.push_some(self.facts.mean_percentile(history));
        let level = LEVELS.iter().position(|&(end, _)| history.len() <= end);
        let bucket = &mut tally.buckets[level.expect("the last level has no end")];
        bucket[0].push(metrics::recall(list, relevant, self.main_k));
        bucket[1].push(metrics::ndcg(list, relevant, self.main_k));
    }

    fn sum_up(&self, total: &Tally, exposure: &[u64]) -> Quality {
        let at = self.ks.iter().zip(&total.accuracy).map(|(&k, moments)| at_k(k, moments));
        let buckets = LEVELS.iter().zip(&total.buckets).map(|(&(_, label), [recall, ndcg])| {
            let (recall, ndcg) = (recall.estimate(), ndcg.estimate());
            Bucket { label: label.to_owned(), recall, ndcg }
        });
        let shown = exposure.iter().filter(|&&c| c > 0).count();
        let diversity = total.diversity.estimate();
        Quality {
            at: at.collect(),
            main_k: self.main_k,
            coverage: shown as f64 / exposure.len().max(1) as f64,
            exposure_gini: metrics::gini(exposure),
            diversity: (diversity.n > 0).then_some(diversity),
            novelty: total.novelty.estimate(),
            popularity: total.popularity.estimate(),
            history_popularity: total.history_popularity.estimate(),
            buckets: buckets.filter(|b| b.recall.n > 0).collect(),
            short_lists: total.short_lists,
        }
    }
}

fn accuracies(list: &[ItemIdx], relevant: &[ItemIdx], k: usize) -> [f64; ACCURACIES] {
    [
        metrics::recall(list, relevant, k),
        metrics::precision(list, relevant, k),
        metrics::ndcg(list, relevant, k),
        metrics::reciprocal_rank(list, relevant, k),
        metrics::average_precision(list, relevant, k),
        metrics::hit_rate(list, relevant, k),
    ]
}

fn at_k(k: usize, moments: &[Moments; ACCURACIES]) -> AtK {
    let [recall, precision, ndcg, mrr, map, hit_rate] = moments.map(|m| m.estimate());
    AtK { k, recall, precision, ndcg, mrr, map, hit_rate }
}

/// Sums over some users.
struct Tally {
    accuracy: Vec<[Moments; ACCURACIES]>,
    diversity: Moments,
    novelty: Moments,
    popularity: Moments,
    history_popularity: Moments,
    buckets: [[Moments; 2]; LEVELS.len()],
    short_lists: u64,
}

impl Tally {
    fn new(n_cuts: usize) -> Self {
        let none = Moments::default();
        Self {
            accuracy: vec![[none; ACCURACIES]; n_cuts],
            diversity: none,
            novelty: none,
            popularity: none,
            history_popularity: none,
            buckets: [[none; 2]; LEVELS.len()],
            short_lists: 0,
        }
    }

    fn add(&mut self, other: &Self) {
        let pairs = self.accuracy.iter_mut().flatten().zip(other.accuracy.iter().flatten());
        pairs.for_each(|(mine, theirs)| mine.add(theirs));
        let buckets = self.buckets.iter_mut().flatten().zip(other.buckets.iter().flatten());
        buckets.for_each(|(mine, theirs)| mine.add(theirs));
        self.diversity.add(&other.diversity);
        self.novelty.add(&other.novelty);
        self.popularity.add(&other.popularity);
        self.history_popularity.add(&other.history_popularity);
        self.short_lists += other.short_lists;
    }
}

#[cfg(test)]
mod tests;
