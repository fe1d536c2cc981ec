//! Figures of the cache, per tier. Counted with relaxed atomics; a reading is not one instant.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// One tier since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TierStats {
    /// Found and fresh.
    pub hits: u64,
    /// Found, over its lifetime, served while somebody renews it.
    pub stale: u64,
    /// Not found, or no longer fit to serve.
    pub misses: u64,
    /// Stored.
    pub stored: u64,
    /// Pushed out by a bound.
    pub evicted: u64,
    /// Dropped because something they depended on changed, or by prefix.
    pub invalidated: u64,
    /// Entries now.
    pub entries: u64,
    /// Bytes now.
    pub bytes: u64,
}

/// The whole cache since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheStats {
    /// In process.
    pub l1: TierStats,
    /// Shared by replicas; it cannot say how many entries it has. All zero without it.
    pub shared: TierStats,
    /// How the shared tier is reached.
    pub link: LinkStats,
    /// Values that were computed for a miss or a renewal.
    pub computed: u64,
    /// Misses that waited for another task's computation of the same key.
    pub coalesced: u64,
    /// Computed values that were not stored because an input changed meanwhile.
    pub outdated: u64,
}

/// How the shared tier is reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkStats {
    /// Whether there is a connection now.
    pub is_up: bool,
    /// Whether this replica hears what the others say.
    pub listens: bool,
    /// Connections made.
    pub connected: u64,
    /// Operations that were not sent: no connection, or too many in flight.
    pub bypassed: u64,
    /// Operations that took too long.
    pub late: u64,
    /// Operations that the server refused.
    pub refused: u64,
    /// Operations that broke the connection.
    pub broken: u64,
    /// Values that failed their checks and were removed.
    pub damaged: u64,
    /// Writes that found the queue full.
    pub dropped: u64,
    /// Entries that became hot.
    pub promoted: u64,
}

/// The counters behind [`CacheStats`].
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) hits: Count,
    pub(crate) stale: Count,
    pub(crate) misses: Count,
    pub(crate) stored: Count,
    pub(crate) invalidated: Count,
    pub(crate) computed: Count,
    pub(crate) coalesced: Count,
    pub(crate) outdated: Count,
}

/// A counter on a cache line of its own: the two that every request touches are hot.
#[derive(Debug, Default)]
#[repr(align(64))]
pub(crate) struct Count(AtomicU64);

impl Count {
    pub(crate) fn add(&self, n: u64) {
        self.0.fetch_add(n, Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}
