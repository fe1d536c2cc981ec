//! Events that stand more than once, estimated from a uniform sample of contents.

use foretaste_core::TimeMs;

use super::sample::Sample;
use crate::DAY_MS;

/// Contents in the sample, at most: a share of 1% is then known to 0.03 points.
const MOST: usize = 200_000;
/// Keys of one content that are told apart.
const KEYS: usize = 4;

/// Looks for events with the content of another.
pub(super) struct Contents {
    sample: Sample<Copies>,
}

#[derive(Default)]
struct Copies {
    rows: u32,
    keys: [u64; KEYS],
    n_keys: u32,
    /// Whether content tells events apart: it has a time finer than a day.
    is_telling: bool,
}

/// Shares of rows.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Copied {
    /// Of all, those with the key of another.
    pub(super) repeats: f64,
    /// Of the others, those with the content of another.
    pub(super) duplicates: f64,
}

impl Contents {
    pub(super) fn new() -> Self {
        Self { sample: Sample::new(MOST) }
    }

    /// Takes the hash of an event's content, its key and its time.
    #[inline]
    pub(super) fn add(&mut self, hash: u64, key: u64, time_ms: TimeMs) {
        if !self.sample.covers(hash) {
            return;
        }
        let Some(copies) = self.sample.entry(hash, Copies::default) else { return };
        copies.rows += 1;
        copies.is_telling = time_ms % DAY_MS != 0;
        let known = copies.n_keys as usize;
        if !copies.keys[..known.min(KEYS)].contains(&key) {
            if known < KEYS {
                copies.keys[known] = key;
            }
            copies.n_keys += 1;
        }
    }

    /// What stands more than once.
    pub(super) fn copied(&self) -> Copied {
        let (mut rows, mut keys, mut telling, mut contents) = (0u64, 0u64, 0u64, 0u64);
        for (_, copies) in self.sample.iter() {
            rows += u64::from(copies.rows);
            keys += u64::from(copies.n_keys);
            if copies.is_telling {
                telling += u64::from(copies.n_keys);
                contents += 1;
            }
        }
        let share = |part: u64, all: u64| part as f64 / all.max(1) as f64;
        Copied { repeats: share(rows - keys, rows), duplicates: share(telling - contents, telling) }
    }
}

/// The hash of a content from the hashes of its parts.
#[inline]
pub(super) fn content_hash(user: u64, item: u64, kind: u64, rest: u64) -> u64 {
    let mix = |a: u64, b: u64| {
        let product = u128::from(a ^ 0x9E37_79B9_7F4A_7C15) * u128::from(b ^ 0xD6E8_FEB8_6659_FD93);
        product as u64 ^ (product >> 64) as u64
    };
    mix(mix(user, item.rotate_left(17)), mix(kind.rotate_left(9), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_by_key_and_by_content_are_told_apart() {
        let mut contents = Contents::new();
        for i in 0..100u64 {
            contents.add(content_hash(i, 1, 1, 1), i, 7);
        }
        // Ten again under their key, twenty again under another.
        (0..10).for_each(|i| contents.add(content_hash(i, 1, 1, 1), i, 7));
        (20..40).for_each(|i| contents.add(content_hash(i, 1, 1, 1), 1000 + i, 7));
        let Copied { repeats, duplicates } = contents.copied();
        assert!((repeats - 10.0 / 130.0).abs() < 1e-12, "{repeats}");
        assert!((duplicates - 20.0 / 120.0).abs() < 1e-12, "{duplicates}");
    }

    #[test]
    fn contents_without_a_time_of_day_are_no_duplicates() {
        let mut contents = Contents::new();
        (0..9).for_each(|key| contents.add(content_hash(1, 2, 3, 4), key, 3 * DAY_MS));
        assert_eq!(contents.copied(), Copied::default());
    }

    #[test]
    fn the_estimate_holds_when_contents_are_sampled() {
        let mut contents = Contents::new();
        for i in 0..1_000_000u64 {
            contents.add(content_hash(i, 1, 1, 1), i, 7);
            if i % 50 == 0 {
                contents.add(content_hash(i, 1, 1, 1), !i, 7);
            }
        }
        assert!(!contents.sample.is_whole());
        let found = contents.copied().duplicates;
        assert!((found - 0.02 / 1.02).abs() < 0.0015, "{found}");
    }
}
