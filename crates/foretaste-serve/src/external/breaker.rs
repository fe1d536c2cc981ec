//! Leaves a channel alone that fails again and again: after so many failures in a row it is asked
//! only once per pause, until it answers. A probe that nobody waits for any more is as if it had
//! not been made; the next pause brings another.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The failures of one channel.
#[derive(Debug)]
pub(super) struct Breaker {
    state: Mutex<State>,
    most: u32,
    pause: Duration,
}

#[derive(Debug, Default)]
struct State {
    /// In a row.
    failures: u32,
    /// While it is open: when it may be asked next.
    probe_at: Option<Instant>,
}

impl Breaker {
    pub(super) fn new(most: u32, pause: Duration) -> Self {
        Self { state: Mutex::default(), most, pause }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the channel may be asked now. Once a pause it may, as a probe.
    pub(super) fn admits(&self, now: Instant) -> bool {
        let mut state = self.state();
        match state.probe_at {
            None => true,
            Some(at) if now < at => false,
            Some(_) => {
                state.probe_at = Some(now + self.pause);
                true
            }
        }
    }

    /// Takes note of what became of a call.
    pub(super) fn note(&self, is_good: bool, now: Instant) {
        let mut state = self.state();
        if is_good {
            *state = State::default();
            return;
        }
        state.failures = state.failures.saturating_add(1);
        if state.failures >= self.most {
            state.probe_at = Some(now + self.pause);
        }
    }

    /// Whether it is left alone.
    pub(super) fn is_open(&self) -> bool {
        self.state().probe_at.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_opens_after_failures_in_a_row_probes_once_a_pause_and_closes_on_success() {
        let pause = Duration::from_secs(1);
        let (breaker, start) = (Breaker::new(3, pause), Instant::now());
        for good in [false, false, true, false, false] {
            breaker.note(good, start);
            assert!(breaker.admits(start) && !breaker.is_open(), "a success starts anew");
        }
        breaker.note(false, start);
        assert!(breaker.is_open() && !breaker.admits(start + pause / 2));
        let later = start + pause;
        assert!(breaker.admits(later), "a probe");
        assert!(!breaker.admits(later), "one is enough");
        breaker.note(false, later);
        assert!(!breaker.admits(later + pause / 2));
        assert!(breaker.admits(later + pause));
        breaker.note(true, later + pause);
        assert!(!breaker.is_open() && breaker.admits(later + pause));
    }
}
