//! A fixed-size set of dense indices, one bit each: the mask that filters clear and channels read.

/// A set of `u32` below a fixed length.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BitSet {
    words: Vec<u64>,
    len: usize,
}

impl BitSet {
    /// The empty set over `0..len`.
    pub fn empty(len: usize) -> Self {
        Self { words: vec![0; len.div_ceil(64)], len }
    }

    /// The full set over `0..len`.
    pub fn full(len: usize) -> Self {
        let mut set = Self::empty(len);
        set.fill();
        set
    }

    /// Sets every bit, keeping the allocation.
    pub fn fill(&mut self) {
        self.words.fill(u64::MAX);
        if let Some(last) = self.words.last_mut()
            && !self.len.is_multiple_of(64)
        {
            *last = (1 << (self.len % 64)) - 1;
        }
    }

    /// Makes this the full set over `0..len`, reusing the allocation.
    pub fn reset_full(&mut self, len: usize) {
        self.words.resize(len.div_ceil(64), 0);
        self.len = len;
        self.fill();
    }

    /// Makes this the empty set over `0..len`, reusing the allocation.
    pub fn reset_empty(&mut self, len: usize) {
        self.words.clear();
        self.words.resize(len.div_ceil(64), 0);
        self.len = len;
    }

    /// Size of the universe.
    pub fn len(&self) -> usize {
        self.len
    }

    /// True when the universe is empty.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Membership; indices outside the universe are not members.
    #[inline]
    pub fn contains(&self, i: u32) -> bool {
        self.words.get(i as usize / 64).is_some_and(|w| w >> (i % 64) & 1 == 1)
    }

    /// Adds `i`; outside the universe it does nothing.
    #[inline]
    pub fn insert(&mut self, i: u32) {
        if (i as usize) < self.len {
            self.words[i as usize / 64] |= 1 << (i % 64);
        }
    }

    /// Removes `i` and says whether it was there.
    #[inline]
    pub fn remove(&mut self, i: u32) -> bool {
        let was = self.contains(i);
        if was {
            self.words[i as usize / 64] &= !(1 << (i % 64));
        }
        was
    }

    /// Keeps only what `other` has, too. Both must be over the same universe.
    ///
    /// # Panics
    /// When the universes differ.
    pub fn intersect(&mut self, other: &BitSet) {
        assert_eq!(self.len, other.len, "sets over different universes");
        self.words.iter_mut().zip(&other.words).for_each(|(a, b)| *a &= b);
    }

    /// Adds all that `other` has. Both must be over the same universe.
    ///
    /// # Panics
    /// When the universes differ.
    pub fn union(&mut self, other: &BitSet) {
        assert_eq!(self.len, other.len, "sets over different universes");
        self.words.iter_mut().zip(&other.words).for_each(|(a, b)| *a |= b);
    }

    /// Removes all that `other` has. Both must be over the same universe.
    ///
    /// # Panics
    /// When the universes differ.
    pub fn subtract(&mut self, other: &BitSet) {
        assert_eq!(self.len, other.len, "sets over different universes");
        self.words.iter_mut().zip(&other.words).for_each(|(a, b)| *a &= !b);
    }

    /// Number of members.
    pub fn count(&self) -> usize {
        self.words.iter().map(|w| w.count_ones() as usize).sum()
    }

    /// The members, ascending.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.words.iter().enumerate().flat_map(|(w, &bits)| {
            let mut rest = bits;
            std::iter::from_fn(move || {
                (rest != 0).then(|| {
                    let i = rest.trailing_zeros();
                    rest &= rest - 1;
                    w as u32 * 64 + i
                })
            })
        })
    }

    /// The words, for kernels that test 64 members at once.
    pub fn words(&self) -> &[u64] {
        &self.words
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_has_exactly_its_universe() {
        for len in [0, 1, 63, 64, 65, 200] {
            let set = BitSet::full(len);
            assert_eq!(set.count(), len);
            assert!(!set.contains(len as u32));
            assert_eq!(set.iter().collect::<Vec<_>>(), (0..len as u32).collect::<Vec<_>>());
        }
    }

    #[test]
    fn removing_and_intersecting() {
        let mut a = BitSet::full(100);
        assert!(a.remove(99) && !a.remove(99) && !a.remove(100));
        let mut b = BitSet::empty(100);
        b.insert(99);
        b.insert(3);
        b.insert(1000);
        a.intersect(&b);
        assert_eq!(a.iter().collect::<Vec<_>>(), [3]);
        a.subtract(&b);
        assert_eq!(a.count(), 0);
        a.union(&b);
        assert_eq!(a, b);
    }
}
