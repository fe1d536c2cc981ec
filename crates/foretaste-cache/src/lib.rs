//! A cache of bytes that does not know what it caches.
//!
//! [`TieredCache::find`] looks in process and never waits; [`TieredCache::load`] fills a miss, once
//! however many tasks miss the same key; [`TieredCache::invalidate`] drops what depends on a thing
//! that has changed, and what depends on that. Lifetimes grow with use, and an entry whose time is
//! over is served for a while longer by everyone but the one who renews it.
//!
//! What makes a cached value right is its key: callers put every input of the value into it, so
//! that a change of an input is another key. Invalidation reclaims memory, erases personal data
//! and covers inputs that cannot be in a key.
//!
//! With servers to share through, what one replica computed is there for all, and a change that
//! one acknowledges is told to all.
//!
//! It knows no HTTP, no users and no items, and starts no task: [`TieredCache::run_shared`] is for
//! the caller to run.

mod clock;
mod config;
mod entry;
mod flight;
mod journal;
mod key;
mod l1;
mod lifetime;
mod shared;
mod stats;
mod tiered;

pub use clock::{Clock, ManualClock};
pub use config::{CacheConfig, TtlConfig};
pub use entry::{Class, Fresh, Loaded, Source};
pub use key::{Dependency, Key, KeyBuf};
pub use lifetime::Freshness;
pub use shared::config::RedisConfig;
pub use stats::{CacheStats, LinkStats, TierStats};
pub use tiered::{Began, Found, Share, TieredCache};
