//! Nearest items by given embeddings: exact, in blocks; long vectors of large catalogues are first
//! projected to few dimensions and the best candidates re-scored.

use foretaste_core::topk::TopK;
use foretaste_core::{Csr, Error, Item, Matrix, Result, Rng};
use rayon::prelude::{IntoParallelIterator, ParallelIterator};

use super::ContentConfig;
use crate::gemm::{self, Target, View};
use crate::{dense, product};

/// Items per task.
const BLOCK: usize = 64;
/// Multiply-adds up to which embeddings are compared in full.
const EXACT_WORK: f64 = 1e12;
/// Dimensions of the projection, and candidates re-scored per kept item.
const PROJECTED: usize = 64;
const CANDIDATES: usize = 4;

/// The embeddings as rows of length 1 (zero for items without one), or `None` when no item has
/// one.
pub(super) fn unit_vectors(items: &[Item]) -> Result<Option<Matrix>> {
    let given = |item: &Item| item.embedding.as_ref().map(Vec::len);
    let Some(width) = items.iter().find_map(given).filter(|&w| w > 0) else { return Ok(None) };
    let mut m = Matrix::zeros(items.len(), width);
    for (i, item) in items.iter().enumerate() {
        let Some(vector) = &item.embedding else { continue };
        let id = &item.item_id;
        if vector.len() != width {
            let found = vector.len();
            let text = format!("item {id:?}: embedding of {found} values, others have {width}");
            return Err(Error::invalid(text));
        }
        let norm = vector.iter().map(|v| v * v).sum::<f32>().sqrt();
        if !norm.is_finite() {
            return Err(Error::invalid(format!("item {id:?}: an embedding value is not finite")));
        }
        if norm > 0.0 {
            m.row_mut(i).iter_mut().zip(vector).for_each(|(to, v)| *to = v / norm);
        }
    }
    Ok(Some(m))
}

/// The `config.k` items of greatest positive cosine per item.
pub(super) fn similar(vectors: &Matrix, config: &ContentConfig) -> Csr {
    let n = vectors.n_rows;
    let work = (n as f64).powi(2) * vectors.n_cols as f64;
    let projected = (work > EXACT_WORK && vectors.n_cols > PROJECTED)
        .then(|| dense::times(vectors, &projection(vectors.n_cols, config.seed)));
    let parts: Vec<Csr> = (0..n.div_ceil(BLOCK))
        .into_par_iter()
        .map_init(
            || (vec![0f32; BLOCK * n], TopK::new(config.k)),
            |(scores, top), task| {
                let first = task * BLOCK;
                let count = BLOCK.min(n - first);
                let scanned = projected.as_ref().unwrap_or(vectors);
                products(scanned, first, &mut scores[..count * n]);
                let mut part = Csr { n_cols: n, indptr: vec![0], ..Csr::default() };
                for r in 0..count {
                    let scores = &scores[r * n..(r + 1) * n];
                    let keep = if projected.is_some() { CANDIDATES * config.k } else { config.k };
                    best(top, scores.iter().copied().enumerate(), (first + r, keep));
                    let mut row: Vec<(u32, f32)> = top.drain_sorted().collect();
                    if projected.is_some() {
                        let query = vectors.row(first + r);
                        let exact = row.iter().map(|c| c.0 as usize);
                        let exact = exact.map(|j| (j, cosine(query, vectors.row(j))));
                        best(top, exact, (first + r, config.k));
                        row = top.drain_sorted().collect();
                    }
                    part.push_row(row);
                }
                part
            },
        )
        .collect();
    product::concat(n, &parts)
}

fn best(top: &mut TopK, scores: impl Iterator<Item = (usize, f32)>, (own, k): (usize, usize)) {
    top.reset(k);
    for (j, score) in scores {
        if score > 1e-6 && score >= top.threshold() && j != own {
            top.push(j as u32, score.min(1.0));
        }
    }
}

fn cosine(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

/// Inner products of a block of rows with all rows.
fn products(m: &Matrix, first: usize, out: &mut [f32]) {
    let rows = View::rows(m, first, out.len() / m.n_rows);
    out.fill(0.0);
    gemm::add(Target::new(out, m.n_rows), 1.0, rows, View::from(m).transposed());
}

/// Random directions that keep inner products in expectation.
fn projection(width: usize, seed: u64) -> Matrix {
    let mut rng = Rng::stream(seed, 1);
    let scale = 1.0 / (PROJECTED as f64).sqrt();
    let data = (0..width * PROJECTED).map(|_| (rng.normal() * scale) as f32).collect();
    Matrix::from_data(width, PROJECTED, data)
}
