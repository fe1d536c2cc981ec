//! Selection of the best of many scores: 64 at a time are compared with the worst of the best, so
//! that only the few that may enter are looked at one by one.

use foretaste_core::topk::TopK;

use super::simd::{Kernel, LANES, Simd, vectorised};

/// Scores that one word of a mask covers.
pub const BLOCK: usize = 64;

/// Scores of consecutive indices, in whole blocks.
pub struct Scores<'a> {
    /// The scores; the last block may be padded with anything that `allowed` leaves out.
    pub values: &'a [f32],
    /// What each is multiplied by; empty: nothing.
    pub scale: &'a [f32],
    /// Blocks with a byte of 0 hold nothing but zeros; empty: any block may hold something.
    pub touched: &'a [u8],
}

/// Offers every index of `allowed` (one word per block) with a score other than 0 to `top`; the
/// first bit stands for the index `first`.
///
/// # Panics
/// When there are fewer values than words x 64.
pub fn offer_nonzero(scores: &Scores<'_>, (first, allowed): (u32, &[u64]), top: &mut TopK) {
    vectorised(Offer { scores, first, allowed, top });
}

/// Offers the indices `first..first + 64` that are in `word` to `top`.
#[inline]
pub fn offer_block(values: &[i32; BLOCK], word: u64, first: u32, top: &mut TopK) {
    vectorised(OfferBlock { values, word, first, top });
}

struct Offer<'a> {
    scores: &'a Scores<'a>,
    first: u32,
    allowed: &'a [u64],
    top: &'a mut TopK,
}

impl Kernel for Offer<'_> {
    type Out = ();
    #[inline(always)]
    fn run<S: Simd>(self) {
        let Self { scores, first, allowed, top } = self;
        let (values, _) = scores.values.as_chunks::<BLOCK>();
        if scores.scale.is_empty() {
            top.expect(bound::<S>(scores, allowed, top.k()));
        }
        let zero = S::splat(0.0);
        for (at, (&word, values)) in allowed.iter().zip(&values[..allowed.len()]).enumerate() {
            if word == 0 || scores.touched.get(at) == Some(&0) {
                continue;
            }
            let threshold = S::splat(top.threshold());
            let scale = scores.scale.get(at * BLOCK..).unwrap_or_default();
            let mut rest = 0u64;
            for (part, values) in values.as_chunks::<LANES>().0.iter().enumerate() {
                let mut v = S::load(values);
                if !scale.is_empty() {
                    v = S::load(&times(values, &scale[scale.len().min(part * LANES)..]));
                }
                let zeros = S::at_least(v, zero) & S::at_least(zero, v);
                rest |= u64::from(S::at_least(v, threshold) & !zeros) << (part * LANES);
            }
            rest &= word;
            while rest != 0 {
                let bit = rest.trailing_zeros() as usize;
                rest &= rest - 1;
                let factor = scale.get(bit).copied().unwrap_or(1.0);
                top.push(first + (at * BLOCK + bit) as u32, values[bit] * factor);
            }
        }
    }
}

/// Vectors of lanes that a bound is taken from, at most.
const MOST_GROUPS: usize = 16;

/// A score that at least `k` of what is to be offered have or exceed: the scores are dealt into a
/// few lanes, and the best of each lane are different ones. Minus infinity where it is not worth
/// the pass.
#[inline(always)]
fn bound<S: Simd>(scores: &Scores<'_>, allowed: &[u64], k: usize) -> f32 {
    let (vectors, _) = scores.values.as_chunks::<LANES>();
    let n_groups = (2 * k).div_ceil(LANES);
    if k == 0 || n_groups > MOST_GROUPS || vectors.len() < 4 * n_groups {
        return f32::NEG_INFINITY;
    }
    let (zero, least) = (S::splat(0.0), S::splat(f32::NEG_INFINITY));
    let mut best = [least; MOST_GROUPS];
    for (group, best) in best.iter_mut().enumerate().take(n_groups) {
        let mut most = least;
        for at in (group..vectors.len().min(allowed.len() * BLOCK / LANES)).step_by(n_groups) {
            let v = S::load(&vectors[at]);
            let zeros = S::at_least(v, zero) & S::at_least(zero, v);
            let word = (allowed[at * LANES / BLOCK] >> (at * LANES % BLOCK)) as u16;
            most = S::max_where(word & !zeros, v, most);
        }
        *best = most;
    }
    let mut lanes = [[0f32; LANES]; MOST_GROUPS];
    for (&best, lanes) in best.iter().zip(&mut lanes) {
        S::store(best, lanes);
    }
    let lanes = &mut lanes.as_flattened_mut()[..n_groups * LANES];
    *lanes.select_nth_unstable_by(k - 1, |a, b| b.total_cmp(a)).1
}

/// Each value times its factor, where it has one.
#[inline(always)]
fn times(values: &[f32; LANES], factors: &[f32]) -> [f32; LANES] {
    let mut scaled = *values;
    scaled.iter_mut().zip(factors).for_each(|(v, f)| *v *= f);
    scaled
}

struct OfferBlock<'a> {
    values: &'a [i32; BLOCK],
    word: u64,
    first: u32,
    top: &'a mut TopK,
}

impl Kernel for OfferBlock<'_> {
    type Out = ();
    #[inline(always)]
    fn run<S: Simd>(self) {
        let mut values = [0f32; BLOCK];
        values.iter_mut().zip(self.values).for_each(|(f, &i)| *f = i as f32);
        let threshold = S::splat(self.top.threshold());
        let mut rest = 0u64;
        for (part, values) in values.as_chunks::<LANES>().0.iter().enumerate() {
            rest |= u64::from(S::at_least(S::load(values), threshold)) << (part * LANES);
        }
        rest &= self.word;
        while rest != 0 {
            let bit = rest.trailing_zeros();
            rest &= rest - 1;
            self.top.push(self.first + bit, values[bit as usize]);
        }
    }
}

#[cfg(test)]
mod tests {
    use foretaste_core::{BitSet, Rng};

    use super::*;
    use crate::kernels::levels;
    use crate::kernels::simd::vectorised_at;

    #[test]
    fn every_level_selects_what_a_loop_selects() {
        let mut rng = Rng::new(6);
        let n = 1000;
        let mut values: Vec<f32> = (0..1024).map(|_| rng.below(50) as f32 - 20.0).collect();
        values[1000..].fill(f32::MAX);
        values[7] = f32::NAN;
        let scale: Vec<f32> = (0..n).map(|i| 1.0 + (i % 3) as f32).collect();
        let mut allowed = BitSet::full(n);
        (0..n as u32).filter(|i| i % 5 == 0).for_each(|i| assert!(allowed.remove(i)));
        for scale in [&scale[..], &[]] {
            let of = |i: u32| values[i as usize] * scale.get(i as usize).copied().unwrap_or(1.0);
            let mut plain = TopK::new(60);
            allowed.iter().filter(|&i| of(i) != 0.0).for_each(|i| plain.push(i, of(i)));
            let expected: Vec<_> = plain.drain_sorted().collect();
            for level in levels() {
                let mut top = TopK::new(60);
                let scores = Scores { values: &values, scale, touched: &[] };
                let allowed = allowed.words();
                vectorised_at(level, Offer { scores: &scores, first: 0, allowed, top: &mut top });
                assert_eq!(top.drain_sorted().collect::<Vec<_>>(), expected, "{level:?}");
            }
        }
    }

    #[test]
    fn few_of_many_are_selected_as_by_a_loop() {
        let mut rng = Rng::new(7);
        for (n, k) in [(4096, 30), (4096, 60), (2000, 120), (640, 10)] {
            for distinct in [5, 100_000] {
                let mut values: Vec<f32> =
                    (0..n).map(|_| rng.below(distinct) as f32 - distinct as f32 / 2.0).collect();
                values[n / 2] = f32::NAN;
                values.resize(n.next_multiple_of(BLOCK), f32::MAX);
                let mut allowed = BitSet::full(n);
                (0..n as u32).filter(|i| i % 7 < 2).for_each(|i| assert!(allowed.remove(i)));
                let mut plain = TopK::new(k);
                let speaking = allowed.iter().filter(|&i| values[i as usize] != 0.0);
                speaking.for_each(|i| plain.push(i, values[i as usize]));
                let expected: Vec<_> = plain.drain_sorted().collect();
                for level in levels() {
                    let mut top = TopK::new(k);
                    let scores = Scores { values: &values, scale: &[], touched: &[] };
                    let allowed = allowed.words();
                    vectorised_at(
                        level,
                        Offer { scores: &scores, first: 0, allowed, top: &mut top },
                    );
                    let found: Vec<_> = top.drain_sorted().collect();
                    assert_eq!(found, expected, "{level:?}: {k} of {n}");
                }
            }
        }
    }

    #[test]
    fn untouched_blocks_and_masked_indices_are_passed_over() {
        let (values, mut top) = (vec![1f32; 128], TopK::new(200));
        let scores = Scores { values: &values, scale: &[], touched: &[0, 1] };
        offer_nonzero(&scores, (100, &[u64::MAX, 0b101]), &mut top);
        assert_eq!(top.drain_sorted().collect::<Vec<_>>(), [(164, 1.0), (166, 1.0)]);
        let integers = std::array::from_fn(|i| i as i32);
        offer_block(&integers, 0b11 << 62, 640, &mut top);
        assert_eq!(top.drain_sorted().collect::<Vec<_>>(), [(703, 63.0), (702, 62.0)]);
    }
}
