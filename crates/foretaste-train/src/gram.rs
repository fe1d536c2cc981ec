//! Dense co-occurrence of all pairs of items, for catalogues small enough to hold it.

use foretaste_core::Csr;

use crate::item_item::is_unit;
use crate::product::{Column, add_scaled, add_unit};
use crate::turns::in_turn;

/// Rows that one task computes.
const ROWS_PER_TASK: usize = 16;

/// The upper triangle with diagonal of the symmetric `left * right` (n x n, row-major; below the
/// diagonal all is 0). `left` is items x users, `right` users x items with ascending columns; both
/// have entries at the same places.
///
/// # Panics
/// Beyond 65,536 items.
///
/// # Cost
/// Half of the sum of d_u^2 multiply-adds; 4 n^2 bytes. Columns are read as 16 bits, because
/// fetching the rows of `right` is what takes the time.
pub(crate) fn upper(left: &Csr, right: &Csr) -> Vec<f32> {
    let n = left.n_rows();
    let short = |&c: &u32| u16::try_from(c).expect("at most 65,536 items");
    let ((cols, unit), places) = rayon::join(
        || (right.indices.iter().map(short).collect::<Vec<u16>>(), is_unit(right)),
        || places(left, right),
    );
    let mut gram = vec![0f32; n * n];
    // The first rows of a triangle are the long ones.
    in_turn(
        gram.chunks_mut((n * ROWS_PER_TASK).max(1)).enumerate(),
        || vec![0f32; u16::width(n)],
        |sums, (task, rows)| {
            for (r, row) in rows.chunks_exact_mut(n).enumerate() {
                let i = task * ROWS_PER_TASK + r;
                let entries = left.indptr[i] as usize..left.indptr[i + 1] as usize;
                for ((&u, &w), &from) in
                    left.row(i).0.iter().zip(left.row(i).1).zip(&places[entries])
                {
                    let rest = from as usize..right.indptr[u as usize + 1] as usize;
                    match unit {
                        true => add_unit(&cols[rest], w, u16::of(sums)),
                        false => {
                            let both = (&cols[rest.clone()], &right.values[rest]);
                            add_scaled(both, w, u16::of(sums));
                        }
                    }
                }
                row[i..].copy_from_slice(&sums[i..n]);
                sums[i..n].fill(0.0);
            }
        },
    );
    gram
}

/// For each entry of `left` (item, user) the place of the entry (user, item) in `right`.
fn places(left: &Csr, right: &Csr) -> Vec<u32> {
    let mut next: Vec<u64> = left.indptr.clone();
    let mut places = vec![0u32; left.nnz()];
    for (place, &item) in right.indices.iter().enumerate() {
        let at = &mut next[item as usize];
        places[*at as usize] = place as u32;
        *at += 1;
    }
    places
}

/// Rows `first..first + rows.len() / n` of the whole symmetric matrix, from its upper triangle.
///
/// # Cost
/// A transposed copy, 16 rows of the triangle at a time, which stay in the first cache.
pub(crate) fn symmetric_rows(gram: &[f32], n: usize, first: usize, rows: &mut [f32]) {
    const TOGETHER: usize = 16;
    for (r, row) in rows.chunks_exact_mut(n).enumerate() {
        row[first + r..].copy_from_slice(&gram[(first + r) * n + first + r..][..n - first - r]);
    }
    let count = rows.len() / n;
    for from in (0..first + count).step_by(TOGETHER) {
        for (r, row) in rows.chunks_exact_mut(n).enumerate() {
            let below = from..(from + TOGETHER).min(first + r);
            for j in below {
                row[j] = gram[j * n + first + r];
            }
        }
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
