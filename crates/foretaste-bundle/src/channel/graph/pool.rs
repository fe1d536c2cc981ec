//! What a walk through a graph keeps: the best nodes so far, and which of them it has been to.

/// Half the range of scores: they are within ±2^30 (4096 dimensions of bytes stay below 2^27).
const OFFSET: i32 = 1 << 30;

/// The best nodes so far, best first; ties by node.
///
/// A key is one integer: the score, the node (negated, so that the lower one wins a tie) and, as
/// the last bit, whether the walk has yet to look around the node.
#[derive(Debug, Default)]
pub(super) struct Pool {
    keys: Vec<u64>,
    most: usize,
    /// Nothing before this place waits.
    at: usize,
}

impl Pool {
    /// Forgets everything and keeps the best `most` from now on.
    pub(super) fn reset(&mut self, most: usize) {
        self.keys.clear();
        self.keys.reserve(most + 1);
        (self.most, self.at) = (most, 0);
    }

    /// Offers a node that was not offered before.
    #[inline]
    pub(super) fn offer(&mut self, node: u32, score: i32) {
        let key = ((score + OFFSET) as u64) << 33 | u64::from(!node) << 1 | 1;
        if self.keys.len() == self.most {
            if self.keys.last().is_none_or(|&last| key < last) {
                return;
            }
            self.keys.pop();
        }
        let place = self.keys.partition_point(|&other| other > key);
        self.keys.insert(place, key);
        self.at = self.at.min(place);
    }

    /// The best node that waits; it no longer does.
    #[inline]
    pub(super) fn next(&mut self) -> Option<u32> {
        let waiting = self.keys[self.at..].iter().position(|key| key & 1 == 1)?;
        let key = &mut self.keys[self.at + waiting];
        *key &= !1;
        self.at += waiting + 1;
        Some(node(*key))
    }

    /// The node that `next` would hand out.
    #[inline]
    pub(super) fn peek(&self) -> Option<u32> {
        self.keys[self.at..].iter().find(|key| **key & 1 == 1).map(|&key| node(key))
    }

    /// All nodes with their scores, best first.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, i32)> + '_ {
        self.keys.iter().map(|&key| (node(key), (key >> 33) as i32 - OFFSET))
    }
}

#[inline]
fn node(key: u64) -> u32 {
    !((key >> 1) as u32)
}

#[cfg(test)]
mod tests {
    use foretaste_core::Rng;

    use super::*;

    #[test]
    fn the_best_are_kept_in_order_and_handed_out_once() {
        let mut rng = Rng::new(3);
        let mut pool = Pool::default();
        for most in [1, 5, 40] {
            pool.reset(most);
            let (mut all, mut handed) = (Vec::new(), Vec::new());
            for node in 0..200 {
                let score = rng.below(60) as i32 - 30;
                pool.offer(node, score);
                all.push((node, score));
                if node % 7 == 0 {
                    let (peeked, next) = (pool.peek(), pool.next());
                    assert_eq!(peeked, next);
                    handed.extend(next);
                }
            }
            handed.extend(std::iter::from_fn(|| pool.next()));
            all.sort_by_key(|&(node, score)| (-score, node));
            all.truncate(most);
            assert_eq!(pool.iter().collect::<Vec<_>>(), all, "most {most}");
            assert!(all.iter().all(|(node, _)| handed.contains(node)), "most {most}");
            handed.sort_unstable();
            assert!(handed.windows(2).all(|w| w[0] != w[1]), "most {most}: handed out twice");
        }
    }
}
