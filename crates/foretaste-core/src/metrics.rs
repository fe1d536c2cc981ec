//! Quality of ranked lists against held-out items, as the literature defines it.
//!
//! All functions take the ranked items (best first, without duplicates) and the relevant ones
//! (sorted ascending, distinct), and cut at `k`. Gains are binary.

/// Which of the first `k` ranked items are relevant.
fn hits<'a>(ranked: &'a [u32], relevant: &'a [u32], k: usize) -> impl Iterator<Item = usize> + 'a {
    let is_hit = |&(_, item): &(usize, &u32)| relevant.binary_search(item).is_ok();
    ranked.iter().take(k).enumerate().filter(is_hit).map(|(rank, _)| rank)
}

/// Share of the relevant items among the first `k`: hits / |relevant|.
pub fn recall(ranked: &[u32], relevant: &[u32], k: usize) -> f64 {
    ratio(hits(ranked, relevant, k).count(), relevant.len())
}

/// Share of the first `k` that is relevant: hits / k.
pub fn precision(ranked: &[u32], relevant: &[u32], k: usize) -> f64 {
    ratio(hits(ranked, relevant, k).count(), k)
}

/// 1 when any of the first `k` is relevant.
pub fn hit_rate(ranked: &[u32], relevant: &[u32], k: usize) -> f64 {
    f64::from(u8::from(hits(ranked, relevant, k).next().is_some()))
}

/// Reciprocal rank of the first hit within `k`, 0 without one.
pub fn reciprocal_rank(ranked: &[u32], relevant: &[u32], k: usize) -> f64 {
    hits(ranked, relevant, k).next().map_or(0.0, |rank| 1.0 / (rank + 1) as f64)
}

/// Normalised discounted cumulative gain: discount 1 / log2(rank + 1), ideal list of
/// min(k, |relevant|) hits.
///
/// # Source
/// Järvelin & Kekäläinen, "Cumulated gain-based evaluation of IR techniques", TOIS 2002.
pub fn ndcg(ranked: &[u32], relevant: &[u32], k: usize) -> f64 {
    let gain: f64 = hits(ranked, relevant, k).map(discount).sum();
    let ideal: f64 = (0..k.min(relevant.len())).map(discount).sum();
    if ideal > 0.0 { gain / ideal } else { 0.0 }
}

/// Average precision at `k`, normalised by min(k, |relevant|).
pub fn average_precision(ranked: &[u32], relevant: &[u32], k: usize) -> f64 {
    let sum: f64 = hits(ranked, relevant, k)
        .enumerate()
        .map(|(n, rank)| (n + 1) as f64 / (rank + 1) as f64)
        .sum();
    let ideal = k.min(relevant.len());
    if ideal > 0 { sum / ideal as f64 } else { 0.0 }
}

/// The discount of 0-based `rank`.
pub fn discount(rank: usize) -> f64 {
    1.0 / ((rank + 2) as f64).log2()
}

fn ratio(count: usize, of: usize) -> f64 {
    if of == 0 { 0.0 } else { count as f64 / of as f64 }
}

/// Gini coefficient of non-negative counts: 0 when all are equal, towards 1 when one has all.
pub fn gini(counts: &[u64]) -> f64 {
    let mut sorted = counts.to_vec();
    sorted.sort_unstable();
    let total: f64 = sorted.iter().map(|&c| c as f64).sum();
    if total == 0.0 {
        return 0.0;
    }
    let n = sorted.len() as f64;
    let weighted: f64 = sorted.iter().enumerate().map(|(i, &c)| (i + 1) as f64 * c as f64).sum();
    (2.0 * weighted / (n * total) - (n + 1.0) / n).max(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn close(actual: f64, expected: f64) {
        assert!((actual - expected).abs() < 1e-12, "{actual} is not {expected}");
    }

    #[test]
    fn a_worked_example() {
        // Hits at ranks 1 and 3 of three relevant items.
        let (ranked, relevant) = ([5, 9, 2, 7], [2, 5, 8]);
        close(recall(&ranked, &relevant, 4), 2.0 / 3.0);
        close(precision(&ranked, &relevant, 4), 0.5);
        close(reciprocal_rank(&ranked[1..], &relevant, 4), 0.5);
        close(average_precision(&ranked, &relevant, 4), (1.0 + 2.0 / 3.0) / 3.0);
        let ideal = 1.0 + 1.0 / 3f64.log2() + 0.5;
        close(ndcg(&ranked, &relevant, 4), 1.5 / ideal);
        close(hit_rate(&ranked[1..2], &relevant, 1), 0.0);
    }

    #[test]
    fn perfect_lists_score_one_and_empty_ones_zero() {
        close(ndcg(&[1, 2, 3], &[1, 2, 3], 20), 1.0);
        close(average_precision(&[1, 2], &[1, 2], 20), 1.0);
        for metric in [recall, ndcg, average_precision, reciprocal_rank, hit_rate] {
            close(metric(&[], &[1], 20), 0.0);
            close(metric(&[1], &[], 20), 0.0);
        }
    }

    #[test]
    fn gini_of_equal_and_of_concentrated_counts() {
        close(gini(&[3, 3, 3]), 0.0);
        close(gini(&[0, 0, 0, 8]), 0.75);
    }
}
