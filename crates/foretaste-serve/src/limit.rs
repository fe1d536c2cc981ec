//! How many jobs may be open at a time, queued or running, found out by measuring how long they
//! wait. Pressure follows from what jobs usually take; this follows from what has happened, so it
//! still holds when jobs suddenly take longer or the machine gives less.
//!
//! # Source
//! Additive increase, multiplicative decrease: Chiu & Jain, "Analysis of the increase and decrease
//! algorithms for congestion avoidance in computer networks", 1989. That the least wait of an
//! interval tells a queue that stands from a burst that passes: Nichols & Jacobson, "Controlling
//! queue delay", 2012. We count jobs where they drop packets.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

const INTERVAL: Duration = Duration::from_millis(100);
/// After an interval of too long waits so much of the limit is left.
const KEPT: (usize, usize) = (4, 5);

/// A limit that moves between two bounds.
#[derive(Debug)]
pub(crate) struct Limit {
    present: AtomicUsize,
    /// Whether it has been in the way during this interval.
    was_reached: AtomicBool,
    interval: Mutex<Interval>,
    bounds: (usize, usize),
    step: usize,
    longest: Duration,
}

#[derive(Debug, Default)]
struct Interval {
    ends: Option<Instant>,
    least_wait: Option<Duration>,
}

impl Limit {
    /// A limit for so many workers, at most `most`; a wait longer than `longest` is too long.
    pub(crate) fn new(workers: usize, most: usize, longest: Duration) -> Self {
        let least = (2 * workers).min(most);
        Self {
            present: AtomicUsize::new(most),
            was_reached: AtomicBool::new(false),
            interval: Mutex::default(),
            bounds: (least, most),
            step: workers,
            longest,
        }
    }

    pub(crate) fn present(&self) -> usize {
        self.present.load(Relaxed)
    }

    /// Whether one more may be open beside `open` others.
    pub(crate) fn admits(&self, open: usize) -> bool {
        let admits = open < self.present();
        if !admits {
            self.was_reached.store(true, Relaxed);
        }
        admits
    }

    /// Takes note of a job that began at `now` after so long a wait.
    pub(crate) fn note(&self, waited: Duration, now: Instant) {
        let mut interval = self.interval.lock().unwrap_or_else(PoisonError::into_inner);
        interval.least_wait = Some(interval.least_wait.map_or(waited, |least| least.min(waited)));
        match interval.ends {
            Some(ends) if now < ends => {}
            Some(_) => {
                let least_wait = interval.least_wait.unwrap_or_default();
                *interval = Interval { ends: Some(now + INTERVAL), least_wait: None };
                self.adapt(least_wait);
            }
            None => interval.ends = Some(now + INTERVAL),
        }
    }

    fn adapt(&self, least_wait: Duration) {
        let was_reached = self.was_reached.swap(false, Relaxed);
        let (present, (least, most)) = (self.present(), self.bounds);
        let next = match least_wait > self.longest {
            true => present * KEPT.0 / KEPT.1,
            false if was_reached => present + self.step,
            false => present,
        };
        self.present.store(next.clamp(least, most), Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONGEST: Duration = Duration::from_millis(40);

    /// Notes the same wait for so many intervals.
    fn intervals(limit: &Limit, n: u32, waited: Duration, clock: &mut Instant) {
        for _ in 0..4 * n {
            *clock += INTERVAL / 4;
            limit.note(waited, *clock);
        }
    }

    #[test]
    fn it_falls_fast_while_jobs_wait_too_long_and_climbs_back_where_it_is_in_the_way() {
        let (limit, mut clock) = (Limit::new(2, 1_000, LONGEST), Instant::now());
        intervals(&limit, 10, LONGEST, &mut clock);
        assert_eq!(limit.present(), 1_000, "as long as that is not too long");
        intervals(&limit, 5, 2 * LONGEST, &mut clock);
        let fallen = limit.present();
        assert!((300..500).contains(&fallen), "{fallen}");
        intervals(&limit, 5, LONGEST / 2, &mut clock);
        assert_eq!(limit.present(), fallen, "nobody asked for more");
        for n in 1..=3 {
            assert!(!limit.admits(limit.present()) && limit.admits(limit.present() - 1));
            intervals(&limit, 1, LONGEST / 2, &mut clock);
            assert_eq!(limit.present(), fallen + 2 * n);
        }
        intervals(&limit, 60, 2 * LONGEST, &mut clock);
        assert_eq!(limit.present(), 4, "workers always have something to do");
    }

    #[test]
    fn a_burst_that_passes_does_not_count() {
        let (limit, mut clock) = (Limit::new(2, 1_000, LONGEST), Instant::now());
        for _ in 0..50 {
            clock += INTERVAL / 4;
            limit.note(10 * LONGEST, clock);
            limit.note(Duration::ZERO, clock);
        }
        assert_eq!(limit.present(), 1_000);
    }
}
