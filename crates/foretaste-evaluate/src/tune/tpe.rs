//! The tree-structured Parzen estimator: where good trials are dense and bad ones are not.

use foretaste_core::Rng;

use super::{Parameter, Range, Trial};

/// Share of the trials that count as good.
const GOOD: f64 = 0.25;
/// Points drawn from the good density, of which the most promising is tried: few, and wide
/// kernels, or a short search sticks to its first good trial.
const CANDIDATES: usize = 4;
/// Weight of the uniform density, in observations.
const PRIOR: f64 = 1.0;

/// The next point, one position per parameter; `None` with fewer than four trials to learn from.
///
/// # Source
/// Bergstra et al., "Algorithms for hyper-parameter optimization", NIPS 2011, section 4;
/// parameters are treated as independent, and the bandwidth is n^(-1/5) of the spread.
pub(super) fn propose(space: &[Parameter], trials: &[Trial], rng: &mut Rng) -> Option<Vec<f64>> {
    let mut done: Vec<&Trial> = trials.iter().filter(|t| t.objective.is_some()).collect();
    if done.len() < 4 {
        return None;
    }
    done.sort_by(|a, b| b.objective.unwrap_or(0.0).total_cmp(&a.objective.unwrap_or(0.0)));
    let n_good = ((done.len() as f64 * GOOD).ceil() as usize).max(2);
    let (good, bad) = done.split_at(n_good.min(done.len() - 1));
    let next = space.iter().map(|p| {
        let density = |trials: &[&Trial]| {
            let at = |t: &&Trial| p.range.position(t.settings.get(&p.name)?);
            Density::new(trials.iter().filter_map(at).collect(), &p.range)
        };
        let (good, bad) = (density(good), density(bad));
        let drawn: Vec<f64> = (0..CANDIDATES).map(|_| good.draw(rng)).collect();
        let promise = |&x: &f64| (good.at(x) / bad.at(x)).ln();
        drawn.into_iter().max_by(|a, b| promise(a).total_cmp(&promise(b))).unwrap_or(0.5)
    });
    Some(next.collect())
}

/// A mixture of one kernel per observation and the uniform density on [0, 1].
struct Density {
    centres: Vec<f64>,
    width: f64,
    /// Number of values of a choice, whose kernel is the value itself.
    choices: Option<usize>,
}

impl Density {
    fn new(centres: Vec<f64>, range: &Range) -> Self {
        let n = centres.len().max(1) as f64;
        let mean = centres.iter().sum::<f64>() / n;
        let spread = (centres.iter().map(|c| (c - mean) * (c - mean)).sum::<f64>() / n).sqrt();
        let width = (1.06 * spread * n.powf(-0.2)).clamp(0.15, 0.5);
        let choices = if let Range::Choice { values } = range { Some(values.len()) } else { None };
        Self { centres, width, choices }
    }

    fn at(&self, x: f64) -> f64 {
        let kernel = |&c: &f64| match self.choices {
            Some(n) if cell(x, n) == cell(c, n) => n as f64,
            Some(_) => 0.0,
            None => {
                let z = (x - c) / self.width;
                (-0.5 * z * z).exp() / (self.width * std::f64::consts::TAU.sqrt())
            }
        };
        let sum: f64 = self.centres.iter().map(kernel).sum();
        (sum + PRIOR) / (self.centres.len() as f64 + PRIOR)
    }

    fn draw(&self, rng: &mut Rng) -> f64 {
        let pick = rng.f64() * (self.centres.len() as f64 + PRIOR);
        let x = match (self.centres.get(pick as usize), self.choices) {
            (None, _) => rng.f64(),
            (Some(&c), Some(_)) => c,
            (Some(&c), None) => c + self.width * rng.normal(),
        };
        // Mirrored at the ends, so that they attract nothing.
        (1.0 - (1.0 - x.abs()).abs()).clamp(0.0, 1.0)
    }
}

fn cell(x: f64, n: usize) -> usize {
    ((x * n as f64) as usize).min(n - 1)
}
