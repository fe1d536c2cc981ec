//! Conjugate gradient for a tile of rows in lockstep, so that one pass over the Gram matrix
//! serves all of them.

use foretaste_bundle::kernels::simd::{Kernel, LANES, Simd, axpy, axpy4, dot, dot4};
use foretaste_core::Matrix;

use super::side::Side;

/// Rows solved together.
pub(super) const TILE: usize = 8;

/// Scratch of one thread.
pub(super) struct Work {
    /// Residuals, directions and products of a tile.
    pub r: Vec<f32>,
    pub p: Vec<f32>,
    pub q: Vec<f32>,
    /// Hessian of a block and predictions of a row (block solver only).
    pub hessian: Vec<f32>,
    pub predicted: Vec<f32>,
}

impl Work {
    pub(super) fn new(stride: usize) -> Self {
        let tile = || vec![0.0; TILE * stride];
        Self { r: tile(), p: tile(), q: tile(), hessian: Vec::new(), predicted: Vec::new() }
    }
}

/// Up to [`TILE`] rows from `first`, whose vectors are `u`.
pub(super) struct CgTile<'a> {
    pub side: &'a Side<'a>,
    pub gram: &'a Matrix,
    pub first: usize,
    pub steps: usize,
    pub u: &'a mut [f32],
    pub work: &'a mut Work,
}

impl Kernel for CgTile<'_> {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(self) {
        let Self { side, gram, first, steps, u, work } = self;
        let k = gram.n_cols;
        let n = u.len() / k;
        let (r, p, q) = (&mut work.r[..], &mut work.p[..], &mut work.q[..]);
        p[..n * k].copy_from_slice(u);
        p[n * k..].fill(0.0);
        times_gram::<S>(p, &gram.data, k, q);
        let mut rr = [0f32; TILE];
        for (t, rr) in rr.iter_mut().enumerate().take(n) {
            let at = t * k..(t + 1) * k;
            let (r, p, q) = (&mut r[at.clone()], &mut p[at.clone()], &q[at.clone()]);
            let reg = side.reg[first + t];
            for l in 0..k {
                r[l] = -S::fma(reg, p[l], q[l]);
            }
            entries::<S>(side, first + t, p, r, |w, s| 1.0 + w - w * s);
            p.copy_from_slice(r);
            *rr = dot::<S>(r, r);
        }
        for _ in 0..steps {
            times_gram::<S>(p, &gram.data, k, q);
            for (t, rr) in rr.iter_mut().enumerate().take(n) {
                let at = t * k..(t + 1) * k;
                let (r, p) = (&mut r[at.clone()], &mut p[at.clone()]);
                let (q, u) = (&mut q[at.clone()], &mut u[at]);
                axpy::<S>(side.reg[first + t], p, q);
                entries::<S>(side, first + t, p, q, |w, s| w * s);
                *rr = advance::<S>(*rr, (p, q), r, u);
            }
        }
        clear_empty(side, first, k, u);
    }
}

/// One step along `p` for one row; returns the new squared residual.
#[inline(always)]
fn advance<S: Simd>(rr: f32, (p, q): (&mut [f32], &[f32]), r: &mut [f32], u: &mut [f32]) -> f32 {
    let curvature = dot::<S>(p, q);
    if rr < 1e-20 || curvature <= 0.0 {
        return 0.0;
    }
    let step = rr / curvature;
    axpy::<S>(step, p, u);
    axpy::<S>(-step, q, r);
    let next = dot::<S>(r, r);
    let turn = next / rr;
    for (p, &r) in p.iter_mut().zip(&*r) {
        *p = S::fma(turn, *p, r);
    }
    next
}

/// `o += sum over the entries e of the row: coefficient(w_e, y_e . p) * y_e`.
#[inline(always)]
fn entries<S: Simd>(
    side: &Side<'_>,
    row: usize,
    p: &[f32],
    o: &mut [f32],
    coefficient: impl Fn(f32, f32) -> f32,
) {
    let (indices, weights) = side.x.row(row);
    let (fours, rest) = indices.as_chunks::<4>();
    let (w_fours, w_rest) = weights.as_chunks::<4>();
    for (i, w) in fours.iter().zip(w_fours) {
        let rows = [side.vector(i[0]), side.vector(i[1]), side.vector(i[2]), side.vector(i[3])];
        let s = dot4::<S>(rows, p);
        let mut t = [0f32; 4];
        for e in 0..4 {
            t[e] = coefficient(w[e], s[e]);
        }
        axpy4::<S>(t, rows, o);
    }
    for (&i, &w) in rest.iter().zip(w_rest) {
        let y = side.vector(i);
        let s = dot::<S>(y, p);
        axpy::<S>(coefficient(w, s), y, o);
    }
}

/// `q = p * gram` for a whole tile; `k` is a multiple of [`LANES`].
#[inline(always)]
fn times_gram<S: Simd>(p: &[f32], gram: &[f32], k: usize, q: &mut [f32]) {
    let columns = k / LANES;
    let (p, _) = p.as_chunks::<LANES>();
    let (g, _) = gram.as_chunks::<LANES>();
    let (q, _) = q.as_chunks_mut::<LANES>();
    for c in 0..columns {
        let mut acc = [S::splat(0.0); TILE];
        for b in 0..columns {
            for l in 0..LANES {
                let g = S::load(&g[(b * LANES + l) * columns + c]);
                for t in 0..TILE {
                    acc[t] = S::mul_add(S::splat(p[t * columns + b][l]), g, acc[t]);
                }
            }
        }
        for t in 0..TILE {
            S::store(acc[t], &mut q[t * columns + c]);
        }
    }
}

/// Rows without an entry are zero, whatever they began with.
#[inline(always)]
fn clear_empty(side: &Side<'_>, first: usize, k: usize, u: &mut [f32]) {
    for (t, u) in u.chunks_mut(k).enumerate() {
        if side.x.row(first + t).0.is_empty() {
            u.fill(0.0);
        }
    }
}
