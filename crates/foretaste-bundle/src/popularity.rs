//! Activity per item, and what is popular among users with one attribute value.

use foretaste_core::{Error, ItemIdx, Result};

use crate::contents::{Popularity, Segment};
use crate::format::{Column, SectionReader, SectionWriter};
use crate::text::{IdIndex, check_lists};
use foretaste_core::IdTable;

/// Columns of activity, mapped.
#[derive(Clone, Debug)]
pub(crate) struct LoadedPopularity([Column<f32>; 4]);

/// Activity per item at the bundle's as-of time; one value per item each.
#[derive(Clone, Copy, Debug)]
pub struct PopularityView<'a> {
    /// Sum of weights over all time.
    pub total: &'a [f32],
    /// Decayed over about an hour.
    pub hour: &'a [f32],
    /// Decayed over about a day.
    pub day: &'a [f32],
    /// Decayed over about a week.
    pub week: &'a [f32],
}

impl LoadedPopularity {
    pub(crate) fn write(out: &mut SectionWriter, popularity: &Popularity) -> Result<()> {
        let Popularity { total, hour, day, week } = popularity;
        [total, hour, day, week].into_iter().try_for_each(|column| out.put(column))
    }

    pub(crate) fn read(mut input: SectionReader, n_items: usize) -> Result<Self> {
        let columns = [input.take()?, input.take()?, input.take()?, input.take()?];
        let good = |c: &Column<f32>| {
            c.get().len() == n_items && c.get().iter().all(|v| v.is_finite() && *v >= 0.0)
        };
        if !columns.iter().all(good) {
            let text = "columns are not one finite number per item";
            return Err(Error::corrupt(format!("{}: {text}", input.name())));
        }
        input.finish()?;
        Ok(Self(columns))
    }

    pub(crate) fn view(&self) -> PopularityView<'_> {
        let [total, hour, day, week] = &self.0;
        PopularityView { total: total.get(), hour: hour.get(), day: day.get(), week: week.get() }
    }
}

/// Segments, mapped.
#[derive(Clone, Debug)]
pub(crate) struct Segments {
    keys: IdIndex,
    offsets: Column<u64>,
    items: Column<u32>,
    strengths: Column<f32>,
}

impl Segments {
    pub(crate) fn write(out: &mut SectionWriter, segments: &[Segment]) -> Result<()> {
        let keys: IdTable = segments.iter().map(|s| &s.key).collect();
        if keys.len() != segments.len() {
            return Err(Error::invalid("segments of a bundle: two segments have one key"));
        }
        IdIndex::write(out, &keys)?;
        let mut offsets = vec![0u64];
        let (mut items, mut strengths) = (Vec::new(), Vec::new());
        for &(item, strength) in segments.iter().flat_map(|s| &s.items) {
            items.push(item);
            strengths.push(strength);
        }
        offsets.extend(segments.iter().scan(0u64, |sum, s| {
            *sum += s.items.len() as u64;
            Some(*sum)
        }));
        out.put(&offsets)?;
        out.put(&items)?;
        out.put(&strengths)
    }

    pub(crate) fn read(mut input: SectionReader, n_items: usize) -> Result<Self> {
        let segments = Self {
            keys: IdIndex::read(&mut input)?,
            offsets: input.take()?,
            items: input.take()?,
            strengths: input.take()?,
        };
        let s = &segments;
        let good = check_lists(s.offsets.get(), s.items.get(), s.keys.len(), n_items)
            && s.strengths.get().len() == s.items.get().len()
            && s.strengths.get().iter().all(|v| v.is_finite());
        if !good {
            let text = "items of segments are out of range";
            return Err(Error::corrupt(format!("{}: {text}", input.name())));
        }
        input.finish()?;
        Ok(segments)
    }

    pub(crate) fn get(&self, key: &str) -> Option<(&[ItemIdx], &[f32])> {
        let i = self.keys.index_of(key)? as usize;
        let offsets = self.offsets.get();
        let range = offsets[i] as usize..offsets[i + 1] as usize;
        Some((&self.items.get()[range.clone()], &self.strengths.get()[range]))
    }
}
