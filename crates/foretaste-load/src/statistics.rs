//! Statistics over runs. The run is the sample: requests of one run depend on each other, and a
//! test over requests would call every difference significant. Pure.

use foretaste_core::rng::Rng;

/// The middle value; the mean of the middle two where there are two.
///
/// # Panics
/// When there is none.
pub fn median(values: &[f64]) -> f64 {
    assert!(!values.is_empty(), "nothing has no median");
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 1 { sorted[middle] } else { (sorted[middle - 1] + sorted[middle]) / 2.0 }
}

/// Ways to choose the first sample that are all looked at; above, the normal approximation serves.
const MOST_CHOICES: f64 = 200_000.0;

/// Two-sided p-value of the hypothesis that two samples come from the same distribution
/// (Mann-Whitney). Exact for small samples, ties included; else by the normal approximation.
///
/// # Source
/// Mann & Whitney 1947; exact form by enumeration of the rank sums.
pub fn mann_whitney(a: &[f64], b: &[f64]) -> f64 {
    if a.is_empty() || b.is_empty() {
        return 1.0;
    }
    let all: Vec<f64> = a.iter().chain(b).copied().collect();
    let ranks = doubled_ranks(&all);
    let observed: u64 = ranks[..a.len()].iter().sum();
    if choices(all.len(), a.len()) <= MOST_CHOICES {
        exact(&ranks, a.len(), observed)
    } else {
        approximate(&ranks, a.len(), observed)
    }
}

/// Twice the mean rank of each value, so that ties stay whole numbers.
fn doubled_ranks(all: &[f64]) -> Vec<u64> {
    let rank = |x: &f64| {
        let below = all.iter().filter(|y| *y < x).count();
        let equal = all.iter().filter(|y| *y == x).count();
        (2 * below + equal + 1) as u64
    };
    all.iter().map(rank).collect()
}

fn choices(n: usize, k: usize) -> f64 {
    (0..k).map(|i| (n - i) as f64 / (i + 1) as f64).product()
}

/// Share of all choices of `k` ranks whose sum is at least as far from its mean as the observed.
fn exact(ranks: &[u64], k: usize, observed: u64) -> f64 {
    let most = ranks.iter().sum::<u64>() as usize;
    // ways[j][s]: ways to choose j of the ranks so far with the sum s.
    let mut ways = vec![vec![0.0f64; most + 1]; k + 1];
    ways[0][0] = 1.0;
    for &rank in ranks {
        let rank = rank as usize;
        for chosen in (1..=k).rev() {
            for sum in (rank..=most).rev() {
                ways[chosen][sum] += ways[chosen - 1][sum - rank];
            }
        }
    }
    let mean = k as f64 * most as f64 / ranks.len() as f64;
    let distance = (observed as f64 - mean).abs() - 1e-9;
    let is_far = |sum: usize| (sum as f64 - mean).abs() >= distance;
    let far: f64 = ways[k].iter().enumerate().filter(|(sum, _)| is_far(*sum)).map(|(_, w)| w).sum();
    far / ways[k].iter().sum::<f64>()
}

/// Normal approximation with the variance that ties leave, and a continuity correction.
fn approximate(ranks: &[u64], k: usize, observed: u64) -> f64 {
    let n = ranks.len() as f64;
    let mean_rank = ranks.iter().sum::<u64>() as f64 / n;
    let spread: f64 = ranks.iter().map(|&r| (r as f64 - mean_rank).powi(2)).sum::<f64>() / n;
    let k = k as f64;
    let deviation = (k * (n - k) / (n - 1.0) * spread).sqrt();
    if deviation == 0.0 {
        return 1.0;
    }
    let distance = ((observed as f64 - k * mean_rank).abs() - 1.0).max(0.0);
    (2.0 * upper_tail(distance / deviation)).min(1.0)
}

/// Share of a standard normal distribution above `z` >= 0.
///
/// # Source
/// Abramowitz & Stegun 26.2.17, error below 7.5e-8.
fn upper_tail(z: f64) -> f64 {
    const B: [f64; 5] =
        [0.319_381_530, -0.356_563_782, 1.781_477_937, -1.821_255_978, 1.330_274_429];
    let t = 1.0 / (1.0 + 0.231_641_9 * z);
    let sum = B.iter().rev().fold(0.0, |sum, b| (sum + b) * t);
    sum * (-z * z / 2.0).exp() / std::f64::consts::TAU.sqrt()
}

/// Confidence interval of the ratio of the medians of `now` to `base`, by resampling runs.
///
/// # Source
/// Efron's percentile bootstrap.
pub fn bootstrap_ratio(base: &[f64], now: &[f64], level: f64, seed: u64) -> (f64, f64) {
    const RESAMPLES: usize = 10_000;
    let mut rng = Rng::new(seed);
    let mut again = |from: &[f64]| -> f64 {
        let drawn: Vec<f64> = (0..from.len()).map(|_| from[rng.below(from.len())]).collect();
        median(&drawn)
    };
    let mut ratios: Vec<f64> = (0..RESAMPLES).map(|_| ratio(again(base), again(now))).collect();
    ratios.sort_by(f64::total_cmp);
    let at = |share: f64| ratios[((share * RESAMPLES as f64) as usize).min(RESAMPLES - 1)];
    (at((1.0 - level) / 2.0), at((1.0 + level) / 2.0))
}

/// `now` to `base`; two zeros are equal.
pub fn ratio(base: f64, now: f64) -> f64 {
    if base == now { 1.0 } else { now / base.max(1e-9) }
}

/// P-values corrected for their number: each is the smallest level at which its test would still
/// be called significant.
///
/// # Source
/// Holm 1979.
pub fn holm(p_values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p_values.len()).collect();
    order.sort_by(|&a, &b| p_values[a].total_cmp(&p_values[b]));
    let mut corrected = vec![1.0; p_values.len()];
    let mut least: f64 = 0.0;
    for (rank, &at) in order.iter().enumerate() {
        least = least.max(p_values[at] * (p_values.len() - rank) as f64).min(1.0);
        corrected[at] = least;
    }
    corrected
}

/// Smallest relative change that runs with this spread would show in four cases of five.
///
/// # Source
/// 2.8 * coefficient of variation * sqrt(2 / n): 80% power at a level of 5%.
pub fn detectable_change(base: &[f64], now: &[f64]) -> f64 {
    let variation = |values: &[f64]| {
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let squares: f64 = values.iter().map(|v| (v - mean).powi(2)).sum();
        let deviation = (squares / (values.len().max(2) - 1) as f64).sqrt();
        if mean == 0.0 { 0.0 } else { deviation / mean }
    };
    let n = base.len().min(now.len()) as f64;
    2.8 * f64::midpoint(variation(base), variation(now)) * (2.0 / n).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn near(found: f64, expected: f64, within: f64) {
        assert!((found - expected).abs() <= within, "{found}, expected {expected}");
    }

    #[test]
    fn medians_of_odd_and_even_samples() {
        near(median(&[3.0, 1.0, 2.0]), 2.0, 0.0);
        near(median(&[4.0, 1.0, 2.0, 3.0]), 2.5, 0.0);
    }

    /// The smallest p-values that so many runs can show: 2 / (n over k).
    #[test]
    fn complete_separation_gives_the_floor_of_the_test() {
        for (n, floor) in [(3, 0.1), (4, 0.028_571), (5, 0.007_937)] {
            let low: Vec<f64> = (0..n).map(f64::from).collect();
            let high: Vec<f64> = low.iter().map(|x| x + 100.0).collect();
            near(mann_whitney(&low, &high), floor, 1e-5);
            near(mann_whitney(&high, &low), floor, 1e-5);
        }
    }

    /// Worked by hand: {1, 2, 4} against {3, 5, 6} has rank sum 7 (or 14): 4 of 20 choices are as
    /// far from 10.5.
    #[test]
    fn an_exact_value_worked_by_hand() {
        near(mann_whitney(&[1.0, 2.0, 4.0], &[3.0, 5.0, 6.0]), 0.2, 1e-12);
    }

    #[test]
    fn equal_samples_are_equal() {
        near(mann_whitney(&[1.0; 5], &[1.0; 5]), 1.0, 0.0);
        near(mann_whitney(&[1.0; 50], &[1.0; 50]), 1.0, 0.0);
        near(mann_whitney(&[1.0, 2.0, 3.0], &[1.0, 2.0, 3.0]), 1.0, 1e-12);
    }

    #[test]
    fn the_approximation_agrees_with_the_exact_value() {
        let a: Vec<f64> = (0..9).map(|i| f64::from(i) * 1.0).collect();
        let b: Vec<f64> = (0..9).map(|i| f64::from(i) * 1.3 + 1.7).collect();
        let all: Vec<f64> = a.iter().chain(&b).copied().collect();
        let ranks = doubled_ranks(&all);
        let observed = ranks[..9].iter().sum();
        near(approximate(&ranks, 9, observed), exact(&ranks, 9, observed), 0.01);
    }

    #[test]
    fn false_alarms_are_as_rare_as_the_level_says() {
        let mut rng = Rng::new(4);
        let mut sample = || -> Vec<f64> { (0..6).map(|_| rng.normal()).collect() };
        let alarms = (0..2_000).filter(|_| mann_whitney(&sample(), &sample()) < 0.05).count();
        assert!((40..=110).contains(&alarms), "{alarms} of 2000; exact tests stay below 5%");
    }

    #[test]
    fn the_bootstrap_holds_the_truth_and_excludes_what_is_far() {
        let base: Vec<f64> = (0..10).map(|i| 100.0 + f64::from(i % 5)).collect();
        let now: Vec<f64> = base.iter().map(|x| x * 1.2).collect();
        let (low, high) = bootstrap_ratio(&base, &now, 0.95, 1);
        assert!(low < 1.2 && high > 1.2 && low > 1.1 && high < 1.3, "{low} {high}");
        let (low, high) = bootstrap_ratio(&base, &base, 0.95, 1);
        assert!(low <= 1.0 && high >= 1.0);
    }

    #[test]
    fn corrections_keep_the_order_and_never_help() {
        let corrected = holm(&[0.01, 0.04, 0.03]);
        near(corrected[0], 0.03, 1e-12);
        near(corrected[1], 0.06, 1e-12);
        near(corrected[2], 0.06, 1e-12);
        near(holm(&[0.9, 0.8])[0], 1.0, 1e-12);
    }

    #[test]
    fn what_can_be_seen_depends_on_spread_and_number() {
        let noisy =
            |n: usize| -> Vec<f64> { (0..n).map(|i| 100.0 + 6.1 * (i % 2) as f64 * 2.0).collect() };
        let ten = detectable_change(&noisy(10), &noisy(10));
        near(ten, 0.076, 0.01);
        assert!(detectable_change(&noisy(40), &noisy(40)) < ten / 1.8);
        near(detectable_change(&[5.0; 4], &[5.0; 4]), 0.0, 0.0);
    }
}
