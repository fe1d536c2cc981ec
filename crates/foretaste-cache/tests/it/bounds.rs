//! Entries and bytes stay within their bounds; memory is given back in steps.

use bytes::Bytes;
use foretaste_cache::{CacheConfig, Clock, Fresh, KeyBuf, TieredCache};

use crate::world::{Cache, config, fresh, get, key, put};

const KIB: usize = 1 << 10;

fn cache(max_entries: usize, max_bytes: usize) -> Cache {
    TieredCache::new(&CacheConfig { max_entries, max_bytes, ..config() }, Clock::default())
}

async fn fill(cache: &Cache, n: usize, value_bytes: usize) {
    for i in 0..n {
        let value = Bytes::from(vec![0; value_bytes]);
        put(cache, &format!("key {i}"), Fresh::new(Some(value))).await;
    }
}

#[tokio::test]
async fn entries_are_bounded_however_small() {
    let cache = cache(1_000, 64 << 20);
    fill(&cache, 5_000, 1).await;
    let stats = cache.stats().l1;
    assert!((900..=1_000).contains(&stats.entries), "{stats:?}");
    assert_eq!(stats.stored - stats.evicted, stats.entries);
}

#[tokio::test]
async fn bytes_are_bounded_however_few_entries() {
    let cache = cache(100_000, 1_024 * KIB);
    fill(&cache, 1_000, 8 * KIB).await;
    let stats = cache.stats().l1;
    assert!(stats.bytes <= 1_024 * KIB as u64 && stats.entries >= 100, "{stats:?}");
}

#[tokio::test]
async fn above_eighty_per_cent_it_gives_back_to_sixty() {
    let cache = cache(100_000, 1_024 * KIB);
    fill(&cache, 60, 8 * KIB).await;
    assert_eq!(cache.keep_within_budget(), 0, "half full: {:?}", cache.stats().l1);
    fill(&cache, 1_000, 8 * KIB).await;
    assert!(cache.keep_within_budget() > 0);
    let bytes = cache.stats().l1.bytes as f64 / (1_024 * KIB) as f64;
    assert!((0.5..=0.6).contains(&bytes), "{bytes}");
    fill(&cache, 1_000, 8 * KIB).await;
    assert!(cache.stats().l1.bytes as f64 / (1_024 * KIB) as f64 > 0.8, "it may grow again");
}

#[tokio::test]
async fn short_of_memory_it_gives_back_two_fifths_of_what_it_has() {
    let cache = cache(100_000, 8_192 * KIB);
    fill(&cache, 100, 8 * KIB).await;
    let before = cache.stats().l1.bytes as f64;
    assert!(cache.shed() > 0);
    let after = cache.stats().l1.bytes as f64;
    assert!(after <= 0.6 * before && after > 0.4 * before, "{before} -> {after}");
}

#[tokio::test]
async fn what_is_used_again_outlives_a_scan() {
    let cache = cache(500, 64 << 20);
    put(&cache, "often", fresh("kept")).await;
    for i in 0..5_000 {
        get(&cache, "often");
        put(&cache, &format!("once {i}"), fresh("x")).await;
    }
    assert_eq!(get(&cache, "often").as_deref(), Some("kept"));
}

#[tokio::test]
async fn the_most_used_keys_come_first() {
    let (cache, _) = crate::world::cache();
    for (name, uses) in [("a", 1), ("b", 5), ("c", 0), ("d", 3)] {
        put(&cache, name, fresh("x")).await;
        (0..uses).for_each(|_| drop(get(&cache, name)));
    }
    let names = |most| {
        let found = cache.most_used(&KeyBuf::default(), most);
        found.iter().map(|key| key.as_bytes().to_vec()).collect::<Vec<_>>()
    };
    let all: Vec<_> = ["b", "d", "a", "c"].map(|name| key(name).as_bytes().to_vec()).into();
    assert_eq!(names(9), all);
    assert_eq!(names(2), all[..2]);
    assert!(cache.most_used(&KeyBuf::new("other"), 9).is_empty());
}
