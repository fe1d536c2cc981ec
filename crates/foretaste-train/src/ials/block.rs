//! Exact Newton steps on blocks of factors, row by row; one block of all factors is the exact
//! solution.

use foretaste_bundle::kernels::simd::{Kernel, LANES, Simd, axpy, axpy4, dot};
use foretaste_core::Matrix;

use super::gradient::Work;
use super::side::Side;

/// One row with vector `u`.
pub(super) struct BlockSolve<'a> {
    pub side: &'a Side<'a>,
    pub gram: &'a Matrix,
    pub row: usize,
    pub size: usize,
    pub u: &'a mut [f32],
    pub work: &'a mut Work,
}

impl Kernel for BlockSolve<'_> {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(self) {
        let Self { side, gram, row, size, u, work } = self;
        let (indices, weights) = side.x.row(row);
        if indices.is_empty() {
            return u.fill(0.0);
        }
        let k = gram.n_cols;
        let size = size.next_multiple_of(LANES).min(k);
        work.predicted.clear();
        work.predicted.extend(indices.iter().map(|&i| dot::<S>(side.vector(i), u)));
        for from in (0..k).step_by(size) {
            let block = from..k.min(from + size);
            let n = block.len();
            let gradient = &mut work.r[..n];
            for (g, l) in gradient.iter_mut().zip(block.clone()) {
                *g = S::fma(side.reg[row], u[l], dot::<S>(gram.row(l), u));
            }
            work.hessian.resize(n * n, 0.0);
            for (h, l) in work.hessian.chunks_exact_mut(n).zip(block.clone()) {
                h.copy_from_slice(&gram.row(l)[block.clone()]);
                h[l - from] += side.reg[row];
            }
            for ((&i, &w), &s) in indices.iter().zip(weights).zip(&work.predicted) {
                axpy::<S>(w * s - 1.0 - w, &side.vector(i)[block.clone()], gradient);
            }
            add_outer::<S>(side, (indices, weights), from, &mut work.hessian, n);
            if !solve_spd::<S>(&mut work.hessian, n, gradient) {
                continue;
            }
            u[block.clone()].iter_mut().zip(&*gradient).for_each(|(u, g)| *u -= g);
            for (&i, s) in indices.iter().zip(&mut work.predicted) {
                *s -= dot::<S>(&side.vector(i)[block.clone()], gradient);
            }
        }
    }
}

/// Adds `sum_e w_e y_e y_e'` to the lower triangle of the block's Hessian.
#[inline(always)]
fn add_outer<S: Simd>(
    side: &Side<'_>,
    (indices, weights): (&[u32], &[f32]),
    from: usize,
    hessian: &mut [f32],
    n: usize,
) {
    let (fours, rest) = indices.as_chunks::<4>();
    let (w_fours, w_rest) = weights.as_chunks::<4>();
    for (i, w) in fours.iter().zip(w_fours) {
        let part = from..from + n;
        let rows = [
            &side.vector(i[0])[part.clone()],
            &side.vector(i[1])[part.clone()],
            &side.vector(i[2])[part.clone()],
            &side.vector(i[3])[part],
        ];
        for (l, h) in hessian.chunks_exact_mut(n).enumerate() {
            let width = (l + 1).next_multiple_of(LANES);
            let t = [w[0] * rows[0][l], w[1] * rows[1][l], w[2] * rows[2][l], w[3] * rows[3][l]];
            axpy4::<S>(t, rows, &mut h[..width]);
        }
    }
    for (&i, &w) in rest.iter().zip(w_rest) {
        let y = &side.vector(i)[from..from + n];
        for (l, h) in hessian.chunks_exact_mut(n).enumerate() {
            axpy::<S>(w * y[l], &y[..=l], &mut h[..=l]);
        }
    }
}

/// Solves `h x = b` in place by Cholesky, reading the lower triangle; false when `h` is not
/// positive definite in f32.
#[inline(always)]
pub(crate) fn solve_spd<S: Simd>(h: &mut [f32], n: usize, b: &mut [f32]) -> bool {
    for i in 0..n {
        let (above, rest) = h.split_at_mut(i * n);
        let row = &mut rest[..n];
        for j in 0..i {
            let other = &above[j * n..j * n + j + 1];
            row[j] = (row[j] - dot::<S>(&row[..j], &other[..j])) / other[j];
        }
        let pivot = row[i] - dot::<S>(&row[..i], &row[..i]);
        if pivot <= 0.0 || !pivot.is_finite() {
            return false;
        }
        row[i] = pivot.sqrt();
        b[i] = (b[i] - dot::<S>(&row[..i], &b[..i])) / row[i];
    }
    for i in (0..n).rev() {
        b[i] /= h[i * n + i];
        let (before, at) = b.split_at_mut(i);
        axpy::<S>(-at[0], &h[i * n..i * n + i], before);
    }
    true
}
