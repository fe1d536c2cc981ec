//! Time as the cache sees it: milliseconds that never go back, and the wall clock, which only
//! tells how old an entry of another process is. Injected, so that tests decide.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Far from zero, so that entries older than this process have a time, too.
const START_MS: u64 = 1 << 40;

/// A clock in ms.
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
    /// Milliseconds since a fixed moment of the past; never 0, never less than before.
    pub fn now_ms(&self) -> u64 {
        match &self.0 {
            Source::System(start) => START_MS + start.elapsed().as_millis() as u64,
            Source::Manual(now) => START_MS + now.load(Relaxed),
        }
    }

    /// The wall clock; for a manual clock the same as [`Clock::now_ms`].
    pub fn unix_ms(&self) -> i64 {
        match &self.0 {
            Source::System(_) => {
                let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX)
            }
            Source::Manual(_) => self.now_ms() as i64,
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
