//! Learning channel weights from held-out items.
//!
//! Input is a [`Pool`]: for each validation user the candidates with every channel's score, as the
//! pipeline computed them. Each channel is divided by its RMS over the pool; weights are then found
//! by coordinate ascent on a ranking metric over a geometric grid that includes 0. A channel enters
//! only when the held-out items say so by more than chance, and of all weights between the proposed
//! ones and the best ones those are taken that lie nearest to the proposal and are not worse than
//! the best by more than chance. Nothing here is random.

use serde::{Deserialize, Serialize};

pub use pool::{Objective, Pool};

mod pool;
#[cfg(test)]
mod tests;

/// Settings of [`learn`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BlendConfig {
    /// What is maximised.
    pub objective: Objective,
    /// Its cut.
    pub k: usize,
    /// Passes over all channels, at most.
    pub passes: usize,
    /// Standard errors (paired, over users) by which a channel must help to take part.
    pub margin_se: f64,
    /// Share of the objective by which a channel must help to take part.
    pub margin_share: f64,
    /// Standard errors (paired, over users) within which weights nearer to the proposal count as
    /// equally good. Channels of nearly equal worth would else be weighted by noise.
    pub tie_se: f64,
    /// Share of the objective that may be lost that way, at most.
    pub tie_share: f64,
}

impl Default for BlendConfig {
    fn default() -> Self {
        Self {
            objective: Objective::Ndcg,
            k: 20,
            passes: 6,
            margin_se: 1.0,
            margin_share: 0.001,
            tie_se: 2.0,
            tie_share: 0.01,
        }
    }
}

/// What was learned.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Blend {
    /// Weight per channel, in the pool's order; the largest is 1.
    pub weights: Vec<f32>,
    /// Root mean square of each channel's raw scores over the pool, which weights refer to.
    pub scales: Vec<f32>,
    /// The objective of each channel alone.
    pub alone: Vec<f64>,
    /// The objective of the blend.
    pub objective: f64,
    /// Users it was learned from.
    pub n_users: usize,
}

/// First weights tried for a channel that is not in the blend yet: 2^-5 ..= 2^2 in half steps.
fn entry_grid() -> impl Iterator<Item = f32> {
    (-10..=4).map(|e| (0.5 * e as f32).exp2())
}

/// Factors tried on the weight of a channel that is in the blend.
const STEPS: [f32; 8] = [0.25, 0.5, 0.707, 0.84, 1.19, 1.414, 2.0, 4.0];

/// Steps on the way from the best weights to the proposed ones.
const STEPS_TO_PROPOSAL: u8 = 8;

/// A channel that alone reaches this share of what the best channel gains over no scores at all is
/// taken on trust when it is proposed; a weaker one has to help.
const TRUSTED: f64 = 0.5;

/// Learns weights for the channels of `pool`. `proposed` holds a weight per channel for raw
/// scores, as the trainers propose it.
///
/// # Source
/// The rule of one standard error (Breiman et al., "Classification and Regression Trees", 1984),
/// with [`BlendConfig::tie_se`] of them and distance to the proposal in place of model size.
///
/// # Cost
/// Passes x channels x 15 evaluations; an evaluation costs (1 + held-out candidates of the user)
/// operations per candidate, all of them vectorised and in parallel over users.
pub fn learn(pool: &Pool, proposed: &[f32], config: &BlendConfig) -> Blend {
    let search = Search { pool, config };
    let n = pool.n_channels();
    let alone: Vec<f64> = (0..n).map(|c| mean(&search.values(&one_hot(n, c)))).collect();
    let Some(best) = (0..n).max_by(|&a, &b| alone[a].total_cmp(&alone[b]).then(b.cmp(&a))) else {
        return Blend::default();
    };
    let usable: Vec<f32> = alone.iter().map(|&v| f32::from(u8::from(v > 0.0))).collect();
    let from_best = search.climb(one_hot(n, best));
    let from_all = search.climb(usable);
    let better = if from_all.objective() > from_best.objective() { from_all } else { from_best };
    let chance = mean(&search.values(&vec![0.0; n]));
    let trusted: Vec<f32> = (0..n)
        .map(|c| {
            let worth = (alone[c] - chance) / (alone[best] - chance);
            let kept = better.weights[c] > 0.0 || worth >= TRUSTED;
            if kept { proposed.get(c).map_or(0.0, |w| w * pool.scales()[c]) } else { 0.0 }
        })
        .collect();
    let near = search.towards(better, &trusted);
    let objective = near.objective();
    let weights = shares(&near.weights, f32::max);
    Blend { weights, scales: pool.scales().to_vec(), alone, objective, n_users: pool.n_users() }
}

/// Weights divided by their fold under `total`; zeros stay zeros.
fn shares(weights: &[f32], total: impl Fn(f32, f32) -> f32) -> Vec<f32> {
    let total = weights.iter().copied().fold(0.0, total);
    weights.iter().map(|w| if total > 0.0 { w / total } else { 0.0 }).collect()
}

fn one_hot(n: usize, at: usize) -> Vec<f32> {
    (0..n).map(|c| if c == at { 1.0 } else { 0.0 }).collect()
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

struct Search<'a> {
    pool: &'a Pool,
    config: &'a BlendConfig,
}

/// Weights with the objective of every user under them.
#[derive(Clone)]
struct Point {
    weights: Vec<f32>,
    values: Vec<f64>,
}

impl Point {
    fn objective(&self) -> f64 {
        mean(&self.values)
    }
}

impl Search<'_> {
    fn values(&self, weights: &[f32]) -> Vec<f64> {
        self.pool.evaluate(weights, self.config.objective, self.config.k)
    }

    fn climb(&self, weights: Vec<f32>) -> Point {
        let mut point = Point { values: self.values(&weights), weights };
        for _ in 0..self.config.passes {
            let before = point.objective();
            (0..self.pool.n_channels()).for_each(|c| self.improve(&mut point, c));
            if point.objective() <= before * (1.0 + 1e-4) {
                break;
            }
        }
        (0..self.pool.n_channels()).for_each(|c| self.drop_if_useless(&mut point, c));
        point
    }

    /// The best weight of channel `c` with all others fixed.
    fn improve(&self, point: &mut Point, c: usize) {
        let now = point.weights[c];
        let tried: Vec<f32> = if now > 0.0 {
            STEPS.iter().map(|f| f * now).collect()
        } else {
            let top = point.weights.iter().copied().fold(0.0, f32::max);
            entry_grid().map(|w| w * top).collect()
        };
        let line = self.pool.along(&point.weights, c);
        let values = |&w: &f32| (w, line.evaluate(w, self.config.objective, self.config.k));
        let trials = tried.iter().map(values);
        let best =
            trials.max_by(|a, b| mean(&a.1).total_cmp(&mean(&b.1)).then(b.0.total_cmp(&a.0)));
        let Some((weight, values)) = best else { return };
        let helps = mean(&values) > point.objective();
        if helps && (now > 0.0 || self.is_real(&values, &point.values)) {
            point.weights[c] = weight;
            point.values = values;
        }
    }

    /// Takes channel `c` out when the others do as well without it.
    fn drop_if_useless(&self, point: &mut Point, c: usize) {
        let others = point.weights.iter().enumerate().any(|(o, &w)| o != c && w > 0.0);
        if point.weights[c] == 0.0 || !others {
            return;
        }
        let mut without = point.weights.clone();
        without[c] = 0.0;
        let values = self.values(&without);
        if !self.is_real(&point.values, &values) {
            *point = Point { weights: without, values };
        }
    }

    /// The point between `best` and the proposal that is nearest to the proposal and as good as
    /// `best` but for chance. A proposal without weight changes nothing.
    fn towards(&self, best: Point, proposed: &[f32]) -> Point {
        let sum = |a: f32, b: f32| a + b;
        let (from, to) = (shares(&best.weights, sum), shares(proposed, sum));
        if to.iter().all(|&w| w == 0.0) {
            return best;
        }
        for step in 0..STEPS_TO_PROPOSAL {
            let way = f32::from(step) / f32::from(STEPS_TO_PROPOSAL);
            let between = from.iter().zip(&to).map(|(f, t)| way * f + (1.0 - way) * t);
            let weights: Vec<f32> = between.collect();
            let values = self.values(&weights);
            let (loss, se) = difference(&best.values, &values);
            let most = (self.config.tie_se * se).min(self.config.tie_share * best.objective());
            if loss <= most {
                return Point { weights, values };
            }
        }
        best
    }

    /// Whether `better` exceeds `worse` by both margins.
    fn is_real(&self, better: &[f64], worse: &[f64]) -> bool {
        let (gain, se) = difference(better, worse);
        gain > self.config.margin_se * se && gain > self.config.margin_share * mean(worse)
    }
}

/// The mean of `a - b` over users and its standard error.
fn difference(a: &[f64], b: &[f64]) -> (f64, f64) {
    let n = a.len().max(1) as f64;
    let gain = mean(a) - mean(b);
    let squares: f64 = a.iter().zip(b).map(|(a, b)| (a - b - gain) * (a - b - gain)).sum();
    (gain, (squares / (n - 1.0).max(1.0) / n).sqrt())
}
