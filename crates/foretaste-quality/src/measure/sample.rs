//! Counting within bounded memory: samples of ids by their hash, and a count-min sketch.

use hashbrown::HashTable;

/// Entries of one sample, at most. A share of a sample of n ids is off by less than
/// 1 / sqrt(n) of itself in two of three cases: 0.15% at half of this.
pub(super) const MOST: usize = 900_000;

/// A uniform sample of keys by their hash: all of them until there are too many, then those whose
/// hash begins with enough zeros. Who is in the sample never depends on the order of arrival.
pub(super) struct Sample<T> {
    table: HashTable<(u64, T)>,
    /// Leading zeros that a hash in the sample has.
    level: u32,
    most: usize,
}

impl<T> Sample<T> {
    /// An empty sample of at most `most` entries.
    pub(super) fn new(most: usize) -> Self {
        Self { table: HashTable::new(), level: 0, most }
    }

    /// Leading zeros that a hash in the sample has.
    pub(super) fn level(&self) -> u32 {
        self.level
    }

    /// True when the sample leaves out nothing.
    pub(super) fn is_whole(&self) -> bool {
        self.level == 0
    }

    /// How many keys one in the sample stands for.
    pub(super) fn scale(&self) -> f64 {
        2f64.powi(self.level as i32)
    }

    /// Whether a hash belongs to the sample.
    #[inline]
    pub(super) fn covers(&self, hash: u64) -> bool {
        hash.leading_zeros() >= self.level
    }

    /// The entry of a hash, made when it is new; `None` when the sample does not cover it.
    pub(super) fn entry(&mut self, hash: u64, new: impl FnOnce() -> T) -> Option<&mut T> {
        if !self.covers(hash) {
            return None;
        }
        while self.table.len() >= self.most && self.get(hash).is_none() {
            self.thin();
            if !self.covers(hash) {
                return None;
            }
        }
        let found = self.table.entry(spread(hash), |e| e.0 == hash, |e| spread(e.0));
        Some(&mut found.or_insert_with(|| (hash, new())).into_mut().1)
    }

    /// The entry of a hash.
    pub(super) fn get(&self, hash: u64) -> Option<&T> {
        self.table.find(spread(hash), |e| e.0 == hash).map(|e| &e.1)
    }

    /// All entries.
    pub(super) fn iter(&self) -> impl Iterator<Item = &(u64, T)> {
        self.table.iter()
    }

    /// Number of entries.
    pub(super) fn len(&self) -> usize {
        self.table.len()
    }

    /// Half of the sample.
    fn thin(&mut self) {
        self.level += 1;
        let level = self.level;
        self.table.retain(|e| e.0.leading_zeros() >= level);
    }
}

/// The sampled bits go where the table looks least.
fn spread(hash: u64) -> u64 {
    hash.rotate_left(32)
}

const ROWS: usize = 4;
const COLUMNS: usize = 1 << 18;

/// Counts of all ids that are never too low and, with N counted in all, too high by more than
/// N / 96,000 for one id in 54.
///
/// # Source
/// Cormode & Muthukrishnan, "An improved data stream summary: the count-min sketch", 2005.
pub(super) struct Sketch {
    counts: Vec<u32>,
}

impl Sketch {
    pub(super) fn new() -> Self {
        Self { counts: vec![0; ROWS * COLUMNS] }
    }

    /// Adds to the count of a hash and returns the estimate.
    pub(super) fn add(&mut self, hash: u64, n: u32) -> u32 {
        let step = (hash >> 32) | 1;
        let mut least = u32::MAX;
        for row in 0..ROWS {
            let column = hash.wrapping_add(step.wrapping_mul(row as u64)) as usize % COLUMNS;
            let count = &mut self.counts[row * COLUMNS + column];
            *count = count.saturating_add(n);
            least = least.min(*count);
        }
        least
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use foretaste_core::ids::id_hash;

    #[test]
    fn a_sample_is_whole_until_it_is_full_and_fair_from_then_on() {
        let mut sample = Sample::new(1_000);
        let hashes = || (0..100_000).map(|i| id_hash(&format!("user {i}")));
        for hash in hashes().take(1_000) {
            *sample.entry(hash, || 0).unwrap() += 1;
        }
        assert!(sample.is_whole() && sample.len() == 1_000);
        for hash in hashes().chain(hashes()) {
            if let Some(count) = sample.entry(hash, || 0) {
                *count += 1;
            }
        }
        let estimate = sample.len() as f64 * sample.scale();
        assert!((estimate / 100_000.0 - 1.0).abs() < 0.15, "{estimate}");
        assert!(sample.len() <= 1_000 && sample.iter().all(|(_, n)| (2..=3).contains(n)));
    }

    #[test]
    fn order_does_not_decide_who_is_in_the_sample() {
        let of = |ids: &mut dyn Iterator<Item = u64>| {
            let mut sample = Sample::new(100);
            for id in ids {
                let _ = sample.entry(id_hash(&id.to_string()), || ());
            }
            let mut kept: Vec<u64> = sample.iter().map(|e| e.0).collect();
            kept.sort_unstable();
            kept
        };
        assert_eq!(of(&mut (0..5_000)), of(&mut (0..5_000).rev()));
    }

    #[test]
    fn a_sketch_never_counts_too_little() {
        let mut sketch = Sketch::new();
        let hash = |i: u32| id_hash(&i.to_string());
        (0..200_000).for_each(|i| {
            sketch.add(hash(i), 1);
        });
        sketch.add(hash(7), 5_000);
        let estimate = sketch.add(hash(7), 0);
        assert!((5_001..5_010).contains(&estimate), "{estimate}");
    }
}
