//! f32 vectors: the loops of [`super::simd`] as plain functions.

use super::simd::{self, Kernel, Simd, vectorised};

/// Sum of `a[i] * b[i]`.
///
/// # Panics
/// When the lengths differ.
#[inline]
pub fn dot(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len(), "vectors of one length");
    vectorised(Dot(a, b))
}

/// `y += factor * x`.
///
/// # Panics
/// When the lengths differ.
#[inline]
pub fn axpy(factor: f32, x: &[f32], y: &mut [f32]) {
    assert_eq!(x.len(), y.len(), "vectors of one length");
    vectorised(Axpy(factor, x, y));
}

/// `out[n] = query . row n`, for the rows of `rows` (row-major, of the query's length) that `picks`
/// names.
///
/// # Cost
/// One pass over the rows, four at a time; a row gives the same bits whatever rows are beside it.
///
/// # Panics
/// When there is not one output per pick, or a pick is beyond the rows.
pub fn dot_rows(query: &[f32], rows: &[f32], picks: &[u32], out: &mut [f32]) {
    assert_eq!(picks.len(), out.len(), "one output per row");
    vectorised(DotRows { query, rows, picks, out });
}

/// Rows between the one that is multiplied and the one that is fetched.
const AHEAD: usize = 16;

struct Dot<'a>(&'a [f32], &'a [f32]);

impl Kernel for Dot<'_> {
    type Out = f32;
    #[inline(always)]
    fn run<S: Simd>(self) -> f32 {
        simd::dot::<S>(self.0, self.1)
    }
}

struct Axpy<'a>(f32, &'a [f32], &'a mut [f32]);

impl Kernel for Axpy<'_> {
    type Out = ();
    #[inline(always)]
    fn run<S: Simd>(self) {
        simd::axpy::<S>(self.0, self.1, self.2);
    }
}

struct DotRows<'a> {
    query: &'a [f32],
    rows: &'a [f32],
    picks: &'a [u32],
    out: &'a mut [f32],
}

impl Kernel for DotRows<'_> {
    type Out = ();
    #[inline(always)]
    fn run<S: Simd>(self) {
        let Self { query, rows, picks, out } = self;
        let dims = query.len();
        for (at, (four, out)) in picks.chunks(4).zip(out.chunks_mut(4)).enumerate() {
            let ahead = picks.iter().skip(4 * at + AHEAD).take(4);
            ahead.for_each(|&pick| simd::prefetch(&rows[pick as usize * dims..][..dims]));
            let picks = four;
            let mut four = [&rows[picks[0] as usize * dims..][..dims]; 4];
            for (row, &pick) in four.iter_mut().zip(picks).skip(1) {
                *row = &rows[pick as usize * dims..][..dims];
            }
            out.copy_from_slice(&simd::dot4_any::<S>(four, query)[..picks.len()]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::levels;
    use crate::kernels::simd::vectorised_at;
    use foretaste_core::Rng;

    #[test]
    fn every_level_agrees_with_f64() {
        let mut rng = Rng::new(1);
        for n in [0, 1, 7, 16, 63, 64, 65, 200, 512] {
            let a: Vec<f32> = (0..n).map(|_| rng.normal() as f32).collect();
            let b: Vec<f32> = (0..n).map(|_| rng.normal() as f32).collect();
            let exact: f64 = a.iter().zip(&b).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum();
            for level in levels() {
                let found = f64::from(vectorised_at(level, Dot(&a, &b)));
                assert!((found - exact).abs() < 1e-4, "{level:?} n {n}: {found} {exact}");
                let mut y = b.clone();
                vectorised_at(level, Axpy(2.0, &a, &mut y));
                let close = |i: usize| (y[i] - (2.0 * a[i] + b[i])).abs() < 1e-5;
                assert!((0..n).all(close), "{level:?} axpy n {n}");
            }
        }
    }

    #[test]
    fn rows_give_the_same_bits_alone_and_together() {
        let mut rng = Rng::new(4);
        for dims in [1, 16, 24, 64, 100] {
            let rows: Vec<f32> = (0..dims * 9).map(|_| rng.normal() as f32).collect();
            let query: Vec<f32> = (0..dims).map(|_| rng.normal() as f32).collect();
            let picks = [8, 0, 3, 3, 5, 1, 7];
            for level in levels() {
                let mut out = [0f32; 7];
                let all = DotRows { query: &query, rows: &rows, picks: &picks, out: &mut out };
                vectorised_at(level, all);
                for (&pick, &found) in picks.iter().zip(&out) {
                    let mut alone = [0f32];
                    let picks = &[pick];
                    let one = DotRows { query: &query, rows: &rows, picks, out: &mut alone };
                    vectorised_at(level, one);
                    let row = &rows[pick as usize * dims..][..dims];
                    let exact: f32 = row.iter().zip(&query).map(|(x, y)| x * y).sum();
                    assert_eq!(found, alone[0], "{level:?} dims {dims}");
                    assert!((found - exact).abs() < 1e-4, "{level:?} dims {dims}");
                }
            }
        }
    }
}
