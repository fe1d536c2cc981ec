//! The scale of a channel: the root mean square of its raw scores over a sample of users and all
//! items, zeros included. Scores divided by it can be blended with fixed weights.

use foretaste_core::event::id_key;
use foretaste_core::{Csr, IdTable};
use rayon::prelude::{IntoParallelIterator, ParallelIterator};

/// Users whose scores are measured; chosen by their ids, so that their order does not matter.
pub(crate) struct Sample {
    /// Their rows, ascending.
    pub users: Vec<u32>,
    /// What they have.
    pub rows: Csr,
}

impl Sample {
    pub(crate) fn new(r: &Csr, ids: &IdTable, n: usize) -> Self {
        let active = (0..r.n_rows() as u32).filter(|&u| !r.row(u as usize).0.is_empty());
        let mut keyed: Vec<(u64, u32)> = active.map(|u| (id_key(ids.get(u), ""), u)).collect();
        keyed.sort_unstable();
        keyed.truncate(n);
        let users: Vec<u32> = keyed.into_iter().map(|k| k.1).collect();
        let mut rows = Csr { n_cols: r.n_cols, indptr: vec![0], ..Csr::default() };
        for &u in &users {
            let (items, values) = r.row(u as usize);
            rows.push_row(items.iter().copied().zip(values.iter().copied()));
        }
        Self { users, rows }
    }

    /// Root mean square of what `score(row of the sample, its entries, scores)` adds; 1 when that
    /// is 0.
    pub(crate) fn rms(&self, score: impl Fn(usize, (&[u32], &[f32]), &mut [f32]) + Sync) -> f32 {
        let n_items = self.rows.n_cols;
        let sums: Vec<f64> = (0..self.users.len())
            .into_par_iter()
            .map_init(
                || vec![0f32; n_items],
                |scores, row| {
                    scores.fill(0.0);
                    score(row, self.rows.row(row), scores);
                    scores.iter().map(|&s| f64::from(s).powi(2)).sum()
                },
            )
            .collect();
        let mean = sums.iter().sum::<f64>() / (self.users.len() * n_items).max(1) as f64;
        let rms = mean.sqrt() as f32;
        if rms > 0.0 && rms.is_finite() { rms } else { 1.0 }
    }
}
