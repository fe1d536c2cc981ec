//! What is known about the items of the training part, as far as lists are judged by it:
//! popularity, surprise and labels.

use foretaste_core::ItemIdx;

/// Facts per item of the catalogue.
#[derive(Clone, Debug)]
pub struct ItemFacts {
    /// Share of the other items that are less popular (ties count half), in [0, 1].
    percentile: Vec<f32>,
    /// -log2 of the share of users who have the item, in bits.
    surprise: Vec<f32>,
    labels: Vec<Vec<u32>>,
}

impl ItemFacts {
    /// Facts from the number of users who have each item, and the items' sorted labels (empty
    /// lists where there are none): of tags the highest bit is set, of categories it is not.
    pub fn new(counts: &[u32], n_users: usize, labels: Vec<Vec<u32>>) -> Self {
        let bits = |&c: &u32| -((f64::from(c.max(1)) / n_users.max(1) as f64).min(1.0)).log2();
        let surprise = counts.iter().map(|c| bits(c).max(0.0) as f32).collect();
        Self { percentile: percentiles(counts), surprise, labels }
    }

    /// Number of items.
    pub fn n_items(&self) -> usize {
        self.percentile.len()
    }

    /// Mean popularity percentile of some items; `None` for an empty list.
    pub fn mean_percentile(&self, items: &[ItemIdx]) -> Option<f64> {
        mean(items.iter().map(|&i| f64::from(self.percentile[i as usize])))
    }

    /// Mean surprise of some items in bits; `None` for an empty list.
    pub fn mean_surprise(&self, items: &[ItemIdx]) -> Option<f64> {
        mean(items.iter().map(|&i| f64::from(self.surprise[i as usize])))
    }

    /// Mean over pairs of labelled items of 1 - Jaccard similarity of their labels; `None` when
    /// fewer than two items have labels.
    ///
    /// # Source
    /// Ziegler et al., "Improving recommendation lists through topic diversification", WWW 2005
    /// (intra-list similarity; here as a distance, by Jaccard).
    pub fn diversity(&self, items: &[ItemIdx]) -> Option<f64> {
        let labels = items.iter().map(|&i| self.labels[i as usize].as_slice());
        let labelled: Vec<&[u32]> = labels.filter(|l| !l.is_empty()).collect();
        let pairs = labelled.iter().enumerate();
        mean(pairs.flat_map(|(n, a)| labelled[n + 1..].iter().map(|b| 1.0 - jaccard(a, b))))
    }
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (n, sum) = values.fold((0usize, 0.0), |(n, sum), v| (n + 1, sum + v));
    (n > 0).then(|| sum / n as f64)
}

/// |a and b| / |a or b| of two sorted lists.
fn jaccard(a: &[u32], b: &[u32]) -> f64 {
    let common = a.iter().filter(|x| b.binary_search(x).is_ok()).count();
    common as f64 / (a.len() + b.len() - common).max(1) as f64
}

/// Mid-rank of each count among all, scaled to [0, 1].
fn percentiles(counts: &[u32]) -> Vec<f32> {
    let mut sorted = counts.to_vec();
    sorted.sort_unstable();
    let others = counts.len().saturating_sub(1).max(1) as f64;
    let of = |&c: &u32| {
        let below = sorted.partition_point(|&s| s < c);
        let equal = sorted.partition_point(|&s| s <= c) - below - 1;
        ((below as f64 + 0.5 * equal as f64) / others) as f32
    };
    counts.iter().map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_and_surprise_follow_the_counts() {
        let facts = ItemFacts::new(&[8, 1, 4, 1], 8, vec![vec![]; 4]);
        assert_eq!(facts.percentile, [1.0, 1.0 / 6.0, 2.0 / 3.0, 1.0 / 6.0]);
        assert_eq!(facts.surprise, [0.0, 3.0, 1.0, 3.0]);
        assert_eq!(facts.mean_surprise(&[0, 1]), Some(1.5));
        assert_eq!((facts.mean_percentile(&[]), facts.diversity(&[0, 1])), (None, None));
    }

    #[test]
    fn diversity_is_the_mean_label_distance_of_pairs() {
        let labels = vec![vec![1, 2], vec![1, 2], vec![3], vec![], vec![2, 3]];
        let facts = ItemFacts::new(&[1; 5], 5, labels);
        assert_eq!(facts.diversity(&[0, 1]), Some(0.0));
        assert_eq!(facts.diversity(&[0, 2, 3]), Some(1.0));
        // Pairs (0,2) 1, (0,4) 2/3, (2,4) 1/2.
        let expected = (1.0 + 2.0 / 3.0 + 0.5) / 3.0;
        assert!((facts.diversity(&[0, 2, 4]).unwrap() - expected).abs() < 1e-12);
    }
}
