//! What users did with the items of their histories: a set of event kinds per entry.

use foretaste_core::{Error, IdTable, KindSets, Result};

use crate::format::{Column, SectionReader, SectionWriter};
use crate::text::IdIndex;

/// Sets of kinds, aligned with the entries of the histories.
#[derive(Clone, Debug)]
pub(crate) struct Kinds {
    names: IdIndex,
    /// Empty when every entry has all names.
    masks: Column<u32>,
}

impl Kinds {
    pub(crate) fn write(out: &mut SectionWriter, sets: &KindSets) -> Result<()> {
        let names: IdTable = sets.names.iter().collect();
        IdIndex::write(out, &names)?;
        out.put(&sets.masks)
    }

    pub(crate) fn read(mut input: SectionReader, n_entries: usize) -> Result<Self> {
        let kinds = Self { names: IdIndex::read(&mut input)?, masks: input.take()? };
        let (n, masks) = (kinds.names.len(), kinds.masks.get());
        let known = u32::MAX.checked_shr(KindSets::MOST as u32 - n.min(KindSets::MOST) as u32);
        let fits = (1..=KindSets::MOST).contains(&n)
            && (masks.is_empty() || masks.len() == n_entries)
            && masks.iter().all(|m| m & !known.unwrap_or(0) == 0);
        if !fits {
            let text = "sets of kinds do not fit their names or the histories";
            return Err(Error::corrupt(format!("{}: {text}", input.name())));
        }
        input.finish()?;
        Ok(kinds)
    }

    /// The bits of the kinds in `names`; kinds that no entry has are left out.
    pub(crate) fn mask(&self, names: &[String]) -> u32 {
        let bits = names.iter().filter_map(|name| self.names.index_of(name));
        bits.fold(0, |mask, bit| mask | 1 << bit)
    }

    /// Whether the entry at `at` (counted over all histories) has a kind of `mask`.
    pub(crate) fn has(&self, at: usize, mask: u32) -> bool {
        self.masks.get().get(at).map_or(mask != 0, |set| set & mask != 0)
    }
}
