//! External ids (the user's own strings) to dense indices and back.

use hashbrown::HashTable;
use xxhash_rust::xxh3::xxh3_64;

/// The hash by which ids are looked up, here and in bundles; part of the bundle format.
pub fn id_hash(id: &str) -> u64 {
    xxh3_64(id.as_bytes())
}

/// An append-only table of distinct strings, numbered in order of arrival.
///
/// One blob, one offset array and a hash table of u32: about 12 bytes per id beyond the text.
#[derive(Clone, Debug)]
pub struct IdTable {
    blob: String,
    offsets: Vec<u64>,
    lookup: HashTable<u32>,
}

impl Default for IdTable {
    fn default() -> Self {
        Self { blob: String::new(), offsets: vec![0], lookup: HashTable::new() }
    }
}

impl IdTable {
    /// An empty table.
    pub fn new() -> Self {
        Self::default()
    }

    /// Without ids again, with the room that it has.
    pub fn clear(&mut self) {
        self.blob.clear();
        self.offsets.truncate(1);
        self.lookup.clear();
    }

    /// Number of ids.
    pub fn len(&self) -> usize {
        self.offsets.len() - 1
    }

    /// True when there is no id.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The id with number `index`.
    ///
    /// # Panics
    /// When `index` was never handed out.
    #[inline]
    pub fn get(&self, index: u32) -> &str {
        slice(&self.blob, &self.offsets, index)
    }

    /// The number of `id`, if it has one.
    pub fn index_of(&self, id: &str) -> Option<u32> {
        let eq = |&i: &u32| slice(&self.blob, &self.offsets, i) == id;
        self.lookup.find(id_hash(id), eq).copied()
    }

    /// The number of `id`, which is added when it is new.
    ///
    /// # Panics
    /// Beyond 2^32 - 1 ids.
    pub fn intern(&mut self, id: &str) -> u32 {
        let Self { blob, offsets, lookup } = self;
        let hash = id_hash(id);
        if let Some(&found) = lookup.find(hash, |&i| slice(blob, offsets, i) == id) {
            return found;
        }
        let index = u32::try_from(offsets.len() - 1).expect("more than 2^32 ids");
        blob.push_str(id);
        offsets.push(blob.len() as u64);
        lookup.insert_unique(hash, index, |&i| id_hash(slice(blob, offsets, i)));
        index
    }

    /// All ids in order of their numbers.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &str> {
        (0..self.len() as u32).map(|i| self.get(i))
    }

    /// The concatenated text and its `len() + 1` offsets, for writing to a file.
    pub fn parts(&self) -> (&[u8], &[u64]) {
        (self.blob.as_bytes(), &self.offsets)
    }
}

impl<S: AsRef<str>> FromIterator<S> for IdTable {
    fn from_iter<I: IntoIterator<Item = S>>(ids: I) -> Self {
        let mut table = Self::new();
        ids.into_iter().for_each(|id| {
            table.intern(id.as_ref());
        });
        table
    }
}

#[inline]
fn slice<'a>(blob: &'a str, offsets: &[u64], index: u32) -> &'a str {
    &blob[offsets[index as usize] as usize..offsets[index as usize + 1] as usize]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interning_numbers_in_order_of_arrival() {
        let mut table = IdTable::new();
        assert_eq!([table.intern("a"), table.intern("b"), table.intern("a")], [0, 1, 0]);
        assert_eq!((table.get(1), table.index_of("b"), table.index_of("c")), ("b", Some(1), None));
        table.clear();
        assert_eq!((table.len(), table.index_of("a")), (0, None));
        assert_eq!([table.intern("b"), table.intern("a")], [0, 1]);
    }

    #[test]
    fn many_ids_survive_growth() {
        let ids: Vec<String> = (0..50_000).map(|i| format!("user-{i}-é")).collect();
        let table: IdTable = ids.iter().collect();
        assert_eq!(table.len(), ids.len());
        for (i, id) in ids.iter().enumerate().step_by(97) {
            assert_eq!((table.get(i as u32), table.index_of(id)), (id.as_str(), Some(i as u32)));
        }
    }
}
