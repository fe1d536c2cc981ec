//! The inner loops: dot products, rank-one updates and the int8 scan, each in a portable form and
//! in AVX2 and AVX-512 forms that are chosen once per process.
//!
//! Every form gives the same integers, and floats within rounding; tests call each one that the
//! machine has. Nothing here allocates.
#![allow(unsafe_code)] // intrinsics; each block says why it is sound

use std::sync::OnceLock;

mod dense;
mod scan;
pub mod spd;

pub use dense::{axpy, dot};
pub use scan::{dot_i8, padded_len};

/// Instruction sets that the kernels are written for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Whatever the compiler makes of plain loops.
    Portable,
    /// AVX2 and FMA.
    Avx2,
    /// AVX-512 F, BW and VNNI.
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
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            found.push(Level::Avx2);
        }
        let has_512 = is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bw");
        if has_512 && is_x86_feature_detected!("avx512vnni") && found.len() == 2 {
            found.push(Level::Avx512);
        }
    }
    found
}
