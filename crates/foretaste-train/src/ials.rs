//! Implicit alternating least squares: factors of users and items from weighted observations.
//!
//! Each half-iteration solves, for every row with its observed entries,
//! `(Y'Y + sum_e w_e y_e y_e' + reg_row I) u = sum_e (1 + w_e) y_e`, by a few conjugate-gradient
//! steps, by iALS++ blocks or exactly. Serving keeps only the item side and folds users in.

mod block;
mod gradient;
mod side;

use foretaste_bundle::kernels::simd::LANES;
use foretaste_core::{Csr, Matrix, Progress, Result, Rng};
use serde::{Deserialize, Serialize};

use side::Side;

use crate::{dense, small};

/// How a row's system is solved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Solver {
    /// Conjugate gradient from the previous solution.
    Cg {
        /// Steps per half-iteration.
        steps: usize,
    },
    /// iALS++: exact steps in blocks of this many factors, one pass over the blocks.
    Block {
        /// Factors per block.
        size: usize,
    },
    /// Exact, by Cholesky.
    Cholesky,
}

/// Settings of [`fit`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct IalsConfig {
    /// Length of the vectors.
    pub factors: usize,
    /// Weight of an observation of value 1 over the weight 1 of everything unobserved.
    pub alpha: f32,
    /// Regularisation of a row of mean degree.
    pub reg: f32,
    /// Regularisation grows with (degree / mean degree)^this.
    pub reg_exponent: f32,
    /// An observation's weight falls with (user's degree / mean)^this.
    pub user_exponent: f32,
    /// An observation's weight falls with (item's degree / mean)^this.
    pub item_exponent: f32,
    /// Iterations; each solves all users, then all items.
    pub iterations: usize,
    /// The solver.
    pub solver: Solver,
    /// Length of an item's vector at the start. It acts like regularisation: with little of that, a
    /// short start ranks better after few iterations; with tuned values it makes no difference.
    pub start: f32,
    /// Seed of the start.
    pub seed: u64,
}

impl Default for IalsConfig {
    fn default() -> Self {
        Self {
            factors: 64,
            alpha: 30.0,
            reg: 50.0,
            reg_exponent: 0.5,
            user_exponent: 0.0,
            item_exponent: 0.0,
            iterations: 10,
            solver: Solver::Cg { steps: 3 },
            start: 0.1,
            seed: 0,
        }
    }
}

/// Trained factors and what is needed to fold further users in.
#[derive(Clone, Debug, PartialEq)]
pub struct Ials {
    /// Users x factors, as of the last half-iteration over users.
    pub users: Matrix,
    /// Items x factors.
    pub items: Matrix,
    /// Mean number of entries of a user; scales the regularisation in fold-in.
    pub mean_user_degree: f32,
    /// Weight of an observation of each item for a user of mean degree.
    pub item_weights: Vec<f32>,
    config: IalsConfig,
}

/// Factors of `r` (users x items, values >= 0 are confidences; an entry's weight is alpha * value,
/// damped by the exponents).
///
/// # Shapes
/// `users` is users x factors, `items` items x factors; `score = u . y`.
///
/// # Cost
/// Per iteration with CG of s steps: (s + 1) * (2 (users + items) k^2 + 8 entries k) flops; exact
/// and block solvers: entries k b + (users + items) (k b^2 / 3 + 2 k^2) times a small constant.
/// Memory: 4 k (users + items) bytes and three copies of `r`.
///
/// # Source
/// Hu, Koren, Volinsky, "Collaborative filtering for implicit feedback datasets", ICDM 2008;
/// Takács, Pilászy, Tikk, "Applications of the conjugate gradient method for implicit feedback
/// collaborative filtering", RecSys 2011; Rendle et al., "iALS++: speeding up matrix
/// factorization with subspace optimization", 2021, and "Revisiting the performance of iALS on
/// item recommendation benchmarks", RecSys 2022 (frequency-scaled regularisation). Here blocks are
/// swept per row while the other side is fixed, and users begin at zero.
pub fn fit(r: &Csr, config: &IalsConfig, progress: &dyn Progress) -> Ials {
    fit_keyed(r, config, None, progress)
}

/// As [`fit`]; `item_keys` (one per item, for instance a hash of the item's id) decide the start
/// of each item, so that the result does not depend on how items are numbered.
pub fn fit_keyed(
    r: &Csr,
    config: &IalsConfig,
    item_keys: Option<&[u64]>,
    progress: &dyn Progress,
) -> Ials {
    let k = config.factors;
    let stride = k.next_multiple_of(LANES);
    let weights = Weights::new(r, config);
    let by_user = Csr { values: weights.of(r, config), ..r.clone() };
    let by_item = by_user.transpose();
    let (user_reg, item_reg) = (regularisation(&by_user, config), regularisation(&by_item, config));
    let mut users = Matrix::zeros(r.n_rows(), stride);
    let mut items = start(r.n_cols, stride, config, item_keys);
    progress.start("factors", Some(config.iterations as u64), "iterations");
    for _ in 0..config.iterations {
        Side { x: &by_user, other: &items, reg: &user_reg }.solve(config.solver, &mut users);
        Side { x: &by_item, other: &users, reg: &item_reg }.solve(config.solver, &mut items);
        progress.advance(1);
    }
    progress.finish();
    Ials {
        users: narrow(users, k),
        items: narrow(items, k),
        mean_user_degree: weights.mean_user,
        item_weights: weights.per_item(config),
        config: *config,
    }
}

impl Ials {
    /// The item side, turned so that its Gram matrix is diagonal. Scores of users that are folded
    /// in do not change, and their systems are nearly diagonal: they are solved in few steps.
    ///
    /// # Errors
    /// `Internal` when the factors hold NaN.
    ///
    /// # Cost
    /// 4 items k^2 flops, and the eigenvectors of a k x k matrix.
    pub fn turned_items(&self) -> Result<Matrix> {
        let (_, rotation) = small::symmetric_eigen(&dense::gram(&self.items))?;
        Ok(dense::times(&self.items, &rotation))
    }

    /// Vectors of the given histories (rows x items, values as in training), from the item side
    /// alone.
    ///
    /// # Cost
    /// As one half-iteration over the rows with `steps` steps of conjugate gradient.
    pub fn fold_in(&self, rows: &Csr, steps: usize) -> Matrix {
        let stride = self.config.factors.next_multiple_of(LANES);
        let items = widen(&self.items, stride);
        let mut x = rows.clone();
        for u in 0..rows.n_rows() {
            let range = x.indptr[u] as usize..x.indptr[u + 1] as usize;
            let degree = range.len() as f32 / self.mean_user_degree;
            let user = degree.max(f32::MIN_POSITIVE).powf(-self.config.user_exponent);
            for e in range {
                x.values[e] *= user * self.item_weights[x.indices[e] as usize];
            }
        }
        let reg = scaled_reg(&x, self.mean_user_degree, &self.config);
        let mut users = Matrix::zeros(rows.n_rows(), stride);
        Side { x: &x, other: &items, reg: &reg }.solve(Solver::Cg { steps }, &mut users);
        narrow(users, self.config.factors)
    }
}

/// Degrees relative to their means.
struct Weights {
    mean_user: f32,
    user: Vec<f32>,
    item: Vec<f32>,
}

impl Weights {
    fn new(r: &Csr, config: &IalsConfig) -> Self {
        let mean = |n: usize| (r.nnz() as f32 / n.max(1) as f32).max(f32::MIN_POSITIVE);
        let (mean_user, mean_item) = (mean(r.n_rows()), mean(r.n_cols));
        let damp = |counts: Vec<u32>, mean: f32, exponent: f32| -> Vec<f32> {
            counts.into_iter().map(|c| (c.max(1) as f32 / mean).powf(-exponent)).collect()
        };
        Self {
            mean_user,
            user: damp(r.row_counts(), mean_user, config.user_exponent),
            item: damp(r.col_counts(), mean_item, config.item_exponent),
        }
    }

    fn per_item(&self, config: &IalsConfig) -> Vec<f32> {
        self.item.iter().map(|w| w * config.alpha).collect()
    }

    /// The weight of every entry of `r`.
    fn of(&self, r: &Csr, config: &IalsConfig) -> Vec<f32> {
        let mut weights = Vec::with_capacity(r.nnz());
        for (u, &user) in self.user.iter().enumerate() {
            let (items, values) = r.row(u);
            let each = items.iter().zip(values);
            weights.extend(each.map(|(&i, &v)| v * user * (self.item[i as usize] * config.alpha)));
        }
        weights
    }
}

fn regularisation(x: &Csr, config: &IalsConfig) -> Vec<f32> {
    let mean = (x.nnz() as f32 / x.n_rows().max(1) as f32).max(f32::MIN_POSITIVE);
    scaled_reg(x, mean, config)
}

fn scaled_reg(x: &Csr, mean: f32, config: &IalsConfig) -> Vec<f32> {
    let of = |d: u32| config.reg * (d.max(1) as f32 / mean).powf(config.reg_exponent);
    x.row_counts().into_iter().map(of).collect()
}

/// Random normal rows of length about `config.start`, padded with zeros to `stride`.
fn start(n: usize, stride: usize, config: &IalsConfig, keys: Option<&[u64]>) -> Matrix {
    let mut m = Matrix::zeros(n, stride);
    let scale = f64::from(config.start) / (config.factors as f64).sqrt();
    for i in 0..n {
        let mut rng = Rng::stream(config.seed, keys.map_or(i as u64, |keys| keys[i]));
        let row = &mut m.row_mut(i)[..config.factors];
        row.iter_mut().for_each(|v| *v = (rng.normal() * scale) as f32);
    }
    m
}

fn narrow(m: Matrix, k: usize) -> Matrix {
    if m.n_cols == k {
        return m;
    }
    let data = (0..m.n_rows).flat_map(|i| m.row(i)[..k].iter().copied()).collect();
    Matrix::from_data(m.n_rows, k, data)
}

fn widen(m: &Matrix, stride: usize) -> Matrix {
    let mut wide = Matrix::zeros(m.n_rows, stride);
    (0..m.n_rows).for_each(|i| wide.row_mut(i)[..m.n_cols].copy_from_slice(m.row(i)));
    wide
}

#[cfg(test)]
mod tests;
