//! Figures of quality over many users, with their standard errors: the result of a replay and
//! what reports are made of.

use serde::{Deserialize, Serialize};

/// A mean over users and how far to trust it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// The mean.
    pub mean: f64,
    /// Standard error of the mean over users (sample standard deviation / sqrt(n)).
    pub se: f64,
    /// Users that entered the mean.
    pub n: u64,
}

/// Accuracy of the first `k` items.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AtK {
    /// The cut.
    pub k: usize,
    /// Share of the held-out items found.
    pub recall: Estimate,
    /// Share of the list that was held out.
    pub precision: Estimate,
    /// Normalised discounted cumulative gain.
    pub ndcg: Estimate,
    /// Reciprocal rank of the first hit.
    pub mrr: Estimate,
    /// Average precision.
    pub map: Estimate,
    /// Share of users with at least one hit.
    pub hit_rate: Estimate,
}

/// Accuracy for users of one level of activity.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Bucket {
    /// Items in the user's past, as text ("10-19").
    pub label: String,
    /// Recall at the main cut.
    pub recall: Estimate,
    /// NDCG at the main cut.
    pub ndcg: Estimate,
}

/// Everything that is measured about one way to recommend, at the main cut unless said otherwise.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Quality {
    /// Accuracy at each cut, ascending.
    pub at: Vec<AtK>,
    /// The cut of everything below.
    pub main_k: usize,
    /// Share of the catalogue that is in at least one list.
    pub coverage: f64,
    /// Gini coefficient of how often items are in lists: 0 all equally, 1 one item only.
    pub exposure_gini: f64,
    /// Mean distance of labels (categories, tags) within a list; absent without labels.
    pub diversity: Option<Estimate>,
    /// Mean surprise of the items, in bits.
    pub novelty: Estimate,
    /// Mean popularity percentile of the recommended items.
    pub popularity: Estimate,
    /// Mean popularity percentile of the same users' past.
    pub history_popularity: Estimate,
    /// By items in the user's past.
    pub buckets: Vec<Bucket>,
    /// Users whose list was shorter than the main cut.
    pub short_lists: u64,
}

impl Quality {
    /// Accuracy at the cut `k`, if it was measured.
    pub fn at(&self, k: usize) -> Option<&AtK> {
        self.at.iter().find(|at| at.k == k)
    }

    /// Accuracy at the main cut.
    pub fn main(&self) -> Option<&AtK> {
        self.at(self.main_k)
    }
}

/// Sum and sum of squares of one figure.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Moments {
    n: u64,
    sum: f64,
    squares: f64,
}

impl Moments {
    pub(crate) fn push(&mut self, value: f64) {
        self.n += 1;
        self.sum += value;
        self.squares += value * value;
    }

    pub(crate) fn push_some(&mut self, value: Option<f64>) {
        value.into_iter().for_each(|v| self.push(v));
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.n += other.n;
        self.sum += other.sum;
        self.squares += other.squares;
    }

    pub(crate) fn estimate(&self) -> Estimate {
        let n = self.n as f64;
        if self.n == 0 {
            return Estimate::default();
        }
        let mean = self.sum / n;
        let variance = if self.n > 1 { (self.squares - n * mean * mean) / (n - 1.0) } else { 0.0 };
        Estimate { mean, se: (variance.max(0.0) / n).sqrt(), n: self.n }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_standard_error_is_that_of_the_sample_and_parts_add_up() {
        let mut all = Moments::default();
        let mut parts = [Moments::default(); 2];
        for (i, v) in [1.0, 0.0, 1.0, 1.0, 0.0].into_iter().enumerate() {
            all.push(v);
            parts[i % 2].push(v);
        }
        let [mut joined, second] = parts;
        joined.add(&second);
        let Estimate { mean, se, n } = all.estimate();
        assert!((mean - 0.6).abs() < 1e-12 && n == 5);
        assert!((se - (0.3f64 / 5.0).sqrt()).abs() < 1e-12, "{se}");
        assert!((joined.estimate().se - se).abs() < 1e-12);
        assert_eq!(Moments::default().estimate(), Estimate::default());
    }
}
