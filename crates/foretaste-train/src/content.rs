//! Similar items by what they are: categories, tags, words of title and description, and given
//! embeddings. Serves items that nobody has used yet.

mod embedding;
mod terms;

use foretaste_core::{Csr, Item, Result};
use serde::{Deserialize, Serialize};

use crate::product::{Product, top_k};
use terms::term_matrix;

/// Settings of [`fit`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ContentConfig {
    /// Similar items kept per item.
    pub k: usize,
    /// Share of embeddings in the similarity of items that have one; the rest is text.
    pub embedding_share: f32,
    /// Bound on the multiply-adds of the text product; the most frequent terms are left out until
    /// it holds.
    pub work: u64,
    /// Characters of a description that are read.
    pub description_chars: usize,
    /// Seed of the projection of long embeddings.
    pub seed: u64,
}

impl Default for ContentConfig {
    fn default() -> Self {
        Self { k: 50, embedding_share: 0.5, work: 4_000_000_000, description_chars: 2000, seed: 0 }
    }
}

/// Similarities from the catalogue.
///
/// # Shapes
/// Items x items without diagonal, values in (0, 1], each row in order of descending value; items
/// without any shared term or embedding have an empty row.
///
/// # Errors
/// `Invalid` when embeddings differ in length or hold values that are not finite.
///
/// # Cost
/// At most `work` multiply-adds for text, whatever the catalogue; for embeddings items^2 x
/// dimensions, projected to 64 dimensions (and re-scored) where that would exceed 10^12.
///
/// # Source
/// Salton & Buckley, "Term-weighting approaches in automatic text retrieval", 1988 (logarithmic
/// TF, IDF, cosine); Chinese, Japanese and Korean text by character bigrams, after Nie & Ren,
/// "Chinese information retrieval: using characters or words?", 1999.
pub fn fit(items: &[Item], config: &ContentConfig) -> Result<Csr> {
    let text = text_similarity(items, config);
    let Some(vectors) = embedding::unit_vectors(items)? else { return Ok(text) };
    let near = embedding::similar(&vectors, config);
    Ok(blend(&text, &near, config))
}

fn text_similarity(items: &[Item], config: &ContentConfig) -> Csr {
    let left = term_matrix(items, config);
    let right = left.transpose();
    let ones = vec![1.0; items.len()];
    top_k(&Product {
        left: &left,
        right: &right,
        unit_right: false,
        row_scale: &ones,
        col_scale: &ones,
        k: config.k,
        skip_diagonal: true,
    })
}

/// Weighted sum of two similarities; where an item has only one, that one.
fn blend(text: &Csr, near: &Csr, config: &ContentConfig) -> Csr {
    let mut out = Csr { n_cols: text.n_cols, indptr: vec![0], ..Csr::default() };
    for i in 0..text.n_rows() {
        let (text, near) = (text.row(i), near.row(i));
        let share = match (text.0.is_empty(), near.0.is_empty()) {
            (_, true) => 0.0,
            (true, _) => 1.0,
            _ => config.embedding_share,
        };
        let part = |(cols, vals): (&[u32], &[f32]), share: f32| -> Vec<(u32, f32)> {
            cols.iter().zip(vals).map(|(&c, &v)| (c, v * share)).collect()
        };
        let both = [part(text, 1.0 - share), part(near, share)].concat();
        let merged = Csr::from_rows(out.n_cols, [both]);
        let mut row: Vec<(u32, f32)> =
            merged.indices.into_iter().zip(merged.values).filter(|e| e.1 > 0.0).collect();
        row.sort_unstable_by(foretaste_core::topk::by_rank);
        row.truncate(config.k);
        out.push_row(row);
    }
    out
}

#[cfg(test)]
mod tests;
