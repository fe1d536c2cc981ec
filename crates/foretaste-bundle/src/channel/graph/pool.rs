//! What a walk through a graph keeps: the best nodes so far, and around which it has looked.
//!
//! Neither part is in order: a walk asks for the greatest of few waiting nodes far less often than
//! it offers new ones, and reading a hundred integers side by side takes less than keeping them
//! sorted.

use std::cmp::Reverse;

use crate::kernels::keys::{greatest, keys_above, of_key, room};

/// Nodes that may be kept beyond twice the wanted number, so that few are cut often.
const SPARE: usize = 32;

/// The best nodes so far; ties by node.
#[derive(Debug, Default)]
pub(super) struct Pool {
    /// Nodes that wait, and those that were handed out.
    waiting: Vec<u64>,
    done: Vec<u64>,
    all: Vec<u64>,
    /// A node is handed out while it is among the best so many.
    ef: usize,
    /// So many are kept for sure.
    most: usize,
    /// What is not greater is not among the best `most`.
    least: u64,
}

impl Pool {
    /// Forgets everything; hands out what is among the best `ef` and keeps the best `most`, or
    /// `ef` if that is more, from now on.
    pub(super) fn reset(&mut self, ef: usize, most: usize) {
        self.waiting.clear();
        self.done.clear();
        (self.ef, self.most, self.least) = (ef, most.max(ef), 0);
    }

    /// Offers nodes that were not offered before.
    #[inline]
    pub(super) fn offer(&mut self, nodes: &[u32], scores: &[i32]) {
        let start = self.waiting.len();
        self.waiting.resize(start + room(nodes.len()), 0);
        let n = keys_above(nodes, scores, self.least, &mut self.waiting[start..]);
        self.waiting.truncate(start + n);
        if start + n + self.done.len() > 2 * self.most + SPARE {
            self.forget();
        }
    }

    /// Forgets what is not among the best `most`.
    fn forget(&mut self) {
        self.gather();
        let (_, &mut worst, _) =
            self.all.select_nth_unstable_by_key(self.most, |&key| Reverse(key));
        self.least = worst;
        self.waiting.retain(|&key| key > worst);
        self.done.retain(|&key| key > worst);
    }

    fn gather(&mut self) {
        self.all.clear();
        self.all.extend_from_slice(&self.waiting);
        self.all.extend_from_slice(&self.done);
    }

    /// The best node that waits; it no longer does. `None` once `ef` better ones were handed out.
    #[inline]
    pub(super) fn next(&mut self) -> Option<u32> {
        let at = greatest(&self.waiting)?;
        let best = self.waiting[at];
        let better = || self.done.iter().filter(|&&key| key > best).count();
        if self.done.len() >= self.ef && better() >= self.ef {
            return None;
        }
        self.waiting.swap_remove(at);
        self.done.push(best);
        Some(of_key(best).0)
    }

    /// The node that `next` would hand out, if any.
    #[inline]
    pub(super) fn peek(&self) -> Option<u32> {
        greatest(&self.waiting).map(|at| of_key(self.waiting[at]).0)
    }

    /// The best `most` nodes with their scores, in any order.
    pub(super) fn kept(&mut self) -> impl Iterator<Item = (u32, i32)> + '_ {
        self.gather();
        if self.all.len() > self.most {
            self.all.select_nth_unstable_by_key(self.most, |&key| Reverse(key));
            self.all.truncate(self.most);
        }
        self.all.iter().map(|&key| of_key(key))
    }

    /// The best `most` nodes with their scores, best first.
    pub(super) fn sorted(&mut self) -> impl Iterator<Item = (u32, i32)> + '_ {
        self.gather();
        self.all.sort_unstable_by_key(|&key| Reverse(key));
        self.all.iter().take(self.most).map(|&key| of_key(key))
    }
}

#[cfg(test)]
mod tests {
    use foretaste_core::Rng;

    use super::*;

    #[test]
    fn the_best_are_kept_and_handed_out_once_while_they_are_among_the_best() {
        let mut rng = Rng::new(3);
        let mut pool = Pool::default();
        for (ef, most) in [(1, 1), (5, 20), (40, 5), (40, 40)] {
            pool.reset(ef, most);
            let (mut all, mut handed) = (Vec::new(), Vec::new());
            for start in (0..2000).step_by(7) {
                let nodes: Vec<u32> = (start..start + 7).collect();
                let scores: Vec<i32> = nodes.iter().map(|_| rng.below(600) as i32 - 300).collect();
                pool.offer(&nodes, &scores);
                all.extend(nodes.into_iter().zip(scores));
                let (peeked, next) = (pool.peek(), pool.next());
                assert!(next.is_none() || peeked == next);
                handed.extend(next);
            }
            handed.extend(std::iter::from_fn(|| pool.next()));
            all.sort_by_key(|&(node, score)| (-score, node));
            assert!(all[..ef].iter().all(|(node, _)| handed.contains(node)), "ef {ef}");
            all.truncate(most.max(ef));
            assert_eq!(pool.sorted().collect::<Vec<_>>(), all, "ef {ef}, most {most}");
            let mut kept: Vec<_> = pool.kept().collect();
            kept.sort_by_key(|&(node, score)| (-score, node));
            assert_eq!(kept, all, "ef {ef}, most {most}");
            handed.sort_unstable();
            assert!(handed.windows(2).all(|w| w[0] != w[1]), "ef {ef}: handed out twice");
        }
    }
}
