//! What an operator may set about the cache: the section `[cache]` of the configuration.

use foretaste_core::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};

use crate::shared::config::RedisConfig;

/// The section `[cache]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CacheConfig {
    /// False: every answer is computed.
    pub enabled: bool,
    /// Entries in process, at most.
    pub max_entries: usize,
    /// Bytes of keys and values in process, at most. Above 80% of it the cache gives back to 60%.
    pub max_bytes: usize,
    /// Answers that rank by trends are at most this much older than the trends, in ms.
    pub trends_ms: u64,
    /// Recommendations that are made ahead before a swap, those that were asked for most first, and
    /// at the start, for users who were active last; 0: nothing is made ahead.
    pub warm_users: usize,
    /// A swap waits no longer for that than so many ms, a start at most a second of them.
    pub warm_ms: u64,
    /// How long entries live.
    pub ttl: TtlConfig,
    /// The tier that replicas share.
    pub redis: RedisConfig,
}

impl Default for CacheConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            max_entries: 200_000,
            max_bytes: 256 << 20,
            trends_ms: 60_000,
            warm_users: 30_000,
            warm_ms: 10_000,
            ttl: TtlConfig::default(),
            redis: RedisConfig::default(),
        }
    }
}

/// How long entries live, by how often they were asked for. Durations are ms.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TtlConfig {
    /// Entries that were asked for less than `medium_hits` times.
    pub new_ms: u64,
    /// Entries that were asked for at least `medium_hits` times.
    pub medium_ms: u64,
    /// Entries that were asked for at least `frequent_hits` times.
    pub frequent_ms: u64,
    /// See `medium_ms`.
    pub medium_hits: u32,
    /// See `frequent_ms`.
    pub frequent_hits: u32,
    /// Every lifetime is longer or shorter by up to this share, so that what was stored together
    /// does not end together.
    pub jitter: f64,
    /// Share of its lifetime after which a frequent entry is renewed ahead of its end.
    pub refresh_ahead: f64,
    /// For so long after its lifetime an entry still serves while it is renewed.
    pub stale_ms: u64,
    /// Remembering that there is nothing under a key.
    pub negative_ms: u64,
}

impl Default for TtlConfig {
    fn default() -> Self {
        Self {
            new_ms: 1_800_000,
            medium_ms: 3_600_000,
            frequent_ms: 7_200_000,
            medium_hits: 3,
            frequent_hits: 10,
            jitter: 0.1,
            refresh_ahead: 0.9,
            stale_ms: 300_000,
            negative_ms: 30_000,
        }
    }
}

impl CacheConfig {
    /// Checks what types cannot say.
    ///
    /// # Errors
    /// `Config`, naming the key and the allowed range.
    pub fn check(&self) -> Result<()> {
        let bad = |text: &str| Err(Error::new(ErrorKind::Config, format!("cache.{text}")));
        if self.max_entries == 0 || self.max_bytes < 1 << 16 {
            return bad("max_entries must be at least 1 and cache.max_bytes at least 65536");
        }
        if self.trends_ms == 0 {
            return bad("trends_ms is 0; set it to at least 1");
        }
        let ttl = &self.ttl;
        if ttl.new_ms == 0 || ttl.medium_ms < ttl.new_ms || ttl.frequent_ms < ttl.medium_ms {
            return bad("ttl: expected 0 < new_ms <= medium_ms <= frequent_ms");
        }
        if ttl.medium_hits > ttl.frequent_hits {
            return bad("ttl: expected medium_hits <= frequent_hits");
        }
        if !(0.0..=0.5).contains(&ttl.jitter) {
            return bad("ttl.jitter must be within 0 and 0.5");
        }
        if !(0.1..=1.0).contains(&ttl.refresh_ahead) {
            return bad("ttl.refresh_ahead must be within 0.1 and 1");
        }
        self.redis.check()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refused(change: impl FnOnce(&mut CacheConfig), names: &str) {
        let mut config = CacheConfig::default();
        change(&mut config);
        let error = config.check().expect_err(names);
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.to_string().contains(names), "{error}");
    }

    #[test]
    fn wrong_settings_are_named() {
        CacheConfig::default().check().expect("defaults are valid");
        refused(|c| c.max_entries = 0, "cache.max_entries");
        refused(|c| c.trends_ms = 0, "cache.trends_ms");
        refused(|c| c.ttl.medium_ms = 1, "new_ms <= medium_ms");
        refused(|c| c.ttl.jitter = 0.9, "cache.ttl.jitter");
        refused(|c| c.ttl.refresh_ahead = 0.0, "cache.ttl.refresh_ahead");
        refused(|c| c.ttl.medium_hits = 99, "medium_hits");
    }
}
