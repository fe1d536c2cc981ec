//! Small symmetric positive definite systems: the heart of fold-in.
//!
//! Matrices are `n x n`, row-major, of which only the upper triangle is read and written (whole
//! vectors are, so entries left of the diagonal may hold anything). Where `n` is a multiple of 16
//! they are worked on in blocks of 16 x 16 that stay in the registers.

use super::simd::{self, Kernel, LANES, Simd, vectorised};

/// `a += sum over rows of factors[t] * rows[t] rows[t]'`, upper triangle.
///
/// # Shapes
/// `a` is `n x n`, `rows` one slice of `n` per factor.
///
/// # Cost
/// `rows.len() * n^2` flops, one pass over `a`.
pub fn add_outer(a: &mut [f32], n: usize, rows: &[&[f32]], factors: &[f32]) {
    assert_eq!(a.len(), n * n, "a square matrix");
    assert!(rows.len() == factors.len() && rows.iter().all(|r| r.len() == n), "rows of n");
    vectorised(AddOuter { a, n, rows, factors });
}

/// Overwrites the upper triangle of `a` with U of a = U'U, the diagonal with its reciprocals.
/// False when `a` is not positive definite within f32; `a` is then of no use.
///
/// # Cost
/// n^3 / 3 flops.
pub fn cholesky(a: &mut [f32], n: usize) -> bool {
    assert_eq!(a.len(), n * n, "a square matrix");
    vectorised(Cholesky { a, n })
}

/// Solves U'U x = b in place, with U from [`cholesky`].
///
/// # Cost
/// 2 n^2 flops.
pub fn solve(u: &[f32], n: usize, b: &mut [f32]) {
    assert!(u.len() == n * n && b.len() == n, "a square matrix and a vector of its size");
    vectorised(Solve { u, n, b });
}

struct AddOuter<'a> {
    a: &'a mut [f32],
    n: usize,
    rows: &'a [&'a [f32]],
    factors: &'a [f32],
}

impl Kernel for AddOuter<'_> {
    type Out = ();
    #[inline(always)]
    fn run<S: Simd>(self) {
        let Self { a, n, rows, factors } = self;
        let whole = n / LANES * LANES;
        for from in (0..whole).step_by(LANES) {
            for to in (from..whole).step_by(LANES) {
                if S::REGISTERS > LANES {
                    tile::<S, LANES>(a, n, (from, to), (rows, factors));
                } else {
                    (from..from + LANES).step_by(4).for_each(|from| {
                        tile::<S, 4>(a, n, (from, to), (rows, factors));
                    });
                }
            }
        }
        for i in 0..n {
            let start = i.max(whole);
            for (row, factor) in rows.iter().zip(factors) {
                let c = factor * row[i];
                let out = &mut a[i * n + start..(i + 1) * n];
                out.iter_mut().zip(&row[start..]).for_each(|(o, &y)| *o = S::fma(c, y, *o));
            }
        }
    }
}

/// The `R` rows from `from` and the 16 columns from `to` of [`AddOuter`].
#[inline(always)]
fn tile<S: Simd, const R: usize>(
    a: &mut [f32],
    n: usize,
    (from, to): (usize, usize),
    (rows, factors): (&[&[f32]], &[f32]),
) {
    let mut sums = [S::splat(0.0); R];
    for (r, sum) in sums.iter_mut().enumerate() {
        *sum = S::load(block(a, (from + r) * n + to));
    }
    for (row, &factor) in rows.iter().zip(factors) {
        let left: &[f32; R] = row[from..from + R].try_into().expect("R values");
        let right = S::mul_add(S::load(block(row, to)), S::splat(factor), S::splat(0.0));
        for (sum, &left) in sums.iter_mut().zip(left) {
            *sum = S::mul_add(S::splat(left), right, *sum);
        }
    }
    for (r, &sum) in sums.iter().enumerate() {
        S::store(sum, block_mut(a, (from + r) * n + to));
    }
}

#[inline(always)]
fn block(a: &[f32], at: usize) -> &[f32; LANES] {
    a[at..at + LANES].try_into().expect("a block")
}

#[inline(always)]
fn block_mut(a: &mut [f32], at: usize) -> &mut [f32; LANES] {
    (&mut a[at..at + LANES]).try_into().expect("a block")
}

struct Cholesky<'a> {
    a: &'a mut [f32],
    n: usize,
}

impl Kernel for Cholesky<'_> {
    type Out = bool;
    #[inline(always)]
    fn run<S: Simd>(self) -> bool {
        let Self { a, n } = self;
        if !n.is_multiple_of(LANES) {
            return cholesky_by_rows::<S>(a, n);
        }
        for k in (0..n).step_by(LANES) {
            let (above, below) = a.split_at_mut((k + LANES) * n);
            let panel = &mut above[k * n..];
            if !factor_panel::<S>(panel, n, k) {
                return false;
            }
            for from in (k + LANES..n).step_by(LANES) {
                let rows = &mut below[(from - k - LANES) * n..];
                for to in (from..n).step_by(LANES) {
                    if S::REGISTERS > LANES {
                        subtract::<S, LANES>(panel, n, (from, to), rows);
                    } else {
                        for r in (0..LANES).step_by(4) {
                            subtract::<S, 4>(panel, n, (from + r, to), &mut rows[r * n..]);
                        }
                    }
                }
            }
        }
        true
    }
}

/// Factors the 16 rows of `panel` (rows `k..k + 16` of the matrix, from which all earlier rows have
/// been subtracted) from column `k` on.
#[inline(always)]
fn factor_panel<S: Simd>(panel: &mut [f32], n: usize, k: usize) -> bool {
    let mut u = [[0f32; LANES]; LANES];
    for (r, u) in u.iter_mut().enumerate() {
        *u = *block(panel, r * n + k);
    }
    for r in 0..LANES {
        let square = u[r][r];
        if square.is_nan() || square <= 0.0 {
            return false;
        }
        let inverse = 1.0 / square.sqrt();
        let row = S::mul_add(S::load(&u[r]), S::splat(inverse), S::splat(0.0));
        S::store(row, &mut u[r]);
        u[r][r] = inverse;
        let factors = u[r];
        for (below, &factor) in u.iter_mut().zip(&factors).skip(r + 1) {
            let left = S::mul_add(S::splat(-factor), row, S::load(below));
            S::store(left, below);
        }
    }
    for (r, u) in u.iter().enumerate() {
        *block_mut(panel, r * n + k) = *u;
    }
    for to in (k + LANES..n).step_by(LANES) {
        let mut x = [S::splat(0.0); LANES];
        for (r, x) in x.iter_mut().enumerate() {
            *x = S::load(block(panel, r * n + to));
        }
        for (r, u) in u.iter().enumerate() {
            x[r] = S::mul_add(x[r], S::splat(u[r]), S::splat(0.0));
            let solved = x[r];
            for (below, &factor) in x.iter_mut().zip(u).skip(r + 1) {
                *below = S::mul_add(S::splat(-factor), solved, *below);
            }
        }
        for (r, &x) in x.iter().enumerate() {
            S::store(x, block_mut(panel, r * n + to));
        }
    }
    true
}

/// Takes the product of the panel's columns `from..from + R` with its columns `to..to + 16` from
/// `R` rows of the matrix.
#[inline(always)]
fn subtract<S: Simd, const R: usize>(
    panel: &[f32],
    n: usize,
    (from, to): (usize, usize),
    rows: &mut [f32],
) {
    let mut sums = [S::splat(0.0); R];
    for (r, sum) in sums.iter_mut().enumerate() {
        *sum = S::load(block(rows, r * n + to));
    }
    for row in panel.chunks_exact(n) {
        let left: &[f32; R] = row[from..from + R].try_into().expect("R values");
        let right = S::load(block(row, to));
        for (sum, &left) in sums.iter_mut().zip(left) {
            *sum = S::mul_add(S::splat(-left), right, *sum);
        }
    }
    for (r, &sum) in sums.iter().enumerate() {
        S::store(sum, block_mut(rows, r * n + to));
    }
}

/// For any `n`.
#[inline(always)]
fn cholesky_by_rows<S: Simd>(a: &mut [f32], n: usize) -> bool {
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
            simd::axpy::<S>(-pivot[i], &pivot[i..], &mut row[i..]);
        }
        pivot[k] = inverse;
    }
    true
}

struct Solve<'a> {
    u: &'a [f32],
    n: usize,
    b: &'a mut [f32],
}

impl Kernel for Solve<'_> {
    type Out = ();
    #[inline(always)]
    fn run<S: Simd>(self) {
        let Self { u, n, b } = self;
        for k in 0..n {
            let row = &u[k * n..(k + 1) * n];
            b[k] *= row[k];
            let z = b[k];
            simd::axpy::<S>(-z, &row[k + 1..], &mut b[k + 1..]);
        }
        for k in (0..n).rev() {
            let row = &u[k * n..(k + 1) * n];
            b[k] = (b[k] - simd::dot::<S>(&row[k + 1..], &b[k + 1..])) * row[k];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::levels;
    use crate::kernels::simd::vectorised_at;
    use foretaste_core::Rng;

    #[test]
    fn every_level_solves_what_was_built() {
        let mut rng = Rng::new(3);
        for n in [1, 5, 16, 33, 64, 128] {
            let rows: Vec<Vec<f32>> =
                (0..n + 7).map(|_| (0..n).map(|_| rng.normal() as f32).collect()).collect();
            let views: Vec<&[f32]> = rows.iter().map(Vec::as_slice).collect();
            let factors: Vec<f32> = rows.iter().map(|_| 0.5 + rng.f32()).collect();
            let x: Vec<f32> = (0..n).map(|_| rng.normal() as f32).collect();
            let mut found = Vec::new();
            for level in levels() {
                let mut a = vec![0f32; n * n];
                (0..n).for_each(|i| a[i * n + i] = 2.0);
                let (rows, factors) = (&views[..], &factors[..]);
                vectorised_at(level, AddOuter { a: &mut a, n, rows, factors });
                let at = |i: usize, j: usize| a[i.min(j) * n + i.max(j)];
                let mut b: Vec<f32> =
                    (0..n).map(|i| (0..n).map(|j| at(i, j) * x[j]).sum()).collect();
                assert!(vectorised_at(level, Cholesky { a: &mut a, n }));
                vectorised_at(level, Solve { u: &a, n, b: &mut b });
                for (found, expected) in b.iter().zip(&x) {
                    assert!((found - expected).abs() < 2e-2, "{level:?} n {n}: {found} {expected}");
                }
                found.push(b);
            }
            let fused = &found[1..];
            assert!(fused.iter().all(|b| *b == fused[0]), "n {n}: levels give other bits");
        }
    }

    #[test]
    fn an_indefinite_matrix_is_refused() {
        assert!(!cholesky(&mut [1.0, 2.0, 2.0, 1.0], 2));
        assert!(!cholesky(&mut [f32::NAN], 1));
        let mut a = [0f32; 256];
        (0..16).for_each(|i| a[i * 17] = 1.0 - i as f32 / 8.0);
        assert!(!cholesky(&mut a, 16));
    }
}
