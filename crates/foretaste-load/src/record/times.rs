//! Times of requests as a histogram of bounded size.

use hdrhistogram::Histogram;

/// Longest time that is told apart from longer ones.
const MOST_US: u64 = 3_600_000_000;

/// Times in microseconds, to three digits.
#[derive(Clone, Debug)]
pub struct Times(Histogram<u64>);

impl Times {
    /// No times yet.
    pub fn new() -> Self {
        Self::of(Histogram::new_with_bounds(1, MOST_US, 3))
    }

    /// No times yet, to two digits: a twentieth of the memory, for one of many.
    pub fn coarse() -> Self {
        Self::of(Histogram::new_with_bounds(1, MOST_US, 2))
    }

    fn of(made: Result<Histogram<u64>, hdrhistogram::CreationError>) -> Self {
        Self(made.expect("the bounds are valid"))
    }

    /// Adds a time.
    pub fn record(&mut self, ns: u64) {
        self.0.saturating_record((ns / 1_000).max(1));
    }

    /// Adds the times of another with the same number of digits.
    pub fn add(&mut self, other: &Self) {
        self.0.add(&other.0).expect("the bounds are the same");
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// The time that a share of all does not exceed, in ms; 0 where there is none.
    pub fn quantile_ms(&self, share: f64) -> f64 {
        if self.0.is_empty() { 0.0 } else { ms(self.0.value_at_quantile(share)) }
    }

    /// Mean in ms.
    pub fn mean_ms(&self) -> f64 {
        self.0.mean() / 1e3
    }

    /// Standard deviation in ms.
    pub fn stdev_ms(&self) -> f64 {
        self.0.stdev() / 1e3
    }

    /// Shortest time in ms.
    pub fn min_ms(&self) -> f64 {
        if self.0.is_empty() { 0.0 } else { ms(self.0.min()) }
    }

    /// Longest time in ms.
    pub fn max_ms(&self) -> f64 {
        ms(self.0.max())
    }

    /// How many times are at most so long.
    pub fn count_within_ms(&self, most: f64) -> u64 {
        self.0.count_between(0, (most * 1e3) as u64)
    }

    /// The highest time of each class that holds any, in us, and how many it holds.
    pub fn classes(&self) -> Vec<(u64, u64)> {
        self.0.iter_recorded().map(|v| (v.value_iterated_to(), v.count_at_value())).collect()
    }

    /// Forgets all times.
    pub fn clear(&mut self) {
        self.0.reset();
    }
}

impl Default for Times {
    fn default() -> Self {
        Self::new()
    }
}

fn ms(us: u64) -> f64 {
    us as f64 / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    #[test]
    fn times_are_counted_up_to_a_bound() {
        let mut times = Times::new();
        for ms in [1, 2, 3, 400] {
            times.record(ms * MS);
        }
        assert_eq!(times.count_within_ms(2.0), 2);
        assert_eq!(times.count_within_ms(0.5), 0);
        assert_eq!(times.count_within_ms(500.0), 4);
        assert_eq!(times.classes().len(), 4);
    }
}
