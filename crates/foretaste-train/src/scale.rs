//! The scale of a channel: the root mean square of its raw scores over a sample of users and all
//! items, zeros included. Scores divided by it can be blended with fixed weights.

use std::ops::Range;

use foretaste_core::event::id_key;
use foretaste_core::{Csr, IdTable};
use rayon::prelude::{IntoParallelIterator, ParallelIterator};

/// Users scored together.
const BLOCK: usize = 16;

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

    /// Root mean square of what `score(rows of the sample, scores)` adds, `scores` row by row; 1
    /// when that is 0.
    pub(crate) fn rms(&self, score: impl Fn(Range<usize>, &mut [f32]) + Sync) -> f32 {
        let (n, n_items) = (self.users.len(), self.rows.n_cols);
        let sums: Vec<f64> = (0..n.div_ceil(BLOCK))
            .into_par_iter()
            .map_init(
                || vec![0f32; BLOCK * n_items],
                |scores, block| {
                    let rows = block * BLOCK..n.min((block + 1) * BLOCK);
                    let scores = &mut scores[..rows.len() * n_items];
                    scores.fill(0.0);
                    score(rows, scores);
                    scores.iter().map(|&s| f64::from(s).powi(2)).sum()
                },
            )
            .collect();
        let mean = sums.iter().sum::<f64>() / (n * n_items).max(1) as f64;
        let rms = mean.sqrt() as f32;
        if rms > 0.0 && rms.is_finite() { rms } else { 1.0 }
    }
}
