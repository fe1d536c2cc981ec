//! Candidates of validation users with every channel's score, and the objective under weights.

use foretaste_core::{ItemIdx, metrics};
use rayon::prelude::{IntoParallelIterator, ParallelIterator};
use serde::{Deserialize, Serialize};

/// A ranking metric to maximise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Objective {
    /// Normalised discounted cumulative gain.
    #[default]
    Ndcg,
    /// Recall.
    Recall,
    /// The mean of both.
    Mean,
}

impl Objective {
    /// The value for a user with `n_relevant` items of which those at `ranks` (0-based, below
    /// `k`) were found.
    fn value(self, ranks: impl Iterator<Item = usize>, n_relevant: usize, k: usize) -> f64 {
        let (found, gain) =
            ranks.fold((0, 0.0), |(n, gain), rank| (n + 1, gain + metrics::discount(rank)));
        let ideal: f64 = (0..k.min(n_relevant)).map(metrics::discount).sum();
        let (ndcg, recall) = (gain / ideal, f64::from(found) / n_relevant as f64);
        match self {
            Self::Ndcg => ndcg,
            Self::Recall => recall,
            Self::Mean => 0.5 * (ndcg + recall),
        }
    }
}

/// Candidates of many users, column by column.
#[derive(Clone, Debug, Default)]
pub struct Pool {
    /// Per channel, the scores of all candidates of all users, divided by the channel's scale
    /// once [`Pool::finish`] has run.
    scores: Vec<Vec<f32>>,
    scales: Vec<f32>,
    users: Vec<User>,
}

#[derive(Clone, Debug)]
struct User {
    from: usize,
    to: usize,
    /// Positions (from `from`) of held-out items among the candidates.
    hits: Vec<u32>,
    n_relevant: usize,
}

impl Pool {
    /// An empty pool for so many channels.
    pub fn new(n_channels: usize) -> Self {
        Self { scores: vec![Vec::new(); n_channels], scales: vec![1.0; n_channels], users: vec![] }
    }

    /// Adds a user: candidates ascending by item, one column of raw scores per channel, and the
    /// held-out items (ascending). Users without held-out items are left out; scores that are not
    /// finite count as 0.
    pub fn push(&mut self, items: &[ItemIdx], columns: &[Vec<f32>], relevant: &[ItemIdx]) {
        if relevant.is_empty() || columns.len() != self.scores.len() {
            return;
        }
        let from = self.scores.first().map_or(0, Vec::len);
        for (all, column) in self.scores.iter_mut().zip(columns) {
            all.extend(column.iter().map(|&v| if v.is_finite() { v } else { 0.0 }));
        }
        let at = |item: &ItemIdx| items.binary_search(item).ok().map(|at| at as u32);
        let hits = relevant.iter().filter_map(at).collect();
        self.users.push(User { from, to: from + items.len(), hits, n_relevant: relevant.len() });
    }

    /// The users at even and at odd places as two pools with the scales of this one: to learn on
    /// one half and to judge on the other.
    pub fn halves(self) -> [Self; 2] {
        let half = |parity: usize| {
            let mut half = Self::new(self.n_channels());
            half.scales.clone_from(&self.scales);
            for user in self.users.iter().skip(parity).step_by(2) {
                let from = half.n_candidates();
                for (mine, all) in half.scores.iter_mut().zip(&self.scores) {
                    mine.extend_from_slice(&all[user.from..user.to]);
                }
                half.users.push(User { from, to: half.n_candidates(), ..user.clone() });
            }
            half
        };
        [half(0), half(1)]
    }

    /// The mean of the objective over users under `weights` (of scaled scores).
    pub fn objective(&self, weights: &[f32], objective: Objective, k: usize) -> f64 {
        let values = self.evaluate(weights, objective, k);
        values.iter().sum::<f64>() / values.len().max(1) as f64
    }

    /// Fixes the scales; call once, after the last user.
    pub fn finish(&mut self) {
        self.scales = self.scores.iter().map(|column| rms(column)).collect();
        for (column, &scale) in self.scores.iter_mut().zip(&self.scales) {
            column.iter_mut().for_each(|v| *v /= scale);
        }
    }

    /// Root mean square of each channel's raw scores (1 for a channel of zeros).
    pub fn scales(&self) -> &[f32] {
        &self.scales
    }

    /// Number of channels.
    pub fn n_channels(&self) -> usize {
        self.scores.len()
    }

    /// Number of users.
    pub fn n_users(&self) -> usize {
        self.users.len()
    }

    /// Number of candidates of all users.
    pub fn n_candidates(&self) -> usize {
        self.scores.first().map_or(0, Vec::len)
    }

    /// The objective of every user under `weights`.
    pub(super) fn evaluate(&self, weights: &[f32], objective: Objective, k: usize) -> Vec<f64> {
        match weights.len() {
            0 => vec![0.0; self.n_users()],
            _ => self.along(weights, 0).evaluate(weights[0], objective, k),
        }
    }

    /// The line of all weights that differ from `weights` in channel `c` only.
    pub(super) fn along(&self, weights: &[f32], c: usize) -> Line<'_> {
        let mut base = vec![0.0; self.n_candidates()];
        let others = weights.iter().enumerate().filter(|&(o, &w)| o != c && w != 0.0);
        for (other, &weight) in others {
            base.iter_mut().zip(&self.scores[other]).for_each(|(b, s)| *b += weight * s);
        }
        Line { pool: self, base, channel: &self.scores[c] }
    }
}

fn rms(values: &[f32]) -> f32 {
    let sum: f64 = values.iter().map(|&v| f64::from(v) * f64::from(v)).sum();
    let rms = (sum / values.len().max(1) as f64).sqrt() as f32;
    if rms > 0.0 && rms.is_finite() { rms } else { 1.0 }
}

/// All channels but one summed up.
pub(super) struct Line<'a> {
    pool: &'a Pool,
    base: Vec<f32>,
    channel: &'a [f32],
}

impl Line<'_> {
    /// The objective of every user with the channel at `weight`.
    pub(super) fn evaluate(&self, weight: f32, objective: Objective, k: usize) -> Vec<f64> {
        let of = |user: &User| {
            let (base, channel) =
                (&self.base[user.from..user.to], &self.channel[user.from..user.to]);
            let merged: Vec<f32> = base.iter().zip(channel).map(|(b, s)| b + weight * s).collect();
            let ranks = user.hits.iter().map(|&hit| rank(&merged, hit as usize));
            objective.value(ranks.filter(|&rank| rank < k), user.n_relevant, k)
        };
        let chunk = |users: &[User]| users.iter().map(of).collect::<Vec<f64>>();
        let chunks: Vec<&[User]> = self.pool.users.chunks(64).collect();
        chunks.into_par_iter().map(chunk).collect::<Vec<_>>().concat()
    }
}

/// Candidates before position `at` in the order of ranking: greater scores, and equal ones with a
/// lower item. Candidates ascend by item.
fn rank(scores: &[f32], at: usize) -> usize {
    let mine = scores[at];
    let before: u32 = scores[..at].iter().map(|&s| u32::from(s >= mine)).sum();
    let after: u32 = scores[at + 1..].iter().map(|&s| u32::from(s > mine)).sum();
    (before + after) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use foretaste_core::Rng;
    use foretaste_core::topk::TopK;

    #[test]
    fn the_objective_equals_that_of_the_ranked_list() {
        let mut rng = Rng::new(3);
        let mut pool = Pool::new(2);
        let mut lists = Vec::new();
        for _ in 0..150 {
            let items: Vec<u32> = (0..200).step_by(2).collect();
            let columns: Vec<Vec<f32>> =
                (0..2).map(|_| (0..100).map(|_| rng.below(30) as f32).collect()).collect();
            let relevant: Vec<u32> = (0..200).filter(|_| rng.below(20) == 0).collect();
            if relevant.is_empty() {
                continue;
            }
            pool.push(&items, &columns, &relevant);
            lists.push((items, columns, relevant));
        }
        let weights = [0.5, 2.0];
        for (objective, metric) in [
            (Objective::Ndcg, metrics::ndcg as fn(&[u32], &[u32], usize) -> f64),
            (Objective::Recall, metrics::recall),
        ] {
            let values = pool.evaluate(&weights, objective, 10);
            for (value, (items, columns, relevant)) in values.iter().zip(&lists) {
                let mut top = TopK::new(10);
                for (at, &item) in items.iter().enumerate() {
                    top.push(item, weights[0] * columns[0][at] + weights[1] * columns[1][at]);
                }
                let ranked: Vec<u32> = top.drain_sorted().map(|(i, _)| i).collect();
                assert!((value - metric(&ranked, relevant, 10)).abs() < 1e-9);
            }
        }
    }

    #[test]
    fn scales_are_root_mean_squares_and_a_silent_channel_is_harmless() {
        let mut pool = Pool::new(2);
        pool.push(&[1, 2], &[vec![3.0, f32::NAN], vec![0.0, 0.0]], &[2]);
        pool.push(&[4], &[vec![3.0], vec![0.0]], &[]);
        pool.finish();
        assert_eq!((pool.n_users(), pool.scales()), (1, &[4.5f32.sqrt(), 1.0][..]));
    }
}
