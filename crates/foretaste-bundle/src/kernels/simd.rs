//! Loops over f32 vectors, written once and compiled once per instruction set.
//!
//! A loop is a [`Kernel`] over vectors of [`LANES`] values; [`vectorised`] runs it with the widest
//! instructions of the processor. The order of operations is the same in every version, and the
//! versions with fused multiply-add (AVX2, AVX-512, NEON) give the same bits.

use super::{Level, level};

/// Values per vector. Fixed, so that results do not depend on the width of the registers.
pub const LANES: usize = 16;

/// Operations on vectors of [`LANES`] values.
pub trait Simd: Copy {
    /// A vector.
    type V: Copy;
    /// Vectors that fit into the registers, one or two left for operands.
    const REGISTERS: usize;
    /// `x` in every lane.
    fn splat(x: f32) -> Self::V;
    /// The values of an array.
    fn load(from: &[f32; LANES]) -> Self::V;
    /// Writes the values to an array.
    fn store(v: Self::V, to: &mut [f32; LANES]);
    /// `a * b + c`.
    fn mul_add(a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// The sums of four vectors, each `((s0+s1)+(s2+s3)) + ((s4+s5)+(s6+s7))`, `s_l = v_l +
    /// v_(l+8)`.
    fn sum4(v: [Self::V; 4]) -> [f32; 4];
    /// One bit per lane: `a >= b`.
    fn at_least(a: Self::V, b: Self::V) -> u16;
    /// The larger of `a` and `b` in lanes whose bit is set (`b` where `a` is NaN), else `b`.
    fn max_where(bits: u16, a: Self::V, b: Self::V) -> Self::V;
    /// `a * b + c` of single values.
    fn fma(a: f32, b: f32, c: f32) -> f32;
}

/// A computation to be compiled for several instruction sets.
pub trait Kernel {
    /// What it returns.
    type Out;
    /// Must be `#[inline(always)]`, as must be all it calls in its hot part.
    fn run<S: Simd>(self) -> Self::Out;
}

/// Plain arrays, for processors without a version of their own.
#[derive(Clone, Copy)]
pub(super) struct Plain<const FMA: bool>;

impl<const FMA: bool> Simd for Plain<FMA> {
    type V = [f32; LANES];
    const REGISTERS: usize = 6;
    #[inline(always)]
    fn splat(x: f32) -> Self::V {
        [x; LANES]
    }
    #[inline(always)]
    fn load(from: &[f32; LANES]) -> Self::V {
        *from
    }
    #[inline(always)]
    fn store(v: Self::V, to: &mut [f32; LANES]) {
        *to = v;
    }
    #[inline(always)]
    fn mul_add(a: Self::V, b: Self::V, c: Self::V) -> Self::V {
        std::array::from_fn(|l| Self::fma(a[l], b[l], c[l]))
    }
    #[inline(always)]
    fn sum4(v: [Self::V; 4]) -> [f32; 4] {
        v.map(|v| {
            let s: [f32; 8] = std::array::from_fn(|l| v[l] + v[l + 8]);
            ((s[0] + s[1]) + (s[2] + s[3])) + ((s[4] + s[5]) + (s[6] + s[7]))
        })
    }
    #[inline(always)]
    fn at_least(a: Self::V, b: Self::V) -> u16 {
        (0..LANES).fold(0, |mask, l| mask | u16::from(a[l] >= b[l]) << l)
    }
    #[inline(always)]
    fn max_where(bits: u16, a: Self::V, b: Self::V) -> Self::V {
        let larger = |l: usize| bits >> l & 1 == 1 && a[l] > b[l];
        std::array::from_fn(|l| if larger(l) { a[l] } else { b[l] })
    }
    #[inline(always)]
    fn fma(a: f32, b: f32, c: f32) -> f32 {
        if FMA { a.mul_add(b, c) } else { a * b + c }
    }
}

/// Runs `kernel` compiled for the best instruction set of this processor.
#[inline]
pub fn vectorised<K: Kernel>(kernel: K) -> K::Out {
    vectorised_at(level(), kernel)
}

/// As [`vectorised`] for one of the levels that were detected on this processor.
#[inline]
pub(super) fn vectorised_at<K: Kernel>(level: Level, kernel: K) -> K::Out {
    match level {
        // SAFETY: `level` is only ever one that was detected on this machine.
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 => unsafe { x86::avx512(kernel) },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 => unsafe { x86::avx2(kernel) },
        _ => kernel.run::<Plain<{ cfg!(target_arch = "aarch64") }>>(),
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::{
        __m256, __m512, _CMP_GE_OQ, _mm_add_ps, _mm_storeu_ps, _mm256_add_ps, _mm256_and_si256,
        _mm256_blendv_ps, _mm256_castps256_ps128, _mm256_castsi256_ps, _mm256_cmp_ps,
        _mm256_cmpeq_epi32, _mm256_extractf128_ps, _mm256_fmadd_ps, _mm256_hadd_ps,
        _mm256_loadu_ps, _mm256_max_ps, _mm256_movemask_ps, _mm256_set1_epi32, _mm256_set1_ps,
        _mm256_setr_epi32, _mm256_storeu_ps, _mm512_castps512_ps256, _mm512_cmp_ps_mask,
        _mm512_extractf32x8_ps, _mm512_fmadd_ps, _mm512_loadu_ps, _mm512_mask_max_ps,
        _mm512_set1_ps, _mm512_storeu_ps,
    };

    use super::{Kernel, LANES, Simd};

    #[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw,fma,bmi2")]
    pub(super) fn avx512<K: Kernel>(kernel: K) -> K::Out {
        kernel.run::<Avx512>()
    }

    #[target_feature(enable = "avx2,fma,bmi2")]
    pub(super) fn avx2<K: Kernel>(kernel: K) -> K::Out {
        kernel.run::<Avx2>()
    }

    /// Only [`avx512`] names this type, which runs only where AVX-512 was detected.
    #[derive(Clone, Copy)]
    pub(super) struct Avx512;
    /// Only [`avx2`] names this type, which runs only where AVX2 and FMA were detected.
    #[derive(Clone, Copy)]
    pub(super) struct Avx2;

    impl Simd for Avx512 {
        type V = __m512;
        const REGISTERS: usize = 30;
        #[inline(always)]
        fn splat(x: f32) -> __m512 {
            // SAFETY: see the type.
            unsafe { _mm512_set1_ps(x) }
        }
        #[inline(always)]
        fn load(from: &[f32; LANES]) -> __m512 {
            // SAFETY: see the type; the array has the 16 values that are read.
            unsafe { _mm512_loadu_ps(from.as_ptr()) }
        }
        #[inline(always)]
        fn store(v: __m512, to: &mut [f32; LANES]) {
            // SAFETY: see the type; the array has room for the 16 values.
            unsafe { _mm512_storeu_ps(to.as_mut_ptr(), v) }
        }
        #[inline(always)]
        fn mul_add(a: __m512, b: __m512, c: __m512) -> __m512 {
            // SAFETY: see the type.
            unsafe { _mm512_fmadd_ps(a, b, c) }
        }
        #[inline(always)]
        fn sum4(v: [__m512; 4]) -> [f32; 4] {
            v_sum4([half(v[0]), half(v[1]), half(v[2]), half(v[3])])
        }
        #[inline(always)]
        fn at_least(a: __m512, b: __m512) -> u16 {
            // SAFETY: see the type.
            unsafe { _mm512_cmp_ps_mask::<_CMP_GE_OQ>(a, b) }
        }
        #[inline(always)]
        fn max_where(bits: u16, a: __m512, b: __m512) -> __m512 {
            // SAFETY: see the type.
            unsafe { _mm512_mask_max_ps(b, bits, a, b) }
        }
        #[inline(always)]
        fn fma(a: f32, b: f32, c: f32) -> f32 {
            a.mul_add(b, c)
        }
    }

    impl Simd for Avx2 {
        type V = [__m256; 2];
        const REGISTERS: usize = 6;
        #[inline(always)]
        fn splat(x: f32) -> Self::V {
            // SAFETY: see the type.
            [unsafe { _mm256_set1_ps(x) }; 2]
        }
        #[inline(always)]
        fn load(from: &[f32; LANES]) -> Self::V {
            // SAFETY: see the type; both halves of the array have the 8 values that are read.
            unsafe { [_mm256_loadu_ps(from.as_ptr()), _mm256_loadu_ps(from[8..].as_ptr())] }
        }
        #[inline(always)]
        fn store(v: Self::V, to: &mut [f32; LANES]) {
            // SAFETY: see the type; both halves of the array have room for the 8 values.
            unsafe {
                _mm256_storeu_ps(to.as_mut_ptr(), v[0]);
                _mm256_storeu_ps(to[8..].as_mut_ptr(), v[1]);
            }
        }
        #[inline(always)]
        fn mul_add(a: Self::V, b: Self::V, c: Self::V) -> Self::V {
            // SAFETY: see the type.
            unsafe { [_mm256_fmadd_ps(a[0], b[0], c[0]), _mm256_fmadd_ps(a[1], b[1], c[1])] }
        }
        #[inline(always)]
        fn sum4(v: [Self::V; 4]) -> [f32; 4] {
            // SAFETY: see the type.
            unsafe {
                v_sum4([
                    _mm256_add_ps(v[0][0], v[0][1]),
                    _mm256_add_ps(v[1][0], v[1][1]),
                    _mm256_add_ps(v[2][0], v[2][1]),
                    _mm256_add_ps(v[3][0], v[3][1]),
                ])
            }
        }
        #[inline(always)]
        fn at_least(a: Self::V, b: Self::V) -> u16 {
            // SAFETY: see the type.
            unsafe {
                let low = _mm256_movemask_ps(_mm256_cmp_ps::<_CMP_GE_OQ>(a[0], b[0]));
                let high = _mm256_movemask_ps(_mm256_cmp_ps::<_CMP_GE_OQ>(a[1], b[1]));
                (low | high << 8) as u16
            }
        }
        #[inline(always)]
        fn max_where(bits: u16, a: Self::V, b: Self::V) -> Self::V {
            // SAFETY: see the type.
            unsafe {
                let each = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
                let of = |bits: u16, a: __m256, b: __m256| {
                    let set = _mm256_and_si256(_mm256_set1_epi32(i32::from(bits)), each);
                    let set = _mm256_castsi256_ps(_mm256_cmpeq_epi32(set, each));
                    _mm256_blendv_ps(b, _mm256_max_ps(a, b), set)
                };
                [of(bits, a[0], b[0]), of(bits >> 8, a[1], b[1])]
            }
        }
        #[inline(always)]
        fn fma(a: f32, b: f32, c: f32) -> f32 {
            a.mul_add(b, c)
        }
    }

    /// The sum of the two halves.
    #[inline(always)]
    fn half(v: __m512) -> __m256 {
        // SAFETY: called by `Avx512` only.
        unsafe { _mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps::<1>(v)) }
    }

    /// Sums of four vectors of eight.
    #[inline(always)]
    fn v_sum4([a, b, c, d]: [__m256; 4]) -> [f32; 4] {
        let mut out = [0f32; 4];
        // SAFETY: called by the two types above only; the array has room for four values.
        unsafe {
            let pairs = _mm256_hadd_ps(_mm256_hadd_ps(a, b), _mm256_hadd_ps(c, d));
            let (low, high) = (_mm256_castps256_ps128(pairs), _mm256_extractf128_ps::<1>(pairs));
            _mm_storeu_ps(out.as_mut_ptr(), _mm_add_ps(low, high));
        }
        out
    }
}

/// Asks the processor to bring `values` near; a hint without effect on results.
#[inline(always)]
pub fn prefetch<T>(values: &[T]) {
    #[cfg(target_arch = "x86_64")]
    for line in (0..size_of_val(values)).step_by(64) {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: prefetching reads nothing that the program could see, and the address is within
        // the slice.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(values.as_ptr().cast::<i8>().add(line)) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = values;
}

/// Inner product.
#[inline(always)]
pub fn dot<S: Simd>(a: &[f32], b: &[f32]) -> f32 {
    let (a_blocks, a_rest) = a.as_chunks::<LANES>();
    let (b_blocks, b_rest) = b.as_chunks::<LANES>();
    let zero = S::splat(0.0);
    let mut acc = [zero; 2];
    let (a_pairs, a_last) = a_blocks.as_chunks::<2>();
    let (b_pairs, b_last) = b_blocks.as_chunks::<2>();
    for (x, y) in a_pairs.iter().zip(b_pairs) {
        acc[0] = S::mul_add(S::load(&x[0]), S::load(&y[0]), acc[0]);
        acc[1] = S::mul_add(S::load(&x[1]), S::load(&y[1]), acc[1]);
    }
    for (x, y) in a_last.iter().zip(b_last) {
        acc[0] = S::mul_add(S::load(x), S::load(y), acc[0]);
    }
    let rest = a_rest.iter().zip(b_rest).fold(0.0, |s, (&x, &y)| S::fma(x, y, s));
    let [first, second, ..] = S::sum4([acc[0], acc[1], zero, zero]);
    first + second + rest
}

/// `y += a * x`.
#[inline(always)]
pub fn axpy<S: Simd>(a: f32, x: &[f32], y: &mut [f32]) {
    for (y, &x) in y.iter_mut().zip(x) {
        *y = S::fma(a, x, *y);
    }
}

/// Inner products of four rows with one vector; the lengths must be equal multiples of [`LANES`].
#[inline(always)]
pub fn dot4<S: Simd>(rows: [&[f32]; 4], p: &[f32]) -> [f32; 4] {
    let (p, _) = p.as_chunks::<LANES>();
    let [r0, r1, r2, r3] = blocks(rows, p.len());
    let zero = S::splat(0.0);
    let (mut a0, mut a1, mut a2, mut a3) = (zero, zero, zero, zero);
    for c in 0..p.len() {
        let p = S::load(&p[c]);
        a0 = S::mul_add(S::load(&r0[c]), p, a0);
        a1 = S::mul_add(S::load(&r1[c]), p, a1);
        a2 = S::mul_add(S::load(&r2[c]), p, a2);
        a3 = S::mul_add(S::load(&r3[c]), p, a3);
    }
    S::sum4([a0, a1, a2, a3])
}

/// As [`dot4`] for any length: a row's product does not depend on the rows beside it.
#[inline(always)]
pub fn dot4_any<S: Simd>(rows: [&[f32]; 4], p: &[f32]) -> [f32; 4] {
    let whole = p.len() / LANES * LANES;
    let heads = [&rows[0][..whole], &rows[1][..whole], &rows[2][..whole], &rows[3][..whole]];
    let mut sums = dot4::<S>(heads, &p[..whole]);
    for (sum, row) in sums.iter_mut().zip(rows) {
        for (&x, &y) in row[whole..].iter().zip(&p[whole..]) {
            *sum = S::fma(x, y, *sum);
        }
    }
    sums
}

/// `o += sum t_r * row_r` for four rows; the lengths must be equal multiples of [`LANES`].
#[inline(always)]
pub fn axpy4<S: Simd>(t: [f32; 4], rows: [&[f32]; 4], o: &mut [f32]) {
    let (o, _) = o.as_chunks_mut::<LANES>();
    let [r0, r1, r2, r3] = blocks(rows, o.len());
    let (t0, t1, t2, t3) = (S::splat(t[0]), S::splat(t[1]), S::splat(t[2]), S::splat(t[3]));
    for c in 0..o.len() {
        let sum = S::mul_add(t0, S::load(&r0[c]), S::load(&o[c]));
        let sum = S::mul_add(t1, S::load(&r1[c]), sum);
        let sum = S::mul_add(t2, S::load(&r2[c]), sum);
        S::store(S::mul_add(t3, S::load(&r3[c]), sum), &mut o[c]);
    }
}

/// The first `n` blocks of each of four rows. (A closure would not be inlined into a function
/// with more instructions than its own; hence no `map` here and above.)
#[inline(always)]
fn blocks(rows: [&[f32]; 4], n: usize) -> [&[[f32; LANES]]; 4] {
    [
        &rows[0].as_chunks().0[..n],
        &rows[1].as_chunks().0[..n],
        &rows[2].as_chunks().0[..n],
        &rows[3].as_chunks().0[..n],
    ]
}

#[cfg(test)]
mod tests {
    use foretaste_core::Rng;

    use super::*;

    struct Dot<'a>(&'a [f32], &'a [f32]);

    impl Kernel for Dot<'_> {
        type Out = f32;
        #[inline(always)]
        fn run<S: Simd>(self) -> f32 {
            dot::<S>(self.0, self.1)
        }
    }

    struct Four<'a>([&'a [f32]; 4], Vec<f32>);

    impl Kernel for Four<'_> {
        type Out = ([f32; 4], Vec<f32>);
        #[inline(always)]
        fn run<S: Simd>(mut self) -> Self::Out {
            let t = dot4::<S>(self.0, &self.1);
            axpy4::<S>(t, self.0, &mut self.1);
            (t, self.1)
        }
    }

    #[test]
    fn every_length_gives_the_inner_product() {
        let mut rng = Rng::new(1);
        for n in [0, 1, 15, 16, 17, 64, 100] {
            let a: Vec<f32> = (0..n).map(|_| rng.f32()).collect();
            let b: Vec<f32> = (0..n).map(|_| rng.f32()).collect();
            let expected: f64 = a.iter().zip(&b).map(|(&x, &y)| f64::from(x) * f64::from(y)).sum();
            assert!((f64::from(vectorised(Dot(&a, &b))) - expected).abs() < 1e-4);
            assert!((f64::from(dot::<Plain<false>>(&a, &b)) - expected).abs() < 1e-4);
        }
    }

    #[test]
    fn every_instruction_set_gives_the_same_bits() {
        let mut rng = Rng::new(2);
        let rows: Vec<Vec<f32>> = (0..4).map(|_| (0..48).map(|_| rng.f32()).collect()).collect();
        let p: Vec<f32> = (0..48).map(|_| rng.f32()).collect();
        let views = [&rows[0][..], &rows[1], &rows[2], &rows[3]];
        let best = vectorised(Four(views, p.clone()));
        let plain = Four(views, p.clone()).run::<Plain<true>>();
        let unfused = Four(views, p.clone()).run::<Plain<false>>();
        let close = unfused.1.iter().zip(&best.1).all(|(a, b)| (a - b).abs() < 1e-3);
        assert!(best == plain || best == unfused);
        assert!(close && unfused.0 == views.map(|r| dot::<Plain<false>>(r, &p)));
    }
}
