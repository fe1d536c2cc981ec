//! Weights with fewer digits. What training gives as the last digits of a weight is noise of its
//! sums and random starts; without them packed bundles take half the space (decision 0015).

/// Bits of a rounded weight's mantissa that are 0; 12 significant ones are left.
const ZERO_BITS: u32 = 12;

/// The number of 12 significant bits that is nearest, the even one of two. At most 2^-12 of itself
/// away; integers up to 4096 stay as they are.
pub(crate) fn rounded(value: f32) -> f32 {
    let bits = value.to_bits();
    let half = (1 << (ZERO_BITS - 1)) - 1;
    let up = f32::from_bits((bits + half + (bits >> ZERO_BITS & 1)) & !((1 << ZERO_BITS) - 1));
    // The largest numbers would become infinite.
    if up.is_finite() { up } else { f32::from_bits(bits & !((1 << ZERO_BITS) - 1)) }
}

/// All of them, rounded.
pub(crate) fn all_rounded(values: &[f32]) -> Vec<f32> {
    values.iter().copied().map(rounded).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn twelve_bits_are_left_and_the_nearest_is_taken() {
        for value in [0.0f32, -0.0, 1.0, -4095.0, 0.375, 1.0 + 1.0 / 2048.0, f32::MIN_POSITIVE] {
            assert_eq!(rounded(value).to_bits(), value.to_bits(), "{value}");
        }
        let step = 1.0 / 2048.0;
        assert_eq!(rounded(1.0 + 0.49 * step), 1.0);
        assert_eq!(rounded(-1.0 - 0.51 * step), -1.0 - step);
        // Halfway: the even one.
        assert_eq!(rounded(1.0 + 0.5 * step), 1.0);
        assert_eq!(rounded(1.0 + 1.5 * step), 1.0 + 2.0 * step);
        assert_eq!(rounded(1.9999), 2.0);
        let largest = rounded(f32::MAX);
        assert!(largest.is_finite() && largest > 3.4e38);
        let mut rng = foretaste_core::Rng::new(5);
        for _ in 0..10_000 {
            let value = (rng.f32() - 0.5) * 10f32.powi(rng.below(60) as i32 - 30);
            assert!((rounded(value) - value).abs() <= value.abs() / 4096.0, "{value}");
            assert_eq!(rounded(value).to_bits() & 0xfff, 0);
        }
    }
}
