//! When requests are meant to be sent: a fixed list of moments that follows from a seed, made
//! before and independently of any answer.

use foretaste_core::rng::Rng;
use serde::{Deserialize, Serialize};

/// How far apart requests are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Arrivals {
    /// Independent of each other, as those of many users are.
    #[default]
    Poisson,
    /// At equal distances.
    Constant,
}

/// A rate that holds for a while.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Requests per second.
    pub rate: f64,
    /// How long.
    pub seconds: f64,
}

/// The moments of an open loop, in order.
///
/// # Units
/// Nanoseconds since the start of the run.
#[derive(Clone, Debug)]
pub struct Schedule {
    arrivals: Arrivals,
    steps: Vec<Step>,
    rng: Rng,
    /// Requests expected from the start to the next moment.
    expected: f64,
    /// The step that the next moment is looked for in, when it began, and what was expected then.
    step: usize,
    began_seconds: f64,
    began_expected: f64,
}

impl Schedule {
    /// The schedule of `steps`, one after the other.
    pub fn new(arrivals: Arrivals, steps: &[Step], seed: u64) -> Self {
        Self {
            arrivals,
            steps: steps.to_vec(),
            rng: Rng::stream(seed, SCHEDULE_STREAM),
            expected: 0.0,
            step: 0,
            began_seconds: 0.0,
            began_expected: 0.0,
        }
    }
}

/// Keeps the moments independent of what is requested at them.
const SCHEDULE_STREAM: u64 = 0x7363_6865;

impl Iterator for Schedule {
    type Item = u64;

    /// The moment at which as many requests are expected as the arrivals so far stand for: one
    /// more each in a constant schedule, an exponential share more each in a Poisson one.
    fn next(&mut self) -> Option<u64> {
        if self.arrivals == Arrivals::Poisson {
            self.expected += self.rng.exp();
        }
        while let Some(step) = self.steps.get(self.step) {
            let within = (self.expected - self.began_expected) / step.rate;
            if within < step.seconds {
                if self.arrivals == Arrivals::Constant {
                    self.expected += 1.0;
                }
                return Some(((self.began_seconds + within) * 1e9) as u64);
            }
            self.began_seconds += step.seconds;
            self.began_expected += step.rate * step.seconds;
            self.step += 1;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn moments(arrivals: Arrivals, steps: &[(f64, f64)], seed: u64) -> Vec<u64> {
        let steps: Vec<Step> =
            steps.iter().map(|&(rate, seconds)| Step { rate, seconds }).collect();
        Schedule::new(arrivals, &steps, seed).collect()
    }

    #[test]
    fn constant_arrivals_stand_at_equal_distances_across_steps() {
        let moments = moments(Arrivals::Constant, &[(4.0, 1.0), (2.0, 1.0)], 1);
        let ms: Vec<u64> = moments.iter().map(|at| at / 1_000_000).collect();
        assert_eq!(ms, [0, 250, 500, 750, 1000, 1500]);
    }

    #[test]
    fn poisson_arrivals_have_the_mean_and_the_spread_of_their_rate() {
        let moments = moments(Arrivals::Poisson, &[(1000.0, 100.0)], 7);
        let n = moments.len() as f64;
        assert!((n - 100_000.0).abs() < 1_500.0, "{n}");
        let gaps: Vec<f64> = moments.windows(2).map(|w| (w[1] - w[0]) as f64 / 1e6).collect();
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        let variance = gaps.iter().map(|g| (g - mean).powi(2)).sum::<f64>() / gaps.len() as f64;
        assert!((variance.sqrt() / mean - 1.0).abs() < 0.02, "an exponential's spread is its mean");
    }

    #[test]
    fn each_step_has_its_own_rate() {
        let moments = moments(Arrivals::Poisson, &[(100.0, 50.0), (1000.0, 50.0)], 3);
        let early = moments.iter().filter(|&&at| at < 50 * SECOND).count() as f64;
        let late = moments.len() as f64 - early;
        assert!((early - 5_000.0).abs() < 350.0 && (late - 50_000.0).abs() < 1_000.0, "{early}");
    }

    #[test]
    fn a_schedule_follows_from_its_seed_and_stays_in_order() {
        let of = |seed| moments(Arrivals::Poisson, &[(500.0, 2.0)], seed);
        assert_eq!(of(1), of(1));
        assert_ne!(of(1), of(2));
        assert!(of(1).is_sorted());
        assert!(of(1).iter().all(|&at| at < 2 * SECOND));
    }

    #[test]
    fn a_step_without_requests_is_a_pause() {
        let moments = moments(Arrivals::Constant, &[(0.0, 1.0), (1.0, 2.0)], 1);
        assert_eq!(moments.iter().map(|at| at / SECOND).collect::<Vec<_>>(), [1, 2]);
    }
}
