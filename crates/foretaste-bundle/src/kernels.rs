//! The inner loops: dot products, rank-one updates, small systems and the int8 scan, compiled for
//! plain, AVX2 and AVX-512 instructions, of which one set is chosen once per process.
//!
//! Every level gives the same integers; floats are the same bits on every level with fused
//! multiply-add and within rounding of them elsewhere. Tests call each level that the machine has.
//! Nothing here allocates.
#![allow(unsafe_code)] // intrinsics; each block says why it is sound

use std::sync::OnceLock;

mod aligned;
mod dense;
mod gather;
pub mod gradient;
pub mod keys;
pub mod pack;
pub mod panel;
mod scan;
pub mod scatter;
pub mod select;
pub mod simd;
pub mod spd;

pub use dense::{axpy, dot, dot_rows};
pub use gather::{ByteQuery, dot_i8_rows, prefetch_row};
pub use scan::{dot_i8, padded_len};

/// Instruction sets that the kernels are written for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Whatever the compiler makes of plain loops.
    Portable,
    /// AVX2, FMA and BMI2.
    Avx2,
    /// AVX-512 F, BW, DQ, VL and VNNI, and POPCNT.
    Avx512,
}

/// The best level of this machine, found once.
#[inline]
pub fn level() -> Level {
    static LEVEL: OnceLock<Level> = OnceLock::new();
    *LEVEL.get_or_init(|| levels().pop().unwrap_or(Level::Portable))
}

/// All levels of this machine, weakest first.
pub fn levels() -> Vec<Level> {
    let mut found = vec![Level::Portable];
    #[cfg(target_arch = "x86_64")]
    {
        let has_avx2 = is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma")
            && is_x86_feature_detected!("bmi2");
        let has_avx512 = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512vnni")
            && is_x86_feature_detected!("popcnt");
        if has_avx2 {
            found.push(Level::Avx2);
        }
        if has_avx2 && has_avx512 {
            found.push(Level::Avx512);
        }
    }
    found
}
