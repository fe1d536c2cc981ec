//! Sparse item-item weights: kNN of every kind, pruned EASE, content similarity.
//!
//! Where the weights are small integers times a power of two for each column, and not too few, a
//! search of many users holds them a second time as bytes: sums of rows are then the same numbers.

use std::sync::OnceLock;

use foretaste_core::{CsrView, Error, ItemIdx, Result};

use super::ChannelScratch;
use crate::contents::ItemItem;
use crate::format::{Column, SectionReader, SectionWriter};
use crate::kernels::panel::{MOST_ROWS, Panels, lowest_bit, two_to};
use crate::kernels::simd::prefetch;
use crate::rounding::all_rounded;

/// Entries of the next row that are fetched early; the processor follows from there.
const NEAR: usize = 256;
/// A history is summed up in bytes if its weights are integers, times a power of two, that are not
/// more than so many on average.
const MOST_ON_AVERAGE: usize = 4;

/// See [`ItemItem`].
#[derive(Debug)]
pub(crate) struct LoadedItemItem {
    indptr: Column<u64>,
    indices: Column<u32>,
    values: Column<f32>,
    history_exponent: f32,
    n_items: usize,
    /// The weights as bytes, where they are such numbers; made by the first search of many.
    panels: OnceLock<Option<Panels>>,
}

impl LoadedItemItem {
    pub(crate) fn write(out: &mut SectionWriter, model: &ItemItem) -> Result<()> {
        out.put(&model.similar.indptr)?;
        out.put(&model.similar.indices)?;
        out.put(&all_rounded(&model.similar.values))?;
        out.put(&[model.history_exponent])
    }

    pub(crate) fn read(mut input: SectionReader, n_items: usize) -> Result<Self> {
        let name = input.name().to_owned();
        let model = Self {
            indptr: input.take()?,
            indices: input.take()?,
            values: input.take()?,
            history_exponent: one_number(&input.take()?, &name)?,
            n_items,
            panels: OnceLock::new(),
        };
        input.finish()?;
        model.similar().check(&name)?;
        if model.similar().n_rows() != n_items {
            return Err(Error::corrupt(format!("{name}: not one row per item")));
        }
        Ok(model)
    }

    fn similar(&self) -> CsrView<'_> {
        CsrView {
            n_cols: self.n_items,
            indptr: self.indptr.get(),
            indices: self.indices.get(),
            values: self.values.get(),
        }
    }

    /// Additions at random places take as long as some multiply-adds in a row.
    pub(crate) fn work(&self, n: usize) -> usize {
        4 * n * self.indices.get().len() / self.n_items.max(1)
    }

    /// The weights as bytes, where they can be held so. A search of one user reads rows of entries
    /// instead: from afar they come as fast, and there are fewer of them.
    pub(crate) fn panels(&self) -> Option<&Panels> {
        let plain = self.history_exponent == 0.0;
        self.panels.get_or_init(|| plain.then(|| Panels::of(self.similar()))?).as_ref()
    }

    /// The part of one item.
    pub(crate) fn row_work(&self, item: ItemIdx) -> usize {
        4 * self.similar().row(item as usize).0.len()
    }

    pub(crate) fn prepare(&self, history: &[(ItemIdx, f32)], scratch: &mut ChannelScratch) {
        let similar = self.similar();
        let additions = history.iter().map(|&(item, _)| similar.row(item as usize).0.len()).sum();
        scratch.scores.reset(self.n_items, additions);
        let factor = length_factor(history.len(), self.history_exponent);
        for (at, &(item, weight)) in history.iter().enumerate() {
            if let Some(&(next, _)) = history.get(at + 1) {
                let (indices, values) = similar.row(next as usize);
                prefetch(&indices[..indices.len().min(NEAR)]);
                prefetch(&values[..values.len().min(NEAR)]);
            }
            let (indices, values) = similar.row(item as usize);
            scratch.scores.add_scaled(indices, values, weight * factor);
        }
    }

    pub(crate) fn contributions(
        &self,
        item: ItemIdx,
        history: &[(ItemIdx, f32)],
        out: &mut Vec<(ItemIdx, f32)>,
    ) {
        let similar = self.similar();
        let factor = length_factor(history.len(), self.history_exponent);
        for &(source, weight) in history {
            let (indices, values) = similar.row(source as usize);
            if let Some(at) = indices.iter().position(|&j| j == item) {
                out.push((source, weight * values[at] * factor));
            }
        }
    }
}

/// The rows of a history, each as often as its weight says, and the unit of the weights: a power of
/// two, so that additions of weighted entries one by one round nothing either. `None` where the
/// weights are too fine for that, and for no history.
pub(crate) fn counted(history: &[(ItemIdx, f32)], rows: &mut Vec<u32>) -> Option<f32> {
    rows.clear();
    let lowest = history.iter().map(|&(_, weight)| lowest_bit(weight));
    let lowest = lowest.reduce(|a, b| Some(a?.min(b?)))??;
    if !(-20..=20).contains(&lowest) {
        return None;
    }
    let (unit, most) = (two_to(lowest), MOST_ROWS.min(MOST_ON_AVERAGE * history.len()));
    for &(item, weight) in history {
        let times = weight / unit;
        let has_room = times >= 1.0 && times <= (most - rows.len()) as f32;
        rows.resize(rows.len() + has_room.then_some(times as usize)?, item);
    }
    Some(unit)
}

/// `n^-exponent`: what scores of a history of `n` items are multiplied by.
#[inline]
pub(crate) fn length_factor(n: usize, exponent: f32) -> f32 {
    if exponent == 0.0 || n == 0 { 1.0 } else { (n as f32).powf(-exponent) }
}

/// The only number of an array.
pub(crate) fn one_number(column: &Column<f32>, name: &str) -> Result<f32> {
    match column.get() {
        [number] if number.is_finite() => Ok(*number),
        _ => Err(Error::corrupt(format!("{name}: expected one finite number"))),
    }
}

/// The factor of an item, 1 where there are none.
#[inline]
pub(crate) fn scale_of(scale: &[f32], item: ItemIdx) -> f32 {
    scale.get(item as usize).copied().unwrap_or(1.0)
}

/// Output scales are absent, or one finite number per item.
pub(crate) fn check_scale(name: &str, scale: &[f32], n_items: usize) -> Result<()> {
    let right = scale.is_empty() || scale.len() == n_items;
    if right && scale.iter().all(|s| s.is_finite()) {
        return Ok(());
    }
    Err(Error::corrupt(format!("{name}: output scales are not one finite number per item")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_count_as_often_as_their_weights_say() {
        let mut rows = vec![9];
        assert_eq!(counted(&[(3, 1.0), (5, 1.0)], &mut rows), Some(1.0));
        assert_eq!(rows, [3, 5]);
        assert_eq!(counted(&[(3, 1.0), (5, 1.5), (6, 0.5)], &mut rows), Some(0.5));
        assert_eq!(rows, [3, 3, 5, 5, 5, 6]);
        let others = [&[][..], &[(1, 0.3)], &[(1, 5.0)], &[(1, -1.0)], &[(1, 0.0)]];
        others.iter().for_each(|history| assert_eq!(counted(history, &mut rows), None));
    }
}
