//! One lookup of an item for all sets: where each item of the largest set stands in all others.
//!
//! Looking an item up in one set costs three reads of memory that wait for each other (slot, place
//! of the id, id); a set of features is seldom alone.

use foretaste_bundle::IdIndex;

/// Not there.
pub(crate) const NOWHERE: u32 = u32::MAX;

/// Places of items in several indexes.
#[derive(Debug, Default)]
pub(crate) struct Directory {
    /// The index with the most items.
    base: usize,
    /// Indexes that there are.
    width: usize,
    /// For each item of the base its place in every index.
    places: Vec<u32>,
}

impl Directory {
    /// Joins these indexes, whose order stays the same in all calls.
    ///
    /// # Cost
    /// One pass over each index where both are sorted, else a lookup for each item; 4 bytes of
    /// memory for each item of the base and index.
    pub(crate) fn new(indexes: &[&IdIndex]) -> Self {
        let largest = (0..indexes.len()).max_by_key(|&at| (indexes[at].len(), usize::MAX - at));
        let (Some(base), width) = (largest, indexes.len()) else { return Self::default() };
        let of = indexes[base];
        let mut places = vec![NOWHERE; of.len() * width];
        let is_base_sorted = is_sorted(of);
        for (column, index) in indexes.iter().enumerate() {
            let mut put = |row: u32, place| places[row as usize * width + column] = place;
            if column == base {
                (0..of.len() as u32).for_each(|row| put(row, row));
            } else if is_base_sorted && is_sorted(index) {
                merge(of, index, put);
            } else {
                (0..of.len() as u32).for_each(|row| {
                    put(row, index.index_of(of.id(row)).unwrap_or(NOWHERE));
                });
            }
        }
        Self { base, width, places }
    }

    /// How many places an item has.
    pub(crate) fn width(&self) -> usize {
        self.width
    }

    /// Appends the places of an item in all indexes.
    ///
    /// # Cost
    /// One lookup, and one more for each index of an item that the largest does not have.
    pub(crate) fn add(&self, indexes: &[&IdIndex], (id, hash): (&str, u64), to: &mut Vec<u32>) {
        let row = indexes.get(self.base).and_then(|base| base.index_of_hashed(id, hash));
        match row {
            Some(row) => {
                to.extend_from_slice(&self.places[row as usize * self.width..][..self.width]);
            }
            None => to.extend(
                indexes.iter().map(|index| index.index_of_hashed(id, hash).unwrap_or(NOWHERE)),
            ),
        }
    }
}

fn is_sorted(index: &IdIndex) -> bool {
    (1..index.len() as u32).all(|at| index.id(at - 1) < index.id(at))
}

/// Shows for each id of one sorted index its place in another.
fn merge(base: &IdIndex, other: &IdIndex, mut put: impl FnMut(u32, u32)) {
    let mut at = 0;
    for row in 0..base.len() as u32 {
        let id = base.id(row);
        while (at as usize) < other.len() && other.id(at) < id {
            at += 1;
        }
        if (at as usize) < other.len() && other.id(at) == id {
            put(row, at);
        }
    }
}
