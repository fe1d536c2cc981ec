//! A small cache, and keys and values for it.

use std::convert::Infallible;

use bytes::Bytes;
use foretaste_cache::{
    CacheConfig, Dependency, Fresh, KeyBuf, ManualClock, Share, TieredCache, TtlConfig,
};

pub type Cache = TieredCache<String>;

/// No jitter, so that ends are exact.
pub fn config() -> CacheConfig {
    CacheConfig { ttl: TtlConfig { jitter: 0.0, ..TtlConfig::default() }, ..Default::default() }
}

pub fn cache() -> (Cache, ManualClock) {
    let clock = ManualClock::default();
    (TieredCache::new(&config(), clock.clock()), clock)
}

pub fn key(name: &str) -> KeyBuf {
    KeyBuf::new("test").segment(name).end_path().clone()
}

pub fn fresh(value: &str) -> Fresh {
    Fresh::new(Some(Bytes::copy_from_slice(value.as_bytes())))
}

pub fn item(id: &str) -> Dependency {
    Dependency::new("item", id)
}

/// Stores a value.
pub async fn put(cache: &Cache, name: &str, value: Fresh) {
    cache.renew(&key(name), Share::Process, || async { Ok(value) }).await.expect("infallible");
}

/// What is under a key now.
pub fn get(cache: &Cache, name: &str) -> Option<String> {
    let found = cache.find(&key(name))?;
    found.loaded.value().map(|bytes| String::from_utf8(bytes.to_vec()).expect("text"))
}

/// For computations that must not run.
pub async fn never() -> Result<Fresh, String> {
    panic!("computed although it was there")
}

/// For caches that cannot fail.
pub type Sure = TieredCache<Infallible>;
