//! Dense co-occurrence of all pairs of items, for catalogues small enough to hold it.

use foretaste_core::Csr;
use rayon::prelude::{IndexedParallelIterator, ParallelIterator, ParallelSliceMut};

/// Rows that one task computes.
const ROWS_PER_TASK: usize = 16;

/// The upper triangle with diagonal of the symmetric `left * right` (n x n, row-major; below the
/// diagonal all is 0). `left` is items x users, `right` users x items with ascending columns.
///
/// # Panics
/// Beyond 65,536 items.
///
/// # Cost
/// Half of the sum of d_u^2 multiply-adds; 4 n^2 bytes. Columns are read as 16 bits, because
/// fetching the rows of `right` is what takes the time.
pub(crate) fn upper(left: &Csr, right: &Csr) -> Vec<f32> {
    let n = left.n_rows();
    let unit = right.values.iter().all(|&v| v == 1.0);
    let short = |&c: &u32| u16::try_from(c).expect("at most 65,536 items");
    let cols: Vec<u16> = right.indices.iter().map(short).collect();
    let mut gram = vec![0f32; n * n];
    gram.par_chunks_mut((n * ROWS_PER_TASK).max(1)).enumerate().for_each(|(task, rows)| {
        for (r, sums) in rows.chunks_exact_mut(n).enumerate() {
            let i = task * ROWS_PER_TASK + r;
            let (us, ws) = left.row(i);
            for (&u, &w) in us.iter().zip(ws) {
                let range =
                    right.indptr[u as usize] as usize..right.indptr[u as usize + 1] as usize;
                let row = &cols[range.clone()];
                let from = row.partition_point(|&c| usize::from(c) < i);
                match unit {
                    true => add_unit(&row[from..], w, sums),
                    false => add(&row[from..], &right.values[range][from..], w, sums),
                }
            }
        }
    });
    gram
}

#[inline]
fn add_unit(cols: &[u16], w: f32, sums: &mut [f32]) {
    cols.iter().for_each(|&j| sums[usize::from(j)] += w);
}

#[inline]
fn add(cols: &[u16], values: &[f32], w: f32, sums: &mut [f32]) {
    cols.iter().zip(values).for_each(|(&j, &v)| sums[usize::from(j)] += w * v);
}

/// Rows `first..first + rows.len() / n` of the whole symmetric matrix, from its upper triangle.
pub(crate) fn symmetric_rows(gram: &[f32], n: usize, first: usize, rows: &mut [f32]) {
    let count = rows.len() / n;
    for j in 0..first + count {
        let from = first.max(j + 1) - first;
        for r in from..count {
            rows[r * n + j] = gram[j * n + first + r];
        }
    }
    for r in 0..count {
        let i = first + r;
        rows[r * n + i..(r + 1) * n].copy_from_slice(&gram[i * n + i..(i + 1) * n]);
    }
}

#[cfg(test)]
mod tests {
    use foretaste_core::planted;

    use super::*;

    #[test]
    fn the_triangle_and_its_mirror_equal_the_plain_product() {
        let r = planted::groups((50, 37, 3), (0.5, 0.1), 3);
        let gram = upper(&r.transpose(), &r);
        let mut rows = vec![0f32; 20 * 37];
        symmetric_rows(&gram, 37, 10, &mut rows);
        for i in 10..30u32 {
            for j in 0..37u32 {
                let both = (0..50).filter(|&u| {
                    let items = r.row(u).0;
                    items.binary_search(&i).is_ok() && items.binary_search(&j).is_ok()
                });
                assert_eq!(rows[(i as usize - 10) * 37 + j as usize], both.count() as f32);
            }
        }
    }
}
