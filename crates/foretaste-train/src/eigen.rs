//! Eigenvalues and eigenvectors of symmetric matrices of up to some thousand rows, in f64.
//!
//! # Source
//! Golub and Van Loan, "Matrix Computations", 4th edition: reduction to tridiagonal form by
//! Householder reflections (8.3.1), then implicit QR steps with Wilkinson's shift (8.3.2, 8.3.3).

use foretaste_bundle::kernels::simd::{Kernel, Simd, vectorised};
use foretaste_core::{Error, Result};

use crate::small::{axpy, dot};

/// QR steps per eigenvalue; two are usual.
const STEPS: usize = 50;

/// Eigenvalues in ascending order of their rows, and the eigenvectors as rows of an n x n matrix,
/// in no order; `a` is the n x n matrix, of which both halves are read.
///
/// # Errors
/// `Internal` when the iteration does not converge (NaN in the input).
///
/// # Cost
/// About 9 n^3 flops.
pub(crate) fn symmetric(a: Vec<f64>, n: usize) -> Result<(Vec<f64>, Vec<f64>)> {
    vectorised(Eigen { a, n })
        .ok_or_else(|| Error::internal(format!("no eigenvalues of a {n} x {n} matrix")))
}

struct Eigen {
    a: Vec<f64>,
    n: usize,
}

impl Kernel for Eigen {
    type Out = Option<(Vec<f64>, Vec<f64>)>;
    #[inline(always)]
    fn run<S: Simd>(mut self) -> Self::Out {
        let n = self.n;
        let mut t = tridiagonal(&mut self.a, n);
        let mut vectors = reflections(&self.a, &t.scales, n);
        diagonal(&mut t, &mut vectors, n)?;
        Some((t.diagonal, vectors))
    }
}

/// A symmetric matrix with nothing beside its diagonal and the two next to it.
struct Tridiagonal {
    diagonal: Vec<f64>,
    /// Element i couples rows i and i + 1.
    beside: Vec<f64>,
    /// Of reflection k, `I - scale v v'`, whose v (k + 1.. of row k) stays in the input.
    scales: Vec<f64>,
}

#[inline(always)]
fn tridiagonal(a: &mut [f64], n: usize) -> Tridiagonal {
    let (mut beside, mut scales) = (vec![0.0; n], vec![0.0; n]);
    let mut w = vec![0.0; n];
    for k in 0..n.saturating_sub(1) {
        let (head, rest) = a.split_at_mut((k + 1) * n);
        let v = &mut head[k * n + k + 1..];
        let norm = dot(v, v).sqrt();
        let to = if v[0] > 0.0 { -norm } else { norm };
        beside[k] = to;
        v[0] -= to;
        let length = dot(v, v);
        if length <= f64::MIN_POSITIVE {
            continue;
        }
        let scale = 2.0 / length;
        scales[k] = scale;
        let w = &mut w[k + 1..];
        let rows = rest.chunks_exact(n).map(|row| &row[k + 1..]);
        w.iter_mut().zip(rows).for_each(|(w, row)| *w = scale * dot(row, v));
        let along = -0.5 * scale * dot(w, v);
        axpy(along, v, w);
        for (i, row) in rest.chunks_exact_mut(n).enumerate() {
            let row = &mut row[k + 1..];
            axpy(-v[i], w, row);
            axpy(-w[i], v, row);
        }
    }
    let diagonal = (0..n).map(|i| a[i * n + i]).collect();
    Tridiagonal { diagonal, beside, scales }
}

/// The transposed product of all reflections: what takes eigenvectors of the tridiagonal matrix to
/// those of the whole one.
#[inline(always)]
fn reflections(a: &[f64], scales: &[f64], n: usize) -> Vec<f64> {
    let mut product = vec![0.0; n * n];
    (0..n).for_each(|i| product[i * n + i] = 1.0);
    let mut along = vec![0.0; n];
    // From the last one on, which touches the smallest part of what is the unit matrix still.
    for k in (0..n.saturating_sub(1)).rev() {
        let v = &a[k * n + k + 1..(k + 1) * n];
        let along = &mut along[k + 1..];
        along.fill(0.0);
        for (row, &v) in product[(k + 1) * n..].chunks_exact(n).zip(v) {
            axpy(v, &row[k + 1..], along);
        }
        for (row, &v) in product[(k + 1) * n..].chunks_exact_mut(n).zip(v) {
            axpy(-scales[k] * v, along, &mut row[k + 1..]);
        }
    }
    for i in 0..n {
        for j in 0..i {
            product.swap(i * n + j, j * n + i);
        }
    }
    product
}

/// Makes the tridiagonal matrix a diagonal one, and turns the rows of `vectors` along.
#[inline(always)]
fn diagonal(t: &mut Tridiagonal, vectors: &mut [f64], n: usize) -> Option<()> {
    let Tridiagonal { diagonal: d, beside: e, .. } = t;
    let mut steps = 0;
    let mut last = n.saturating_sub(1);
    while last > 0 {
        // The block that ends here: as far up as rows are coupled.
        let mut first = last;
        while first > 0 && e[first - 1].abs() > f64::EPSILON * (d[first - 1].abs() + d[first].abs())
        {
            first -= 1;
        }
        if first == last {
            e[last - 1] = 0.0;
            last -= 1;
            continue;
        }
        steps += 1;
        if steps > STEPS * n || !d[last].is_finite() {
            return None;
        }
        step((d, e), (first, last), vectors, n);
    }
    d.iter().all(|d| d.is_finite()).then_some(())
}

/// One implicit QR step on the rows `first..=last`.
#[inline(always)]
fn step(
    (d, e): (&mut [f64], &mut [f64]),
    (first, last): (usize, usize),
    vectors: &mut [f64],
    n: usize,
) {
    let half = 0.5 * (d[last - 1] - d[last]);
    let coupling = e[last - 1];
    let root = half.hypot(coupling);
    let shift = d[last] - coupling * coupling / (half + if half < 0.0 { -root } else { root });
    let (mut x, mut z) = (d[first] - shift, e[first]);
    for k in first..last {
        let r = x.hypot(z);
        let (c, s) = if r > 0.0 { (x / r, z / r) } else { (1.0, 0.0) };
        if k > first {
            e[k - 1] = r;
        }
        let (upper, lower, beside) = (d[k], d[k + 1], e[k]);
        d[k] = c * c * upper + 2.0 * c * s * beside + s * s * lower;
        d[k + 1] = s * s * upper - 2.0 * c * s * beside + c * c * lower;
        e[k] = c * s * (lower - upper) + (c * c - s * s) * beside;
        if k + 1 < last {
            (x, z) = (e[k], s * e[k + 1]);
            e[k + 1] *= c;
        }
        let (above, below) = vectors[k * n..(k + 2) * n].split_at_mut(n);
        for (a, b) in above.iter_mut().zip(below) {
            (*a, *b) = (c * *a + s * *b, c * *b - s * *a);
        }
    }
}

#[cfg(test)]
mod tests {
    use foretaste_core::Rng;

    use super::*;

    fn check(a: &[f64], n: usize) -> Vec<f64> {
        let (values, vectors) = symmetric(a.to_vec(), n).unwrap();
        let size = a.iter().fold(1e-300, |max: f64, x| max.max(x.abs()));
        for (i, row) in vectors.chunks_exact(n).enumerate() {
            for (j, other) in vectors.chunks_exact(n).enumerate() {
                let expected = if i == j { 1.0 } else { 0.0 };
                assert!((dot(row, other) - expected).abs() < 1e-11, "{i}, {j}");
            }
            for (j, a) in a.chunks_exact(n).enumerate() {
                let error = dot(a, row) - values[i] * row[j];
                assert!(error.abs() < 1e-12 * size * n as f64, "n {n}: {error} at {i}, {j}");
            }
        }
        values
    }

    #[test]
    fn vectors_are_orthonormal_and_multiplied_by_their_values() {
        for n in [1, 2, 3, 17, 120] {
            let mut rng = Rng::new(n as u64);
            let mut a = vec![0.0; n * n];
            for i in 0..n {
                for j in 0..=i {
                    let x = rng.f64() - 0.5;
                    (a[i * n + j], a[j * n + i]) = (x, x);
                }
            }
            check(&a, n);
        }
    }

    #[test]
    fn values_that_are_equal_tiny_or_far_apart_are_found() {
        let n = 40;
        let of = |value: fn(usize) -> f64| {
            // Turned by a reflection, so that the matrix is full.
            let v: Vec<f64> = (0..n).map(|i| 1.0 / (i + 1) as f64).collect();
            let scale = 2.0 / dot(&v, &v);
            let h = |i: usize, j: usize| f64::from(u8::from(i == j)) - scale * v[i] * v[j];
            let at = |i, j| (0..n).map(|k| h(i, k) * value(k) * h(j, k)).sum();
            let a: Vec<f64> = (0..n * n).map(|at_| at(at_ / n, at_ % n)).collect();
            let mut found = check(&a, n);
            found.sort_by(f64::total_cmp);
            let mut expected: Vec<f64> = (0..n).map(value).collect();
            expected.sort_by(f64::total_cmp);
            let size = expected.iter().fold(0.0, |max: f64, e| max.max(e.abs()));
            for (f, e) in found.iter().zip(&expected) {
                assert!((f - e).abs() < 1e-12 * size * n as f64);
            }
        };
        of(|_| 3.0);
        of(|i| if i < 20 { 1.0 } else { 2.0 });
        of(|i| 0.5f64.powi(i as i32));
        of(|i| if i == 0 { 1.0 } else { 0.0 });
        of(|i| if i % 2 == 0 { -1e6 } else { 1e-6 });
        assert!(check(&[0.0; 9], 3).iter().all(|v| *v == 0.0));
    }

    #[test]
    fn a_matrix_that_is_none_is_refused() {
        assert!(symmetric(vec![1.0, f64::NAN, f64::NAN, 1.0], 2).is_err());
        assert!(symmetric(vec![f64::NAN], 1).is_err());
    }
}
