//! Which of many: ranks whose frequency falls as a power of the rank, as the activity of users and
//! the popularity of items do.

use foretaste_core::rng::Rng;

/// Draws ranks from 0 to n - 1, rank r with a probability proportional to (r + 1)^-exponent.
///
/// # Cost
/// No table; on average 1.1 tries of two logarithms or powers each.
///
/// # Source
/// Hörmann & Derflinger, "Rejection-inversion to generate variates from monotone discrete
/// distributions", 1996.
#[derive(Clone, Copy, Debug)]
pub struct Zipf {
    n: f64,
    exponent: f64,
    /// Integral of the envelope at both ends.
    first: f64,
    last: f64,
    /// How close to its rank a point may be accepted without looking further.
    sure: f64,
}

impl Zipf {
    /// A law over `n` ranks; an exponent of 0 makes all equally frequent.
    ///
    /// # Panics
    /// When `n` is 0 or `exponent` is negative or not finite.
    pub fn new(n: usize, exponent: f64) -> Self {
        assert!(n > 0, "there is nothing to draw from");
        assert!(exponent >= 0.0 && exponent.is_finite(), "exponent {exponent}");
        let mut law = Self { n: n as f64, exponent, first: 0.0, last: 0.0, sure: 0.0 };
        law.first = law.integral(1.5) - 1.0;
        law.last = law.integral(law.n + 0.5);
        law.sure = 2.0 - law.inverse(law.integral(2.5) - law.weight(2.0));
        law
    }

    /// A rank.
    pub fn draw(&self, rng: &mut Rng) -> usize {
        loop {
            let u = self.last + rng.f64() * (self.first - self.last);
            let x = self.inverse(u);
            let k = x.round().clamp(1.0, self.n);
            if k - x <= self.sure || u >= self.integral(k + 0.5) - self.weight(k) {
                return k as usize - 1;
            }
        }
    }

    fn weight(&self, x: f64) -> f64 {
        (-self.exponent * x.ln()).exp()
    }

    /// Integral of x^-exponent from 1 to x.
    fn integral(&self, x: f64) -> f64 {
        let log = x.ln();
        let power = (1.0 - self.exponent) * log;
        if power.abs() < 1e-9 { log } else { power.exp_m1() / power * log }
    }

    fn inverse(&self, integral: f64) -> f64 {
        let t = (integral * (1.0 - self.exponent)).max(-1.0);
        if t.abs() < 1e-9 { integral.exp() } else { (t.ln_1p() / t * integral).exp() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Draws and compares the frequencies with the law by Pearson's chi-squared.
    #[track_caller]
    fn follows_its_law(n: usize, exponent: f64) {
        let law = Zipf::new(n, exponent);
        let mut rng = Rng::new(11);
        let draws = 200_000;
        let mut seen = vec![0.0; n];
        (0..draws).for_each(|_| seen[law.draw(&mut rng)] += 1.0);
        let weights: Vec<f64> = (1..=n).map(|r| (r as f64).powf(-exponent)).collect();
        let total: f64 = weights.iter().sum();
        let distance: f64 = weights
            .iter()
            .zip(&seen)
            .map(|(w, s)| (s - w / total * draws as f64).powi(2) / (w / total * draws as f64))
            .sum();
        let freedom = (n - 1) as f64;
        assert!(distance < freedom + 4.0 * (2.0 * freedom).sqrt() + 1.0, "{distance} for {n}");
    }

    #[test]
    fn frequencies_follow_the_law() {
        for exponent in [0.0, 0.5, 0.99, 1.0, 1.0 + 1e-12, 1.2, 2.0] {
            follows_its_law(100, exponent);
        }
        follows_its_law(2, 1.0);
    }

    #[test]
    fn one_rank_is_always_drawn() {
        let mut rng = Rng::new(1);
        assert!((0..100).all(|_| Zipf::new(1, 1.0).draw(&mut rng) == 0));
    }

    #[test]
    fn many_ranks_are_drawn_within_bounds() {
        let law = Zipf::new(10_000_000, 1.0);
        let mut rng = Rng::new(5);
        let most = (0..100_000).map(|_| law.draw(&mut rng)).max();
        assert!(most.is_some_and(|m| (1_000_000..10_000_000).contains(&m)), "{most:?}");
    }
}
