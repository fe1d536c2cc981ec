//! Linear models of low rank: spectral filters, SVD, embeddings.

use foretaste_core::{Error, ItemIdx, Matrix, Result};

use super::ChannelScratch;
use super::item_item::{check_scale, length_factor, one_number};
use super::vectors::VectorIndex;
use crate::contents::LowRank;
use crate::format::{Column, SectionReader, SectionWriter};
use crate::kernels::{axpy, dot};
use crate::rounding::{all_rounded, rounded};

/// See [`LowRank`]. The output scale is baked into the vectors; the input side is the vectors
/// times a scale per item where that is possible, else a matrix of its own.
#[derive(Debug)]
pub(crate) struct LoadedLowRank {
    vectors: VectorIndex,
    /// Input side; empty when it is the vectors times `input_scale`.
    input: Column<f32>,
    input_scale: Column<f32>,
    factor_scale: Column<f32>,
    history_exponent: f32,
}

impl LoadedLowRank {
    pub(crate) fn write(out: &mut SectionWriter, model: &LowRank) -> Result<()> {
        VectorIndex::write(out, &scaled_rows(&model.items, &model.output_scale))?;
        let divisible = model.output_scale.iter().all(|&s| s.abs() > 1e-20);
        let given = match &model.input {
            Some(input) => Some(input),
            None if divisible => None,
            None => Some(&model.items),
        };
        let scale = match (given, model.output_scale.as_slice()) {
            (Some(_), _) | (None, []) => model.input_scale.clone(),
            (None, output) => quotient(&model.input_scale, output),
        };
        out.put(&given.map_or_else(Vec::new, |m: &Matrix| all_rounded(&m.data)))?;
        out.put(&scale)?;
        out.put(&model.factor_scale)?;
        out.put(&[model.history_exponent])
    }

    pub(crate) fn read(mut input: SectionReader, n_items: usize) -> Result<Self> {
        let name = input.name().to_owned();
        let model = Self {
            vectors: VectorIndex::read(&mut input, n_items)?,
            input: input.take()?,
            input_scale: input.take()?,
            factor_scale: input.take()?,
            history_exponent: one_number(&input.take()?, &name)?,
        };
        input.finish()?;
        check_scale(&name, model.input_scale.get(), n_items)?;
        check_scale(&name, model.factor_scale.get(), model.vectors.dims())?;
        let given = model.input.get();
        let right = given.is_empty() || given.len() == n_items * model.vectors.dims();
        if !right || given.iter().any(|v| !v.is_finite()) {
            return Err(Error::corrupt(format!("{name}: the input side is not a finite matrix")));
        }
        Ok(model)
    }

    pub(crate) fn vectors(&self) -> &VectorIndex {
        &self.vectors
    }

    pub(crate) fn vectors_mut(&mut self) -> &mut VectorIndex {
        &mut self.vectors
    }

    fn input_row(&self, item: ItemIdx) -> (&[f32], f32) {
        let dims = self.vectors.dims();
        let scale = self.input_scale.get().get(item as usize).copied().unwrap_or(1.0);
        match self.input.get() {
            [] => (self.vectors.row(item), scale),
            given => (&given[item as usize * dims..][..dims], scale),
        }
    }

    fn scale_factors(&self, vector: &mut [f32]) {
        vector.iter_mut().zip(self.factor_scale.get()).for_each(|(v, f)| *v *= f);
    }

    pub(crate) fn prepare(&self, history: &[(ItemIdx, f32)], scratch: &mut ChannelScratch) {
        scratch.query.clear();
        scratch.query.resize(self.vectors.dims(), 0.0);
        let factor = length_factor(history.len(), self.history_exponent);
        for &(item, weight) in history {
            let (row, scale) = self.input_row(item);
            axpy(weight * scale * factor, row, &mut scratch.query);
        }
        self.scale_factors(&mut scratch.query);
    }

    pub(crate) fn contributions(
        &self,
        item: ItemIdx,
        history: &[(ItemIdx, f32)],
        scratch: &mut ChannelScratch,
        out: &mut Vec<(ItemIdx, f32)>,
    ) {
        let target = &mut scratch.target;
        target.clear();
        target.extend_from_slice(self.vectors.row(item));
        self.scale_factors(target);
        let factor = length_factor(history.len(), self.history_exponent);
        out.extend(history.iter().map(|&(source, weight)| {
            let (row, scale) = self.input_row(source);
            (source, weight * scale * factor * dot(row, target))
        }));
    }
}

/// Each row times its scale, rounded as it is written; empty scales stand for 1.
pub(crate) fn scaled_rows(rows: &Matrix, scale: &[f32]) -> Matrix {
    let mut scaled = rows.clone();
    for (row, &s) in scaled.data.chunks_exact_mut(rows.n_cols).zip(scale) {
        row.iter_mut().for_each(|v| *v *= s);
    }
    scaled.data.iter_mut().for_each(|v| *v = rounded(*v));
    scaled
}

fn quotient(numerator: &[f32], denominator: &[f32]) -> Vec<f32> {
    let of = |i: usize| numerator.get(i).copied().unwrap_or(1.0);
    denominator.iter().enumerate().map(|(i, d)| of(i) / d).collect()
}
