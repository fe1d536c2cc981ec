//! When a warm-up has warmed up: medians of consecutive windows agree, as far as their number of
//! requests can tell, and so do the hit rates of the cache. Pure.

use crate::record::Tick;
use crate::scenario::WarmUp;

/// Largest difference of the hit rates of windows that agree.
const HIT_RATE_TOLERANCE: f64 = 0.02;
/// Fewest requests that a window must hold.
const FEWEST: u64 = 20;

/// A window of a warm-up.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Glance {
    /// Requests in it.
    pub n: u64,
    /// Between these is the median, with 95% confidence, in ms.
    pub median_ms: (f64, f64),
    /// Share of cache hits, where the server says.
    pub hit_rate: Option<f64>,
}

impl Glance {
    /// The window that a tick shows.
    ///
    /// # Source
    /// Confidence interval of a median by order statistics: ranks n/2 -+ 1.96 sqrt(n)/2.
    pub fn of(tick: &Tick) -> Self {
        let n = tick.latency.count();
        let spread = 0.98 / (n.max(1) as f64).sqrt();
        let at = |share: f64| tick.latency.quantile_ms(share.clamp(0.0, 1.0));
        let [hits, asked] = tick.hits;
        Self {
            n,
            median_ms: (at(0.5 - spread), at(0.5 + spread)),
            hit_rate: (asked > 0).then(|| hits as f64 / asked as f64),
        }
    }
}

/// Whether the last windows agree.
pub fn is_stable(windows: &[Glance], settings: &WarmUp) -> bool {
    let Some(last) = windows.len().checked_sub(settings.windows).map(|at| &windows[at..]) else {
        return false;
    };
    if last.iter().any(|w| w.n < FEWEST) {
        return false;
    }
    let highest_low = last.iter().map(|w| w.median_ms.0).fold(0.0, f64::max);
    let lowest_high = last.iter().map(|w| w.median_ms.1).fold(f64::INFINITY, f64::min);
    let rates: Vec<f64> = last.iter().filter_map(|w| w.hit_rate).collect();
    let spread = rates.iter().copied().fold(0.0, f64::max)
        - rates.iter().copied().fold(f64::INFINITY, f64::min);
    highest_low <= lowest_high * (1.0 + settings.tolerance)
        && (rates.is_empty() || spread <= HIT_RATE_TOLERANCE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{End, Failure, Moments};

    const SETTINGS: WarmUp =
        WarmUp { seconds_at_least: 0.0, seconds_at_most: 9.0, windows: 3, tolerance: 0.05 };

    fn glances(medians: &[f64]) -> Vec<Glance> {
        let one = |&m: &f64| Glance { n: 1000, median_ms: (m * 0.99, m * 1.01), hit_rate: None };
        medians.iter().map(one).collect()
    }

    #[test]
    fn the_last_windows_must_agree() {
        assert!(is_stable(&glances(&[9.0, 1.0, 1.03, 0.98]), &SETTINGS));
        assert!(!is_stable(&glances(&[1.0, 1.0, 1.2]), &SETTINGS));
        assert!(!is_stable(&glances(&[1.0, 1.0]), &SETTINGS), "too few");
    }

    #[test]
    fn windows_with_few_requests_say_nothing() {
        let mut windows = glances(&[1.0, 1.0, 1.0]);
        windows[1].n = FEWEST - 1;
        assert!(!is_stable(&windows, &SETTINGS));
    }

    #[test]
    fn hit_rates_must_agree_where_there_are_any() {
        let mut windows = glances(&[1.0, 1.0, 1.0]);
        let mut set = |rates: [f64; 3]| {
            windows.iter_mut().zip(rates).for_each(|(w, rate)| w.hit_rate = Some(rate));
            is_stable(&windows, &SETTINGS)
        };
        assert!(set([0.90, 0.91, 0.915]));
        assert!(!set([0.80, 0.85, 0.90]));
    }

    #[test]
    fn fewer_requests_leave_the_median_less_certain() {
        let width = |n: u64| {
            let mut tick = Tick::new(0);
            for i in 0..n {
                let done = (i * 1_000 / n + 1) * 1_000_000;
                let at = Moments { intended: 0, taken: 0, sent: 0, done };
                tick.end(at, End::Failed(Failure::Timeout));
            }
            let (low, high) = Glance::of(&tick).median_ms;
            assert!(low <= 505.0 && high >= 495.0, "{low} {high}");
            high - low
        };
        assert!(width(25) > 300.0 && width(2_500) < 60.0);
    }
}
