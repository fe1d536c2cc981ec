//! Dense products of tall matrices that give the same bits on any number of threads: rows are
//! cut into fixed chunks, each chunk is one sequential product, and sums run over chunks in order.

use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};
use foretaste_core::Matrix;
use rayon::prelude::{IndexedParallelIterator, ParallelIterator, ParallelSlice, ParallelSliceMut};

/// Rows per chunk.
const CHUNK: usize = 2048;

/// `m' * m` (columns x columns).
///
/// # Cost
/// 2 rows columns^2 flops; one columns^2 matrix per 2048 rows at a time of 16 chunks.
pub(crate) fn gram(m: &Matrix) -> Matrix {
    cross(m, m)
}

/// `a' * b` for two matrices of equally many rows.
pub(crate) fn cross(a: &Matrix, b: &Matrix) -> Matrix {
    let (ka, kb) = (a.n_cols, b.n_cols);
    let mut sum = Matrix::zeros(ka, kb);
    if ka == 0 || kb == 0 {
        return sum;
    }
    let a_groups = a.data.chunks(16 * CHUNK * ka);
    let b_groups = b.data.chunks(16 * CHUNK * kb);
    for (a_group, b_group) in a_groups.zip(b_groups) {
        let partial: Vec<Vec<f32>> = a_group
            .par_chunks(CHUNK * ka)
            .zip(b_group.par_chunks(CHUNK * kb))
            .map(|(a, b)| {
                let mut out = vec![0f32; ka * kb];
                let n = a.len() / ka;
                let out_ref = MatMut::from_row_major_slice_mut(&mut out, ka, kb);
                let a = MatRef::from_row_major_slice(a, n, ka).transpose();
                let b = MatRef::from_row_major_slice(b, n, kb);
                matmul(out_ref, Accum::Replace, a, b, 1.0, Par::Seq);
                out
            })
            .collect();
        for part in &partial {
            sum.data.iter_mut().zip(part).for_each(|(s, p)| *s += p);
        }
    }
    sum
}

/// `m * t` for a small square or narrow `t`.
pub(crate) fn times(m: &Matrix, t: &Matrix) -> Matrix {
    let (k, n) = (t.n_rows, t.n_cols);
    let mut out = Matrix::zeros(m.n_rows, n);
    if k == 0 || n == 0 {
        return out;
    }
    let t = MatRef::from_row_major_slice(&t.data, k, n);
    out.data.par_chunks_mut(CHUNK * n).zip(m.data.par_chunks(CHUNK * k)).for_each(|(out, m)| {
        let rows = m.len() / k;
        let out = MatMut::from_row_major_slice_mut(out, rows, n);
        let m = MatRef::from_row_major_slice(m, rows, k);
        matmul(out, Accum::Replace, m, t, 1.0, Par::Seq);
    });
    out
}

/// Adds the inner products of the rows `queries` (of the width of `items`) with all rows of
/// `items`, sequentially.
pub(crate) fn add_products(items: &Matrix, queries: &[f32], scores: &mut [f32]) {
    let (n, k) = (items.n_rows, items.n_cols);
    if n == 0 || k == 0 {
        return;
    }
    let count = queries.len() / k;
    let out = MatMut::from_row_major_slice_mut(scores, count, n);
    let queries = MatRef::from_row_major_slice(queries, count, k);
    let items = MatRef::from_row_major_slice(&items.data, n, k);
    matmul(out, Accum::Add, queries, items.transpose(), 1.0, Par::Seq);
}
