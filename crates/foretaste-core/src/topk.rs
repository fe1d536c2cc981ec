//! The best k of a stream of scored indices, in one total order shared by every crate: higher
//! score first, then lower index. A NaN is never kept, so it can never win.

/// Bounded selection of the best `k` pairs; the buffer is reused between requests.
///
/// # Cost
/// Amortised O(1) per offered pair: the buffer of 2k is cut back to k by quick-select when full,
/// and pairs below the k-th best so far are refused by one comparison. Pairs are held as single
/// integers, so that selecting and sorting compare numbers.
#[derive(Clone, Debug, Default)]
pub struct TopK {
    k: usize,
    threshold: f32,
    buffer: Vec<u64>,
}

/// The order of results: score descending, index ascending. Scores must not be NaN.
#[inline]
pub fn by_rank(a: &(u32, f32), b: &(u32, f32)) -> std::cmp::Ordering {
    b.1.total_cmp(&a.1).then(a.0.cmp(&b.0))
}

/// A pair as an integer: the greater, the better by [`by_rank`].
#[inline]
fn key(index: u32, score: f32) -> u64 {
    // As in `total_cmp`: of a negative number all bits are turned, of others the sign.
    let bits = score.to_bits();
    let turned = bits ^ ((bits as i32 >> 31) as u32 | 1 << 31);
    u64::from(turned) << 32 | u64::from(!index)
}

#[inline]
fn pair(key: u64) -> (u32, f32) {
    let turned = (key >> 32) as u32;
    let bits = turned ^ ((!turned as i32 >> 31) as u32 | 1 << 31);
    (!(key as u32), f32::from_bits(bits))
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

    /// Of the pairs that will be offered, at least `k` have a score of `least` or more: others need
    /// not be kept.
    pub fn expect(&mut self, least: f32) {
        self.threshold = self.threshold.max(least);
    }

    /// How many pairs are kept.
    pub fn k(&self) -> usize {
        self.k
    }

    /// Offers one pair; NaN is refused.
    #[inline]
    pub fn push(&mut self, index: u32, score: f32) {
        if score >= self.threshold && self.k > 0 {
            self.buffer.push(key(index, score));
            if self.buffer.len() >= 2 * self.k {
                self.cut();
            }
        }
    }

    fn cut(&mut self) {
        if self.buffer.len() > self.k {
            let at = self.buffer.len() - self.k;
            self.buffer.select_nth_unstable(at);
            self.buffer.drain(..at);
            self.threshold = pair(self.buffer[0]).1;
        }
    }

    /// The best pairs in order; the selection is empty afterwards.
    pub fn drain_sorted(&mut self) -> impl DoubleEndedIterator<Item = (u32, f32)> + '_ {
        self.cut();
        self.buffer.sort_unstable();
        self.threshold = f32::NEG_INFINITY;
        self.buffer.drain(..).rev().map(pair)
    }

    /// The best pairs in any order; the selection is empty afterwards.
    pub fn drain_unordered(&mut self) -> impl Iterator<Item = (u32, f32)> + '_ {
        self.cut();
        self.threshold = f32::NEG_INFINITY;
        self.buffer.drain(..).map(pair)
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
            let mut any_order: Vec<_> = top.clone().drain_unordered().collect();
            any_order.sort_by(by_rank);
            assert_eq!(any_order, expected);
            assert_eq!(top.drain_sorted().collect::<Vec<_>>(), expected);
        }
    }

    #[test]
    fn a_bound_that_is_known_before_changes_nothing() {
        let mut top = TopK::new(2);
        top.expect(2.0);
        top.expect(f32::NEG_INFINITY);
        [(0, 1.0), (1, 2.0), (2, 3.0), (3, 2.0)].iter().for_each(|&(i, s)| top.push(i, s));
        assert_eq!(top.drain_sorted().collect::<Vec<_>>(), [(2, 3.0), (1, 2.0)]);
    }

    #[test]
    fn nan_never_wins() {
        let mut top = TopK::new(2);
        [(0, f32::NAN), (1, 1.0), (2, f32::NAN)].iter().for_each(|&(i, s)| top.push(i, s));
        assert_eq!(top.drain_sorted().collect::<Vec<_>>(), [(1, 1.0)]);
    }

    #[test]
    fn keys_keep_the_total_order_and_the_bits() {
        let scores = [f32::NEG_INFINITY, -2.5, -f32::MIN_POSITIVE, -0.0, 0.0, 1e-40, 7.0, f32::MAX];
        for (i, &a) in scores.iter().enumerate() {
            for &b in &scores[i + 1..] {
                assert!(key(3, a) < key(3, b), "{a} {b}");
            }
            assert!(key(4, a) < key(3, a));
            let (index, score) = pair(key(9, a));
            assert_eq!((index, score.to_bits()), (9, a.to_bits()));
        }
    }
}
