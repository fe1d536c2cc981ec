//! Test data with a known answer, shared by the tests of all crates.

use crate::{Csr, Rng};

/// A checkerboard with holes: user `u` likes every item of its own parity, except that each cell
/// is missing with probability `missing`. Recovered when every user's best unseen item has the
/// user's parity.
///
/// # Source
/// The planted-structure test of the `implicit` library, with random holes.
pub fn checkerboard(n_users: usize, n_items: usize, missing: f64, seed: u64) -> Csr {
    let mut rng = Rng::new(seed);
    let rows = (0..n_users).map(|u| {
        let same = (0..n_items as u32).filter(|&i| i as usize % 2 == u % 2);
        same.filter(|_| rng.f64() >= missing).map(|i| (i, 1.0)).collect::<Vec<_>>()
    });
    Csr::from_rows(n_items, rows.collect::<Vec<_>>())
}

/// Groups of users who like groups of items: cell (u, i) is 1 with probability `inside` when both
/// are of one group, else with probability `outside`.
pub fn groups(
    (n_users, n_items, n_groups): (usize, usize, usize),
    (inside, outside): (f64, f64),
    seed: u64,
) -> Csr {
    let mut rng = Rng::new(seed);
    let rows = (0..n_users).map(|u| {
        let p = |i: u32| if i as usize % n_groups == u % n_groups { inside } else { outside };
        (0..n_items as u32).filter(|&i| rng.f64() < p(i)).map(|i| (i, 1.0)).collect::<Vec<_>>()
    });
    Csr::from_rows(n_items, rows.collect::<Vec<_>>())
}

/// Renames items: column `i` of the result is column `permutation[i]`'s old place, so that tests
/// can check that names do not matter.
pub fn permute_columns(m: &Csr, permutation: &[u32]) -> Csr {
    let rows = (0..m.n_rows()).map(|r| {
        let (cols, vals) = m.row(r);
        cols.iter().zip(vals).map(|(&c, &v)| (permutation[c as usize], v)).collect()
    });
    Csr::from_rows(m.n_cols, rows.collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checkerboard_has_one_parity_per_user_and_holes() {
        let m = checkerboard(20, 30, 0.3, 1);
        for u in 0..20 {
            let (items, _) = m.row(u);
            assert!(items.iter().all(|&i| i as usize % 2 == u % 2) && items.len() < 15);
        }
    }

    #[test]
    fn permuting_there_and_back_is_the_identity() {
        let m = groups((10, 12, 3), (0.8, 0.1), 2);
        let mut p: Vec<u32> = (0..12).collect();
        Rng::new(9).shuffle(&mut p);
        let mut back = vec![0; 12];
        p.iter().enumerate().for_each(|(i, &to)| back[to as usize] = i as u32);
        assert_eq!(permute_columns(&permute_columns(&m, &p), &back), m);
    }
}
