//! Factorisations of small symmetric matrices in f64, sequential: the same bits on any number of
//! threads and on any machine.

use foretaste_bundle::kernels::simd::{Kernel, Simd, vectorised};
use foretaste_core::{Error, Matrix, Result};

use crate::eigen;

/// Partial sums of an inner product. Fixed, so that results do not depend on the processor.
const LANES: usize = 16;

/// What is added to the diagonal of a Gram matrix, in units of its mean diagonal. The first is
/// enough for columns that differ; the rounding of f32 makes a Gram matrix of columns that are
/// alike slightly indefinite, which the others outweigh.
const RIDGES: [f64; 4] = [1e-7, 1e-5, 1e-3, 1e-1];

fn to_f64(m: &Matrix) -> Vec<f64> {
    m.data.iter().map(|&x| f64::from(x)).collect()
}

/// The inverse transpose of the Cholesky factor of `gram`, its diagonal raised by the least of
/// [`RIDGES`] that makes it positive definite: what makes the columns of a matrix with this Gram
/// matrix orthonormal. Where the columns depend on each other, some of the results are near zero.
///
/// # Errors
/// `Internal` when `gram` is no Gram matrix (NaN in the input).
pub(crate) fn whitening(gram: &Matrix) -> Result<Matrix> {
    let n = gram.n_rows;
    let mean = (0..n).map(|i| f64::from(gram.row(i)[i])).sum::<f64>() / n.max(1) as f64;
    let inverse_of = |ridge: f64| {
        let mut a = to_f64(gram);
        let shift = (ridge * mean).max(f64::MIN_POSITIVE);
        (0..n).for_each(|i| a[i * n + i] += shift);
        inverse_factor(a, n)
    };
    let (first, others) = (RIDGES[0], &RIDGES[1..]);
    let l = others.iter().fold(inverse_of(first), |l, &ridge| l.or_else(|_| inverse_of(ridge)))?;
    let data = (0..n * n).map(|at| l[(at % n) * n + at / n] as f32).collect();
    Ok(Matrix::from_data(n, n, data))
}

/// Inverse of a symmetric positive definite matrix given row by row, of which the lower half is
/// read.
///
/// # Errors
/// `Internal` when it is not positive definite.
pub(crate) fn spd_inverse(m: &Matrix) -> Result<Matrix> {
    let n = m.n_rows;
    let l = inverse_factor(to_f64(m), n)?;
    let product = vectorised(Square { l: &l, n });
    let lower = |i: usize, j: usize| product[i.max(j) * n + i.min(j)] as f32;
    let data = (0..n * n).map(|at| lower(at / n, at % n)).collect();
    Ok(Matrix::from_data(n, n, data))
}

/// Eigenvalues in descending order and their eigenvectors as columns.
///
/// # Errors
/// `Internal` when the iteration does not converge (NaN in the input).
pub(crate) fn symmetric_eigen(m: &Matrix) -> Result<(Vec<f64>, Matrix)> {
    let n = m.n_rows;
    let (values, vectors) = eigen::symmetric(to_f64(m), n)?;
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|&a, &b| values[b].total_cmp(&values[a]));
    let data = (0..n * n).map(|at| vectors[order[at % n] * n + at / n] as f32).collect();
    Ok((order.iter().map(|&i| values[i]).collect(), Matrix::from_data(n, n, data)))
}

/// The inverse of the Cholesky factor of an n x n matrix of which the lower half is read; above
/// its diagonal are zeros.
fn inverse_factor(a: Vec<f64>, n: usize) -> Result<Vec<f64>> {
    vectorised(InverseFactor { a, n })
        .ok_or_else(|| Error::internal(format!("a {n} x {n} matrix is not positive definite")))
}

struct InverseFactor {
    a: Vec<f64>,
    n: usize,
}

impl Kernel for InverseFactor {
    type Out = Option<Vec<f64>>;
    #[inline(always)]
    fn run<S: Simd>(self) -> Self::Out {
        let Self { mut a, n } = self;
        for i in 0..n {
            let (above, row) = a.split_at_mut(i * n);
            for (j, other) in above.chunks_exact(n).enumerate() {
                row[j] = (row[j] - dot(&row[..j], &other[..j])) / other[j];
            }
            let rest = row[i] - dot(&row[..i], &row[..i]);
            if rest.is_nan() || rest <= 0.0 {
                return None;
            }
            row[i] = rest.sqrt();
        }
        let mut inverse = vec![0.0; n * n];
        for i in 0..n {
            let (above, row) = inverse.split_at_mut(i * n);
            let factors = &a[i * n..=i * n + i];
            for (j, other) in above.chunks_exact(n).enumerate() {
                axpy(-factors[j], &other[..=j], &mut row[..=j]);
            }
            row[i] = 1.0;
            row[..=i].iter_mut().for_each(|x| *x /= factors[i]);
        }
        Some(inverse)
    }
}

/// The lower half of `l' l` for a lower triangular `l`.
struct Square<'a> {
    l: &'a [f64],
    n: usize,
}

impl Kernel for Square<'_> {
    type Out = Vec<f64>;
    #[inline(always)]
    fn run<S: Simd>(self) -> Self::Out {
        let n = self.n;
        let mut product = vec![0.0; n * n];
        for (k, row) in self.l.chunks_exact(n).enumerate() {
            for (i, out) in product.chunks_exact_mut(n).enumerate().take(k + 1) {
                axpy(row[i], &row[..=i], &mut out[..=i]);
            }
        }
        product
    }
}

/// Inner product.
#[inline(always)]
pub(crate) fn dot(a: &[f64], b: &[f64]) -> f64 {
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    let mut sums = [0.0; LANES];
    for (a, b) in a.iter().zip(b) {
        for l in 0..LANES {
            sums[l] += a[l] * b[l];
        }
    }
    let rest: f64 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
    sums.iter().sum::<f64>() + rest
}

/// `y += a * x`.
#[inline(always)]
pub(crate) fn axpy(a: f64, x: &[f64], y: &mut [f64]) {
    for (y, &x) in y.iter_mut().zip(x) {
        *y += a * x;
    }
}

#[cfg(test)]
mod tests {
    use foretaste_core::Rng;

    use super::*;

    /// `a' a` of a random matrix with more rows than columns.
    fn gram(n: usize, seed: u64) -> Matrix {
        let mut rng = Rng::new(seed);
        let a = Matrix::from_data(n + 9, n, (0..(n + 9) * n).map(|_| rng.f32() - 0.5).collect());
        crate::dense::gram(&a)
    }

    fn product(a: &Matrix, b: &Matrix) -> Matrix {
        crate::dense::times(a, b)
    }

    fn is_unit(m: &Matrix, tolerance: f32) -> bool {
        let expected = |at: usize| if at % m.n_cols == at / m.n_cols { 1.0 } else { 0.0 };
        m.data.iter().enumerate().all(|(at, x)| (x - expected(at)).abs() < tolerance)
    }

    #[test]
    fn the_inverse_times_the_matrix_is_one() {
        for n in [1, 2, 17, 90] {
            let m = gram(n, n as u64);
            assert!(is_unit(&product(&spd_inverse(&m).unwrap(), &m), 0.02), "n {n}");
        }
        let indefinite = Matrix::from_data(2, 2, vec![1.0, 2.0, 2.0, 1.0]);
        assert!(spd_inverse(&indefinite).is_err());
    }

    #[test]
    fn whitening_makes_a_gram_matrix_one() {
        for n in [1, 33] {
            let m = gram(n, 7);
            let w = whitening(&m).unwrap();
            let transposed: Vec<f32> = (0..n * n).map(|at| w.row(at % n)[at / n]).collect();
            let whitened = product(&product(&Matrix::from_data(n, n, transposed), &m), &w);
            assert!(is_unit(&whitened, 0.01), "n {n}");
        }
        let alike = Matrix::from_data(2, 2, vec![1.0; 4]);
        assert!(whitening(&alike).unwrap().data.iter().all(|x| x.is_finite()));
        assert!(whitening(&Matrix::from_data(1, 1, vec![f32::NAN])).is_err());
    }

    #[test]
    fn eigenvalues_come_in_descending_order_with_their_columns() {
        let m = gram(25, 3);
        let (values, vectors) = symmetric_eigen(&m).unwrap();
        assert!(values.is_sorted_by(|a, b| a >= b));
        let turned = product(&m, &vectors);
        for i in 0..25 {
            for (j, value) in values.iter().enumerate() {
                assert!((turned.row(i)[j] - vectors.row(i)[j] * *value as f32).abs() < 1e-4);
            }
        }
    }
}
