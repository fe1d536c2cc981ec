//! Implicit-feedback factors: a user's vector is solved from the user's history at request time.
//!
//! # Source
//! Hu, Koren & Volinsky, "Collaborative filtering for implicit feedback datasets", ICDM 2008,
//! equation 4; contributions are equation 7 of the same paper.
//!
//! Training turns the factors so that Y'Y is diagonal, which changes no score. The system of a user
//! then is nearly diagonal, too: a few steps of conjugate gradients solve it, none of which reads
//! Y'Y. Bundles of earlier builds hold factors that are not turned.
//!
//! Several models may stand side by side. Each solves for the user on its own columns; the search
//! sees one long vector.

use foretaste_core::{Error, ItemIdx, Result};

use super::ChannelScratch;
use super::item_item::{check_scale, scale_of};
use super::low_rank::scaled_rows;
use super::vectors::VectorIndex;
use crate::contents::IalsModel;
use crate::format::{Column, SectionReader, SectionWriter};
use crate::kernels::gradient::{self, Ground, System};
use crate::kernels::{axpy, dot, spd};
use crate::rounding::all_rounded;

/// Up to this many dimensions a system whose Y'Y is not diagonal is factored; above, conjugate
/// gradients are cheaper.
const MAX_FACTORED_DIMS: usize = 128;
/// Rows of a history that one call of a kernel takes.
const BATCH: usize = 64;
/// Entries of Y'Y beside the diagonal that are at most so large, relative to those on it, are what
/// rounding left of 0.
const ROUNDING: f32 = 1e-5;

/// See [`IalsModel`].
#[derive(Debug)]
pub(crate) struct LoadedIals {
    /// Output side: factors times output scale.
    vectors: VectorIndex,
    /// Factors for the fold-in; empty when there is no output scale.
    factors: Column<f32>,
    output_scale: Column<f32>,
    /// Y'Y of each model.
    gram: Column<f32>,
    /// Their diagonals, where nothing is beside them; else empty.
    diagonal: Vec<f32>,
    /// Columns of one model.
    width: usize,
    /// Confidence of an observation of each item; empty: all 1.
    input_weight: Column<f32>,
    /// alpha, reg, reg exponent, user exponent, mean degree; the number of models where there are
    /// several.
    settings: Column<f32>,
}

impl LoadedIals {
    pub(crate) fn write(out: &mut SectionWriter, model: &IalsModel) -> Result<()> {
        let dims = model.items.n_cols;
        VectorIndex::write(out, &scaled_rows(&model.items, &model.output_scale))?;
        let unscaled: &[f32] = if model.output_scale.is_empty() { &[] } else { &model.items.data };
        out.put(&all_rounded(unscaled))?;
        out.put(&model.output_scale)?;
        out.put(&grams(model, dims / model.models))?;
        out.put(&model.input_weight)?;
        let IalsModel { alpha, reg, reg_exponent, user_exponent, mean_degree, .. } = *model;
        let settings = [alpha, reg, reg_exponent, user_exponent, mean_degree, model.models as f32];
        out.put(&settings[..if model.models == 1 { 5 } else { 6 }])
    }

    pub(crate) fn read(mut input: SectionReader, n_items: usize) -> Result<Self> {
        let name = input.name().to_owned();
        let mut model = Self {
            vectors: VectorIndex::read(&mut input, n_items)?,
            factors: input.take()?,
            output_scale: input.take()?,
            gram: input.take()?,
            diagonal: Vec::new(),
            width: 0,
            input_weight: input.take()?,
            settings: input.take()?,
        };
        input.finish()?;
        check_scale(&name, model.output_scale.get(), n_items)?;
        check_scale(&name, model.input_weight.get(), n_items)?;
        let dims = model.vectors.dims();
        let factors = model.factors.get();
        let models = model.settings.get().get(5).map_or(1, |&n| n as usize);
        model.width = dims.checked_div(models).unwrap_or(0);
        let sizes = (factors.is_empty() || factors.len() == n_items * dims)
            && factors.is_empty() == model.output_scale.get().is_empty()
            && model.width * models == dims
            && model.gram.get().len() == dims * model.width
            && matches!(model.settings.get().len(), 5 | 6);
        let all = [factors, model.gram.get(), model.settings.get()];
        let positive = sizes && [0, 1, 4].iter().all(|&i| model.settings.get()[i] > 0.0);
        if !positive || all.iter().any(|part| part.iter().any(|v| !v.is_finite())) {
            return Err(Error::corrupt(format!("{name}: not a finite factor model")));
        }
        model.diagonal = lone_diagonals(model.gram.get(), model.width);
        Ok(model)
    }

    pub(crate) fn vectors(&self) -> &VectorIndex {
        &self.vectors
    }

    pub(crate) fn vectors_mut(&mut self) -> &mut VectorIndex {
        &mut self.vectors
    }

    #[inline]
    fn factor(&self, item: ItemIdx) -> &[f32] {
        let dims = self.vectors.dims();
        match self.factors.get() {
            [] => self.vectors.row(item),
            given => &given[item as usize * dims..][..dims],
        }
    }

    /// `(n / mean degree)^exponent` for a history of `n` items.
    fn relative_length(&self, n: usize, exponent: f32) -> f32 {
        let mean = self.settings.get()[4];
        if exponent == 0.0 { 1.0 } else { (n as f32 / mean).powf(exponent) }
    }

    /// The regularisation of a user with `n` items.
    fn reg(&self, n: usize) -> f32 {
        let settings = self.settings.get();
        settings[1] * self.relative_length(n, settings[2])
    }

    /// Leaves the confidence of each history item in the scratch.
    fn confidences(&self, history: &[(ItemIdx, f32)], scratch: &mut ChannelScratch) {
        let settings = self.settings.get();
        let factor = settings[0] * self.relative_length(history.len(), -settings[3]);
        let of = |&(item, weight): &(ItemIdx, f32)| {
            factor * weight * scale_of(self.input_weight.get(), item)
        };
        scratch.factors.clear();
        scratch.factors.extend(history.iter().map(of));
    }

    /// Multiply-adds of folding in and searching.
    pub(crate) fn work(&self, n: usize) -> usize {
        self.fold_in_work(n) + self.vectors.work()
    }

    /// About 6 steps of conjugate gradients where Y'Y is diagonal; else a factored system, or about
    /// 20 steps.
    pub(crate) fn fold_in_work(&self, n: usize) -> usize {
        let dims = self.vectors.dims();
        match dims {
            _ if !self.diagonal.is_empty() => 6 * 2 * n * dims,
            _ if self.is_factored() => n * dims * dims / 2 + dims.pow(3) / 3,
            _ => 20 * (dims * self.width + 2 * n * dims),
        }
    }

    /// Whether systems are factored.
    fn is_factored(&self) -> bool {
        let dims = self.vectors.dims();
        self.diagonal.is_empty() && self.width == dims && dims <= MAX_FACTORED_DIMS
    }

    /// Leaves the user's vector in `scratch.query` and, where systems are factored, the factor in
    /// `scratch.system`.
    pub(crate) fn prepare(&self, history: &[(ItemIdx, f32)], scratch: &mut ChannelScratch) {
        let dims = self.vectors.dims();
        scratch.query.clear();
        scratch.query.resize(dims, 0.0);
        if history.is_empty() {
            return;
        }
        self.confidences(history, scratch);
        if !self.is_factored() {
            let ChannelScratch { factors, vectors, query, .. } = scratch;
            for (model, part) in query.chunks_exact_mut(self.width).enumerate() {
                gradient::fold_in(&self.system(model, history, factors), vectors, part);
            }
            return;
        }
        for (&(item, _), &confidence) in history.iter().zip(&scratch.factors) {
            axpy(1.0 + confidence, self.factor(item), &mut scratch.query);
        }
        self.build(history, scratch);
        spd::solve(&scratch.system, dims, &mut scratch.query);
    }

    /// Builds and factors the system of a history.
    fn build(&self, history: &[(ItemIdx, f32)], scratch: &mut ChannelScratch) {
        let dims = self.vectors.dims();
        scratch.system.clear();
        scratch.system.extend_from_slice(self.gram.get());
        let reg = self.reg(history.len());
        (0..dims).for_each(|i| scratch.system[i * dims + i] += reg);
        for (batch, factors) in history.chunks(BATCH).zip(scratch.factors.chunks(BATCH)) {
            spd::add_outer(&mut scratch.system, dims, &self.rows(batch)[..batch.len()], factors);
        }
        if !spd::cholesky(&mut scratch.system, dims) {
            // Only rounding can get here (Gram + positive diagonal): a dominant diagonal answers
            // with the unweighted sum of the history's vectors instead of none.
            scratch.system.fill(0.0);
            (0..dims).for_each(|i| scratch.system[i * dims + i] = 1.0);
        }
    }

    /// The system of a history in one of the models, for conjugate gradients.
    fn system<'a>(
        &'a self,
        model: usize,
        items: &'a [(ItemIdx, f32)],
        weights: &'a [f32],
    ) -> System<'a> {
        let vectors = match self.factors.get() {
            [] => self.vectors.all(),
            given => given,
        };
        let (width, stride) = (self.width, self.vectors.dims());
        let ground = match &self.diagonal[..] {
            [] => Ground::Whole(&self.gram.get()[model * width * width..][..width * width]),
            diagonal => Ground::Diagonal(&diagonal[model * width..][..width]),
        };
        let vectors = &vectors[model * width..];
        System { vectors, stride, items, weights, ground, reg: self.reg(items.len()) }
    }

    /// The factors of up to [`BATCH`] items; on the stack, so that nothing is allocated.
    fn rows(&self, items: &[(ItemIdx, f32)]) -> [&[f32]; BATCH] {
        let mut rows: [&[f32]; BATCH] = [&[]; BATCH];
        rows.iter_mut().zip(items).for_each(|(row, &(item, _))| *row = self.factor(item));
        rows
    }

    /// raw = sum over the history of (1 + c_i) * y_i' A^-1 y_item * output scale, with the system
    /// and the confidences that `prepare` left.
    pub(crate) fn contributions(
        &self,
        item: ItemIdx,
        history: &[(ItemIdx, f32)],
        scratch: &mut ChannelScratch,
        out: &mut Vec<(ItemIdx, f32)>,
    ) {
        let mut solved = std::mem::take(&mut scratch.target);
        solved.clear();
        solved.extend_from_slice(self.vectors.row(item));
        if self.is_factored() {
            spd::solve(&scratch.system, solved.len(), &mut solved);
        } else {
            for (model, part) in solved.chunks_exact_mut(self.width).enumerate() {
                let system = self.system(model, history, &scratch.factors);
                gradient::solve(&system, &mut scratch.vectors, part);
            }
        }
        out.extend(history.iter().zip(&scratch.factors).map(|(&(source, _), &confidence)| {
            (source, (1.0 + confidence) * dot(self.factor(source), &solved))
        }));
        scratch.target = solved;
    }
}

/// Y'Y of every model, one after the other.
fn grams(model: &IalsModel, width: usize) -> Vec<f32> {
    let of = |at: usize| {
        let rows = model.items.data.chunks_exact(model.items.n_cols);
        let part: Vec<f32> = rows.flat_map(|row| &row[at * width..][..width]).copied().collect();
        without_rounding(gram(&part, width), width, model.reg)
    };
    (0..model.models).flat_map(of).collect()
}

/// Y'Y of row-major Y, summed in f64 so that the result does not depend on an order of threads.
fn gram(rows: &[f32], dims: usize) -> Vec<f32> {
    let mut sums = vec![0f64; dims * dims];
    let mut partial = vec![0f32; dims * dims];
    // Short f32 partial sums keep the vector units busy; f64 totals keep the precision.
    for batch in rows.chunks(dims * 64) {
        partial.fill(0.0);
        let rows: Vec<&[f32]> = batch.chunks_exact(dims).collect();
        spd::add_outer(&mut partial, dims, &rows, &vec![1.0; rows.len()]);
        sums.iter_mut().zip(&partial).for_each(|(s, p)| *s += f64::from(*p));
    }
    let at = |i: usize, j: usize| sums[i.min(j) * dims + i.max(j)] as f32;
    (0..dims * dims).map(|k| at(k / dims, k % dims)).collect()
}

/// A Gram matrix of which only the diagonal is left, where all beside it is what rounding made of
/// 0. It is judged beside the regularisation that every system adds.
fn without_rounding(mut gram: Vec<f32>, dims: usize, reg: f32) -> Vec<f32> {
    let size: Vec<f32> = (0..dims).map(|i| (gram[i * dims + i] + reg).sqrt()).collect();
    let is_rounding = |(k, v): (usize, &f32)| {
        let (i, j) = (k / dims, k % dims);
        i == j || v.abs() <= ROUNDING * size[i] * size[j]
    };
    if gram.iter().enumerate().all(is_rounding) {
        let beside = gram.iter_mut().enumerate().filter(|(k, _)| k / dims != k % dims);
        beside.for_each(|(_, v)| *v = 0.0);
    }
    gram
}

/// The diagonals of matrices, one after the other, if they have nothing beside them; else nothing.
fn lone_diagonals(matrices: &[f32], dims: usize) -> Vec<f32> {
    let is_diagonal = |k: usize| (k / dims) % dims == k % dims;
    let mut beside = matrices.iter().enumerate().filter(|(k, _)| !is_diagonal(*k));
    if beside.any(|(_, &v)| v != 0.0) {
        return Vec::new();
    }
    let diagonal = matrices.iter().enumerate().filter(|(k, _)| is_diagonal(*k));
    diagonal.map(|(_, &v)| v).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_diagonal_is_known_through_rounding_and_another_matrix_is_left_alone() {
        let nearly = vec![4.0, 1e-6, 1e-6, 9.0];
        assert_eq!(without_rounding(nearly, 2, 1.0), [4.0, 0.0, 0.0, 9.0]);
        let other = vec![4.0, 1e-3, 1e-3, 9.0];
        assert_eq!(without_rounding(other.clone(), 2, 1.0), other);
        assert_eq!(lone_diagonals(&[4.0, 0.0, 0.0, 9.0], 2), [4.0, 9.0]);
        assert_eq!(
            lone_diagonals(&[4.0, 0.0, 0.0, 9.0, 1.0, 0.0, 0.0, 2.0], 2),
            [4.0, 9.0, 1.0, 2.0]
        );
        assert!(lone_diagonals(&other, 2).is_empty());
    }
}
