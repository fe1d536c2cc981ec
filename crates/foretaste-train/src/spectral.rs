//! The flat-spectrum filter: a graph filter that treats the leading directions of the normalised
//! interaction matrix alike and keeps the rest as it is.
//!
//! With `A = D_u^(-a/2) R D_i^(-c)` and the leading eigenpairs `(V, lambda)` of `A'A`, a user's row
//! `x` is scored `x F`, `F = D_i^-b [A'A + V diag(2 lambda_k - lambda) V'] D_i^b`. [`fit`] computes
//! every row of `F` and keeps its largest entries, which ranks better than `F` itself;
//! [`fit_parts`] gives its two terms as two models, for catalogues too large for that.

use foretaste_core::{Csr, Matrix, Result};
use serde::{Deserialize, Serialize};

use crate::dense;
use crate::item_item::{self, ItemItemConfig, Prepared, Weighting};
use crate::product::top_k_onto;
use crate::svd::{SvdConfig, leading_right};

/// Settings of [`fit`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SpectralConfig {
    /// Directions that are made alike.
    pub factors: usize,
    /// a: damps users with many items.
    pub user_exponent: f32,
    /// c: damps popular items.
    pub item_exponent: f32,
    /// b: moves weight from popular reasons to popular recommendations.
    pub output_exponent: f32,
    /// Items kept per item.
    pub k: usize,
    /// Iterations of the subspace.
    pub power_iterations: usize,
    /// Seed of the start.
    pub seed: u64,
}

impl Default for SpectralConfig {
    fn default() -> Self {
        Self {
            factors: 512,
            user_exponent: 0.6,
            item_exponent: 0.47,
            output_exponent: 0.4,
            k: 1000,
            power_iterations: 4,
            seed: 0,
        }
    }
}

/// Flops of [`fit`]'s dense part per item squared and factor.
pub const FLOPS: f64 = 2.0;

/// The filter of `r` (users x items, values > 0) with the `k` largest positive entries of each
/// row or, where `k` is enough for all, every entry. `keys` as in
/// [`crate::ials::fit_keyed`].
///
/// # Shapes
/// Items x items without diagonal; `score_j = sum_i x_i F[i, j]`, rows in descending order.
///
/// # Errors
/// `Internal` when `r` holds NaN or infinite values.
///
/// # Cost
/// That of [`fit_parts`] plus 2 items^2 factors flops; 128 dense rows per thread.
///
/// # Source
/// As [`fit_parts`]. Pruning raises quality on gowalla: Recall@20 .191 whole, .193 / .195 / .196
/// with 100 / 200 / 1000 entries a row.
pub fn fit(r: &Csr, config: &SpectralConfig, keys: Option<&[u64]>) -> Result<Csr> {
    let (a, b, c) = (config.user_exponent, config.output_exponent, config.item_exponent);
    let (vectors, factor_scale) = flattened(r, config, keys)?;
    // The product multiplies entry (i, j) by d_i^-(b + c) d_j^(b - c), so c is undone here.
    let powers = degree_powers(r, c);
    let (mut input, mut output) = (vectors.clone(), vectors);
    for (i, power) in powers.iter().enumerate() {
        let scaled = input.row_mut(i).iter_mut().zip(&factor_scale);
        scaled.for_each(|(v, f)| *v *= f * power);
        output.row_mut(i).iter_mut().for_each(|v| *v *= power);
    }
    let weighting = Weighting::Normalised { a_user: a, p_source: c + b, q_target: c - b };
    let width = input.n_cols;
    let prepared = Prepared::new(r, weighting, ItemItemConfig::default().max_user_items);
    let signed = config.k + 1 >= r.n_cols;
    Ok(top_k_onto(&prepared.product(config.k), signed, |first, block| {
        let count = block.len() / output.n_rows;
        let queries = &input.data[first * width..(first + count) * width];
        dense::add_products(&output, queries, block);
    }))
}

/// Both parts of the filter: `raw = x * similar + factor_scale * (x * input) . items`.
#[derive(Clone, Debug, PartialEq)]
pub struct Spectral {
    /// The sparse part, items x items, as in [`crate::item_item`].
    pub similar: Csr,
    /// The eigenvectors, items x factors, not scaled.
    pub vectors: Matrix,
    /// d_i^-b: what an item's vector is multiplied with on the input side.
    pub input_scale: Vec<f32>,
    /// 2 lambda_k - lambda per factor; negative where a direction is weakened.
    pub factor_scale: Vec<f32>,
    /// d_j^b: what an item's score is multiplied with.
    pub output_scale: Vec<f32>,
}

/// The two terms of the filter; the sparse one is pruned. `keys` as in
/// [`crate::ials::fit_keyed`].
///
/// # Shapes
/// Items x items (sparse) and items x factors.
///
/// # Errors
/// `Internal` when `r` holds NaN or infinite values.
///
/// # Cost
/// That of [`crate::svd::truncated`] plus that of [`crate::item_item::fit`].
///
/// # Source
/// Shen et al., "How powerful is graph convolution for recommendation?", CIKM 2021 (GF-CF), with
/// the ideal low-pass filter replaced by one that flattens the leading eigenvalues to
/// 2 lambda_k, and exponents for users, items and output. The sparse part is pruned.
pub fn fit_parts(r: &Csr, config: &SpectralConfig, keys: Option<&[u64]>) -> Result<Spectral> {
    let (a, b, c) = (config.user_exponent, config.output_exponent, config.item_exponent);
    let weighting = Weighting::Normalised { a_user: a, p_source: c + b, q_target: c - b };
    let similar =
        item_item::fit(r, &ItemItemConfig { weighting, k: config.k, ..Default::default() });
    let (vectors, factor_scale) = flattened(r, config, keys)?;
    let (input_scale, output_scale) = (degree_powers(r, -b), degree_powers(r, b));
    Ok(Spectral { similar, vectors, input_scale, factor_scale, output_scale })
}

/// The leading eigenvectors of A'A and what each is multiplied with: 2 lambda_k - lambda.
fn flattened(r: &Csr, config: &SpectralConfig, keys: Option<&[u64]>) -> Result<(Matrix, Vec<f32>)> {
    let svd = SvdConfig {
        factors: config.factors,
        power_iterations: config.power_iterations,
        oversample: 64,
        seed: config.seed,
    };
    let a = normalised(r, config.user_exponent, config.item_exponent);
    let (vectors, lambda) = leading_right(&a, &svd, keys)?;
    let last = lambda.last().copied().unwrap_or(0.0);
    Ok((vectors, lambda.iter().map(|l| (2.0 * last - l) as f32).collect()))
}

fn degree_powers(r: &Csr, exponent: f32) -> Vec<f32> {
    r.col_counts().into_iter().map(|d| (d.max(1) as f32).powf(exponent)).collect()
}

/// `D_u^(-a/2) R D_i^(-c)`.
fn normalised(r: &Csr, a: f32, c: f32) -> Csr {
    let items = degree_powers(r, -c);
    let mut out = r.clone();
    for u in 0..r.n_rows() {
        let range = r.indptr[u] as usize..r.indptr[u + 1] as usize;
        let user = (range.len().max(1) as f32).powf(-a / 2.0);
        for e in range {
            out.values[e] *= user * items[r.indices[e] as usize];
        }
    }
    out
}

impl Spectral {
    /// The low-rank part as (input, output) matrices, items x factors, all scales multiplied in.
    pub fn factors(&self) -> (Matrix, Matrix) {
        let (mut input, mut output) = (self.vectors.clone(), self.vectors.clone());
        for i in 0..input.n_rows {
            input.row_mut(i).iter_mut().for_each(|v| *v *= self.input_scale[i]);
            let scaled = output.row_mut(i).iter_mut().zip(&self.factor_scale);
            scaled.for_each(|(v, f)| *v *= f * self.output_scale[i]);
        }
        (input, output)
    }
}

#[cfg(test)]
mod tests {
    use foretaste_core::planted;

    use super::*;

    #[test]
    fn users_who_are_all_alike_can_be_learned_from() {
        for n_items in [1, 2, 18, 40] {
            let rows = (0..12).map(|_| (0..n_items as u32).map(|i| (i, 1.0)).collect());
            let r = Csr::from_rows(n_items, rows.collect::<Vec<Vec<_>>>());
            let similar = fit(&r, &SpectralConfig { factors: 30, ..Default::default() }, None);
            let similar = similar.expect("a matrix of rank one is one, too");
            assert!(similar.values.iter().all(|v| v.is_finite()));
            let first = similar.row(0).1.first().copied().unwrap_or(0.0);
            let even = |i: usize| similar.row(i).1.iter().all(|v| (v / first - 1.0).abs() < 0.05);
            assert!((0..n_items).all(even), "{n_items} items that nothing tells apart");
        }
    }

    #[test]
    fn the_pruned_filter_is_the_sum_of_its_parts() {
        let r = planted::groups((150, 40, 4), (0.5, 0.05), 9);
        let config = SpectralConfig { factors: 4, k: 39, ..Default::default() };
        let whole = fit(&r, &config, None).unwrap();
        let parts = fit_parts(&r, &config, None).unwrap();
        let (input, output) = parts.factors();
        let mut kept = 0;
        for i in 0..40 {
            for j in (0..40u32).filter(|&j| j as usize != i) {
                let of = |m: &Csr| {
                    let (js, vs) = m.row(i);
                    js.iter().position(|&c| c == j).map(|at| vs[at])
                };
                let pairs = input.row(i).iter().zip(output.row(j as usize));
                let low_rank: f32 = pairs.map(|(x, y)| x * y).sum();
                let expected = of(&parts.similar).unwrap_or(0.0) + low_rank;
                match of(&whole) {
                    Some(value) => assert!((value - expected).abs() < 1e-4, "{i}, {j}"),
                    None => assert!(expected < 1e-4, "{i}, {j}: {expected} is missing"),
                }
                kept += usize::from(of(&whole).is_some());
            }
        }
        assert_eq!(kept, 40 * 39);
        let pruned = fit(&r, &SpectralConfig { k: 5, ..config }, None).unwrap();
        for i in 0..40 {
            let (js, vs) = pruned.row(i);
            assert!(js.len() == 5 && js[0] as usize % 4 == i % 4 && vs[4] > 0.0);
        }
    }
}
