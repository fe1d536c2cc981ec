//! Truncated singular value decomposition of a sparse matrix by randomised subspace iteration.

use foretaste_bundle::kernels::simd::{Kernel, Simd, axpy, vectorised};
use foretaste_core::{Csr, Matrix, Result, Rng};
use rayon::prelude::{IndexedParallelIterator, ParallelIterator, ParallelSliceMut};
use serde::{Deserialize, Serialize};

use crate::{dense, small};

/// Columns of the dense side that are worked on at a time, so that they stay in the cache.
const PANEL: usize = 128;
/// Rows per task.
const ROWS_PER_TASK: usize = 128;

/// Settings of [`truncated`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SvdConfig {
    /// Singular triplets to keep.
    pub factors: usize,
    /// Iterations of the subspace; 4 are enough for rankings.
    pub power_iterations: usize,
    /// Further vectors that are carried along and dropped at the end.
    pub oversample: usize,
    /// Seed of the start.
    pub seed: u64,
}

impl Default for SvdConfig {
    fn default() -> Self {
        Self { factors: 128, power_iterations: 4, oversample: 64, seed: 0 }
    }
}

/// `a ~ u diag(s) v'`.
#[derive(Clone, Debug, PartialEq)]
pub struct Svd {
    /// Left singular vectors, rows x factors.
    pub u: Matrix,
    /// Singular values, descending.
    pub s: Vec<f32>,
    /// Right singular vectors, columns x factors.
    pub v: Matrix,
}

/// The leading singular triplets of `a`; at most as many as `a` has rows or columns.
///
/// # Errors
/// `Internal` when `a` holds NaN or infinite values.
///
/// # Cost
/// With m = factors + oversample: per iteration 4 nnz m + 4 columns m^2 flops; memory 3 m
/// (rows + columns) floats.
///
/// # Source
/// Halko, Martinsson, Tropp, "Finding structure with randomness", SIAM Review 2011, algorithm 4.4
/// with Cholesky QR instead of Householder QR, on A'A, and a Rayleigh-Ritz step at the end.
pub fn truncated(a: &Csr, config: &SvdConfig) -> Result<Svd> {
    let (v, lambda) = leading_right(a, config, None)?;
    let s: Vec<f32> = lambda.iter().map(|l| l.max(0.0).sqrt() as f32).collect();
    let mut u = multiply(a, &v);
    for i in 0..u.n_rows {
        u.row_mut(i).iter_mut().zip(&s).for_each(|(u, s)| *u = if *s > 0.0 { *u / s } else { 0.0 });
    }
    Ok(Svd { u, s, v })
}

/// The leading eigenvectors (columns) and eigenvalues of `a'a`. `keys` as in
/// [`crate::ials::fit_keyed`].
pub(crate) fn leading_right(
    a: &Csr,
    config: &SvdConfig,
    keys: Option<&[u64]>,
) -> Result<(Matrix, Vec<f64>)> {
    let limit = a.n_rows().min(a.n_cols);
    let width = (config.factors + config.oversample).min(limit);
    let transposed = a.transpose();
    let mut y = Matrix::zeros(a.n_cols, width);
    for j in 0..a.n_cols {
        let mut rng = Rng::stream(config.seed, keys.map_or(j as u64, |keys| keys[j]));
        y.row_mut(j).iter_mut().for_each(|v| *v = rng.normal() as f32);
    }
    for _ in 0..config.power_iterations.max(1) {
        y = orthonormal(&multiply(&transposed, &multiply(a, &y)))?;
    }
    y = orthonormal(&y)?;
    let b = multiply(a, &y);
    let (mut lambda, rotation) = small::symmetric_eigen(&dense::gram(&b))?;
    let k = config.factors.min(width);
    lambda.truncate(k);
    let kept = (0..width).flat_map(|r| rotation.row(r)[..k].iter().copied()).collect();
    Ok((dense::times(&y, &Matrix::from_data(width, k, kept)), lambda))
}

fn orthonormal(y: &Matrix) -> Result<Matrix> {
    Ok(dense::times(y, &small::whitening(&dense::gram(y))?))
}

/// `a * b` for sparse `a`, dense `b`.
pub(crate) fn multiply(a: &Csr, b: &Matrix) -> Matrix {
    let width = b.n_cols;
    let mut out = Matrix::zeros(a.n_rows(), width);
    for from in (0..width).step_by(PANEL) {
        let panel = (from, width.min(from + PANEL));
        let rows = out.data.par_chunks_mut(ROWS_PER_TASK * width);
        rows.enumerate().for_each(|(task, out)| {
            vectorised(Rows { a, b, panel, first: task * ROWS_PER_TASK, out });
        });
    }
    out
}

/// Some rows of a sparse-dense product, restricted to some columns.
struct Rows<'a> {
    a: &'a Csr,
    b: &'a Matrix,
    panel: (usize, usize),
    first: usize,
    out: &'a mut [f32],
}

impl Kernel for Rows<'_> {
    type Out = ();
    #[inline(always)]
    fn run<S: Simd>(self) {
        let (from, to) = self.panel;
        for (r, out) in self.out.chunks_exact_mut(self.b.n_cols).enumerate() {
            let out = &mut out[from..to];
            let (cols, vals) = self.a.row(self.first + r);
            for (&c, &v) in cols.iter().zip(vals) {
                axpy::<S>(v, &self.b.row(c as usize)[from..to], out);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use foretaste_core::planted;

    use super::*;

    #[test]
    fn a_matrix_of_low_rank_is_reproduced() {
        let mut rng = Rng::new(4);
        let (left, right): (Vec<_>, Vec<_>) =
            ((0..40 * 3).map(|_| rng.f32()).collect(), (0..30 * 3).map(|_| rng.f32()).collect());
        let at = |i: usize, j: usize| (0..3).map(|f| left[i * 3 + f] * right[j * 3 + f]).sum();
        let rows = (0..40).map(|i| (0..30).map(|j| (j as u32, at(i, j))).collect());
        let a = Csr::from_rows(30, rows.collect::<Vec<_>>());
        let config = SvdConfig { factors: 3, oversample: 4, ..Default::default() };
        let svd = truncated(&a, &config).unwrap();
        for i in 0..40 {
            for j in 0..30 {
                let pairs = svd.u.row(i).iter().zip(svd.v.row(j)).zip(&svd.s);
                let value: f32 = pairs.map(|((u, v), s)| u * v * s).sum();
                assert!((value - at(i, j)).abs() < 1e-3, "{value} is not {}", at(i, j));
            }
        }
    }

    #[test]
    fn groups_are_the_leading_directions() {
        let r = planted::groups((90, 60, 3), (0.7, 0.02), 8);
        let svd = truncated(&r, &SvdConfig { factors: 8, ..Default::default() }).unwrap();
        assert!(svd.s[2] > 1.7 * svd.s[3], "no gap after three groups: {:?}", svd.s);
    }

    #[test]
    fn more_factors_than_rows_are_not_asked_for() {
        let r = planted::checkerboard(6, 9, 0.1, 1);
        let svd = truncated(&r, &SvdConfig { factors: 50, ..Default::default() }).unwrap();
        assert!(svd.s.len() == 6 && svd.v.is_finite() && svd.u.is_finite());
    }
}
