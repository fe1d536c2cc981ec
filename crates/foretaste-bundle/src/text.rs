//! Columns of strings, vocabularies with postings, and ids with a lookup, as arrays in a file.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

use foretaste_core::ids::id_hash;
use foretaste_core::{BitSet, Error, IdTable, ItemIdx, Result};

use crate::format::{Column, SectionReader, SectionWriter};

/// A column of strings: one blob and `len + 1` offsets.
#[derive(Clone, Debug)]
pub struct TextColumn {
    blob: Column<u8>,
    offsets: Column<u64>,
}

impl TextColumn {
    /// Appends the two arrays of a column.
    ///
    /// # Errors
    /// `Io` as the system says.
    pub fn write<'a>(out: &mut SectionWriter, values: impl Iterator<Item = &'a str>) -> Result<()> {
        let (mut blob, mut offsets) = (Vec::new(), vec![0u64]);
        for value in values {
            blob.extend_from_slice(value.as_bytes());
            offsets.push(blob.len() as u64);
        }
        out.put(&blob)?;
        out.put(&offsets)
    }

    /// Takes the two arrays of a column, and checks them.
    ///
    /// # Errors
    /// `Corrupt` when they do not hold together.
    pub fn read(input: &mut SectionReader) -> Result<Self> {
        let column = Self { blob: input.take()?, offsets: input.take()? };
        column.check().map_err(|text| Error::corrupt(format!("{}: {text}", input.name())))?;
        Ok(column)
    }

    fn check(&self) -> Result<(), &'static str> {
        let (blob, offsets) = (self.blob.get(), self.offsets.get());
        let ends = offsets.first() == Some(&0) && offsets.last() == Some(&(blob.len() as u64));
        if !ends || offsets.windows(2).any(|w| w[0] > w[1]) {
            return Err("text offsets do not ascend over the text");
        }
        let text = std::str::from_utf8(blob).map_err(|_| "text is not UTF-8")?;
        let whole = offsets.iter().all(|&o| text.is_char_boundary(o as usize));
        if whole { Ok(()) } else { Err("a text offset lies inside a character") }
    }

    /// Number of strings.
    pub fn len(&self) -> usize {
        self.offsets.get().len() - 1
    }

    /// True without a string.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// String number `i`.
    ///
    /// # Panics
    /// When there is no such string.
    #[inline]
    pub fn get(&self, i: u32) -> &str {
        std::str::from_utf8(self.bytes(i)).expect("checked when the file was opened")
    }

    #[inline]
    fn bytes(&self, i: u32) -> &[u8] {
        let offsets = self.offsets.get();
        &self.blob.get()[offsets[i as usize] as usize..offsets[i as usize + 1] as usize]
    }
}

/// Distinct ids with a lookup by text: open addressing over a power of two of slots.
#[derive(Clone, Debug)]
pub struct IdIndex {
    ids: TextColumn,
    slots: Column<u32>,
    /// Tells these ids from all others that this process has read.
    edition: u32,
}

const FREE: u32 = u32::MAX;

impl IdIndex {
    /// Appends the three arrays of an index.
    ///
    /// # Errors
    /// `Io` as the system says.
    pub fn write(out: &mut SectionWriter, ids: &IdTable) -> Result<()> {
        TextColumn::write(out, ids.iter())?;
        let capacity = (ids.len() * 2).next_power_of_two().max(2);
        let mut slots = vec![FREE; capacity];
        for (i, id) in ids.iter().enumerate() {
            let mut at = id_hash(id) as usize & (capacity - 1);
            while slots[at] != FREE {
                at = (at + 1) & (capacity - 1);
            }
            slots[at] = i as u32;
        }
        out.put(&slots)
    }

    /// Takes the three arrays of an index, and checks that it finds each of its ids.
    ///
    /// # Errors
    /// `Corrupt` when it does not.
    pub fn read(input: &mut SectionReader) -> Result<Self> {
        let ids = TextColumn::read(input)?;
        let index = Self { ids, slots: input.take()?, edition: next_edition() };
        let bad = |text: &str| Err(Error::corrupt(format!("{}: {text}", input.name())));
        let (slots, n) = (index.slots.get(), index.len());
        let taken = slots.iter().filter(|&&s| s != FREE);
        if !slots.len().is_power_of_two() || slots.len() <= n || taken.clone().count() != n {
            return bad("the id lookup has the wrong size");
        }
        if taken.into_iter().any(|&s| s as usize >= n) {
            return bad("the id lookup points outside the ids");
        }
        if (0..n as u32).any(|i| index.index_of(index.id(i)) != Some(i)) {
            return bad("the id lookup does not find an id");
        }
        Ok(index)
    }

    /// Number of ids.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// True without an id.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// Id number `i`.
    ///
    /// # Panics
    /// When there is no such id.
    #[inline]
    pub fn id(&self, i: u32) -> &str {
        self.ids.get(i)
    }

    /// The number of an id.
    ///
    /// # Cost
    /// One hash and about 1.5 probes.
    pub fn index_of(&self, id: &str) -> Option<u32> {
        self.index_of_hashed(id, id_hash(id))
    }

    /// As [`IdIndex::index_of`] for an id that is looked up in several indexes: `hash` is its
    /// [`id_hash`].
    #[inline]
    pub fn index_of_hashed(&self, id: &str, hash: u64) -> Option<u32> {
        let slots = self.slots.get();
        let mask = slots.len() - 1;
        let mut at = hash as usize & mask;
        for _ in 0..slots.len() {
            match slots[at] {
                FREE => return None,
                i if self.ids.bytes(i) == id.as_bytes() => return Some(i),
                _ => at = (at + 1) & mask,
            }
        }
        None
    }

    /// As [`IdIndex::index_of`] for an id that is looked up again and again, always with the same
    /// memory.
    ///
    /// # Cost
    /// A comparison of two integers, but for the first time with these ids.
    pub fn index_of_again(&self, id: &str, memory: &FoundAt) -> Option<u32> {
        let known = memory.0.load(Relaxed);
        if known >> 32 == u64::from(self.edition) {
            return Some(known as u32).filter(|&index| index != FREE);
        }
        let found = self.index_of(id);
        let index = found.unwrap_or(FREE);
        memory.0.store(u64::from(self.edition) << 32 | u64::from(index), Relaxed);
        found
    }
}

/// Where one id was found last, or that it was not, and in which [`IdIndex`]. Copies know the same;
/// it says nothing about what the id is, so all are equal.
#[derive(Debug, Default)]
pub struct FoundAt(AtomicU64);

impl Clone for FoundAt {
    fn clone(&self) -> Self {
        Self(AtomicU64::new(self.0.load(Relaxed)))
    }
}

impl PartialEq for FoundAt {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

/// A number that no other lookup of this process has: from 1 on, for 0 remembers nothing.
fn next_edition() -> u32 {
    static LAST: AtomicU32 = AtomicU32::new(0);
    LAST.fetch_add(1, Relaxed) + 1
}

/// Values that items have several of (categories, tags, attributes): codes per item, names per
/// code, and items per code.
#[derive(Clone, Debug)]
pub struct Vocabulary {
    names: IdIndex,
    offsets: Column<u64>,
    codes: Column<u32>,
    posting_offsets: Column<u64>,
    postings: Column<u32>,
}

impl Vocabulary {
    /// `values` has the names of each item, in the item's order.
    pub(crate) fn write(out: &mut SectionWriter, values: &[Vec<String>]) -> Result<()> {
        let mut names = IdTable::new();
        let (mut offsets, mut codes) = (vec![0u64], Vec::new());
        for of_item in values {
            let start = codes.len();
            for name in of_item {
                let code = names.intern(name);
                if !codes[start..].contains(&code) {
                    codes.push(code);
                }
            }
            offsets.push(codes.len() as u64);
        }
        let mut lists = vec![Vec::new(); names.len()];
        for item in 0..values.len() {
            for &code in &codes[offsets[item] as usize..offsets[item + 1] as usize] {
                lists[code as usize].push(item as u32);
            }
        }
        let mut ends = vec![0u64];
        ends.extend(lists.iter().scan(0u64, |sum, l| {
            *sum += l.len() as u64;
            Some(*sum)
        }));
        IdIndex::write(out, &names)?;
        out.put(&offsets)?;
        out.put(&codes)?;
        out.put(&ends)?;
        out.put(&lists.concat())
    }

    pub(crate) fn read(input: &mut SectionReader, n_items: usize) -> Result<Self> {
        let vocabulary = Self {
            names: IdIndex::read(input)?,
            offsets: input.take()?,
            codes: input.take()?,
            posting_offsets: input.take()?,
            postings: input.take()?,
        };
        let n_names = vocabulary.names.len();
        let v = &vocabulary;
        let good = check_lists(v.offsets.get(), v.codes.get(), n_items, n_names)
            && check_lists(v.posting_offsets.get(), v.postings.get(), n_names, n_items);
        if !good {
            let text = format!("{}: lists of codes or items are out of range", input.name());
            return Err(Error::corrupt(text));
        }
        Ok(vocabulary)
    }

    /// Number of distinct names.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// True without a name.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// Codes of an item, in the order in which the item names them.
    #[inline]
    pub fn codes(&self, item: ItemIdx) -> &[u32] {
        slice(self.offsets.get(), self.codes.get(), item)
    }

    /// Name of a code.
    pub fn name(&self, code: u32) -> &str {
        self.names.id(code)
    }

    /// Code of a name.
    pub fn code(&self, name: &str) -> Option<u32> {
        self.names.index_of(name)
    }

    /// Items that have a code, ascending.
    pub fn items(&self, code: u32) -> &[ItemIdx] {
        slice(self.posting_offsets.get(), self.postings.get(), code)
    }

    /// Adds the items that have a code to a set over all items.
    pub fn add_items(&self, code: u32, set: &mut BitSet) {
        self.items(code).iter().for_each(|&i| set.insert(i));
    }
}

#[inline]
fn slice<'a>(offsets: &[u64], values: &'a [u32], i: u32) -> &'a [u32] {
    &values[offsets[i as usize] as usize..offsets[i as usize + 1] as usize]
}

/// True when `offsets` cut `values` into `n` lists of numbers below `bound`.
pub(crate) fn check_lists(offsets: &[u64], values: &[u32], n: usize, bound: usize) -> bool {
    offsets.len() == n + 1
        && offsets[0] == 0
        && offsets[n] == values.len() as u64
        && offsets.windows(2).all(|w| w[0] <= w[1])
        && values.iter().all(|&v| (v as usize) < bound)
}
