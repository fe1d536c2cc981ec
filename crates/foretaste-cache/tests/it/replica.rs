//! One replica: a cache with its tasks, and patience.

use std::sync::Arc;
use std::time::Duration;

use foretaste_cache::{CacheConfig, Clock, RedisConfig, TieredCache};
use tokio::task::JoinHandle;

use crate::redis_server::Server;
use crate::world::{Cache, config};

pub struct Replica {
    pub cache: Arc<Cache>,
    tasks: JoinHandle<()>,
}

impl Replica {
    /// A replica that has reached its server.
    pub async fn new(url: &str) -> Self {
        let replica = Self::unconnected(url);
        eventually("connected", || replica.cache.stats().link.is_up).await;
        replica.caught_up().await;
        replica
    }

    /// A replica whose server may not be there.
    pub fn unconnected(url: &str) -> Self {
        // Patient with a machine that stands still; the tests of budgets set their own.
        let redis = RedisConfig {
            urls: vec![url.to_owned()],
            operation_ms: 2_000,
            lease_ms: 5_000,
            ..RedisConfig::default()
        };
        Self::with(redis)
    }

    pub fn with(redis: RedisConfig) -> Self {
        let config = CacheConfig { redis, ..config() };
        let cache: Arc<Cache> = Arc::new(TieredCache::new(&config, Clock::default()));
        let tasks = tokio::spawn({
            let cache = Arc::clone(&cache);
            async move { cache.run_shared().await }
        });
        Self { cache, tasks }
    }

    /// Waits until so many entries have been written behind.
    pub async fn stored(&self, n: u64) {
        eventually("stored", || self.cache.stats().shared.stored >= n).await;
    }

    /// Waits until this replica listens to the others.
    pub async fn caught_up(&self) {
        eventually("listening", || self.cache.stats().link.listens).await;
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        self.tasks.abort();
    }
}

impl Server {
    /// Runs a command and gives its answer as text.
    pub fn ask(&self, command: &[&str]) -> String {
        let port = self.port.to_string();
        let asked =
            std::process::Command::new("redis-cli").args(["-p", &port]).args(command).output();
        String::from_utf8(asked.expect("redis-cli").stdout).expect("text").trim().to_owned()
    }

    /// How long the only entry is kept.
    pub fn ttl_ms(&self) -> u64 {
        let name = self.ask(&["--scan", "--pattern", "foretaste:test/*"]);
        self.ask(&["PTTL", &name]).parse().expect("a number")
    }
}

/// Waits for something that must happen soon.
pub async fn eventually(what: &str, mut happened: impl FnMut() -> bool) {
    for _ in 0..1_500 {
        if happened() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("did not happen: {what}");
}
