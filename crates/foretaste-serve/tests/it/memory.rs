//! A process that holds more than it may: the cache gives back, and answers go on.

use std::sync::Arc;

use foretaste_serve::ServeConfig;
use foretaste_store::MemoryStore;

use crate::client::get;
use crate::redis::has;
use crate::world::{World, eventually, patient};

#[tokio::test(flavor = "multi_thread")]
async fn short_of_memory_the_cache_gives_back() {
    // Any process holds more than a mebibyte of its own.
    let config = ServeConfig { memory_bytes: 1 << 20, ..patient() };
    let world = World::with(config, Arc::new(MemoryStore::new()), true).await;
    let of = |n: usize| format!("/v1/recommend/u{}?k={}", n % 20, 1 + n / 20);
    eventually("given back", || async {
        for n in 0..100 {
            get(world.at, &of(n)).await.expect(200);
        }
        !has(&world, "cache_evicted_total{tier=\"l1\"} 0").await
    })
    .await;
    let roomy = World::new().await;
    for n in 0..100 {
        assert_eq!(get(world.at, &of(n)).await.body, get(roomy.at, &of(n)).await.body);
    }
    assert!(has(&roomy, "cache_evicted_total{tier=\"l1\"} 0").await);
}
