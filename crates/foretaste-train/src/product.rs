//! The one sparse kernel behind item-item, user-user and content: the largest entries of each row
//! of a product of two sparse matrices, without ever holding the product.

use foretaste_bundle::kernels::simd::{Kernel, LANES, Simd, vectorised};
use foretaste_core::Csr;
use rayon::prelude::{IntoParallelIterator, ParallelIterator};

use crate::gram;

/// Rows of the result that one task computes.
const ROWS_PER_TASK: usize = 32;

/// `value[r, j] = row_scale[r] * col_scale[j] * sum_u left[r, u] * right[u, j]`, all factors
/// positive; of each row the `k` largest are kept.
pub(crate) struct Product<'a> {
    /// Rows of the result x shared dimension.
    pub left: &'a Csr,
    /// Shared dimension x columns of the result.
    pub right: &'a Csr,
    /// True when every value of `right` is 1 and need not be read.
    pub unit_right: bool,
    pub row_scale: &'a [f32],
    pub col_scale: &'a [f32],
    pub k: usize,
    /// Leaves out the entry of row `r` at column `r`.
    pub skip_diagonal: bool,
}

impl Product<'_> {
    #[inline(always)]
    fn row_range(&self, u: u32) -> std::ops::Range<usize> {
        self.right.indptr[u as usize] as usize..self.right.indptr[u as usize + 1] as usize
    }
}

/// The `k` largest entries of all rows, each row in order of descending value, then ascending
/// column.
///
/// # Cost
/// One multiply-add per pair (entry of the left row, entry of the matching right row); per thread
/// one dense row.
pub(crate) fn top_k(product: &Product<'_>) -> Csr {
    let n_rows = product.left.n_rows();
    collect(product, n_rows, |r| r as u32)
}

/// As [`top_k`] for the given rows only, in the given order.
pub(crate) fn top_k_of(product: &Product<'_>, rows: &[u32]) -> Csr {
    collect(product, rows.len(), |r| rows[r])
}

/// Fetching the rows of `right` takes most of the time, so their columns are read as 16 bits where
/// that is enough.
fn collect(product: &Product<'_>, n: usize, row: impl Fn(usize) -> u32 + Sync) -> Csr {
    let columns = &product.right.indices;
    if product.right.n_cols <= 1 << 16 {
        let short: Vec<u16> = columns.iter().map(|&c| c as u16).collect();
        collect_with(product, &short, (n, row))
    } else {
        collect_with(product, columns, (n, row))
    }
}

/// Rows that [`top_k_of_gram`] takes out of the triangle at a time: a line of the cache each way.
const ROWS_OF_GRAM: usize = 16;

/// As [`top_k`] where the sums are those of a symmetric matrix, given by its upper triangle with
/// diagonal (n x n, row-major; see [`gram::upper`]).
///
/// # Cost
/// n^2 reads of the triangle, half of them by columns.
pub(crate) fn top_k_of_gram(product: &Product<'_>, upper: &[f32]) -> Csr {
    let n = product.right.n_cols;
    let parts: Vec<Csr> = (0..n.div_ceil(ROWS_OF_GRAM))
        .into_par_iter()
        .map_init(
            || (vec![0f32; ROWS_OF_GRAM * n], Selection::default()),
            |(block, best), task| {
                let rows = task * ROWS_OF_GRAM..n.min((task + 1) * ROWS_OF_GRAM);
                let block = &mut block[..rows.len() * n];
                gram::symmetric_rows(upper, n, rows.start, block);
                let mut part = Csr { n_cols: n, indptr: vec![0], ..Csr::default() };
                for (r, sums) in rows.zip(block.chunks_exact_mut(n)) {
                    best.scan(sums, product, r);
                    best.write(product.k, &mut part);
                }
                part
            },
        )
        .collect();
    concat(n, &parts)
}

/// Rows that [`top_k_onto`] computes at a time.
const ROWS_PER_BLOCK: usize = 128;

/// As [`top_k`] with `base(first row, rows)` added to the product before it is scaled; `rows` is a
/// zeroed block of whole rows. Kept are the largest values above 0 or, if `signed`, the largest
/// absolute values.
///
/// # Cost
/// That of [`top_k`], of `base`, and one dense block per thread.
pub(crate) fn top_k_onto(
    product: &Product<'_>,
    signed: bool,
    base: impl Fn(usize, &mut [f32]) + Sync,
) -> Csr {
    let (n_rows, n_cols) = (product.left.n_rows(), product.right.n_cols);
    let columns = &product.right.indices[..];
    let parts: Vec<Csr> = (0..n_rows.div_ceil(ROWS_PER_BLOCK))
        .into_par_iter()
        .map_init(
            || (Accumulator::new(n_cols, n_cols), vec![0f32; ROWS_PER_BLOCK * n_cols]),
            |(acc, block), task| {
                let rows = task * ROWS_PER_BLOCK..n_rows.min((task + 1) * ROWS_PER_BLOCK);
                let block = &mut block[..rows.len() * n_cols];
                block.fill(0.0);
                base(rows.start, block);
                let mut part = Csr { n_cols, indptr: vec![0], ..Csr::default() };
                for (r, values) in rows.zip(block.chunks_exact(n_cols)) {
                    acc.sums.copy_from_slice(values);
                    acc.add(product, columns, product.left.row(r));
                    match signed {
                        true => acc.select_signed(product, r, &mut part),
                        false => acc.select_from_sums(product, r, &mut part),
                    }
                }
                part
            },
        )
        .collect();
    concat(n_cols, &parts)
}

/// A column number of 16 or 32 bits.
pub(crate) trait Column: Copy + Sync {
    /// A dense row. With 2^16 sums, additions at columns of 16 bits need no check of bounds.
    type Sums: ?Sized;
    /// Length of a dense row of at least `n_cols` sums.
    fn width(n_cols: usize) -> usize;
    /// The row of this type in a slice of [`Self::width`] sums.
    fn of(sums: &mut [f32]) -> &mut Self::Sums;
    /// The column's sum.
    fn at(self, sums: &mut Self::Sums) -> &mut f32;
    fn index(self) -> usize;
}

const COLUMNS_16: usize = 1 << 16;

impl Column for u16 {
    type Sums = [f32; COLUMNS_16];
    fn width(_: usize) -> usize {
        COLUMNS_16
    }
    #[inline(always)]
    fn of(sums: &mut [f32]) -> &mut Self::Sums {
        sums.first_chunk_mut().expect("a row of the width of this type")
    }
    #[inline(always)]
    fn at(self, sums: &mut Self::Sums) -> &mut f32 {
        &mut sums[usize::from(self)]
    }
    #[inline(always)]
    fn index(self) -> usize {
        usize::from(self)
    }
}

impl Column for u32 {
    type Sums = [f32];
    fn width(n_cols: usize) -> usize {
        n_cols
    }
    #[inline(always)]
    fn of(sums: &mut [f32]) -> &mut Self::Sums {
        sums
    }
    #[inline(always)]
    fn at(self, sums: &mut Self::Sums) -> &mut f32 {
        &mut sums[self as usize]
    }
    #[inline(always)]
    fn index(self) -> usize {
        self as usize
    }
}

fn collect_with<C: Column>(
    product: &Product<'_>,
    columns: &[C],
    (n, row): (usize, impl Fn(usize) -> u32 + Sync),
) -> Csr {
    let n_cols = product.right.n_cols;
    let parts: Vec<Csr> = (0..n.div_ceil(ROWS_PER_TASK))
        .into_par_iter()
        .map_init(
            || Accumulator::new(n_cols, C::width(n_cols)),
            |acc, task| {
                let mut part = Csr { n_cols, indptr: vec![0], ..Csr::default() };
                for r in task * ROWS_PER_TASK..n.min((task + 1) * ROWS_PER_TASK) {
                    acc.row(product, columns, row(r) as usize, &mut part);
                }
                part
            },
        )
        .collect();
    concat(n_cols, &parts)
}

/// The rows of all parts, one part after the other.
pub(crate) fn concat(n_cols: usize, parts: &[Csr]) -> Csr {
    let nnz = parts.iter().map(Csr::nnz).sum();
    let mut all = Csr {
        n_cols,
        indptr: vec![0],
        indices: Vec::with_capacity(nnz),
        values: Vec::with_capacity(nnz),
    };
    for part in parts {
        let start = all.indices.len() as u64;
        all.indptr.extend(part.indptr[1..].iter().map(|&end| start + end));
        all.indices.extend_from_slice(&part.indices);
        all.values.extend_from_slice(&part.values);
    }
    all
}

/// One dense row, the columns touched in it, and the candidates of the selection.
struct Accumulator {
    sums: Vec<f32>,
    n_cols: usize,
    touched: Vec<u32>,
    best: Selection,
}

/// A value and its column as one integer: a greater key is a greater value or, among equal
/// values, a lower column. Values must be positive.
#[inline(always)]
fn key(value: f32, column: u32) -> u64 {
    u64::from(value.to_bits()) << 32 | u64::from(!column)
}

impl Accumulator {
    fn new(n_cols: usize, width: usize) -> Self {
        let sums = vec![0.0; width.max(n_cols)];
        Self { sums, n_cols, touched: vec![0; n_cols + 1], best: Selection::default() }
    }

    fn row<C: Column>(&mut self, product: &Product<'_>, columns: &[C], r: usize, out: &mut Csr) {
        let (us, ws) = product.left.row(r);
        let ends = &product.right.indptr;
        let work: u64 = us.iter().map(|&u| ends[u as usize + 1] - ends[u as usize]).sum();
        if work as usize * 4 < self.n_cols {
            let n = self.add_tracked(product, columns, (us, ws));
            self.select_touched(product, r, n);
            self.best.write(product.k, out);
        } else {
            self.add(product, columns, (us, ws));
            self.select_from_sums(product, r, out);
        }
    }

    /// Writes the best of the whole dense row and clears it.
    fn select_from_sums(&mut self, product: &Product<'_>, r: usize, out: &mut Csr) {
        self.best.scan(&mut self.sums[..self.n_cols], product, r);
        self.best.write(product.k, out);
    }

    /// Writes the entries of largest absolute value and clears the row.
    fn select_signed(&mut self, product: &Product<'_>, r: usize, out: &mut Csr) {
        if product.skip_diagonal {
            self.sums[r] = 0.0;
        }
        let scaled = |(j, (s, c)): (usize, (&f32, &f32))| (j as u32, s * c * product.row_scale[r]);
        let row = self.sums.iter().zip(product.col_scale).enumerate().map(scaled).collect();
        out.push_row(crate::ease::largest(row, product.k));
        self.sums.fill(0.0);
    }

    /// Adds up the row and remembers which columns it touched.
    fn add_tracked<C: Column>(
        &mut self,
        product: &Product<'_>,
        columns: &[C],
        (us, ws): (&[u32], &[f32]),
    ) -> usize {
        let (sums, touched, mut n) = (C::of(&mut self.sums), &mut self.touched[..], 0);
        for (&u, &w) in us.iter().zip(ws) {
            let range = product.row_range(u);
            let (cols, vals) = (&columns[range.clone()], &product.right.values[range]);
            let mut add = |j: C, v: f32| {
                let sum = j.at(sums);
                touched[n] = j.index() as u32;
                n += usize::from(*sum == 0.0);
                *sum += v;
            };
            match product.unit_right {
                true => cols.iter().for_each(|&j| add(j, w)),
                false => cols.iter().zip(vals).for_each(|(&j, &v)| add(j, w * v)),
            }
        }
        n
    }

    fn select_touched(&mut self, product: &Product<'_>, r: usize, n: usize) {
        let scale = product.row_scale[r];
        for &j in &self.touched[..n] {
            let sum = std::mem::take(&mut self.sums[j as usize]);
            let value = sum * product.col_scale[j as usize] * scale;
            if value > 0.0 && !(product.skip_diagonal && j as usize == r) {
                self.best.keys.push(key(value, j));
            }
        }
    }

    fn add<C: Column>(&mut self, product: &Product<'_>, columns: &[C], (us, ws): (&[u32], &[f32])) {
        let sums = C::of(&mut self.sums);
        for (&u, &w) in us.iter().zip(ws) {
            let range = product.row_range(u);
            let (cols, vals) = (&columns[range.clone()], &product.right.values[range]);
            match product.unit_right {
                true => add_unit(cols, w, sums),
                false => add_scaled((cols, vals), w, sums),
            }
        }
    }
}

/// Candidates of the selection of one row.
#[derive(Default)]
struct Selection {
    keys: Vec<u64>,
    maxima: Vec<f32>,
}

impl Selection {
    /// Takes from a dense row of sums what may be among its best, and clears it.
    fn scan(&mut self, sums: &mut [f32], product: &Product<'_>, r: usize) {
        if product.skip_diagonal {
            sums[r] = 0.0;
        }
        let &Product { col_scale, k, .. } = product;
        vectorised(Scan { sums, scale: product.row_scale[r], col_scale, k, best: self });
    }

    /// Writes a row of the `k` best and clears them.
    fn write(&mut self, k: usize, out: &mut Csr) {
        let keys = &mut self.keys;
        cut(keys, k);
        keys.sort_unstable_by(|a, b| b.cmp(a));
        out.push_row(keys.drain(..).map(|k| (!(k as u32), f32::from_bits((k >> 32) as u32))));
    }
}

/// Scales a whole row, takes what may be among its `k` best and clears it.
///
/// The values are looked at as groups, one per lane of every few vectors: the k-th largest of the
/// groups' maxima is a bound that at least `k` values reach, and not many more do.
struct Scan<'a> {
    sums: &'a mut [f32],
    scale: f32,
    col_scale: &'a [f32],
    k: usize,
    best: &'a mut Selection,
}

impl Kernel for Scan<'_> {
    type Out = ();
    #[inline(always)]
    fn run<S: Simd>(self) {
        let Self { sums, scale, col_scale, k, best: Selection { keys, maxima } } = self;
        maxima.clear();
        let together = LANES * (sums.len() / (2 * k.max(1))).clamp(1, 16);
        for (sums, col_scale) in sums.chunks_mut(together).zip(col_scale.chunks(together)) {
            sums.iter_mut().zip(col_scale).for_each(|(s, c)| *s = *s * c * scale);
            let (vectors, rest) = sums.as_chunks::<LANES>();
            let mut most = [0f32; LANES];
            for v in vectors {
                most = std::array::from_fn(|l| if v[l] > most[l] { v[l] } else { most[l] });
            }
            maxima.extend_from_slice(&most);
            maxima.extend_from_slice(rest);
        }
        let threshold = bound(maxima, k);
        let (vectors, rest) = sums.as_chunks::<LANES>();
        for (b, vector) in vectors.iter().enumerate() {
            let mut reach = S::at_least(S::load(vector), S::splat(threshold));
            while reach != 0 {
                let at = reach.trailing_zeros() as usize;
                reach &= reach - 1;
                keys.push(key(vector[at], (b * LANES + at) as u32));
            }
        }
        for (at, &value) in rest.iter().enumerate().filter(|&(_, &value)| value >= threshold) {
            keys.push(key(value, (vectors.len() * LANES + at) as u32));
        }
        sums.fill(0.0);
    }
}

/// The k-th largest of `maxima`, or the least positive number where it is 0 or there are fewer.
fn bound(maxima: &mut [f32], k: usize) -> f32 {
    const LEAST: f32 = f32::from_bits(1);
    if k == 0 || k > maxima.len() {
        return LEAST;
    }
    let (_, kth, _) = maxima.select_nth_unstable_by(k - 1, |a, b| b.total_cmp(a));
    kth.max(LEAST)
}

/// Adds `w` at every column; eight at a time, which leaves little but the additions.
#[inline(always)]
pub(crate) fn add_unit<C: Column>(cols: &[C], w: f32, sums: &mut C::Sums) {
    let (eights, rest) = cols.as_chunks::<8>();
    for eight in eights {
        eight.iter().for_each(|&j| *j.at(sums) += w);
    }
    rest.iter().for_each(|&j| *j.at(sums) += w);
}

/// Adds `w` times each value at its column.
#[inline(always)]
pub(crate) fn add_scaled<C: Column>((cols, vals): (&[C], &[f32]), w: f32, sums: &mut C::Sums) {
    cols.iter().zip(vals).for_each(|(&j, &v)| *j.at(sums) += w * v);
}

/// Keeps the `k` greatest keys.
fn cut(keys: &mut Vec<u64>, k: usize) {
    if keys.len() > k && k > 0 {
        keys.select_nth_unstable_by(k - 1, |a, b| b.cmp(a));
    }
    keys.truncate(k);
}

#[cfg(test)]
mod tests {
    use foretaste_core::planted;

    use super::*;

    fn naive(p: &Product<'_>, r: usize) -> Vec<(u32, f32)> {
        let mut sums = vec![0f32; p.right.n_cols];
        let (us, ws) = p.left.row(r);
        for (&u, &w) in us.iter().zip(ws) {
            let (cols, vals) = p.right.row(u as usize);
            cols.iter().zip(vals).for_each(|(&j, &v)| sums[j as usize] += w * v);
        }
        let scaled = |(j, &s): (usize, &f32)| (j as u32, s * p.col_scale[j] * p.row_scale[r]);
        let mut all: Vec<_> = sums.iter().enumerate().map(scaled).collect();
        all.retain(|&(j, v)| v > 0.0 && !(p.skip_diagonal && j as usize == r));
        all.sort_by(foretaste_core::topk::by_rank);
        all.truncate(p.k);
        all
    }

    #[test]
    fn sparse_and_dense_rows_equal_the_plain_product() {
        for (n_users, n_items, inside) in
            [(60, 40, 0.9), (300, 70, 0.9), (900, 100, 0.9), (60, 3000, 0.01)]
        {
            let right = planted::groups((n_users, n_items, 3), (inside, 0.002), 4);
            let left = right.transpose();
            let scale: Vec<f32> = (0..n_items).map(|j| 1.0 / (1 + j % 7) as f32).collect();
            for (k, skip_diagonal) in [(5, true), (700, false)] {
                let product = Product {
                    left: &left,
                    right: &right,
                    unit_right: true,
                    row_scale: &scale,
                    col_scale: &scale,
                    k,
                    skip_diagonal,
                };
                let top = top_k(&product);
                for r in 0..n_items {
                    let (js, vs) = top.row(r);
                    let row: Vec<_> = js.iter().copied().zip(vs.iter().copied()).collect();
                    assert_eq!(row, naive(&product, r), "row {r}");
                }
                let some = top_k_of(&product, &[7, 3]);
                assert_eq!((some.row(0), some.row(1)), (top.row(7), top.row(3)));
            }
        }
    }
}
