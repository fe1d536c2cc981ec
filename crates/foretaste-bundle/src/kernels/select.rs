//! Selection of the best of many scores: 64 at a time are compared with the worst of the best, so
//! that only the few that may enter are looked at one by one.

use foretaste_core::topk::TopK;

use super::simd::{Kernel, LANES, Simd, vectorised};

/// Scores that one word of a mask covers.
pub const BLOCK: usize = 64;

/// Scores of consecutive indices from 0, in whole blocks.
pub struct Scores<'a> {
    /// The scores; the last block may be padded with anything that `allowed` leaves out.
    pub values: &'a [f32],
    /// What each is multiplied by; empty: nothing.
    pub scale: &'a [f32],
    /// Blocks with a byte of 0 hold nothing but zeros; empty: any block may hold something.
    pub touched: &'a [u8],
}

/// Offers every index of `allowed` (one word per block) with a score other than 0 to `top`.
///
/// # Panics
/// When there are fewer values than words x 64.
pub fn offer_nonzero(scores: &Scores<'_>, allowed: &[u64], top: &mut TopK) {
    vectorised(Offer { scores, allowed, top });
}

/// Offers the indices `first..first + 64` that are in `word` to `top`.
#[inline]
pub fn offer_block(values: &[i32; BLOCK], word: u64, first: u32, top: &mut TopK) {
    vectorised(OfferBlock { values, word, first, top });
}

struct Offer<'a> {
    scores: &'a Scores<'a>,
    allowed: &'a [u64],
    top: &'a mut TopK,
}

impl Kernel for Offer<'_> {
    type Out = ();
    #[inline(always)]
    fn run<S: Simd>(self) {
        let Self { scores, allowed, top } = self;
        let (values, _) = scores.values.as_chunks::<BLOCK>();
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
                top.push((at * BLOCK + bit) as u32, values[bit] * factor);
            }
        }
    }
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
                vectorised_at(level, Offer { scores: &scores, allowed, top: &mut top });
                assert_eq!(top.drain_sorted().collect::<Vec<_>>(), expected, "{level:?}");
            }
        }
    }

    #[test]
    fn untouched_blocks_and_masked_indices_are_passed_over() {
        let (values, mut top) = (vec![1f32; 128], TopK::new(200));
        let scores = Scores { values: &values, scale: &[], touched: &[0, 1] };
        offer_nonzero(&scores, &[u64::MAX, 0b101], &mut top);
        assert_eq!(top.drain_sorted().collect::<Vec<_>>(), [(64, 1.0), (66, 1.0)]);
        let integers = std::array::from_fn(|i| i as i32);
        offer_block(&integers, 0b11 << 62, 640, &mut top);
        assert_eq!(top.drain_sorted().collect::<Vec<_>>(), [(703, 63.0), (702, 62.0)]);
    }
}
