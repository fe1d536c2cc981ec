//! How much work a channel may do for one request, and whether it came to that end.
//!
//! Work is counted in multiply-adds of f32, as in [`super::LoadedChannel::work`], by what is read:
//! the same request with the same budget ends at the same place on any machine. The sign to stop is
//! somebody's clock, and looked at on the same occasions.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// A sign for one request that its time is over. Clones are the same sign.
#[derive(Clone, Debug, Default)]
pub struct Stop(Option<Arc<AtomicBool>>);

impl Stop {
    /// A sign that may be set. The default is one that never is.
    pub fn new() -> Self {
        Self(Some(Arc::default()))
    }

    /// Says that the time is over.
    pub fn set(&self) {
        self.0.iter().for_each(|sign| sign.store(true, Relaxed));
    }

    /// Whether the time is over.
    #[inline]
    pub fn is_set(&self) -> bool {
        self.0.as_ref().is_some_and(|sign| sign.load(Relaxed))
    }

    /// Whether it can be set at all.
    pub fn is_some(&self) -> bool {
        self.0.is_some()
    }
}

/// Why a channel ended before it had done all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Its budget was used up: what it found until then is as good as any.
    Budget,
    /// It was told to stop; how far it came is a matter of time.
    Stopped,
}

/// What one channel may still do for one request. The default is without bounds.
#[derive(Clone, Debug)]
pub struct Meter {
    left: usize,
    stop: Stop,
    ended: Option<Ended>,
}

impl Default for Meter {
    fn default() -> Self {
        Self { left: usize::MAX, stop: Stop::default(), ended: None }
    }
}

impl Meter {
    /// At most `budget` multiply-adds (0: any number), and only until `stop` is set.
    pub fn new(budget: usize, stop: Stop) -> Self {
        Self { left: if budget == 0 { usize::MAX } else { budget }, stop, ended: None }
    }

    /// Why the channel ended early, if it did.
    pub fn ended(&self) -> Option<Ended> {
        self.ended
    }

    /// Takes the work for something that is about to be done; false where it must not be.
    #[inline]
    pub(crate) fn spend(&mut self, work: usize) -> bool {
        self.afford(1, work) == 1
    }

    /// Takes the work for as many of `n` pieces as there may be, and returns how many these are.
    #[inline]
    pub(crate) fn afford(&mut self, n: usize, work_of_each: usize) -> usize {
        if self.is_stopped() || self.ended.is_some() {
            return 0;
        }
        let affordable = n.min(self.left / work_of_each.max(1));
        if affordable < n {
            self.ended = Some(Ended::Budget);
        }
        self.left -= affordable * work_of_each;
        affordable
    }

    /// The sign that it looks at.
    pub(crate) fn sign(&self) -> Stop {
        self.stop.clone()
    }

    /// Looks at the sign.
    #[inline]
    pub(crate) fn is_stopped(&mut self) -> bool {
        let is_set = self.stop.is_set();
        if is_set {
            self.ended = Some(Ended::Stopped);
        }
        is_set
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_taken_while_they_fit() {
        let mut meter = Meter::new(100, Stop::default());
        assert_eq!((meter.afford(3, 20), meter.spend(30), meter.ended()), (3, true, None));
        assert_eq!((meter.afford(3, 5), meter.ended()), (2, Some(Ended::Budget)));
        assert!(!meter.spend(0), "over is over");
        assert_eq!(Meter::new(0, Stop::default()).afford(usize::MAX / 4, 2), usize::MAX / 4);
    }

    #[test]
    fn the_sign_ends_it_whatever_is_left() {
        let stop = Stop::new();
        let mut meter = Meter::new(10, stop.clone());
        assert!(meter.spend(1));
        stop.set();
        assert!(!meter.spend(1));
        assert_eq!(meter.ended(), Some(Ended::Stopped));
    }
}
