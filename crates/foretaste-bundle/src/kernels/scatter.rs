//! Additions at scattered places: what a row of a sparse matrix adds to a dense sum.

use super::simd::{Kernel, LANES, Simd, vectorised};

/// Adds `factor * values[i]` at `sums[indices[i]]`, in the order of the row.
///
/// # Panics
/// When an index is not one of `sums`.
///
/// # Cost
/// About two cycles an entry: three loads and a store; the indices are checked 16 at a time, before
/// anything is added.
#[inline]
pub fn add_scaled(sums: &mut [f32], indices: &[u32], values: &[f32], factor: f32) {
    vectorised(AddScaled { sums, indices, values, factor });
}

struct AddScaled<'a> {
    sums: &'a mut [f32],
    indices: &'a [u32],
    values: &'a [f32],
    factor: f32,
}

impl Kernel for AddScaled<'_> {
    type Out = ();
    #[inline(always)]
    fn run<S: Simd>(self) {
        let Self { sums, indices, values, factor } = self;
        let n = indices.len().min(values.len());
        let (indices, values) = (&indices[..n], &values[..n]);
        let largest = indices.iter().fold(0, |largest, &index| index.max(largest));
        assert!(n == 0 || (largest as usize) < sums.len(), "an index is beyond the sums");
        let (zero, factors) = (S::splat(0.0), S::splat(factor));
        let (index_parts, index_rest) = indices.as_chunks::<LANES>();
        let (value_parts, value_rest) = values.as_chunks::<LANES>();
        let mut products = [0.0; LANES];
        for (indices, values) in index_parts.iter().zip(value_parts) {
            S::store(S::mul_add(factors, S::load(values), zero), &mut products);
            for (&index, &product) in indices.iter().zip(&products) {
                // SAFETY: no index is greater than `largest`, which is one of `sums`.
                unsafe { *sums.get_unchecked_mut(index as usize) += product };
            }
        }
        for (&index, &value) in index_rest.iter().zip(value_rest) {
            // SAFETY: as above.
            unsafe { *sums.get_unchecked_mut(index as usize) += factor * value };
        }
    }
}

#[cfg(test)]
mod tests {
    use foretaste_core::Rng;

    use super::*;
    use crate::kernels::levels;
    use crate::kernels::simd::vectorised_at;

    #[test]
    fn every_level_adds_what_a_loop_adds() {
        let mut rng = Rng::new(9);
        for n in [0, 1, 15, 16, 17, 100] {
            let indices: Vec<u32> = (0..n).map(|_| rng.below(50) as u32).collect();
            let values: Vec<f32> = (0..n).map(|_| rng.below(100) as f32 - 50.5).collect();
            let mut plain = vec![1.0f32; 50];
            for (&index, &value) in indices.iter().zip(&values) {
                plain[index as usize] += 0.3 * value;
            }
            for level in levels() {
                let mut sums = vec![1.0; 50];
                let (indices, values) = (&indices[..], &values[..]);
                let add = AddScaled { sums: &mut sums, indices, values, factor: 0.3 };
                vectorised_at(level, add);
                assert_eq!(sums, plain, "{n} entries, {level:?}");
            }
        }
    }

    #[test]
    #[should_panic(expected = "beyond the sums")]
    fn an_index_beyond_the_sums_is_refused() {
        add_scaled(&mut [0.0; 8], &[1, 8], &[1.0, 1.0], 1.0);
    }
}
