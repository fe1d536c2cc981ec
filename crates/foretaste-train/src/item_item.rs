//! Item-item similarity: which items to recommend because of an item, from who had both.
//!
//! One sparse product R'R with four weightings. It does not score users; the bundle does.

use foretaste_core::Csr;
use serde::{Deserialize, Serialize};

use crate::gram;
use crate::product::{Product, top_k, top_k_of, top_k_of_gram};

/// How much two items that a user had in common say about each other.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Weighting {
    /// Cosine of the items' columns.
    Cosine,
    /// Plain co-occurrence: the sum of r_ui * r_uj.
    Cooccurrence,
    /// Three-step random walk with a popularity penalty.
    Rp3Beta {
        /// Exponent of the transition probabilities.
        alpha: f32,
        /// Exponent of the target's popularity.
        beta: f32,
    },
    /// r_ui * r_uj * d_u^-a_user * d_i^-p_source * d_j^-q_target, d = number of entries.
    Normalised {
        /// Damps users with many items.
        a_user: f32,
        /// Damps popular items as a reason.
        p_source: f32,
        /// Damps popular items as a recommendation.
        q_target: f32,
    },
}

/// Settings of [`fit`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ItemItemConfig {
    /// The weighting.
    pub weighting: Weighting,
    /// Similar items kept per item.
    pub k: usize,
    /// Entries of a user that take part: of longer rows the heaviest, then the rarest items.
    pub max_user_items: usize,
}

impl Default for ItemItemConfig {
    fn default() -> Self {
        let weighting = Weighting::Normalised { a_user: 0.7, p_source: 0.6, q_target: 0.3 };
        Self { weighting, k: 400, max_user_items: 1000 }
    }
}

/// Similarities from `r` (users x items, values > 0; others are ignored).
///
/// # Shapes
/// The result is items x items without diagonal: row `i` holds the `k` items `j` with the
/// greatest similarity, in order of descending value; `score_j = sum_i x_i * S[i, j]`.
///
/// # Cost
/// One multiply-add per user and pair of the user's items: the sum of d_u^2, with d_u capped by
/// `max_user_items`; half of that where all values are 1 and the sum is more than four times the
/// number of pairs of at most 8,192 items. Memory: the result, two copies of `r`, one dense row per
/// thread; all pairs in the latter case.
///
/// # Source
/// Sarwar et al., "Item-based collaborative filtering", WWW 2001 (cosine); Paudel et al.,
/// "Updatable, accurate, diverse, and scalable recommendations for interactive applications",
/// TiiS 2017, eq. 5 (RP3beta; here alpha is applied to both steps' probabilities, not
/// renormalised). The normalised family is the general form of both and of the LinkProp scores of
/// Fu et al., "Revisiting neighborhood-based link prediction for collaborative filtering", 2022.
pub fn fit(r: &Csr, config: &ItemItemConfig) -> Csr {
    let prepared = Prepared::new(r, config.weighting, config.max_user_items);
    let product = prepared.product(config.k);
    match prepared.is_dense() {
        true => top_k_of_gram(&product, &gram::upper(&prepared.left, &prepared.right)),
        false => top_k(&product),
    }
}

/// Items up to which all pairs may be held at once: 256 MiB.
const MAX_DENSE: usize = 1 << 13;

/// As [`fit`] for the given items only: row `n` of the result belongs to `items[n]`.
///
/// # Cost
/// Preparation is O(entries); the product is computed for the given items only.
pub fn fit_some(r: &Csr, items: &[u32], config: &ItemItemConfig) -> Csr {
    let prepared = Prepared::new(r, config.weighting, config.max_user_items);
    top_k_of(&prepared.product(config.k), items)
}

/// The factors of the product, scaled.
pub(crate) struct Prepared {
    left: Csr,
    right: Csr,
    unit_right: bool,
    row_scale: Vec<f32>,
    col_scale: Vec<f32>,
}

impl Prepared {
    pub(crate) fn new(r: &Csr, weighting: Weighting, max_user_items: usize) -> Self {
        let mut right = capped(r, max_user_items);
        let mut sums = Vec::new();
        if let Weighting::Rp3Beta { alpha, .. } = weighting {
            sums = column_sums(&right, |v| v);
            right.values.iter_mut().for_each(|v| *v = v.powf(alpha));
        }
        let (left, (unit_right, (row_scale, col_scale))) = rayon::join(
            || scaled_transpose(&right, weighting, r),
            || (is_unit(&right), item_scales(&right, &sums, weighting)),
        );
        Self { left, right, unit_right, row_scale, col_scale }
    }

    /// Whether half of the product, held whole, costs less than all of it row by row: additions
    /// have to outweigh the cells. Both halves have the same sums only where `right` has no values.
    fn is_dense(&self) -> bool {
        let n = self.right.n_cols;
        let degrees = self.right.indptr.windows(2).map(|ends| (ends[1] - ends[0]) as usize);
        let additions: usize = degrees.map(|d| d * d).sum();
        self.unit_right && n <= MAX_DENSE && additions > 4 * n * n
    }

    pub(crate) fn product(&self, k: usize) -> Product<'_> {
        Product {
            left: &self.left,
            right: &self.right,
            unit_right: self.unit_right,
            row_scale: &self.row_scale,
            col_scale: &self.col_scale,
            k,
            skip_diagonal: true,
        }
    }
}

/// Items x users, each user's entries times the user's weight.
fn scaled_transpose(right: &Csr, weighting: Weighting, original: &Csr) -> Csr {
    if matches!(weighting, Weighting::Cosine | Weighting::Cooccurrence) {
        return right.transpose();
    }
    let mut scaled = right.clone();
    for u in 0..scaled.n_rows() {
        let (_, values) = original.row(u);
        let weight = match weighting {
            Weighting::Cosine | Weighting::Cooccurrence => 1.0,
            Weighting::Normalised { a_user, .. } => (values.len() as f32).powf(-a_user),
            Weighting::Rp3Beta { alpha, .. } => values.iter().sum::<f32>().powf(-alpha),
        };
        let range = scaled.indptr[u] as usize..scaled.indptr[u + 1] as usize;
        scaled.values[range].iter_mut().for_each(|v| *v *= weight);
    }
    scaled.transpose()
}

/// Whether all values are 1, so that none need be read.
pub(crate) fn is_unit(m: &Csr) -> bool {
    m.values.iter().all(|&v| v == 1.0)
}

/// What each item is multiplied with as a source (row) and as a target (column).
fn item_scales(right: &Csr, sums: &[f64], weighting: Weighting) -> (Vec<f32>, Vec<f32>) {
    let each = |values: &[f64], exponent: f32| -> Vec<f32> {
        let power = |&v: &f64| if v > 0.0 { v.powf(-f64::from(exponent)) as f32 } else { 0.0 };
        values.iter().map(power).collect()
    };
    match weighting {
        Weighting::Cosine => {
            let norms = each(&column_sums(right, |v| v * v), 0.5);
            (norms.clone(), norms)
        }
        Weighting::Cooccurrence => (vec![1.0; right.n_cols], vec![1.0; right.n_cols]),
        Weighting::Rp3Beta { alpha, beta } => (each(sums, alpha), each(sums, beta)),
        Weighting::Normalised { p_source, q_target, .. } => {
            let counts: Vec<f64> = right.col_counts().into_iter().map(f64::from).collect();
            (each(&counts, p_source), each(&counts, q_target))
        }
    }
}

/// Per column the sum of `of` each value.
fn column_sums(m: &Csr, of: impl Fn(f64) -> f64) -> Vec<f64> {
    let mut sums = vec![0f64; m.n_cols];
    let entries = m.indices.iter().zip(&m.values);
    entries.for_each(|(&c, &v)| sums[c as usize] += of(f64::from(v)));
    sums
}

/// `r` without values <= 0 and with at most `cap` entries a row.
pub(crate) fn capped(r: &Csr, cap: usize) -> Csr {
    let is_short = r.indptr.windows(2).all(|ends| (ends[1] - ends[0]) as usize <= cap);
    if is_short && r.values.iter().all(|&v| v > 0.0) {
        return r.clone();
    }
    let counts = r.col_counts();
    let mut out = Csr { n_cols: r.n_cols, indptr: vec![0], ..Csr::default() };
    out.indices.reserve(r.nnz());
    out.values.reserve(r.nnz());
    let mut row: Vec<(u32, f32)> = Vec::new();
    for u in 0..r.n_rows() {
        let (items, values) = r.row(u);
        row.clear();
        row.extend(items.iter().copied().zip(values.iter().copied()).filter(|e| e.1 > 0.0));
        if row.len() > cap {
            row.sort_by(|a, b| {
                let rarity = |e: &(u32, f32)| counts[e.0 as usize];
                b.1.total_cmp(&a.1).then(rarity(a).cmp(&rarity(b))).then(a.0.cmp(&b.0))
            });
            row.truncate(cap);
            row.sort_unstable_by_key(|e| e.0);
        }
        out.push_row(row.iter().copied());
    }
    out
}

#[cfg(test)]
mod tests {
    use foretaste_core::planted;

    use super::*;

    #[test]
    fn half_the_product_of_dense_data_mirrored_is_the_product_row_by_row() {
        let r = planted::groups((400, 37, 3), (0.9, 0.2), 5);
        let weightings = [
            Weighting::Cosine,
            Weighting::Rp3Beta { alpha: 0.8, beta: 0.4 },
            ItemItemConfig::default().weighting,
        ];
        for weighting in weightings {
            let config = ItemItemConfig { weighting, k: 9, ..ItemItemConfig::default() };
            assert!(Prepared::new(&r, weighting, config.max_user_items).is_dense());
            let items: Vec<u32> = (0..37).collect();
            assert_eq!(fit(&r, &config), fit_some(&r, &items, &config), "{weighting:?}");
        }
    }
}
