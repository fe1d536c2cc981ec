//! Dense products of tall matrices that give the same bits on any number of threads: rows are
//! cut into fixed chunks, each chunk is one sequential product, and sums run over chunks in order.

use foretaste_core::Matrix;
use rayon::prelude::{IndexedParallelIterator, ParallelIterator, ParallelSlice, ParallelSliceMut};

use crate::gemm::{self, Target, View};

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
                let (a, b) = (View::new(a, ka).transposed(), View::new(b, kb));
                gemm::add(Target::new(&mut out, kb), 1.0, a, b);
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
    out.data.par_chunks_mut(CHUNK * n).zip(m.data.par_chunks(CHUNK * k)).for_each(|(out, m)| {
        gemm::add(Target::new(out, n), 1.0, View::new(m, k), View::from(t));
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
    let queries = View::new(queries, k);
    gemm::add(Target::new(scores, n), 1.0, queries, View::from(items).transposed());
}
