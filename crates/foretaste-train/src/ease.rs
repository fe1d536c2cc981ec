//! EASE: the item-item weights that predict each item from all others with least squared error.
//!
//! Exact and dense, so for catalogues that fit; [`crate::local_ease`] is the form for large ones.

use foretaste_core::{Csr, Error, ErrorKind, Matrix, Result};
use rayon::prelude::{
    IndexedParallelIterator, IntoParallelIterator, ParallelIterator, ParallelSliceMut,
};
use serde::{Deserialize, Serialize};

use crate::gemm::{self, Target, View};
use crate::{gram, product, small};

/// Columns eliminated at a time.
const BLOCK: usize = 128;
/// Rows per task.
const ROWS: usize = 256;
/// Rows per task when pruning.
const PRUNE_ROWS: usize = 16;

/// Settings of [`fit`] and of [`crate::local_ease::fit`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EaseConfig {
    /// Regularisation of an item of mean degree, in units of the mean degree.
    pub lambda: f32,
    /// A user counts (degree / mean)^-this.
    pub user_exponent: f32,
    /// Regularisation grows with (degree / mean)^this.
    pub reg_exponent: f32,
    /// Scores are multiplied by degree^this.
    pub output_exponent: f32,
    /// Weights kept per item: the largest by absolute value.
    pub k: usize,
}

impl Default for EaseConfig {
    fn default() -> Self {
        Self { lambda: 5.0, user_exponent: 0.5, reg_exponent: 0.5, output_exponent: -0.2, k: 400 }
    }
}

/// Largest catalogue that [`fit`] accepts: 1.6 GB of weights.
pub const MAX_ITEMS: usize = 20_000;

/// Weights from `r` (users x items, values > 0).
///
/// # Shapes
/// Items x items without diagonal; row `i` holds the weights `B[i, j]` of item `i` in the scores of
/// items `j`: `score_j = sum_i x_i B[i, j]`, ordered by descending absolute value.
///
/// # Errors
/// `Exhausted` beyond [`MAX_ITEMS`]; `Internal` when the system is singular (lambda 0).
///
/// # Cost
/// items^3 multiply-adds and 4 items^2 bytes, plus half the sum of d_u^2.
///
/// # Source
/// Steck, "Embarrassingly shallow autoencoders for sparse data", WWW 2019, eq. 8. Differences:
/// users are weighted, lambda is per item, and scores are scaled by a power of the target's degree.
/// The inverse is taken in place by symmetric block elimination in f32.
pub fn fit(r: &Csr, config: &EaseConfig) -> Result<Csr> {
    let n = r.n_cols;
    if n > MAX_ITEMS {
        let hint = "use local_ease, which is sparse";
        let text = format!("ease: {n} items, at most {MAX_ITEMS} are possible; {hint}");
        return Err(Error::new(ErrorKind::Exhausted, text));
    }
    let system = System::new(r, config);
    let mut p = gram::upper(&system.weighted.transpose(), r);
    for (i, lambda) in system.lambda.iter().enumerate() {
        p[i * n + i] += lambda;
    }
    invert_upper(&mut p, n)?;
    Ok(prune(&p, n, &system.output, config.k))
}

/// What EASE and local EASE share.
pub(crate) struct System {
    /// `r` with each user's weight multiplied in.
    pub weighted: Csr,
    /// Regularisation per item.
    pub lambda: Vec<f32>,
    /// degree^output_exponent per item.
    pub output: Vec<f32>,
}

impl System {
    pub(crate) fn new(r: &Csr, config: &EaseConfig) -> Self {
        let mean = |n: usize| (r.nnz() as f32 / n.max(1) as f32).max(f32::MIN_POSITIVE);
        let (mean_user, mean_item) = (mean(r.n_rows()), mean(r.n_cols));
        let mut weighted = r.clone();
        for u in 0..r.n_rows() {
            let range = r.indptr[u] as usize..r.indptr[u + 1] as usize;
            let weight = (range.len().max(1) as f32 / mean_user).powf(-config.user_exponent);
            weighted.values[range].iter_mut().for_each(|v| *v *= weight);
        }
        let degrees: Vec<f32> = r.col_counts().into_iter().map(|d| d.max(1) as f32).collect();
        let strength = config.lambda * mean_item;
        let lambda = degrees.iter().map(|d| strength * (d / mean_item).powf(config.reg_exponent));
        let output = degrees.iter().map(|d| d.powf(config.output_exponent));
        Self { lambda: lambda.collect(), output: output.collect(), weighted }
    }
}

/// Replaces the upper triangle of a symmetric positive definite matrix by that of its negated
/// inverse.
///
/// # Source
/// The sweep operator (Goodnight, 1979) in blocks.
fn invert_upper(m: &mut [f32], n: usize) -> Result<()> {
    for from in (0..n).step_by(BLOCK) {
        let to = n.min(from + BLOCK);
        sweep(m, n, (from, to))?;
    }
    Ok(())
}

fn sweep(m: &mut [f32], n: usize, (from, to): (usize, usize)) -> Result<()> {
    let b = to - from;
    let panel = take_panel(m, n, (from, to));
    let pivot: Vec<f32> = (0..b)
        .flat_map(|c| (0..b).map(move |r| (r, c)))
        .map(|(r, c)| panel.row(from + r.max(c))[r.min(c)])
        .collect();
    let inverse = small::spd_inverse(&Matrix::from_data(b, b, pivot))?;
    let scaled = crate::dense::times(&panel, &inverse);
    let rows = m.par_chunks_mut(ROWS * n);
    rows.enumerate().for_each(|(task, rows)| {
        let (first, count) = (task * ROWS, rows.len() / n);
        let width = n - first;
        let target = Target { data: &mut *rows, stride: n, first_col: first };
        let left = View::rows(&scaled, first, count);
        gemm::add(target, -1.0, left, View::rows(&panel, first, width).transposed());
        for r in 0..count {
            put_panel(&mut rows[r * n..(r + 1) * n], first + r, (from, to), (&scaled, &inverse));
        }
    });
    Ok(())
}

/// The columns `from..to` of the whole symmetric matrix (n x b); of the pivot block only the lower
/// half, in the rows' own order.
fn take_panel(m: &[f32], n: usize, (from, to): (usize, usize)) -> Matrix {
    let mut panel = Matrix::zeros(n, to - from);
    for i in 0..to {
        let c = i.max(from)..to;
        panel.row_mut(i)[c.start - from..].copy_from_slice(&m[i * n + c.start..i * n + c.end]);
    }
    for c in from..to {
        for i in c..n {
            panel.row_mut(i)[c - from] = m[c * n + i];
        }
    }
    panel
}

/// Writes what elimination leaves in the eliminated rows and columns.
fn put_panel(
    row: &mut [f32],
    i: usize,
    (from, to): (usize, usize),
    (scaled, inverse): (&Matrix, &Matrix),
) {
    if i < from {
        row[from..to].copy_from_slice(scaled.row(i));
    } else if i < to {
        for (j, v) in row.iter_mut().enumerate().skip(i) {
            *v = match j < to {
                true => -inverse.row(i - from)[j - from],
                false => scaled.row(j)[i - from],
            };
        }
    }
}

/// Rows of `B[i, j] = -P[i, j] / P[j, j] * output_j` from the upper triangle of -P.
fn prune(p: &[f32], n: usize, output: &[f32], k: usize) -> Csr {
    let scale: Vec<f32> = (0..n).map(|j| output[j] / p[j * n + j]).collect();
    let parts: Vec<Csr> = (0..n.div_ceil(PRUNE_ROWS))
        .into_par_iter()
        .map_init(
            || vec![0f32; n * PRUNE_ROWS],
            |rows, task| {
                let first = task * PRUNE_ROWS;
                let count = PRUNE_ROWS.min(n - first);
                gram::symmetric_rows(p, n, first, &mut rows[..count * n]);
                let mut part = Csr { n_cols: n, indptr: vec![0], ..Csr::default() };
                for r in 0..count {
                    let row = rows[r * n..(r + 1) * n].iter().zip(&scale).enumerate();
                    let weights = row.map(|(j, (p, s))| (j as u32, -(p * s)));
                    let others = weights.filter(|w| w.0 as usize != first + r);
                    part.push_row(largest(others.collect(), k));
                }
                part
            },
        )
        .collect();
    product::concat(n, &parts)
}

/// The `k` entries of largest absolute value, in that order.
pub(crate) fn largest(mut row: Vec<(u32, f32)>, k: usize) -> Vec<(u32, f32)> {
    row.retain(|w| w.1 != 0.0 && w.1.is_finite());
    let order =
        |a: &(u32, f32), b: &(u32, f32)| b.1.abs().total_cmp(&a.1.abs()).then(a.0.cmp(&b.0));
    if row.len() > k && k > 0 {
        row.select_nth_unstable_by(k - 1, order);
    }
    row.truncate(k);
    row.sort_unstable_by(order);
    row
}

#[cfg(test)]
mod tests {
    use foretaste_core::{Rng, planted};

    use super::*;

    #[test]
    fn the_blocked_inverse_is_the_inverse() {
        for n in [1, 5, 128, 300] {
            let mut rng = Rng::new(n as u64);
            let r = Csr::from_rows(
                n,
                (0..n + 20)
                    .map(|_| (0..n as u32).filter(|_| rng.f64() < 0.3).map(|i| (i, 1.0)).collect())
                    .collect::<Vec<_>>(),
            );
            let mut m = gram::upper(&r.transpose(), &r);
            (0..n).for_each(|i| m[i * n + i] += 10.0);
            let mut whole = vec![0f32; n * n];
            gram::symmetric_rows(&m, n, 0, &mut whole);
            invert_upper(&mut m, n).unwrap();
            let mut inverse = vec![0f32; n * n];
            gram::symmetric_rows(&m, n, 0, &mut inverse);
            for i in 0..n {
                for j in 0..n {
                    let products = (0..n).map(|l| whole[i * n + l] * -inverse[l * n + j]);
                    let expected = f32::from(u8::from(i == j));
                    let sum: f32 = products.sum();
                    assert!((sum - expected).abs() < 1e-3, "n {n} at {i}, {j}: {sum}");
                }
            }
        }
    }

    #[test]
    fn weights_stay_within_the_planted_groups() {
        let r = planted::groups((200, 30, 3), (0.6, 0.02), 11);
        let weights = fit(&r, &EaseConfig { lambda: 0.5, ..Default::default() }).unwrap();
        for i in 0..30 {
            let (js, vs) = weights.row(i);
            let inside =
                js.iter().zip(vs).take(4).filter(|(j, v)| **j as usize % 3 == i % 3 && **v > 0.0);
            assert_eq!(inside.count(), 4, "item {i}: {js:?} {vs:?}");
        }
    }

    #[test]
    fn a_catalogue_that_does_not_fit_is_refused() {
        let r = Csr::empty(1, MAX_ITEMS + 1);
        let error = fit(&r, &EaseConfig::default()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Exhausted);
    }
}
