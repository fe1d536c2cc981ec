//! Similar users, on the same kernel as similar items.
//!
//! At request time the bundle finds neighbours from the histories itself; this module serves
//! batch questions and measures the scale of that channel.

use foretaste_core::Csr;
use serde::{Deserialize, Serialize};

use crate::item_item::capped;
use crate::product::{Product, top_k, top_k_of};

/// Settings of similarity between users and of the channel made from it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct UserUserConfig {
    /// Neighbours per user.
    pub neighbours: usize,
    /// A shared item counts degree^-this.
    pub item_exponent: f32,
    /// A neighbour counts degree^-this.
    pub user_exponent: f32,
    /// Scores are multiplied by the item's degree^-this.
    pub output_exponent: f32,
}

impl Default for UserUserConfig {
    fn default() -> Self {
        Self { neighbours: 300, item_exponent: 0.5, user_exponent: 0.5, output_exponent: 0.2 }
    }
}

/// Users per item that take part; of more popular items those with the heaviest entries.
const MAX_ITEM_USERS: usize = 10_000;

/// The nearest users of every user of `r` (users x items, values > 0):
/// `sim(u, v) = d_v^-user_exponent * sum over shared items of r_ui * d_i^-item_exponent`.
///
/// # Shapes
/// Users x users without diagonal, each row in order of descending similarity.
///
/// # Cost
/// One multiply-add per item and pair of its users, with popular items cut at 10,000 users.
///
/// # Source
/// Herlocker et al., "An algorithmic framework for performing collaborative filtering", SIGIR 1999,
/// with normalisation exponents as in Aiolli, "Efficient top-N recommendation for very large scale
/// binary rated datasets", RecSys 2013 (asymmetric cosine).
pub fn fit(r: &Csr, config: &UserUserConfig) -> Csr {
    Prepared::new(r, config).with(config, top_k)
}

/// As [`fit`] for the given users only: row `n` of the result belongs to `users[n]`.
pub fn fit_some(r: &Csr, users: &[u32], config: &UserUserConfig) -> Csr {
    Prepared::new(r, config).with(config, |product| top_k_of(product, users))
}

struct Prepared {
    left: Csr,
    right: Csr,
    ones: Vec<f32>,
    users: Vec<f32>,
}

impl Prepared {
    fn new(r: &Csr, config: &UserUserConfig) -> Self {
        let counts = r.col_counts();
        let weights: Vec<f32> =
            counts.iter().map(|&d| (d.max(1) as f32).powf(-config.item_exponent)).collect();
        let mut right = capped(&r.transpose(), MAX_ITEM_USERS);
        right.values.fill(1.0);
        let mut left = r.clone();
        left.values.iter_mut().zip(&r.indices).for_each(|(v, &i)| *v *= weights[i as usize]);
        let degree = |d: u32| (d.max(1) as f32).powf(-config.user_exponent);
        Self {
            left,
            right,
            ones: vec![1.0; r.n_rows()],
            users: r.row_counts().into_iter().map(degree).collect(),
        }
    }

    fn with(&self, config: &UserUserConfig, compute: impl Fn(&Product<'_>) -> Csr) -> Csr {
        compute(&Product {
            left: &self.left,
            right: &self.right,
            unit_right: true,
            row_scale: &self.ones,
            col_scale: &self.users,
            k: config.neighbours,
            skip_diagonal: true,
        })
    }
}

/// Adds what the neighbours of a user vote for: `d_j^-output_exponent * sum_v sim(u, v)`, given the
/// user's row of [`fit`].
pub fn add_votes(
    r: &Csr,
    (neighbours, similarities): (&[u32], &[f32]),
    degrees: &[u32],
    (config, scores): (&UserUserConfig, &mut [f32]),
) {
    for (&v, &similarity) in neighbours.iter().zip(similarities) {
        r.row(v as usize).0.iter().for_each(|&j| scores[j as usize] += similarity);
    }
    for (score, &d) in scores.iter_mut().zip(degrees) {
        *score *= (d.max(1) as f32).powf(-config.output_exponent);
    }
}

#[cfg(test)]
mod tests {
    use foretaste_core::planted;

    use super::*;

    #[test]
    fn neighbours_are_of_the_users_own_group() {
        let r = planted::groups((60, 80, 3), (0.5, 0.02), 5);
        let near = fit(&r, &UserUserConfig { neighbours: 5, ..Default::default() });
        for u in 0..60 {
            assert!(near.row(u).0.iter().all(|&v| v as usize % 3 == u % 3 && v as usize != u));
        }
        let some = fit_some(&r, &[9, 4], &UserUserConfig { neighbours: 5, ..Default::default() });
        assert_eq!((some.row(0), some.row(1)), (near.row(9), near.row(4)));
    }

    #[test]
    fn votes_recover_the_checkerboard() {
        let r = planted::checkerboard(40, 30, 0.3, 6);
        let config = UserUserConfig { neighbours: 10, ..Default::default() };
        let near = fit(&r, &config);
        let degrees = r.col_counts();
        for u in 0..40 {
            let mut scores = vec![0f32; 30];
            add_votes(&r, near.row(u), &degrees, (&config, &mut scores));
            let other = scores.iter().enumerate().filter(|(i, _)| i % 2 != u % 2);
            assert!(other.map(|(_, s)| *s).sum::<f32>() == 0.0 && scores.iter().sum::<f32>() > 0.0);
        }
    }
}
