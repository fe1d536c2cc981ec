//! Factorisations of small symmetric matrices in f64, sequential: the same bits on any number of
//! threads.

use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::cholesky::llt::factor::{cholesky_in_place, cholesky_in_place_scratch};
use faer::linalg::evd::{ComputeEigenvectors, self_adjoint_evd, self_adjoint_evd_scratch};
use faer::linalg::matmul::matmul;
use faer::linalg::triangular_inverse::invert_lower_triangular;
use faer::{Accum, Mat, Par};
use foretaste_core::{Error, Matrix, Result};

fn to_f64(m: &Matrix) -> Mat<f64> {
    Mat::from_fn(m.n_rows, m.n_cols, |i, j| f64::from(m.row(i)[j]))
}

/// What is added to the diagonal of a Gram matrix, in units of its mean diagonal. The first is
/// enough for columns that differ; the rounding of f32 makes a Gram matrix of columns that are
/// alike slightly indefinite, which the others outweigh.
const RIDGES: [f64; 4] = [1e-7, 1e-5, 1e-3, 1e-1];

/// The inverse transpose of the Cholesky factor of `gram`, its diagonal raised by the least of
/// [`RIDGES`] that makes it positive definite: what makes the columns of a matrix with this Gram
/// matrix orthonormal. Where the columns depend on each other, some of the results are near zero.
///
/// # Errors
/// `Internal` when `gram` is no Gram matrix (NaN in the input).
pub(crate) fn whitening(gram: &Matrix) -> Result<Matrix> {
    let n = gram.n_rows;
    let mean = (0..n).map(|i| f64::from(gram.row(i)[i])).sum::<f64>() / n.max(1) as f64;
    let factor = |ridge: f64| {
        let mut a = to_f64(gram);
        let shift = (ridge * mean).max(f64::MIN_POSITIVE);
        (0..n).for_each(|i| a[(i, i)] += shift);
        cholesky(a)
    };
    let (first, others) = (RIDGES[0], &RIDGES[1..]);
    let l = others.iter().fold(factor(first), |l, &ridge| l.or_else(|_| factor(ridge)))?;
    let mut inverse = Mat::<f64>::zeros(n, n);
    invert_lower_triangular(inverse.as_mut(), l.as_ref(), Par::Seq);
    let data = (0..n * n).map(|at| inverse[(at % n, at / n)] as f32).collect();
    Ok(Matrix::from_data(n, n, data))
}

fn cholesky(mut a: Mat<f64>) -> Result<Mat<f64>> {
    let n = a.nrows();
    let params = Default::default();
    let mut memory = MemBuffer::new(cholesky_in_place_scratch::<f64>(n, Par::Seq, params));
    let stack = MemStack::new(&mut memory);
    cholesky_in_place(a.as_mut(), Default::default(), Par::Seq, stack, params)
        .map_err(|_| Error::internal(format!("a {n} x {n} matrix is not positive definite")))?;
    for j in 0..n {
        (0..j).for_each(|i| a[(i, j)] = 0.0);
    }
    Ok(a)
}

/// Inverse of a symmetric positive definite matrix given row by row.
///
/// # Errors
/// `Internal` when it is not positive definite.
pub(crate) fn spd_inverse(m: &Matrix) -> Result<Matrix> {
    let n = m.n_rows;
    let l = cholesky(to_f64(m))?;
    let mut inverse = Mat::<f64>::zeros(n, n);
    invert_lower_triangular(inverse.as_mut(), l.as_ref(), Par::Seq);
    let mut product = Mat::<f64>::zeros(n, n);
    let (left, right) = (inverse.as_ref().transpose(), inverse.as_ref());
    matmul(product.as_mut(), Accum::Replace, left, right, 1.0, Par::Seq);
    let data = (0..n * n).map(|at| product[(at / n, at % n)] as f32).collect();
    Ok(Matrix::from_data(n, n, data))
}

/// Eigenvalues in descending order and their eigenvectors as columns.
///
/// # Errors
/// `Internal` when the iteration does not converge (NaN in the input).
pub(crate) fn symmetric_eigen(m: &Matrix) -> Result<(Vec<f64>, Matrix)> {
    let n = m.n_rows;
    let a = to_f64(m);
    let params = Default::default();
    let with = ComputeEigenvectors::Yes;
    let mut memory = MemBuffer::new(self_adjoint_evd_scratch::<f64>(n, with, Par::Seq, params));
    let (mut s, mut u) = (faer::diag::Diag::<f64>::zeros(n), Mat::<f64>::zeros(n, n));
    let stack = MemStack::new(&mut memory);
    self_adjoint_evd(a.as_ref(), s.as_mut(), Some(u.as_mut()), Par::Seq, stack, params)
        .map_err(|_| Error::internal(format!("no eigenvalues of a {n} x {n} matrix")))?;
    let values = (0..n).rev().map(|i| s[i]).collect();
    let data = (0..n * n).map(|at| u[(at / n, n - 1 - at % n)] as f32).collect();
    Ok((values, Matrix::from_data(n, n, data)))
}
