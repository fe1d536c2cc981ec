//! int8 dot products of one query with rows at any places: what a walk through a graph asks for.
//!
//! Rows are shifted by 128 into unsigned instead of the query, because the sum of the query is
//! known once, while the sum of each row would be one more place of memory to visit.

use super::scan::dot_i8_plain;
use super::simd::prefetch;
use super::{Level, level};

/// A query of bytes with their sum.
#[derive(Clone, Copy, Debug)]
pub struct ByteQuery<'a> {
    bytes: &'a [i8],
    sum: i32,
}

impl<'a> ByteQuery<'a> {
    /// Takes bytes of the length of a row (see [`super::padded_len`]).
    ///
    /// # Panics
    /// When the length is no positive multiple of 64.
    pub fn new(bytes: &'a [i8]) -> Self {
        assert!(bytes.len().is_multiple_of(64) && !bytes.is_empty(), "rows are padded to 64 bytes");
        Self { bytes, sum: bytes.iter().map(|&b| i32::from(b)).sum() }
    }

    /// The bytes.
    pub fn bytes(&self) -> &'a [i8] {
        self.bytes
    }

    /// Length of the rows that it can be multiplied with.
    #[allow(clippy::len_without_is_empty)] // it is never empty
    pub fn len(&self) -> usize {
        self.bytes.len()
    }
}

/// `out[i] = query . row picks[i]`, for row-major `rows` of the query's length.
///
/// # Cost
/// One read of each row.
///
/// # Panics
/// When there is not one output per pick, or a pick is beyond the rows.
#[inline]
pub fn dot_i8_rows(query: ByteQuery<'_>, rows: &[i8], picks: &[u32], out: &mut [i32]) {
    dot_i8_rows_at(level(), query, rows, picks, out);
}

/// Asks the processor to bring a row near.
#[inline]
pub fn prefetch_row(rows: &[i8], padded: usize, pick: u32) {
    prefetch(&rows[pick as usize * padded..][..padded]);
}

fn dot_i8_rows_at(level: Level, query: ByteQuery<'_>, rows: &[i8], picks: &[u32], out: &mut [i32]) {
    assert_eq!(picks.len(), out.len(), "one output per pick");
    let padded = query.bytes.len();
    let n_rows = rows.len() / padded;
    let largest = picks.iter().copied().max();
    assert!(largest.is_none_or(|pick| (pick as usize) < n_rows), "picks are rows");
    match level {
        // SAFETY: `level` is only ever one that was detected on this machine; the picks and the
        // number of outputs were checked above.
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 => unsafe { rows_avx512(query, rows, picks, out) },
        level => {
            for (&pick, out) in picks.iter().zip(out) {
                let row = &rows[pick as usize * padded..][..padded];
                dot_i8_plain(level, query.bytes, row, std::slice::from_mut(out));
            }
        }
    }
}

/// # Safety
/// AVX-512 F, BW and VNNI must be there; every pick is a row, and there is an output for each.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
unsafe fn rows_avx512(query: ByteQuery<'_>, rows: &[i8], picks: &[u32], out: &mut [i32]) {
    use std::arch::x86_64::{
        _mm_add_epi32, _mm_set1_epi32, _mm_storeu_si128, _mm256_add_epi32, _mm256_castsi256_si128,
        _mm256_extracti128_si256, _mm512_add_epi32, _mm512_castsi512_si256, _mm512_dpbusd_epi32,
        _mm512_extracti64x4_epi64, _mm512_loadu_si512, _mm512_set1_epi8, _mm512_setzero_si512,
        _mm512_unpackhi_epi32, _mm512_unpackhi_epi64, _mm512_unpacklo_epi32, _mm512_unpacklo_epi64,
        _mm512_xor_si512,
    };
    let padded = query.bytes.len();
    let (shift, excess) = (_mm512_set1_epi8(i8::MIN), -128 * query.sum);
    for (picks, out) in picks.chunks(4).zip(out.chunks_mut(4)) {
        // The last row stands in for those that are missing to four; their sums are left out.
        let row = |r: usize| picks[r.min(picks.len() - 1)] as usize * padded;
        let at: [usize; 4] = std::array::from_fn(row);
        let mut v = [_mm512_setzero_si512(); 4];
        for offset in (0..padded).step_by(64) {
            // SAFETY: offset + 64 <= padded, the length of the query.
            let q = unsafe { _mm512_loadu_si512(query.bytes.as_ptr().add(offset).cast()) };
            for (sum, at) in v.iter_mut().zip(at) {
                // SAFETY: `at` is the start of a row of `padded` bytes.
                let r = unsafe { _mm512_loadu_si512(rows.as_ptr().add(at + offset).cast()) };
                *sum = _mm512_dpbusd_epi32(*sum, _mm512_xor_si512(r, shift), q);
            }
        }
        // Per quarter of a vector: four partial sums side by side; then the quarters are added.
        let ab =
            _mm512_add_epi32(_mm512_unpacklo_epi32(v[0], v[1]), _mm512_unpackhi_epi32(v[0], v[1]));
        let cd =
            _mm512_add_epi32(_mm512_unpacklo_epi32(v[2], v[3]), _mm512_unpackhi_epi32(v[2], v[3]));
        let sums = _mm512_add_epi32(_mm512_unpacklo_epi64(ab, cd), _mm512_unpackhi_epi64(ab, cd));
        let half =
            _mm256_add_epi32(_mm512_castsi512_si256(sums), _mm512_extracti64x4_epi64::<1>(sums));
        let quarter =
            _mm_add_epi32(_mm256_castsi256_si128(half), _mm256_extracti128_si256::<1>(half));
        let mut dots = [0i32; 4];
        // SAFETY: the array has room for four integers.
        unsafe {
            let dots = dots.as_mut_ptr().cast();
            _mm_storeu_si128(dots, _mm_add_epi32(quarter, _mm_set1_epi32(excess)));
        }
        out.copy_from_slice(&dots[..out.len()]);
    }
}

#[cfg(test)]
mod tests {
    use foretaste_core::Rng;

    use super::*;
    use crate::kernels::levels;

    #[test]
    fn every_level_gives_the_exact_integers_at_any_places() {
        let mut rng = Rng::new(8);
        for padded in [64, 128, 192, 576] {
            let mut byte = || (rng.below(255) as i32 - 127) as i8;
            let query: Vec<i8> = (0..padded).map(|_| byte()).collect();
            let rows: Vec<i8> = (0..padded * 50).map(|_| byte()).collect();
            for n in [0, 1, 15, 16, 17, 40] {
                let picks: Vec<u32> = (0..n).map(|_| rng.below(50) as u32).collect();
                let row = |&pick: &u32| &rows[pick as usize * padded..][..padded];
                let dot = |row: &[i8]| -> i32 {
                    row.iter().zip(&query).map(|(&r, &q)| i32::from(r) * i32::from(q)).sum()
                };
                let expected: Vec<i32> = picks.iter().map(|pick| dot(row(pick))).collect();
                for level in levels() {
                    let mut out = vec![0; n];
                    dot_i8_rows_at(level, ByteQuery::new(&query), &rows, &picks, &mut out);
                    assert_eq!(out, expected, "{level:?} {padded} x {n}");
                }
            }
        }
    }
}
