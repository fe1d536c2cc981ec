//! The best k of a stream of scored indices, in one total order shared by every crate: higher
//! score first, then lower index. A NaN is never kept, so it can never win.

/// Bounded selection of the best `k` pairs; the buffer is reused between requests.
///
/// # Cost
/// Amortised O(1) per offered pair: the buffer of 2k is cut back to k by quick-select when full,
/// and pairs below the k-th best so far are refused by one comparison.
#[derive(Clone, Debug, Default)]
pub struct TopK {
    k: usize,
    threshold: f32,
    buffer: Vec<(u32, f32)>,
}

/// The order of results: score descending, index ascending. Scores must not be NaN.
#[inline]
pub fn by_rank(a: &(u32, f32), b: &(u32, f32)) -> std::cmp::Ordering {
    b.1.total_cmp(&a.1).then(a.0.cmp(&b.0))
}

impl TopK {
    /// An empty selection of the best `k`.
    pub fn new(k: usize) -> Self {
        let mut top = Self::default();
        top.reset(k);
        top
    }

    /// Forgets everything and selects the best `k` from now on.
    pub fn reset(&mut self, k: usize) {
        self.k = k;
        self.threshold = f32::NEG_INFINITY;
        self.buffer.clear();
        self.buffer.reserve(2 * k);
    }

    /// Pairs with a score below this need not be offered.
    #[inline]
    pub fn threshold(&self) -> f32 {
        self.threshold
    }

    /// Offers one pair; NaN is refused.
    #[inline]
    pub fn push(&mut self, index: u32, score: f32) {
        if score >= self.threshold && self.k > 0 {
            self.buffer.push((index, score));
            if self.buffer.len() >= 2 * self.k {
                self.cut();
            }
        }
    }

    fn cut(&mut self) {
        if self.buffer.len() > self.k {
            self.buffer.select_nth_unstable_by(self.k - 1, by_rank);
            self.buffer.truncate(self.k);
            self.threshold = self.buffer[self.k - 1].1;
        }
    }

    /// The best pairs in order; the selection is empty afterwards.
    pub fn drain_sorted(&mut self) -> std::vec::Drain<'_, (u32, f32)> {
        self.cut();
        self.buffer.sort_unstable_by(by_rank);
        self.threshold = f32::NEG_INFINITY;
        self.buffer.drain(..)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Rng;

    #[test]
    fn equals_a_full_sort_with_ties_by_index() {
        let mut rng = Rng::new(5);
        for k in [1, 7, 50, 1000] {
            let pairs: Vec<(u32, f32)> = (0..500).map(|i| (i, rng.below(40) as f32)).collect();
            let mut shuffled = pairs.clone();
            rng.shuffle(&mut shuffled);
            let mut top = TopK::new(k);
            shuffled.iter().for_each(|&(i, s)| top.push(i, s));
            let mut expected = pairs;
            expected.sort_by(by_rank);
            expected.truncate(k);
            assert_eq!(top.drain_sorted().collect::<Vec<_>>(), expected);
        }
    }

    #[test]
    fn nan_never_wins() {
        let mut top = TopK::new(2);
        [(0, f32::NAN), (1, 1.0), (2, f32::NAN)].iter().for_each(|&(i, s)| top.push(i, s));
        assert_eq!(top.drain_sorted().collect::<Vec<_>>(), [(1, 1.0)]);
    }
}
