//! A block as it is written.

use std::collections::{BTreeMap, HashSet};

use foretaste_core::Result;
use foretaste_core::ids::id_hash;

use super::{IS_EVENT, PAIR, Part, numbers, rank, short};
use crate::rows::{RowLoad, Texts, twice};

/// Rows and sum of digests of each bucket.
pub(super) type Buckets = BTreeMap<i64, (i64, i128)>;

/// The memory of the rows of one load. Its room is used again by the next one.
#[derive(Debug, Default)]
pub(crate) struct Block {
    pub(super) parts: Vec<(Part, Vec<u8>)>,
    pub(super) low: String,
    pub(super) high: String,
    pub(super) buckets: Buckets,
    numbers: Vec<i64>,
    spare: Vec<Vec<u8>>,
}

impl Block {
    /// Becomes that of the rows `rows` of a load, ascending, whose events have their keys.
    ///
    /// # Errors
    /// `Invalid` when a name stands twice.
    pub(crate) fn fill(&mut self, load: &RowLoad, rows: &[u32]) -> Result<()> {
        self.spare.extend(self.parts.drain(..).map(|(_, room)| room));
        self.buckets.clear();
        let mut numbers = std::mem::take(&mut self.numbers);
        numbers.clear();
        let named = if numbers::parse_all((&load.names, rows), &mut numbers) {
            self.name_numbers(&numbers)
        } else {
            self.name_texts(&load.names, rows)
        };
        self.numbers = numbers;
        named?;
        self.describe(load, rows);
        Ok(())
    }

    /// What there is to say of each row beside its name.
    fn describe(&mut self, load: &RowLoad, rows: &[u32]) {
        let (mut runs, mut pairs) = (self.room(), self.room());
        pairs.reserve(rows.len() * PAIR);
        for rows in rows.chunk_by(|&a, &b| load.bucket[a as usize] == load.bucket[b as usize]) {
            let (bucket, mut sum) = (load.bucket[rows[0] as usize], 0);
            for at in rows.iter().map(|&at| at as usize) {
                let digest = load.digest[at];
                let key = load.event[at].map(|event| load.events.key[event as usize]);
                let flagged = digest | if key.is_some() { IS_EVENT } else { 0 };
                let mut pair = [0; PAIR];
                pair[..8].copy_from_slice(&flagged.to_le_bytes());
                pair[8..].copy_from_slice(&key.unwrap_or(0).to_le_bytes());
                pairs.extend_from_slice(&pair);
                sum += i128::from(digest);
            }
            runs.extend_from_slice(&((pairs.len() / PAIR) as u64).to_le_bytes());
            runs.extend_from_slice(&bucket.to_le_bytes());
            let all = self.buckets.entry(bucket).or_default();
            *all = (all.0 + rows.len() as i64, all.1 + sum);
        }
        self.parts.extend([(Part::Pairs, pairs), (Part::Runs, runs)]);
    }

    fn room(&mut self) -> Vec<u8> {
        let mut room = self.spare.pop().unwrap_or_default();
        room.clear();
        room
    }

    fn name_numbers(&mut self, numbers: &[i64]) -> Result<()> {
        if !numbers.is_sorted_by(|a, b| a < b) {
            let mut sorted = numbers.to_vec();
            sorted.sort();
            if let Some(pair) = sorted.windows(2).find(|pair| pair[0] == pair[1]) {
                return Err(twice(&pair[0].to_string(), "load"));
            }
        }
        // The shorter text comes first, so both ends of each sign may be lowest or highest.
        let of = |negative: bool| numbers.iter().filter(move |&&n| (n < 0) == negative);
        let ends = [of(false).min(), of(false).max(), of(true).min(), of(true).max()];
        let ends: Vec<String> = ends.into_iter().flatten().map(i64::to_string).collect();
        self.range(ends.iter().map(String::as_str));
        let mut steps = self.room();
        numbers::encode(numbers, &mut steps);
        self.parts.push((Part::Numbers, steps));
        Ok(())
    }

    fn name_texts(&mut self, all: &Texts, rows: &[u32]) -> Result<()> {
        let names = || rows.iter().map(|&at| all.get(at as usize));
        let hashes: Vec<u64> = names().map(id_hash).collect();
        let mut sorted = hashes.clone();
        sorted.sort_unstable();
        if sorted.windows(2).any(|pair| pair[0] == pair[1]) {
            let mut seen = HashSet::new();
            if let Some(name) = names().find(|name| !seen.insert(*name)) {
                return Err(twice(name, "load"));
            }
        }
        self.range(names());
        let (mut hashed, mut named, mut end) = (self.room(), self.room(), 0);
        hashed.extend(hashes.iter().flat_map(|&hash| short(hash).to_le_bytes()));
        for name in names() {
            end += name.len() as u32;
            named.extend_from_slice(&end.to_le_bytes());
        }
        names().for_each(|name| named.extend_from_slice(name.as_bytes()));
        self.parts.extend([(Part::Short, hashed), (Part::Names, named)]);
        Ok(())
    }

    fn range<'n>(&mut self, names: impl Iterator<Item = &'n str> + Clone) {
        let extreme = |name: Option<&str>| name.unwrap_or_default().to_owned();
        self.low = extreme(names.clone().min_by_key(|name| rank(name)));
        self.high = extreme(names.max_by_key(|name| rank(name)));
    }
}
