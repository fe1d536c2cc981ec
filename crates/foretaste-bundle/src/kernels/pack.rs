//! The int8 scan for many queries at once: rows are packed once, so that a vector of the processor
//! holds four dimensions of 16 rows and no product has to be reduced across lanes.

use super::aligned::AlignedBytes;
use super::select::BLOCK;
use super::{Level, dot_i8, level};

/// Queries that are multiplied together.
pub const QUERIES: usize = 4;

/// A query of bytes.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// As long as a row.
    pub bytes: &'a [i8],
    /// Their sum.
    pub sum: i32,
    /// The least product that is worth a look.
    pub at_least: i32,
}

/// Rows of bytes in blocks of 64, in the form that this processor multiplies fastest.
#[derive(Debug)]
pub struct PackedRows {
    level: Level,
    padded: usize,
    n_rows: usize,
    /// AVX-512: per block, per four dimensions, per row: four bytes, 128 more than they stand for.
    /// Otherwise: the rows.
    bytes: AlignedBytes,
    row_sums: Vec<i32>,
}

impl PackedRows {
    /// Packs rows of `padded` bytes (see [`super::padded_len`]) with the sum of each.
    ///
    /// # Cost
    /// A copy of the rows.
    ///
    /// # Panics
    /// When the shapes disagree.
    pub fn new(rows: &[i8], row_sums: &[i32], padded: usize) -> Self {
        Self::at(level(), rows, row_sums, padded)
    }

    fn at(level: Level, rows: &[i8], row_sums: &[i32], padded: usize) -> Self {
        assert!(padded.is_multiple_of(64) && padded > 0, "rows are padded to 64 bytes");
        assert_eq!(rows.len(), row_sums.len() * padded, "one sum per row");
        let n_rows = row_sums.len();
        let bytes = match level {
            Level::Avx512 => pack(rows, padded),
            _ => {
                let mut bytes = AlignedBytes::filled(0, rows.len());
                bytes.iter_mut().zip(rows).for_each(|(byte, &b)| *byte = b as u8);
                bytes
            }
        };
        Self { level, padded, n_rows, bytes, row_sums: row_sums.to_vec() }
    }

    /// Number of blocks.
    pub fn n_blocks(&self) -> usize {
        self.n_rows.div_ceil(BLOCK)
    }

    /// Products of the rows of one block with each query, and per query a word with one bit for
    /// each row whose product is at least what the query asks for. Bits beyond the last row, and
    /// outputs without their bit, hold anything.
    ///
    /// # Cost
    /// 64 x padded multiply-adds a query; one read of the block for all queries.
    ///
    /// # Panics
    /// When a query has another length than a row, or the block does not exist.
    pub fn products(
        &self,
        block: usize,
        queries: [Wanted<'_>; QUERIES],
        out: &mut [[i32; BLOCK]; QUERIES],
    ) -> [u64; QUERIES] {
        assert!(queries.iter().all(|q| q.bytes.len() == self.padded), "queries as long as rows");
        let (first, size) = (block * BLOCK, BLOCK * self.padded);
        match self.level {
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => {
                let packed = &self.bytes[block * size..(block + 1) * size];
                // SAFETY: `level` is only ever one that was detected on this machine; the lengths
                // of the block and of the queries were checked above.
                unsafe { products_avx512(packed, queries, out) }
            }
            _ => {
                let n = BLOCK.min(self.n_rows - first);
                let rows = &self.bytes[block * size..][..n * self.padded];
                let rows: &[i8] = bytemuck::cast_slice(rows);
                for (query, out) in queries.iter().zip(&mut *out) {
                    dot_i8(query.bytes, rows, &self.row_sums[first..first + n], &mut out[..n]);
                }
                let bits = |out: &[i32; BLOCK], least| {
                    let bit = |word, (at, &product)| word | u64::from(product >= least) << at;
                    out.iter().enumerate().fold(0, bit)
                };
                std::array::from_fn(|q| bits(&out[q], queries[q].at_least))
            }
        }
    }
}

fn pack(rows: &[i8], padded: usize) -> AlignedBytes {
    let n_blocks = rows.len().div_ceil(BLOCK * padded);
    let mut packed = AlignedBytes::filled(128, n_blocks * BLOCK * padded);
    let blocks = packed.chunks_exact_mut(BLOCK * padded).zip(rows.chunks(BLOCK * padded));
    for (packed, rows) in blocks {
        for (r, row) in rows.chunks_exact(padded).enumerate() {
            for (quad, four) in row.as_chunks::<4>().0.iter().enumerate() {
                let at = (quad * BLOCK + r) * 4;
                packed[at..at + 4].copy_from_slice(&four.map(|b| (b as u8) ^ 0x80));
            }
        }
    }
    packed
}

/// # Safety
/// AVX-512 F and VNNI must be there; `packed` has 64 bytes per byte of each query, whose number is
/// a multiple of four.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512vnni")]
unsafe fn products_avx512(
    packed: &[u8],
    queries: [Wanted<'_>; QUERIES],
    out: &mut [[i32; BLOCK]; QUERIES],
) -> [u64; QUERIES] {
    use std::arch::x86_64::{
        _mm512_cmpge_epi32_mask, _mm512_dpbusd_epi32, _mm512_loadu_si512, _mm512_set1_epi32,
        _mm512_storeu_si512,
    };
    let mut sums = [[_mm512_set1_epi32(0); BLOCK / 16]; QUERIES];
    for (sums, query) in sums.iter_mut().zip(queries) {
        *sums = [_mm512_set1_epi32(-128 * query.sum); BLOCK / 16];
    }
    for quad in 0..queries[0].bytes.len() / 4 {
        let mut rows = [_mm512_set1_epi32(0); BLOCK / 16];
        for (part, rows) in rows.iter_mut().enumerate() {
            // SAFETY: a quad of the block has 4 x 64 bytes.
            let at = unsafe { packed.as_ptr().add(quad * 4 * BLOCK + part * 64) };
            // SAFETY: as above.
            *rows = unsafe { _mm512_loadu_si512(at.cast()) };
        }
        for (sums, query) in sums.iter_mut().zip(queries) {
            // SAFETY: the query has four bytes from 4 x quad.
            let four = unsafe { query.bytes.as_ptr().add(quad * 4).cast::<i32>().read_unaligned() };
            let four = _mm512_set1_epi32(four);
            for (sum, &rows) in sums.iter_mut().zip(&rows) {
                *sum = _mm512_dpbusd_epi32(*sum, rows, four);
            }
        }
    }
    let mut words = [0; QUERIES];
    for (q, (out, sums)) in out.iter_mut().zip(sums).enumerate() {
        let least = _mm512_set1_epi32(queries[q].at_least);
        for (part, sum) in sums.into_iter().enumerate() {
            words[q] |= u64::from(_mm512_cmpge_epi32_mask(sum, least)) << (16 * part);
        }
        if words[q] != 0 {
            for (out, sum) in out.as_chunks_mut::<16>().0.iter_mut().zip(sums) {
                // SAFETY: the chunk has room for the 16 integers.
                unsafe { _mm512_storeu_si512(out.as_mut_ptr().cast(), sum) };
            }
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use foretaste_core::Rng;

    use super::*;
    use crate::kernels::levels;

    #[test]
    fn packed_products_are_the_exact_integers() {
        let mut rng = Rng::new(7);
        for (padded, n) in [(64, 130), (192, 64), (128, 1)] {
            let mut byte = || (rng.below(255) as i32 - 127) as i8;
            let rows: Vec<i8> = (0..padded * n).map(|_| byte()).collect();
            let queries: Vec<i8> = (0..padded * QUERIES).map(|_| byte()).collect();
            let sum = |bytes: &[i8]| bytes.iter().map(|&b| i32::from(b)).sum::<i32>();
            let sums: Vec<i32> = rows.chunks(padded).map(sum).collect();
            let query = |q: usize| &queries[q * padded..(q + 1) * padded];
            for level in levels() {
                let packed = PackedRows::at(level, &rows, &sums, padded);
                let mut out = [[0; BLOCK]; QUERIES];
                for block in 0..packed.n_blocks() {
                    let at_least = [i32::MIN, 0, 1000, 5];
                    let given = std::array::from_fn(|q| Wanted {
                        bytes: query(q),
                        sum: sum(query(q)),
                        at_least: at_least[q],
                    });
                    let words = packed.products(block, given, &mut out);
                    for (q, out) in out.iter().enumerate() {
                        for (r, found) in (block * BLOCK..n).zip(out) {
                            let row = &rows[r * padded..(r + 1) * padded];
                            let pairs = row.iter().zip(query(q));
                            let expected: i32 =
                                pairs.map(|(&a, &b)| i32::from(a) * i32::from(b)).sum();
                            let is_enough = words[q] >> (r % BLOCK) & 1 == 1;
                            assert_eq!(is_enough, expected >= at_least[q], "{level:?} row {r}");
                            if is_enough {
                                assert_eq!(*found, expected, "{level:?} {padded} row {r}");
                            }
                        }
                    }
                }
            }
        }
    }
}
