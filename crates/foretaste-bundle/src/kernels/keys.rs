//! Nodes with scores as single integers, which compare as by score and then by node: what a walk
//! through a graph keeps and picks from.

use super::{Level, level};

/// Half the range of scores: they are within ±2^30 (4096 dimensions of bytes stay below 2^27).
const OFFSET: i32 = 1 << 30;

/// A node with its score; the greater, the better: higher score, then lower node. Never 0.
#[inline]
fn key(node: u32, score: i32) -> u64 {
    (score.wrapping_add(OFFSET) as u32 as u64) << 32 | u64::from(!node)
}

/// The node of a key and its score.
#[inline]
pub fn of_key(key: u64) -> (u32, i32) {
    (!(key as u32), ((key >> 32) as u32 as i32).wrapping_sub(OFFSET))
}

/// Room that [`keys_above`] needs for so many nodes.
pub const fn room(n_nodes: usize) -> usize {
    n_nodes.next_multiple_of(8)
}

/// Writes the keys of those nodes that are greater than `least` to the front of `out`, in order,
/// and returns how many they are. What is behind them in `out` means nothing.
///
/// # Panics
/// When there is not one score per node, or `out` is shorter than the [`room`] for them.
#[inline]
pub fn keys_above(nodes: &[u32], scores: &[i32], least: u64, out: &mut [u64]) -> usize {
    keys_above_at(level(), (nodes, scores), least, out)
}

fn keys_above_at(
    level: Level,
    (nodes, scores): (&[u32], &[i32]),
    least: u64,
    out: &mut [u64],
) -> usize {
    assert_eq!(nodes.len(), scores.len(), "one score per node");
    assert!(out.len() >= room(nodes.len()), "room for every key");
    match level {
        // SAFETY: `level` is only ever one that was detected on this machine; lengths were checked.
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 => unsafe { keys_above_avx512(nodes, scores, least, out) },
        _ => {
            let mut n = 0;
            for (&node, &score) in nodes.iter().zip(scores) {
                let key = key(node, score);
                // Nobody can foresee which are greater: no branch on it.
                out[n] = key;
                n += usize::from(key > least);
            }
            n
        }
    }
}

/// # Safety
/// AVX-512 F must be there; lengths as in [`keys_above`].
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw,popcnt")]
unsafe fn keys_above_avx512(nodes: &[u32], scores: &[i32], least: u64, out: &mut [u64]) -> usize {
    use std::arch::x86_64::{
        _mm256_add_epi32, _mm256_maskz_loadu_epi32, _mm256_set1_epi32, _mm256_xor_si256,
        _mm512_cvtepu32_epi64, _mm512_mask_cmpgt_epu64_mask, _mm512_maskz_compress_epi64,
        _mm512_or_si512, _mm512_set1_epi64, _mm512_slli_epi64, _mm512_storeu_si512,
    };
    let threshold = _mm512_set1_epi64(least as i64);
    let mut n = 0;
    for at in (0..nodes.len()).step_by(8) {
        let mask = u8::MAX >> (8 - (nodes.len() - at).min(8));
        // SAFETY: the mask covers entries of both slices only.
        let (nodes, scores) = unsafe {
            (
                _mm256_maskz_loadu_epi32(mask, nodes.as_ptr().add(at).cast()),
                _mm256_maskz_loadu_epi32(mask, scores.as_ptr().add(at)),
            )
        };
        let scores = _mm256_add_epi32(scores, _mm256_set1_epi32(OFFSET));
        let nodes = _mm256_xor_si256(nodes, _mm256_set1_epi32(-1));
        let high = _mm512_slli_epi64::<32>(_mm512_cvtepu32_epi64(scores));
        let keys = _mm512_or_si512(high, _mm512_cvtepu32_epi64(nodes));
        let above = _mm512_mask_cmpgt_epu64_mask(mask, keys, threshold);
        let keys = _mm512_maskz_compress_epi64(above, keys);
        // SAFETY: `n` is at most `at`, from which `out` has room for another eight. Storing under
        // a mask would take some processors a hundred cycles.
        unsafe { _mm512_storeu_si512(out.as_mut_ptr().add(n).cast(), keys) };
        n += above.count_ones() as usize;
    }
    n
}

/// Where the greatest of distinct keys is; `None` where there are none.
#[inline]
pub fn greatest(keys: &[u64]) -> Option<usize> {
    greatest_at(level(), keys)
}

fn greatest_at(level: Level, keys: &[u64]) -> Option<usize> {
    match level {
        // SAFETY: `level` is only ever one that was detected on this machine.
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 if !keys.is_empty() => Some(unsafe { greatest_avx512(keys) }),
        _ => keys.iter().enumerate().max_by_key(|(_, key)| **key).map(|(at, _)| at),
    }
}

/// # Safety
/// AVX-512 F must be there, and at least one key.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512dq")]
unsafe fn greatest_avx512(keys: &[u64]) -> usize {
    use std::arch::x86_64::{
        _mm512_cmpeq_epu64_mask, _mm512_loadu_si512, _mm512_maskz_loadu_epi64, _mm512_max_epu64,
        _mm512_reduce_max_epu64, _mm512_set1_epi64, _mm512_setzero_si512,
    };
    let (eights, rest) = keys.as_chunks::<8>();
    // SAFETY: an array has the eight keys that are read.
    let load = |eight: &[u64; 8]| unsafe { _mm512_loadu_si512(eight.as_ptr().cast()) };
    let mask = (1u8 << rest.len()) - 1;
    // SAFETY: the mask covers the rest only.
    let last = unsafe { _mm512_maskz_loadu_epi64(mask, rest.as_ptr().cast()) };
    let mut most = [last, _mm512_setzero_si512()];
    for (at, eight) in eights.iter().enumerate() {
        most[at % 2] = _mm512_max_epu64(most[at % 2], load(eight));
    }
    let greatest = _mm512_reduce_max_epu64(_mm512_max_epu64(most[0], most[1]));
    let greatest = _mm512_set1_epi64(greatest as i64);
    let place = |found: u8| found.trailing_zeros() as usize;
    for (at, eight) in eights.iter().enumerate() {
        let found = _mm512_cmpeq_epu64_mask(load(eight), greatest);
        if found != 0 {
            return at * 8 + place(found);
        }
    }
    eights.len() * 8 + place(_mm512_cmpeq_epu64_mask(last, greatest))
}

#[cfg(test)]
mod tests {
    use foretaste_core::Rng;

    use super::*;
    use crate::kernels::levels;

    #[test]
    fn every_level_selects_and_picks_the_same() {
        let mut rng = Rng::new(4);
        for n in [0, 1, 7, 8, 9, 40, 100] {
            let nodes: Vec<u32> = (0..n as u32).map(|at| u32::MAX - 1 - 3 * at).collect();
            let scores: Vec<i32> = nodes.iter().map(|_| rng.below(20) as i32 - 10).collect();
            let least = key(u32::MAX - 20, 3);
            let pairs = || nodes.iter().copied().zip(scores.iter().copied());
            let expected: Vec<_> =
                pairs().filter(|&(node, score)| (score, !node) > (3, 20)).collect();
            let best = pairs().map(|(node, score)| (score, !node)).max();
            for level in levels() {
                let mut out = vec![0; room(n)];
                let kept = keys_above_at(level, (&nodes, &scores), least, &mut out);
                let kept: Vec<_> = out[..kept].iter().map(|&key| of_key(key)).collect();
                assert_eq!(kept, expected, "{level:?} {n}");
                keys_above_at(level, (&nodes, &scores), 0, &mut out);
                out.truncate(n);
                let picked = greatest_at(level, &out).map(|at| of_key(out[at]));
                assert_eq!(picked.map(|(node, score)| (score, !node)), best, "{level:?} {n}");
            }
        }
    }
}
