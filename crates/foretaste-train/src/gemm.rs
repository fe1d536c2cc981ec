//! Products of dense matrices in f32 on one thread, with the same bits on every machine that has
//! fused multiply-add.

use foretaste_bundle::kernels::simd::{Kernel, LANES, Simd, vectorised};
use foretaste_core::Matrix;

/// Terms of a sum that are added up in registers; what is packed of them stays in the cache.
const DEPTH: usize = 256;
/// Columns of the right matrix that are packed together, at most 2 MB.
const WIDTH: usize = 2048;
/// Rows of the left matrix that are packed together, at most 100 kB: a multiple of the rows of all
/// [`tile`]s.
const HEIGHT: usize = 120;

/// A matrix to read: element (i, j) is number `i * row_stride + j * col_stride` of the data; one of
/// the two is 1.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    data: &'a [f32],
    n_rows: usize,
    n_cols: usize,
    row_stride: usize,
    col_stride: usize,
}

impl<'a> View<'a> {
    /// Rows of `n_cols` values each, one after the other.
    pub(crate) fn new(data: &'a [f32], n_cols: usize) -> Self {
        let n_rows = data.len() / n_cols.max(1);
        Self { data, n_rows, n_cols, row_stride: n_cols, col_stride: 1 }
    }

    /// The rows `first..first + count` of a matrix.
    pub(crate) fn rows(m: &'a Matrix, first: usize, count: usize) -> Self {
        Self::new(&m.data[first * m.n_cols..(first + count) * m.n_cols], m.n_cols)
    }

    pub(crate) fn transposed(self) -> Self {
        Self {
            n_rows: self.n_cols,
            n_cols: self.n_rows,
            row_stride: self.col_stride,
            col_stride: self.row_stride,
            ..self
        }
    }
}

impl<'a> From<&'a Matrix> for View<'a> {
    fn from(m: &'a Matrix) -> Self {
        Self::rows(m, 0, m.n_rows)
    }
}

/// Where a product goes: columns from `first_col` of rows that are `stride` values apart.
pub(crate) struct Target<'a> {
    pub data: &'a mut [f32],
    pub stride: usize,
    pub first_col: usize,
}

impl<'a> Target<'a> {
    /// All of a matrix of rows of `n_cols` values.
    pub(crate) fn new(data: &'a mut [f32], n_cols: usize) -> Self {
        Self { data, stride: n_cols, first_col: 0 }
    }
}

/// Adds `scale * left * right` to the target.
///
/// # Cost
/// 2 rows columns depth flops, at three quarters or more of what the processor can do where all
/// three are above 100; copies of blocks of both matrices.
///
/// # Source
/// Goto and van de Geijn, "Anatomy of high-performance matrix multiplication", TOMS 2008: packed
/// blocks, and an inner loop that keeps a tile of the result in registers.
pub(crate) fn add(target: Target<'_>, scale: f32, left: View<'_>, right: View<'_>) {
    debug_assert_eq!(left.n_cols, right.n_rows);
    vectorised(Product { target, scale, left, right });
}

struct Product<'a> {
    target: Target<'a>,
    scale: f32,
    left: View<'a>,
    right: View<'a>,
}

impl Kernel for Product<'_> {
    type Out = ();
    #[inline(always)]
    fn run<S: Simd>(self) {
        // A tile, a row of the right matrix and one value of the left one are in registers.
        if S::REGISTERS >= 28 {
            self.blocks::<S, 12, { 2 * LANES }, 2>();
        } else {
            self.blocks::<S, 5, LANES, 1>();
        }
    }
}

impl Product<'_> {
    #[inline(always)]
    fn blocks<S: Simd, const ROWS: usize, const COLS: usize, const VECTORS: usize>(mut self) {
        let (n_rows, depth, n_cols) = (self.left.n_rows, self.left.n_cols, self.right.n_cols);
        let mut lefts: Vec<[f32; ROWS]> = Vec::new();
        let mut rights: Vec<[f32; COLS]> = Vec::new();
        for k in (0..depth).step_by(DEPTH) {
            let part = (k, DEPTH.min(depth - k));
            for col in (0..n_cols).step_by(WIDTH) {
                let cols = (col, WIDTH.min(n_cols - col));
                pack(self.right, part, cols, &mut rights);
                for row in (0..n_rows).step_by(HEIGHT) {
                    let rows = (row, HEIGHT.min(n_rows - row));
                    pack(self.left.transposed(), part, rows, &mut lefts);
                    let packed = Packed { lefts: &lefts, rights: &rights, depth: part.1 };
                    self.block::<S, ROWS, COLS, VECTORS>(packed, rows, cols);
                }
            }
        }
    }

    #[inline(always)]
    fn block<S: Simd, const ROWS: usize, const COLS: usize, const VECTORS: usize>(
        &mut self,
        packed: Packed<'_, ROWS, COLS>,
        (first_row, n_rows): (usize, usize),
        (first_col, n_cols): (usize, usize),
    ) {
        let Packed { lefts, rights, depth } = packed;
        for (col, right) in (0..n_cols).step_by(COLS).zip(rights.chunks_exact(depth)) {
            for (row, left) in (0..n_rows).step_by(ROWS).zip(lefts.chunks_exact(depth)) {
                let sums = tile::<S, ROWS, COLS, VECTORS>(left, right);
                let width = COLS.min(n_cols - col);
                for (r, sums) in sums.iter().enumerate().take(n_rows - row) {
                    let Target { stride, first_col: shift, .. } = self.target;
                    let at = (first_row + row + r) * stride + shift + first_col + col;
                    add_row::<S, VECTORS>(&mut self.target.data[at..at + width], self.scale, sums);
                }
            }
        }
    }
}

/// Panels of the blocks at hand, each `depth` entries long.
struct Packed<'a, const ROWS: usize, const COLS: usize> {
    lefts: &'a [[f32; ROWS]],
    rights: &'a [[f32; COLS]],
    depth: usize,
}

/// Copies a block into panels of `W` columns, filled up with zeros.
#[inline(always)]
fn pack<const W: usize>(
    from: View<'_>,
    (first_row, n_rows): (usize, usize),
    (first_col, n_cols): (usize, usize),
    to: &mut Vec<[f32; W]>,
) {
    to.clear();
    to.resize(n_cols.div_ceil(W) * n_rows, [0.0; W]);
    let panels = to.chunks_exact_mut(n_rows.max(1)).zip((0..n_cols).step_by(W));
    for (panel, col) in panels {
        let width = W.min(n_cols - col);
        let first = first_row * from.row_stride + (first_col + col) * from.col_stride;
        if from.col_stride == 1 {
            for (r, entry) in panel.iter_mut().enumerate() {
                let at = first + r * from.row_stride;
                entry[..width].copy_from_slice(&from.data[at..at + width]);
            }
        } else {
            for c in 0..width {
                let at = first + c * from.col_stride;
                for (entry, x) in panel.iter_mut().zip(&from.data[at..at + n_rows]) {
                    entry[c] = *x;
                }
            }
        }
    }
}

/// `sum over k of left[k] x right[k]`, all of it in registers.
#[inline(always)]
fn tile<S: Simd, const ROWS: usize, const COLS: usize, const VECTORS: usize>(
    left: &[[f32; ROWS]],
    right: &[[f32; COLS]],
) -> [[S::V; VECTORS]; ROWS] {
    let mut sums = [[S::splat(0.0); VECTORS]; ROWS];
    for (left, right) in left.iter().zip(right) {
        let (right, _) = right.as_chunks::<LANES>();
        for (r, sums) in sums.iter_mut().enumerate() {
            let x = S::splat(left[r]);
            for (sum, right) in sums.iter_mut().zip(right) {
                *sum = S::mul_add(x, S::load(right), *sum);
            }
        }
    }
    sums
}

/// Adds a row of a tile to a row of the target, which may be shorter.
#[inline(always)]
fn add_row<S: Simd, const VECTORS: usize>(to: &mut [f32], scale: f32, sums: &[S::V; VECTORS]) {
    let scale = S::splat(scale);
    let (whole, rest) = to.as_chunks_mut::<LANES>();
    for (to, &sum) in whole.iter_mut().zip(sums) {
        S::store(S::mul_add(scale, sum, S::load(to)), to);
    }
    if let Some(&sum) = sums.get(whole.len()) {
        let mut ends = [0f32; LANES];
        ends[..rest.len()].copy_from_slice(rest);
        S::store(S::mul_add(scale, sum, S::load(&ends)), &mut ends);
        rest.copy_from_slice(&ends[..rest.len()]);
    }
}

#[cfg(test)]
mod tests {
    use foretaste_core::Rng;

    use super::*;

    fn random(n_rows: usize, n_cols: usize, seed: u64) -> Matrix {
        let mut rng = Rng::new(seed);
        Matrix::from_data(n_rows, n_cols, (0..n_rows * n_cols).map(|_| rng.f32() - 0.5).collect())
    }

    fn naive(left: View<'_>, right: View<'_>, i: usize, j: usize) -> f64 {
        let at = |m: View<'_>, i: usize, j: usize| {
            f64::from(m.data[i * m.row_stride + j * m.col_stride])
        };
        (0..left.n_cols).map(|k| at(left, i, k) * at(right, k, j)).sum()
    }

    /// Shapes around every bound of blocks and tiles, each matrix as it lies and transposed.
    #[test]
    fn every_shape_and_layout_gives_the_product() {
        let shapes =
            [(1, 1, 1), (3, 0, 2), (13, 31, 33), (12, 257, 32), (121, 40, 65), (5, 3, 2050)];
        for (case, (m, k, n)) in shapes.into_iter().enumerate() {
            let seed = case as u64;
            let (a, b) = (random(m, k, seed), random(k, n, seed + 50));
            let (at, bt) = (random(k, m, seed + 100), random(n, k, seed + 150));
            for left in [View::from(&a), View::from(&at).transposed()] {
                for right in [View::from(&b), View::from(&bt).transposed()] {
                    check(left, right, (m, n));
                }
            }
        }
    }

    fn check(left: View<'_>, right: View<'_>, (m, n): (usize, usize)) {
        let (stride, first_col) = (n + 3, 2);
        let mut out = vec![7f32; m * stride];
        let target = Target { data: &mut out, stride, first_col };
        add(target, -2.0, View { n_rows: m, ..left }, View { n_cols: n, ..right });
        for (at, &found) in out.iter().enumerate() {
            let (i, j) = (at / stride, at % stride);
            let within = (first_col..first_col + n).contains(&j);
            let product = if within { naive(left, right, i, j - first_col) } else { 0.0 };
            assert!(
                (f64::from(found) - (7.0 - 2.0 * product)).abs() < 1e-4,
                "{i}, {j} of {m} x {n}"
            );
        }
    }
}
