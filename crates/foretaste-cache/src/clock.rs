//! Time as the cache sees it: milliseconds that never go back. Injected, so that tests decide.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

/// A monotonic clock in ms.
#[derive(Clone, Debug)]
pub struct Clock(Source);

#[derive(Clone, Debug)]
enum Source {
    System(Instant),
    Manual(Arc<AtomicU64>),
}

impl Default for Clock {
    fn default() -> Self {
        Self(Source::System(Instant::now()))
    }
}

impl Clock {
    /// Milliseconds since a fixed moment of the past; never 0.
    pub fn now_ms(&self) -> u64 {
        match &self.0 {
            Source::System(start) => 1 + start.elapsed().as_millis() as u64,
            Source::Manual(now) => 1 + now.load(Relaxed),
        }
    }
}

/// A clock that stands still until it is told to go on; for tests and simulations.
#[derive(Clone, Debug, Default)]
pub struct ManualClock(Arc<AtomicU64>);

impl ManualClock {
    /// The clock to hand to a cache.
    pub fn clock(&self) -> Clock {
        Clock(Source::Manual(Arc::clone(&self.0)))
    }

    /// Lets `ms` pass.
    pub fn advance(&self, ms: u64) {
        self.0.fetch_add(ms, Relaxed);
    }
}
