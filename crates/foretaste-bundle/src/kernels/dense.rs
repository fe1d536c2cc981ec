//! f32 vectors.

use super::{Level, level};

/// Sum of `a[i] * b[i]`.
///
/// # Panics
/// When the lengths differ.
#[inline]
pub fn dot(a: &[f32], b: &[f32]) -> f32 {
    dot_at(level(), a, b)
}

/// `y += factor * x`.
///
/// # Panics
/// When the lengths differ.
#[inline]
pub fn axpy(factor: f32, x: &[f32], y: &mut [f32]) {
    axpy_at(level(), factor, x, y);
}

#[inline]
fn dot_at(level: Level, a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len(), "vectors of one length");
    match level {
        // SAFETY: `level` is only ever one that was detected on this machine.
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 => unsafe { dot_avx512(a, b) },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 => unsafe { dot_avx2(a, b) },
        _ => dot_lanes::<16>(a, b),
    }
}

#[inline]
fn axpy_at(level: Level, factor: f32, x: &[f32], y: &mut [f32]) {
    assert_eq!(x.len(), y.len(), "vectors of one length");
    match level {
        // SAFETY: `level` is only ever one that was detected on this machine.
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 => unsafe { axpy_avx512(factor, x, y) },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 => unsafe { axpy_avx2(factor, x, y) },
        _ => axpy_loop(factor, x, y),
    }
}

/// Independent partial sums, so that the compiler can keep them in one register.
#[inline(always)]
fn dot_lanes<const N: usize>(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0f32; N];
    let (chunks_a, chunks_b) = (a.chunks_exact(N), b.chunks_exact(N));
    let rest: f32 = chunks_a.remainder().iter().zip(chunks_b.remainder()).map(|(x, y)| x * y).sum();
    for (x, y) in chunks_a.zip(chunks_b) {
        for lane in 0..N {
            lanes[lane] = x[lane].mul_add(y[lane], lanes[lane]);
        }
    }
    lanes.iter().sum::<f32>() + rest
}

#[inline(always)]
fn axpy_loop(factor: f32, x: &[f32], y: &mut [f32]) {
    y.iter_mut().zip(x).for_each(|(y, x)| *y = factor.mul_add(*x, *y));
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,fma")]
fn dot_avx512(a: &[f32], b: &[f32]) -> f32 {
    dot_lanes::<64>(a, b)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn dot_avx2(a: &[f32], b: &[f32]) -> f32 {
    dot_lanes::<32>(a, b)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,fma")]
fn axpy_avx512(factor: f32, x: &[f32], y: &mut [f32]) {
    axpy_loop(factor, x, y);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn axpy_avx2(factor: f32, x: &[f32], y: &mut [f32]) {
    axpy_loop(factor, x, y);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::levels;
    use foretaste_core::Rng;

    #[test]
    fn every_level_agrees_with_f64() {
        let mut rng = Rng::new(1);
        for n in [0, 1, 7, 16, 63, 64, 65, 200, 512] {
            let a: Vec<f32> = (0..n).map(|_| rng.normal() as f32).collect();
            let b: Vec<f32> = (0..n).map(|_| rng.normal() as f32).collect();
            let exact: f64 = a.iter().zip(&b).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum();
            for level in levels() {
                let found = f64::from(dot_at(level, &a, &b));
                assert!((found - exact).abs() < 1e-4, "{level:?} n {n}: {found} {exact}");
                let mut y = b.clone();
                axpy_at(level, 2.0, &a, &mut y);
                let close = |i: usize| (y[i] - (2.0 * a[i] + b[i])).abs() < 1e-5;
                assert!((0..n).all(close), "{level:?} axpy n {n}");
            }
        }
    }
}
