//! Sums of rows of a matrix of bytes, some columns at a time: what a sparse matrix of small
//! integers becomes where it is dense enough. A panel of all rows stays in the second cache while
//! many users sum up their rows of it.
//!
//! Sums of integers do not depend on any order: they are those of additions one by one.

use foretaste_core::CsrView;

use super::aligned::AlignedBytes;
use super::simd::{Kernel, Simd, vectorised};
use super::{Level, level};

/// Columns of a panel.
pub const WIDTH: usize = 128;
/// 64 columns are the bytes of 32 words: word `w` holds columns `w` and `w + 32`.
const WORDS: usize = 32;
const LINES: usize = WIDTH / (2 * WORDS);
/// Rows of 255 that a word of 16 bits has room for.
const ROWS_OF_A_WORD: usize = 257;
/// Rows that may be summed up: 255 times as much is exact in f32.
pub const MOST_ROWS: usize = 1 << 16;
/// Adding a row of bytes takes as long as adding one in so many entries, one by one.
const WORTH: usize = 24;
/// The largest matrix of bytes.
const MOST_BYTES: usize = 1 << 26;
/// Rows between the one that is added and the one that is fetched.
const AHEAD: usize = 16;
/// What is added to bytes that stand for integers of both signs.
const BIAS: i32 = 128;

/// A matrix whose entries are integers of 8 bits times a power of two for each column.
#[derive(Debug)]
pub struct Panels {
    n_rows: usize,
    n_panels: usize,
    /// By panel, row, line, word.
    bytes: AlignedBytes,
    /// 0, or [`BIAS`].
    bias: i32,
    /// The powers of two; 0 for columns that are not there.
    scale: Vec<f32>,
}

/// The words of a panel's sums: of both bytes, and of the high ones alone.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Partial {
    all: [[u16; WORDS]; LINES],
    high: [[u16; WORDS]; LINES],
}

impl Panels {
    /// `None` where the entries are no such numbers, or sums entry by entry cost less.
    ///
    /// # Cost
    /// Two passes over the entries, and rows x columns bytes.
    pub fn of(matrix: CsrView<'_>) -> Option<Self> {
        let (n_rows, n_panels) = (matrix.n_rows(), matrix.n_cols.div_ceil(WIDTH));
        if !is_worth(n_rows, matrix.n_cols, matrix.values.len()) {
            return None;
        }
        let negative = matrix.values.iter().any(|&v| v < 0.0);
        let (bias, range) = if negative { (BIAS, -128.0..=127.0) } else { (0, 0.0..=255.0) };
        let scale = column_scales(matrix, n_panels * WIDTH)?;
        let inverse: Vec<f32> =
            scale.iter().map(|&s| if s > 0.0 { 1.0 / s } else { 0.0 }).collect();
        let places: Vec<usize> = (0..matrix.n_cols).map(|column| place(column, n_rows)).collect();
        let mut bytes = AlignedBytes::filled(bias as u8, n_rows * n_panels * WIDTH);
        let all = &mut bytes[..];
        for row in 0..n_rows {
            let (columns, values) = matrix.row(row);
            for (&column, &value) in columns.iter().zip(values) {
                let integer = value * inverse[column as usize];
                let byte = &mut all[places[column as usize] + row * WIDTH];
                // Of two entries at one place the sum might be no byte.
                if !range.contains(&integer) || *byte != bias as u8 {
                    return None;
                }
                *byte = (integer as i32 + bias) as u8;
            }
        }
        Some(Self { n_rows, n_panels, bytes, bias, scale })
    }

    /// Number of panels.
    pub fn n_panels(&self) -> usize {
        self.n_panels
    }

    /// `out[c] = unit * sum over rows of column c`, for the columns of one panel. A row counts as
    /// often as it is named.
    ///
    /// # Cost
    /// Three cycles a row while the panel is in the second cache.
    ///
    /// # Panics
    /// When the panel or a row does not exist, or there are more than [`MOST_ROWS`].
    pub fn sum(&self, panel: usize, rows: &[u32], unit: f32, out: &mut [f32; WIDTH]) {
        self.sum_at(level(), (panel, rows), unit, out);
    }

    /// What [`Panels::sum`] gives for one column.
    ///
    /// # Cost
    /// A byte of each row.
    ///
    /// # Panics
    /// When the column or a row does not exist.
    pub fn sum_of(&self, column: usize, rows: &[u32], unit: f32) -> f32 {
        let place = place(column, self.n_rows);
        let of = |&row: &u32| i32::from(self.bytes[place + row as usize * WIDTH]) - self.bias;
        rows.iter().map(of).sum::<i32>() as f32 * (self.scale[column] * unit)
    }

    fn sum_at(
        &self,
        level: Level,
        (panel, rows): (usize, &[u32]),
        unit: f32,
        out: &mut [f32; WIDTH],
    ) {
        let largest = rows.iter().fold(0, |largest, &row| row.max(largest));
        assert!(rows.len() <= MOST_ROWS, "more rows than sums are exact for");
        assert!(rows.is_empty() || (largest as usize) < self.n_rows, "a row beyond the matrix");
        let size = self.n_rows * WIDTH;
        let bytes = &self.bytes[panel * size..(panel + 1) * size];
        let mut totals = [-self.bias * rows.len() as i32; WIDTH];
        for rows in rows.chunks(ROWS_OF_A_WORD) {
            let mut partial = Partial { all: [[0; WORDS]; LINES], high: [[0; WORDS]; LINES] };
            match level {
                // SAFETY: `level` is only ever one that was detected on this machine; all rows are
                // within the panel, which was checked above.
                #[cfg(target_arch = "x86_64")]
                Level::Avx512 => unsafe { add_avx512(bytes, rows, &mut partial) },
                // SAFETY: as above.
                #[cfg(target_arch = "x86_64")]
                Level::Avx2 => unsafe { add_avx2(bytes, rows, &mut partial) },
                _ => add_plain(bytes, rows, &mut partial),
            }
            vectorised(Total { partial: &partial, totals: &mut totals });
        }
        let scale = &self.scale[panel * WIDTH..(panel + 1) * WIDTH];
        for ((out, &total), scale) in out.iter_mut().zip(&totals).zip(scale) {
            *out = total as f32 * (scale * unit);
        }
    }
}

/// Whether a matrix with so many entries is dense enough to be held in bytes, and not too large.
pub fn is_worth(n_rows: usize, n_columns: usize, n_entries: usize) -> bool {
    let size = n_rows.saturating_mul(n_columns.div_ceil(WIDTH) * WIDTH);
    (1..=MOST_BYTES.min(n_entries.saturating_mul(WORTH))).contains(&size)
}

/// The largest power of two of which all entries of a column are multiples, for each column; 0
/// where there are none. `None` where an entry is no usual number.
fn column_scales(matrix: CsrView<'_>, n_columns: usize) -> Option<Vec<f32>> {
    let mut exponents = vec![i32::MAX; n_columns];
    for (&column, &value) in matrix.indices.iter().zip(matrix.values) {
        let exponent = &mut exponents[column as usize];
        *exponent = (*exponent).min(lowest_bit(value)?);
    }
    let scale = |&exponent: &i32| if exponent == i32::MAX { 0.0 } else { two_to(exponent) };
    Some(exponents.iter().map(scale).collect())
}

/// Where the byte of a column is in the first row.
fn place(column: usize, n_rows: usize) -> usize {
    let (panel, within) = (column / WIDTH, column % WIDTH);
    let (line, place) = (within / (2 * WORDS), within % (2 * WORDS));
    (panel * n_rows * LINES + line) * 2 * WORDS + place % WORDS * 2 + place / WORDS
}

/// The exponent of the lowest bit that is set; for zero, which has none, one that is above all
/// others. `None` for what is no usual number.
#[inline]
pub fn lowest_bit(value: f32) -> Option<i32> {
    if value == 0.0 {
        return Some(i32::MAX);
    }
    if !value.is_normal() {
        return None;
    }
    let bits = value.to_bits();
    let (exponent, mantissa) = ((bits >> 23 & 0xff) as i32, bits & 0x7f_ffff | 0x80_0000);
    let lowest = exponent - 150 + mantissa.trailing_zeros() as i32;
    (-100..=80).contains(&lowest).then_some(lowest)
}

/// 2^exponent, for -126 to 127.
#[inline]
pub fn two_to(exponent: i32) -> f32 {
    f32::from_bits(((exponent + 127) as u32) << 23)
}

fn add_plain(bytes: &[u8], rows: &[u32], partial: &mut Partial) {
    for &row in rows {
        let row = &bytes[row as usize * WIDTH..][..WIDTH];
        for (line, words) in row.chunks_exact(2 * WORDS).enumerate() {
            for (w, word) in words.as_chunks::<2>().0.iter().enumerate() {
                let word = u16::from_le_bytes(*word);
                let all = &mut partial.all[line][w];
                *all = all.wrapping_add(word);
                partial.high[line][w] += word >> 8;
            }
        }
    }
}

/// # Safety
/// AVX-512 F and BW must be there; `bytes` has [`WIDTH`] bytes for each row.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw")]
unsafe fn add_avx512(bytes: &[u8], rows: &[u32], partial: &mut Partial) {
    use std::arch::x86_64::{
        _MM_HINT_T0, _mm_prefetch, _mm512_add_epi16, _mm512_loadu_si512, _mm512_setzero_si512,
        _mm512_srli_epi16, _mm512_storeu_si512,
    };
    let mut all = [_mm512_setzero_si512(); LINES];
    let mut high = [_mm512_setzero_si512(); LINES];
    for (at, &row) in rows.iter().enumerate() {
        if let Some(&row) = rows.get(at + AHEAD) {
            for line in 0..LINES {
                // SAFETY: prefetching reads nothing that the program could see; the row is there.
                unsafe {
                    let ahead = bytes.as_ptr().add(row as usize * WIDTH + line * 64);
                    _mm_prefetch::<_MM_HINT_T0>(ahead.cast());
                }
            }
        }
        for line in 0..LINES {
            // SAFETY: the row has 64 bytes for each line.
            let words = unsafe {
                _mm512_loadu_si512(bytes.as_ptr().add(row as usize * WIDTH + line * 64).cast())
            };
            all[line] = _mm512_add_epi16(all[line], words);
            high[line] = _mm512_add_epi16(high[line], _mm512_srli_epi16::<8>(words));
        }
    }
    for line in 0..LINES {
        // SAFETY: each line of the sums has room for 64 bytes.
        unsafe {
            _mm512_storeu_si512(partial.all[line].as_mut_ptr().cast(), all[line]);
            _mm512_storeu_si512(partial.high[line].as_mut_ptr().cast(), high[line]);
        }
    }
}

/// # Safety
/// AVX2 must be there; `bytes` has [`WIDTH`] bytes for each row.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
unsafe fn add_avx2(bytes: &[u8], rows: &[u32], partial: &mut Partial) {
    use std::arch::x86_64::{
        _mm256_add_epi16, _mm256_loadu_si256, _mm256_setzero_si256, _mm256_srli_epi16,
        _mm256_storeu_si256,
    };
    const HALVES: usize = 2 * LINES;
    let mut all = [_mm256_setzero_si256(); HALVES];
    let mut high = [_mm256_setzero_si256(); HALVES];
    for &row in rows {
        for half in 0..HALVES {
            // SAFETY: the row has 32 bytes for each half of a line.
            let words = unsafe {
                _mm256_loadu_si256(bytes.as_ptr().add(row as usize * WIDTH + half * 32).cast())
            };
            all[half] = _mm256_add_epi16(all[half], words);
            high[half] = _mm256_add_epi16(high[half], _mm256_srli_epi16::<8>(words));
        }
    }
    let halves = |sums: &mut [[u16; WORDS]; LINES]| sums.as_mut_ptr().cast::<u8>();
    let (to_all, to_high) = (halves(&mut partial.all), halves(&mut partial.high));
    for half in 0..HALVES {
        // SAFETY: the sums have room for 32 bytes for each half of a line.
        unsafe {
            _mm256_storeu_si256(to_all.add(half * 32).cast(), all[half]);
            _mm256_storeu_si256(to_high.add(half * 32).cast(), high[half]);
        }
    }
}

/// Adds the sums of both bytes of each word to the totals of their columns.
struct Total<'a> {
    partial: &'a Partial,
    totals: &'a mut [i32; WIDTH],
}

impl Kernel for Total<'_> {
    type Out = ();
    #[inline(always)]
    fn run<S: Simd>(self) {
        let Self { partial, totals } = self;
        let lines = totals.as_chunks_mut::<WORDS>().0.as_chunks_mut::<2>().0;
        for ((all, high), [low_totals, high_totals]) in
            partial.all.iter().zip(&partial.high).zip(lines)
        {
            for w in 0..WORDS {
                // What the high bytes added to the whole words, modulo 2^16.
                low_totals[w] += i32::from(all[w].wrapping_sub(high[w] << 8));
                high_totals[w] += i32::from(high[w]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use foretaste_core::{Csr, Rng};

    use super::*;
    use crate::kernels::levels;

    /// Rows of integers times a power of two for each column.
    fn matrix(n: usize, lowest: i32, highest: i32, rng: &mut Rng) -> Csr {
        let value = |j: u32, rng: &mut Rng| {
            let integer = lowest + rng.below((highest - lowest + 1) as usize) as i32;
            integer as f32 * two_to(j as i32 % 7 - 12)
        };
        let row = |rng: &mut Rng| {
            let columns = (0..n as u32).filter(|_| rng.f32() < 0.3).collect::<Vec<_>>();
            columns.into_iter().map(|j| (j, value(j, rng))).collect()
        };
        let rows: Vec<Vec<(u32, f32)>> = (0..n).map(|_| row(rng)).collect();
        Csr::from_rows(n, rows)
    }

    #[test]
    fn every_level_sums_up_what_additions_one_by_one_do() {
        let mut rng = Rng::new(4);
        for (n, lowest, highest) in [(300, 0, 255), (128, -128, 127), (40, 255, 255)] {
            let matrix = matrix(n, lowest, highest, &mut rng);
            let panels = Panels::of(matrix.view()).expect("such numbers");
            for n_rows in [0, 1, 50, 257, 258, 1000] {
                let rows: Vec<u32> = (0..n_rows).map(|_| rng.below(n) as u32).collect();
                let mut expected = vec![0f32; panels.n_panels() * WIDTH];
                for &row in &rows {
                    let (columns, values) = matrix.row(row as usize);
                    columns.iter().zip(values).for_each(|(&c, v)| expected[c as usize] += 0.5 * v);
                }
                for level in levels() {
                    for (panel, expected) in expected.as_chunks::<WIDTH>().0.iter().enumerate() {
                        let mut out = [7.0; WIDTH];
                        panels.sum_at(level, (panel, &rows), 0.5, &mut out);
                        assert_eq!(&out, expected, "{level:?}, {n} items, {n_rows} rows");
                        let one = panels.sum_of(panel * WIDTH + 7, &rows, 0.5);
                        assert_eq!(one, expected[7], "{n} items, {n_rows} rows");
                    }
                }
            }
        }
    }

    #[test]
    fn other_numbers_and_few_of_them_are_left_alone() {
        let mut rng = Rng::new(5);
        let mut finer = matrix(100, 1, 255, &mut rng);
        finer.values[3] *= 1.0 + f32::EPSILON;
        assert!(Panels::of(finer.view()).is_none());
        let mut far = matrix(100, -9, 9, &mut rng);
        far.values[3] = 1e20;
        assert!(Panels::of(far.view()).is_none(), "beyond whole numbers of 32 bits, too");
        let wide = matrix(100, 1, 256, &mut rng);
        assert!(Panels::of(wide.view()).is_none());
        let few = Csr::from_rows(100, (0..100).map(|i| vec![(i, 1.0)]));
        assert!(Panels::of(few.view()).is_none());
    }

    #[test]
    #[should_panic(expected = "beyond the matrix")]
    fn a_row_beyond_the_matrix_is_refused() {
        let panels = Panels::of(matrix(50, 0, 9, &mut Rng::new(1)).view()).expect("such numbers");
        panels.sum(0, &[50], 1.0, &mut [0.0; WIDTH]);
    }
}
