//! The inner loops that decide how long training takes, compiled once per instruction set.
//!
//! A loop is written as a [`Kernel`] in safe Rust over arrays of [`LANES`] values, which the
//! compiler vectorises; [`vectorised`] runs it in the widest version that the processor has. The
//! order of operations is the same in every version; AVX2, AVX-512 and NEON give the same bits.
//! The only `unsafe` code of this crate is the two calls in [`vectorised`].

/// Width of the accumulators. Fixed, so that results do not depend on the vector width.
pub(crate) const LANES: usize = 16;

/// A computation to be compiled for several instruction sets.
pub(crate) trait Kernel {
    /// What it returns.
    type Out;
    /// Must be `#[inline(always)]`, as must be all it calls in its hot part. `FMA` says whether a
    /// fused multiply-add is one instruction.
    fn run<const FMA: bool>(self) -> Self::Out;
}

/// Runs `kernel` compiled for the best instruction set of this processor.
#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code)]
pub(crate) fn vectorised<K: Kernel>(kernel: K) -> K::Out {
    #[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw,fma,bmi2")]
    fn avx512<K: Kernel>(kernel: K) -> K::Out {
        kernel.run::<true>()
    }
    #[target_feature(enable = "avx2,fma,bmi2")]
    fn avx2<K: Kernel>(kernel: K) -> K::Out {
        kernel.run::<true>()
    }
    let has_avx2 = is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("fma")
        && is_x86_feature_detected!("bmi2");
    let has_avx512 = is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx512bw");
    if has_avx2 && has_avx512 {
        // SAFETY: every feature that the function enables has just been detected.
        unsafe { avx512(kernel) }
    } else if has_avx2 {
        // SAFETY: every feature that the function enables has just been detected.
        unsafe { avx2(kernel) }
    } else {
        kernel.run::<false>()
    }
}

/// Runs `kernel` for this processor.
#[cfg(not(target_arch = "x86_64"))]
pub(crate) fn vectorised<K: Kernel>(kernel: K) -> K::Out {
    kernel.run::<{ cfg!(target_arch = "aarch64") }>()
}

/// `a * b + c`.
#[inline(always)]
pub(crate) fn fma<const FMA: bool>(a: f32, b: f32, c: f32) -> f32 {
    if FMA { a.mul_add(b, c) } else { a * b + c }
}

/// Sum of the lanes by a fixed tree.
#[inline(always)]
pub(crate) fn sum_lanes(v: [f32; LANES]) -> f32 {
    let mut s = v;
    let mut width = LANES / 2;
    while width > 0 {
        for l in 0..width {
            s[l] += s[l + width];
        }
        width /= 2;
    }
    s[0]
}

/// Inner product.
#[inline(always)]
pub(crate) fn dot<const FMA: bool>(a: &[f32], b: &[f32]) -> f32 {
    let (a_blocks, a_rest) = a.as_chunks::<LANES>();
    let (b_blocks, b_rest) = b.as_chunks::<LANES>();
    let mut acc = [0f32; LANES];
    for (x, y) in a_blocks.iter().zip(b_blocks) {
        for l in 0..LANES {
            acc[l] = fma::<FMA>(x[l], y[l], acc[l]);
        }
    }
    let rest = a_rest.iter().zip(b_rest).fold(0.0, |s, (&x, &y)| fma::<FMA>(x, y, s));
    sum_lanes(acc) + rest
}

/// `y += a * x`.
#[inline(always)]
pub(crate) fn axpy<const FMA: bool>(a: f32, x: &[f32], y: &mut [f32]) {
    for (y, &x) in y.iter_mut().zip(x) {
        *y = fma::<FMA>(a, x, *y);
    }
}

/// Inner products of four rows with one vector; the lengths must be equal multiples of [`LANES`].
#[inline(always)]
pub(crate) fn dot4<const FMA: bool>(rows: [&[f32]; 4], p: &[f32]) -> [f32; 4] {
    let (p_blocks, _) = p.as_chunks::<LANES>();
    let n = p_blocks.len();
    let [r0, r1, r2, r3] = rows.map(|r| &r.as_chunks::<LANES>().0[..n]);
    let mut acc = [[0f32; LANES]; 4];
    for c in 0..n {
        let p = &p_blocks[c];
        for l in 0..LANES {
            acc[0][l] = fma::<FMA>(r0[c][l], p[l], acc[0][l]);
            acc[1][l] = fma::<FMA>(r1[c][l], p[l], acc[1][l]);
            acc[2][l] = fma::<FMA>(r2[c][l], p[l], acc[2][l]);
            acc[3][l] = fma::<FMA>(r3[c][l], p[l], acc[3][l]);
        }
    }
    acc.map(sum_lanes)
}

/// `o += sum t_r * row_r` for four rows; the lengths must be equal multiples of [`LANES`].
#[inline(always)]
pub(crate) fn axpy4<const FMA: bool>(t: [f32; 4], rows: [&[f32]; 4], o: &mut [f32]) {
    let (o_blocks, _) = o.as_chunks_mut::<LANES>();
    let n = o_blocks.len();
    let [r0, r1, r2, r3] = rows.map(|r| &r.as_chunks::<LANES>().0[..n]);
    for c in 0..n {
        let o = &mut o_blocks[c];
        for l in 0..LANES {
            let first = fma::<FMA>(t[1], r1[c][l], fma::<FMA>(t[0], r0[c][l], o[l]));
            o[l] = fma::<FMA>(t[3], r3[c][l], fma::<FMA>(t[2], r2[c][l], first));
        }
    }
}

/// Inner product of any two vectors, as one call.
pub(crate) struct Dot<'a>(pub &'a [f32], pub &'a [f32]);

impl Kernel for Dot<'_> {
    type Out = f32;
    #[inline(always)]
    fn run<const FMA: bool>(self) -> f32 {
        dot::<FMA>(self.0, self.1)
    }
}

#[cfg(test)]
mod tests {
    use foretaste_core::Rng;

    use super::*;

    #[test]
    fn every_length_gives_the_inner_product() {
        let mut rng = Rng::new(1);
        for n in [0, 1, 15, 16, 17, 64, 100] {
            let a: Vec<f32> = (0..n).map(|_| rng.f32()).collect();
            let b: Vec<f32> = (0..n).map(|_| rng.f32()).collect();
            let expected: f64 = a.iter().zip(&b).map(|(&x, &y)| f64::from(x) * f64::from(y)).sum();
            assert!((f64::from(vectorised(Dot(&a, &b))) - expected).abs() < 1e-4);
            assert!((f64::from(dot::<false>(&a, &b)) - expected).abs() < 1e-4);
        }
    }

    #[test]
    fn four_rows_at_a_time_equal_one_at_a_time() {
        let mut rng = Rng::new(2);
        let rows: Vec<Vec<f32>> = (0..4).map(|_| (0..32).map(|_| rng.f32()).collect()).collect();
        let p: Vec<f32> = (0..32).map(|_| rng.f32()).collect();
        let views = [&rows[0][..], &rows[1], &rows[2], &rows[3]];
        let t = dot4::<false>(views, &p);
        let (mut one, mut four) = (p.clone(), p.clone());
        for r in 0..4 {
            assert_eq!(t[r], dot::<false>(views[r], &p));
            axpy::<false>(t[r], views[r], &mut one);
        }
        axpy4::<false>(t, views, &mut four);
        assert_eq!(one, four);
    }
}
