//! Blocks as versions 3 and 4 of the catalogue wrote them: the hashes of names, ascending; digest,
//! key and bucket of each row; names; and, since version 4, the place among those two of the row
//! of each hash, before which both were sorted by it.

use foretaste_core::ids::id_hash;
use rusqlite::{Connection, OptionalExtension};

use super::{Part, number, part};

/// Bytes of one row among the entries.
pub(super) const ENTRY: usize = 24;

/// Digest, key and bucket of a row.
pub(super) fn entry(entries: &[u8], place: usize) -> (u64, u64, i64) {
    let field = |at: usize| number(entries, place * 3 + at);
    (field(0), field(1), field(2) as i64)
}

/// Hash and place of each name, ascending.
pub(super) fn by_hash(names: &[&str]) -> Vec<(u64, u32)> {
    let mut sorted: Vec<_> = (0..).zip(names).map(|(at, name)| (id_hash(name), at)).collect();
    sorted.sort_unstable();
    sorted
}

/// Places in a block that may be those of the names of `sorted`.
pub(super) fn places(
    connection: &Connection,
    (tab, batch): (i64, i64),
    sorted: &[(u64, u32)],
) -> rusqlite::Result<Vec<(usize, u32)>> {
    let mut pairs =
        part(connection, (tab, batch, Part::OldHashes), |hashes| equal(hashes, sorted))?;
    let found = part(connection, (tab, batch, Part::OldPlaces), |places| {
        let place = |at: usize| u32::from_le_bytes(places.as_chunks::<4>().0[at]);
        pairs.iter_mut().for_each(|(at, _)| *at = place(*at) as usize);
    });
    found.optional()?;
    Ok(pairs)
}

/// Places of equal hashes in a block and in `sorted`.
fn equal(hashes: &[u8], sorted: &[(u64, u32)]) -> Vec<(usize, u32)> {
    let mut pairs = Vec::new();
    let mut wanted = sorted;
    for (place, hash) in hashes.as_chunks::<8>().0.iter().enumerate() {
        let hash = u64::from_le_bytes(*hash);
        while wanted.first().is_some_and(|(own, _)| *own < hash) {
            wanted = &wanted[1..];
        }
        let equal = wanted.iter().take_while(|(own, _)| *own == hash);
        pairs.extend(equal.map(|(_, at)| (place, *at)));
    }
    pairs
}

#[cfg(test)]
impl super::Block {
    /// As version 3 wrote it (sorted as a whole), or version 4.
    pub(crate) fn of_version(mut self, version: u32, names: &[&str]) -> Self {
        let bytes = |wanted| &self.parts.iter().find(|(own, _)| *own == wanted).unwrap().1;
        let (pairs, runs) = (bytes(Part::Pairs), bytes(Part::Runs));
        let sorted = by_hash(names);
        let in_order = (0..names.len() as u32).collect();
        let places: Vec<u32> = sorted.iter().map(|own| own.1).collect();
        let order: &Vec<u32> = if version == 3 { &places } else { &in_order };
        let (mut entries, mut ends, mut text) = (Vec::new(), Vec::new(), Vec::new());
        for at in order.iter().map(|&at| at as usize) {
            let run = runs.as_chunks::<16>().0.iter().find(|run| number(*run, 0) > at as u64);
            entries.extend_from_slice(&pairs[at * super::PAIR..(at + 1) * super::PAIR]);
            entries.extend_from_slice(&number(run.unwrap(), 1).to_le_bytes());
            text.extend_from_slice(names[at].as_bytes());
            ends.extend_from_slice(&(text.len() as u32).to_le_bytes());
        }
        ends.extend(text);
        let hashes = sorted.iter().flat_map(|own| own.0.to_le_bytes()).collect();
        self.parts =
            vec![(Part::OldHashes, hashes), (Part::OldEntries, entries), (Part::Names, ends)];
        if version > 3 {
            let places = places.iter().flat_map(|place| place.to_le_bytes()).collect();
            self.parts.push((Part::OldPlaces, places));
        }
        self
    }
}
