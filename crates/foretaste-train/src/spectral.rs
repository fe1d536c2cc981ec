//! The flat-spectrum filter: a graph filter that treats the leading directions of the normalised
//! interaction matrix alike and keeps the rest as it is.
//!
//! With `A = D_u^(-a/2) R D_i^(-c)` and the leading eigenpairs `(V, lambda)` of `A'A`, a user's row
//! `x` is scored `x D_i^-b [A'A + V diag(2 lambda_k - lambda) V'] D_i^b`. The two terms are two
//! models, a sparse and a low-rank one, whose raw scores are added.

use foretaste_core::{Csr, Matrix, Result};
use serde::{Deserialize, Serialize};

use crate::item_item::{self, ItemItemConfig, Weighting};
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
    /// Items kept per item in the sparse part.
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
            k: 400,
            power_iterations: 4,
            seed: 0,
        }
    }
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

/// The filter of `r` (users x items, values > 0). `keys` as in [`crate::ials::fit_keyed`].
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
pub fn fit(r: &Csr, config: &SpectralConfig, keys: Option<&[u64]>) -> Result<Spectral> {
    let (a, b, c) = (config.user_exponent, config.output_exponent, config.item_exponent);
    let weighting = Weighting::Normalised { a_user: a, p_source: c + b, q_target: c - b };
    let similar =
        item_item::fit(r, &ItemItemConfig { weighting, k: config.k, ..Default::default() });
    let svd = SvdConfig {
        factors: config.factors,
        power_iterations: config.power_iterations,
        oversample: 64,
        seed: config.seed,
    };
    let (vectors, lambda) = leading_right(&normalised(r, a, c), &svd, keys)?;
    let last = lambda.last().copied().unwrap_or(0.0);
    let powers = |exponent: f32| -> Vec<f32> {
        r.col_counts().into_iter().map(|d| (d.max(1) as f32).powf(exponent)).collect()
    };
    Ok(Spectral {
        similar,
        vectors,
        input_scale: powers(-b),
        factor_scale: lambda.iter().map(|l| (2.0 * last - l) as f32).collect(),
        output_scale: powers(b),
    })
}

/// `D_u^(-a/2) R D_i^(-c)`.
fn normalised(r: &Csr, a: f32, c: f32) -> Csr {
    let items: Vec<f32> = r.col_counts().into_iter().map(|d| (d.max(1) as f32).powf(-c)).collect();
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
