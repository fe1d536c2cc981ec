//! Some keys that are looked for among many more: most of the others are told by one bit.

/// Bits for each key that is wanted.
const BITS: usize = 16;

/// Keys and the places that they stand for.
pub(super) struct Wanted {
    /// One bit for some part of all keys.
    bits: Vec<u64>,
    /// How far a hash is shifted to be the number of a bit.
    shift: u32,
    sorted: Vec<(u64, u32)>,
}

impl Wanted {
    pub(super) fn new(mut keys: Vec<(u64, u32)>) -> Self {
        keys.sort_unstable();
        let n_bits = (keys.len() * BITS).next_power_of_two().max(64);
        let shift = 64 - n_bits.trailing_zeros();
        let mut bits = vec![0; n_bits / 64];
        for &(key, _) in &keys {
            let bit = bit_of(key, shift);
            bits[bit / 64] |= 1 << (bit % 64);
        }
        Self { bits, shift, sorted: keys }
    }

    /// Where each of `keys` is among them, and what it stands for.
    pub(super) fn among(&self, keys: impl Iterator<Item = u64>) -> Vec<(usize, u32)> {
        let mut found = Vec::new();
        for (place, key) in keys.enumerate() {
            let bit = bit_of(key, self.shift);
            if self.bits[bit / 64] >> (bit % 64) & 1 == 1 {
                let from = self.sorted.partition_point(|own| own.0 < key);
                let equal = self.sorted[from..].iter().take_while(|own| own.0 == key);
                found.extend(equal.map(|own| (place, own.1)));
            }
        }
        found
    }
}

fn bit_of(key: u64, shift: u32) -> usize {
    (key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> shift) as usize
}

#[cfg(test)]
mod tests {
    use foretaste_core::Rng;

    use super::*;

    #[test]
    fn all_that_is_wanted_is_found_and_nothing_else() {
        let mut rng = Rng::new(1);
        for n in [0, 1, 2, 5_000] {
            let keys: Vec<u64> = (0..n).map(|_| rng.below(20_000) as u64).collect();
            let wanted = Wanted::new((0..).zip(&keys).map(|(at, &key)| (key, at)).collect());
            let all: Vec<u64> = (0..30_000).map(|_| rng.below(20_000) as u64).collect();
            let mut found = wanted.among(all.iter().copied());
            found.sort_unstable();
            let mut places = vec![Vec::new(); 20_000];
            (0..).zip(&keys).for_each(|(at, &key): (u32, _)| places[key as usize].push(at));
            let expected = all
                .iter()
                .enumerate()
                .flat_map(|(place, &key)| places[key as usize].iter().map(move |&at| (place, at)));
            assert_eq!(found, expected.collect::<Vec<_>>(), "{n} keys");
        }
    }
}
