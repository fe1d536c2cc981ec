//! int8 dot products of one query with many rows.
//!
//! VNNI multiplies unsigned by signed bytes, so the query is shifted by 128 into unsigned and the
//! shift is taken back by the row's sum: q . r = (q + 128) . r - 128 * sum(r).

use super::{Level, level};

/// Bytes that one row takes: the dimensions, padded so that a row starts on a cache-line quarter.
pub const fn padded_len(dims: usize) -> usize {
    dims.next_multiple_of(64)
}

/// Integer dot products of `query` with consecutive rows.
///
/// # Shapes
/// `query` has `padded` entries (a multiple of 64, padding 0), `rows` has `out.len() * padded`,
/// `row_sums` one entry per row: the sum of its bytes.
///
/// # Cost
/// One pass over `rows`; bound by memory bandwidth beyond the caches (64 bytes per instruction).
///
/// # Panics
/// When the shapes disagree.
#[inline]
pub fn dot_i8(query: &[i8], rows: &[i8], row_sums: &[i32], out: &mut [i32]) {
    dot_i8_at(level(), query, rows, row_sums, out);
}

fn dot_i8_at(level: Level, query: &[i8], rows: &[i8], row_sums: &[i32], out: &mut [i32]) {
    let padded = query.len();
    assert!(padded.is_multiple_of(64) && padded > 0, "rows are padded to 64 bytes");
    assert_eq!(rows.len(), out.len() * padded, "one output per row");
    assert_eq!(row_sums.len(), out.len(), "one sum per row");
    match level {
        // SAFETY: `level` is only ever one that was detected on this machine, and the lengths
        // that the loops rely on were checked above.
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 => unsafe { dot_i8_avx512(query, rows, row_sums, out) },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 => unsafe { dot_i8_avx2(query, rows, out) },
        _ => dot_i8_portable(query, rows, out),
    }
}

/// As [`dot_i8`] for levels that need no sums of rows: all but AVX-512.
#[inline]
pub(super) fn dot_i8_plain(level: Level, query: &[i8], rows: &[i8], out: &mut [i32]) {
    assert_eq!(rows.len(), out.len() * query.len(), "one output per row");
    assert!(query.len().is_multiple_of(64), "rows are padded to 64 bytes");
    match level {
        // SAFETY: `level` was detected on this machine, where AVX-512 is never without AVX2, and
        // the lengths were checked above.
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 | Level::Avx2 => unsafe { dot_i8_avx2(query, rows, out) },
        _ => dot_i8_portable(query, rows, out),
    }
}

#[inline(always)]
fn dot_i8_portable(query: &[i8], rows: &[i8], out: &mut [i32]) {
    for (row, out) in rows.chunks_exact(query.len()).zip(out) {
        *out = row.iter().zip(query).map(|(&r, &q)| i32::from(r) * i32::from(q)).sum();
    }
}

/// Up to this many bytes a row, 16 rows are read side by side and reduced together; longer ones one
/// by one, because 16 streams of reads are more than the processor follows.
#[cfg(target_arch = "x86_64")]
const SIDE_BY_SIDE: usize = 128;

/// # Safety
/// AVX-512 F, BW and VNNI must be there; lengths as in [`dot_i8`].
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
unsafe fn dot_i8_avx512(query: &[i8], rows: &[i8], row_sums: &[i32], out: &mut [i32]) {
    use std::arch::x86_64::{
        _mm512_add_epi8, _mm512_add_epi32, _mm512_dpbusd_epi32, _mm512_loadu_si512,
        _mm512_mullo_epi32, _mm512_reduce_add_epi32, _mm512_set1_epi8, _mm512_set1_epi32,
        _mm512_setzero_si512, _mm512_storeu_si512,
    };
    let padded = query.len();
    let shift = _mm512_set1_epi8(i8::MIN);
    let whole = if padded <= SIDE_BY_SIDE { out.len() / 16 * 16 } else { 0 };
    for at in (0..whole).step_by(16) {
        let first = &rows[at * padded..(at + 16) * padded];
        let mut sums = [_mm512_setzero_si512(); 16];
        for offset in (0..padded).step_by(64) {
            // Adding -128 modulo 256 is adding 128 as unsigned.
            // SAFETY: offset + 64 <= padded, the length of the query.
            let q = unsafe { _mm512_loadu_si512(query.as_ptr().add(offset).cast()) };
            let q = _mm512_add_epi8(q, shift);
            for (r, sum) in sums.iter_mut().enumerate() {
                // SAFETY: row r of the 16 has 64 bytes from `offset`.
                let r =
                    unsafe { _mm512_loadu_si512(first.as_ptr().add(r * padded + offset).cast()) };
                *sum = _mm512_dpbusd_epi32(*sum, q, r);
            }
        }
        // SAFETY: `row_sums` and `out` have 16 entries from `at`.
        unsafe {
            let row_sums = _mm512_loadu_si512(row_sums.as_ptr().add(at).cast());
            let excess = _mm512_mullo_epi32(row_sums, _mm512_set1_epi32(-128));
            let dots = _mm512_add_epi32(sum_each_avx512(sums), excess);
            _mm512_storeu_si512(out.as_mut_ptr().add(at).cast(), dots);
        }
    }
    for at in whole..out.len() {
        let row = &rows[at * padded..(at + 1) * padded];
        let mut sums = [_mm512_setzero_si512(); 2];
        for (at, (q, r)) in query.chunks_exact(64).zip(row.chunks_exact(64)).enumerate() {
            // SAFETY: both chunks have 64 bytes.
            let (q, r) = unsafe {
                let q = _mm512_loadu_si512(q.as_ptr().cast());
                (q, _mm512_loadu_si512(r.as_ptr().cast()))
            };
            let q = _mm512_add_epi8(q, shift);
            sums[at % 2] = _mm512_dpbusd_epi32(sums[at % 2], q, r);
        }
        let sum = _mm512_add_epi32(sums[0], sums[1]);
        out[at] = _mm512_reduce_add_epi32(sum) - 128 * row_sums[at];
    }
}

/// The sums of 16 vectors as one vector.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn sum_each_avx512(v: [std::arch::x86_64::__m512i; 16]) -> std::arch::x86_64::__m512i {
    use std::arch::x86_64::{
        _mm512_add_epi32, _mm512_setzero_si512, _mm512_shuffle_i32x4, _mm512_unpackhi_epi32,
        _mm512_unpackhi_epi64, _mm512_unpacklo_epi32, _mm512_unpacklo_epi64,
    };
    // Per quarter of a vector: the partial sums of four vectors side by side.
    let mut fours = [_mm512_setzero_si512(); 4];
    for (four, v) in fours.iter_mut().zip(v.as_chunks::<4>().0) {
        let ab =
            _mm512_add_epi32(_mm512_unpacklo_epi32(v[0], v[1]), _mm512_unpackhi_epi32(v[0], v[1]));
        let cd =
            _mm512_add_epi32(_mm512_unpacklo_epi32(v[2], v[3]), _mm512_unpackhi_epi32(v[2], v[3]));
        *four = _mm512_add_epi32(_mm512_unpacklo_epi64(ab, cd), _mm512_unpackhi_epi64(ab, cd));
    }
    // Even quarters of both plus their odd quarters.
    let halve = |a, b| {
        let even = _mm512_shuffle_i32x4::<0b10_00_10_00>(a, b);
        _mm512_add_epi32(even, _mm512_shuffle_i32x4::<0b11_01_11_01>(a, b))
    };
    halve(halve(fours[0], fours[1]), halve(fours[2], fours[3]))
}

/// # Safety
/// AVX2 must be there; lengths as in [`dot_i8`].
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
unsafe fn dot_i8_avx2(query: &[i8], rows: &[i8], out: &mut [i32]) {
    use std::arch::x86_64::{
        _mm_add_epi32, _mm_cvtsi128_si32, _mm_loadu_si128, _mm_shuffle_epi32, _mm256_add_epi32,
        _mm256_castsi256_si128, _mm256_cvtepi8_epi16, _mm256_extracti128_si256, _mm256_madd_epi16,
        _mm256_setzero_si256,
    };
    let padded = query.len();
    for (row, out) in rows.chunks_exact(padded).zip(out.iter_mut()) {
        let mut sum = _mm256_setzero_si256();
        let mut offset = 0;
        while offset < padded {
            // SAFETY: offset + 16 <= padded, the length of both slices.
            let (q, r) = unsafe {
                let q = _mm_loadu_si128(query.as_ptr().add(offset).cast());
                (q, _mm_loadu_si128(row.as_ptr().add(offset).cast()))
            };
            let product = _mm256_madd_epi16(_mm256_cvtepi8_epi16(q), _mm256_cvtepi8_epi16(r));
            sum = _mm256_add_epi32(sum, product);
            offset += 16;
        }
        let half = _mm_add_epi32(_mm256_castsi256_si128(sum), _mm256_extracti128_si256(sum, 1));
        let quarter = _mm_add_epi32(half, _mm_shuffle_epi32(half, 0b00_00_11_10));
        let last = _mm_add_epi32(quarter, _mm_shuffle_epi32(quarter, 0b00_00_00_01));
        *out = _mm_cvtsi128_si32(last);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::levels;
    use foretaste_core::Rng;

    #[test]
    fn every_level_gives_the_exact_integers() {
        let mut rng = Rng::new(2);
        for padded in [64, 128, 192, 576] {
            let mut byte = || (rng.below(255) as i32 - 127) as i8;
            let query: Vec<i8> = (0..padded).map(|_| byte()).collect();
            let rows: Vec<i8> = (0..padded * 41).map(|_| byte()).collect();
            let sums: Vec<i32> =
                rows.chunks(padded).map(|r| r.iter().map(|&b| i32::from(b)).sum()).collect();
            let mut expected = vec![0; 41];
            dot_i8_portable(&query, &rows, &mut expected);
            for level in levels() {
                let mut out = vec![0; 41];
                dot_i8_at(level, &query, &rows, &sums, &mut out);
                assert_eq!(out, expected, "{level:?} {padded}");
            }
        }
    }
}
