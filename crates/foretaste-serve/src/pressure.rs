//! How hard the workers are pressed, and what is given up for it: the one place that decides
//! between a whole answer, a leaner one, a popular one and a refusal.
//!
//! Pressure is the wait that a job would have if it were queued now (jobs that wait, times what a
//! job takes, over the number of workers) over the wait that is aimed at. It follows from the
//! present queue alone, so it is gone as soon as the queue is.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

/// Waits of so many times the one aimed at are too long for anybody.
pub(crate) const MOST_WAITS: u32 = 4;

/// What is given up first stands first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Urgency {
    /// Answers made ahead of their end, while the old one serves.
    Renewal,
    /// Copies of requests, whose answers nobody reads.
    Shadow,
    /// Answers for many users in one request: their caller can come back.
    Batch,
    /// Large bodies of records.
    Bulk,
    /// Somebody waits for it.
    Interactive,
}

impl Urgency {
    /// The word under which refusals are counted.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Renewal => "pressure_renewal",
            Self::Shadow => "pressure_shadow",
            Self::Batch => "pressure_batch",
            Self::Bulk => "pressure_bulk",
            Self::Interactive => "pressure_interactive",
        }
    }
}

/// How much of an answer there is time for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rung {
    /// All of it.
    Whole,
    /// Fewer candidates, no diversity.
    Lean,
    /// What is popular and allowed for this user.
    Popular,
    /// None: 503, try again.
    Refused,
}

/// The step of the ladder for a pressure.
pub(crate) fn rung(pressure: f32, urgency: Urgency) -> Rung {
    match urgency {
        Urgency::Renewal | Urgency::Shadow if pressure >= 0.5 => Rung::Refused,
        Urgency::Batch if pressure >= 1.0 => Rung::Refused,
        Urgency::Bulk if pressure >= 2.0 => Rung::Refused,
        Urgency::Renewal | Urgency::Shadow | Urgency::Batch | Urgency::Bulk => Rung::Whole,
        Urgency::Interactive => match pressure {
            p if p < 1.0 => Rung::Whole,
            p if p < 2.0 => Rung::Lean,
            p if p < MOST_WAITS as f32 => Rung::Popular,
            _ => Rung::Refused,
        },
    }
}

/// The state of a pool of workers, as far as pressure follows from it.
#[derive(Debug)]
pub(crate) struct Gauge {
    waiting: AtomicUsize,
    /// What a job takes, in ns: a running mean over about sixteen jobs per step.
    service_ns: AtomicU64,
    workers: usize,
    target_ns: u64,
}

impl Gauge {
    pub(crate) fn new(workers: usize, target: Duration) -> Self {
        let target_ns = (target.as_nanos() as u64).max(1);
        let (waiting, service_ns) = (AtomicUsize::new(0), AtomicU64::new(0));
        Self { waiting, service_ns, workers: workers.max(1), target_ns }
    }

    pub(crate) fn set_waiting(&self, jobs: usize) {
        self.waiting.store(jobs, Relaxed);
    }

    /// Takes note of a finished job. Two workers at once may lose a note; the mean goes on.
    pub(crate) fn note(&self, took: Duration) {
        let (old, new) = (self.service_ns.load(Relaxed), took.as_nanos() as u64);
        let mean = if old == 0 { new } else { old - old / 16 + new / 16 };
        self.service_ns.store(mean, Relaxed);
    }

    #[cfg(test)]
    pub(crate) fn pretend(&self, waiting: usize, took: Duration) {
        self.set_waiting(waiting);
        self.service_ns.store(took.as_nanos() as u64, Relaxed);
    }

    pub(crate) fn pressure(&self) -> f32 {
        let waiting = self.waiting.load(Relaxed) as u64;
        let wait_ns = waiting * self.service_ns.load(Relaxed) / self.workers as u64;
        wait_ns as f32 / self.target_ns as f32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_wait_is_given_up_before_what_cannot() {
        let at = |pressure| {
            [Urgency::Renewal, Urgency::Shadow, Urgency::Batch, Urgency::Bulk, Urgency::Interactive]
                .map(|u| rung(pressure, u))
        };
        let (whole, none) = (Rung::Whole, Rung::Refused);
        assert_eq!(at(0.0), [whole; 5]);
        assert_eq!(at(0.5), [none, none, whole, whole, whole]);
        assert_eq!(at(1.0), [none, none, none, whole, Rung::Lean]);
        assert_eq!(at(2.0), [none, none, none, none, Rung::Popular]);
        assert_eq!(at(4.0), [none; 5]);
        assert_eq!(at(f32::INFINITY), [none; 5]);
    }

    #[test]
    fn pressure_is_the_wait_to_come_over_the_wait_aimed_at() {
        let gauge = Gauge::new(2, Duration::from_millis(10));
        gauge.set_waiting(1_000);
        assert!(gauge.pressure() < f32::EPSILON, "nothing is known about jobs yet");
        (0..200).for_each(|_| gauge.note(Duration::from_micros(400)));
        assert!((gauge.pressure() - 20.0).abs() < 0.1, "{}", gauge.pressure());
        gauge.set_waiting(0);
        assert!(gauge.pressure() < f32::EPSILON);
    }
}
