//! The keys of the latest events, bounded, for answering a repeated event at once.

use std::collections::{HashSet, VecDeque};

/// The last `capacity` keys that were added.
#[derive(Debug)]
pub(crate) struct Seen {
    keys: HashSet<u64>,
    order: VecDeque<u64>,
    capacity: usize,
}

impl Seen {
    pub(crate) fn new(capacity: usize) -> Self {
        Self { keys: HashSet::new(), order: VecDeque::new(), capacity: capacity.max(1) }
    }

    /// Adds a key; false when it is known already.
    pub(crate) fn insert(&mut self, key: u64) -> bool {
        if !self.keys.insert(key) {
            return false;
        }
        self.order.push_back(key);
        if self.order.len() > self.capacity
            && let Some(oldest) = self.order.pop_front()
        {
            self.keys.remove(&oldest);
        }
        true
    }

    /// Forgets the last `n` keys: their events were not stored.
    pub(crate) fn forget_last(&mut self, n: usize) {
        for _ in 0..n {
            let Some(key) = self.order.pop_back() else { return };
            self.keys.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_key_goes_first_and_the_last_ones_on_request() {
        let mut seen = Seen::new(3);
        assert_eq!([1, 2, 2, 3, 4].map(|key| seen.insert(key)), [true, true, false, true, true]);
        assert!(seen.insert(1), "1 was the oldest of four and is forgotten");
        seen.forget_last(1);
        assert!(seen.insert(1) && !seen.insert(4));
    }
}
