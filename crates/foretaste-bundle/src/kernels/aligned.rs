//! Bytes that begin where a line of the cache does: a vector of 64 bytes that lies across two lines
//! is read at half the rate.

use std::ops::{Deref, DerefMut};

/// Bytes of a line of the cache.
const LINE: usize = 64;

#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
struct Line([u8; LINE]);

// SAFETY: 64 bytes, of which any are valid.
unsafe impl bytemuck::Zeroable for Line {}
// SAFETY: as above, and the size is the alignment, so nothing is between two of them.
unsafe impl bytemuck::Pod for Line {}

/// Whole lines of bytes.
#[derive(Debug)]
pub struct AlignedBytes(Vec<Line>);

impl AlignedBytes {
    /// So many bytes of one value.
    ///
    /// # Panics
    /// When the length is no multiple of 64.
    pub fn filled(byte: u8, len: usize) -> Self {
        assert!(len.is_multiple_of(LINE), "whole lines");
        Self(vec![Line([byte; LINE]); len / LINE])
    }
}

impl Deref for AlignedBytes {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        bytemuck::cast_slice(&self.0)
    }
}

impl DerefMut for AlignedBytes {
    fn deref_mut(&mut self) -> &mut [u8] {
        bytemuck::cast_slice_mut(&mut self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_begin_with_a_line() {
        for len in [0, 64, 1 << 20] {
            let mut bytes = AlignedBytes::filled(7, len);
            assert!(bytes.as_ptr().addr().is_multiple_of(LINE) && bytes.len() == len);
            bytes.iter_mut().step_by(3).for_each(|b| *b = 1);
            assert_eq!(bytes.iter().filter(|b| **b == 1).count(), len.div_ceil(3));
        }
    }
}
