//! Small symmetric positive definite systems: the heart of fold-in.
//!
//! Matrices are `n x n`, row-major, of which only the upper triangle is read and written (whole
//! vectors are, so entries left of the diagonal may hold anything).

use super::{Level, level};

/// Vector width that row starts are rounded down to.
const LANES: usize = 16;

/// `a += sum over rows of factors[t] * rows[t] rows[t]'`, upper triangle.
///
/// # Shapes
/// `a` is `n x n`, `rows` one slice of `n` per factor.
///
/// # Cost
/// `rows.len() * n^2` flops, four rows per pass over `a`.
pub fn add_outer(a: &mut [f32], n: usize, rows: &[&[f32]], factors: &[f32]) {
    assert_eq!(a.len(), n * n, "a square matrix");
    assert!(rows.len() == factors.len() && rows.iter().all(|r| r.len() == n), "rows of n");
    match level() {
        // SAFETY: the level was detected on this machine.
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 => unsafe { add_outer_avx512(a, n, rows, factors) },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 => unsafe { add_outer_avx2(a, n, rows, factors) },
        _ => add_outer_body(a, n, rows, factors),
    }
}

/// Overwrites the upper triangle of `a` with U of a = U'U. False when `a` is not positive definite
/// within f32; `a` is then of no use.
///
/// # Cost
/// n^3 / 3 flops.
pub fn cholesky(a: &mut [f32], n: usize) -> bool {
    assert_eq!(a.len(), n * n, "a square matrix");
    match level() {
        // SAFETY: the level was detected on this machine.
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 => unsafe { cholesky_avx512(a, n) },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 => unsafe { cholesky_avx2(a, n) },
        _ => cholesky_body(a, n),
    }
}

/// Solves U'U x = b in place, with U from [`cholesky`].
///
/// # Cost
/// 2 n^2 flops.
pub fn solve(u: &[f32], n: usize, b: &mut [f32]) {
    assert!(u.len() == n * n && b.len() == n, "a square matrix and a vector of its size");
    for k in 0..n {
        let row = &u[k * n..(k + 1) * n];
        b[k] /= row[k];
        let z = b[k];
        super::axpy(-z, &row[k + 1..], &mut b[k + 1..]);
    }
    for k in (0..n).rev() {
        let row = &u[k * n..(k + 1) * n];
        b[k] = (b[k] - super::dot(&row[k + 1..], &b[k + 1..])) / row[k];
    }
}

#[inline(always)]
fn add_outer_body(a: &mut [f32], n: usize, rows: &[&[f32]], factors: &[f32]) {
    let mut quads = rows.chunks_exact(4).zip(factors.chunks_exact(4));
    for (r, f) in &mut quads {
        for i in 0..n {
            let start = i / LANES * LANES;
            let (c0, c1) = (f[0] * r[0][i], f[1] * r[1][i]);
            let (c2, c3) = (f[2] * r[2][i], f[3] * r[3][i]);
            let out = &mut a[i * n + start..(i + 1) * n];
            let (y0, y1) = (&r[0][start..], &r[1][start..]);
            let (y2, y3) = (&r[2][start..], &r[3][start..]);
            for (j, out) in out.iter_mut().enumerate() {
                *out += c0 * y0[j] + c1 * y1[j] + c2 * y2[j] + c3 * y3[j];
            }
        }
    }
    let done = rows.len() / 4 * 4;
    for (r, f) in rows[done..].iter().zip(&factors[done..]) {
        for i in 0..n {
            let start = i / LANES * LANES;
            let c = f * r[i];
            let out = &mut a[i * n + start..(i + 1) * n];
            out.iter_mut().zip(&r[start..]).for_each(|(o, y)| *o += c * y);
        }
    }
}

#[inline(always)]
fn cholesky_body(a: &mut [f32], n: usize) -> bool {
    for k in 0..n {
        let (above, below) = a.split_at_mut((k + 1) * n);
        let pivot = &mut above[k * n..];
        let square = pivot[k];
        if square.is_nan() || square <= 0.0 {
            return false;
        }
        let inverse = 1.0 / square.sqrt();
        pivot[k..].iter_mut().for_each(|v| *v *= inverse);
        for (i, row) in (k + 1..n).zip(below.chunks_exact_mut(n)) {
            let factor = pivot[i];
            let start = i / LANES * LANES;
            let source = &pivot[start..n];
            row[start..].iter_mut().zip(source).for_each(|(o, p)| *o -= factor * p);
        }
    }
    true
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,fma")]
fn add_outer_avx512(a: &mut [f32], n: usize, rows: &[&[f32]], factors: &[f32]) {
    add_outer_body(a, n, rows, factors);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn add_outer_avx2(a: &mut [f32], n: usize, rows: &[&[f32]], factors: &[f32]) {
    add_outer_body(a, n, rows, factors);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,fma")]
fn cholesky_avx512(a: &mut [f32], n: usize) -> bool {
    cholesky_body(a, n)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn cholesky_avx2(a: &mut [f32], n: usize) -> bool {
    cholesky_body(a, n)
}

#[cfg(test)]
mod tests {
    use super::*;
    use foretaste_core::Rng;

    #[test]
    fn solves_what_was_built() {
        let mut rng = Rng::new(3);
        for n in [1, 5, 16, 33, 64, 128] {
            let rows: Vec<Vec<f32>> =
                (0..n + 7).map(|_| (0..n).map(|_| rng.normal() as f32).collect()).collect();
            let views: Vec<&[f32]> = rows.iter().map(Vec::as_slice).collect();
            let factors: Vec<f32> = rows.iter().map(|_| 0.5 + rng.f32()).collect();
            let mut a = vec![0f32; n * n];
            (0..n).for_each(|i| a[i * n + i] = 2.0);
            add_outer(&mut a, n, &views, &factors);
            let x: Vec<f32> = (0..n).map(|_| rng.normal() as f32).collect();
            let at = |i: usize, j: usize| a[i.min(j) * n + i.max(j)];
            let mut b: Vec<f32> = (0..n).map(|i| (0..n).map(|j| at(i, j) * x[j]).sum()).collect();
            assert!(cholesky(&mut a, n));
            solve(&a, n, &mut b);
            for (found, expected) in b.iter().zip(&x) {
                assert!((found - expected).abs() < 2e-2, "n {n}: {found} {expected}");
            }
        }
    }

    #[test]
    fn an_indefinite_matrix_is_refused() {
        assert!(!cholesky(&mut [1.0, 2.0, 2.0, 1.0], 2));
        assert!(!cholesky(&mut [f32::NAN], 1));
    }
}
