//! More requests than the workers can take: each is answered, leaner, or refused at once and told
//! when to come back; and nothing of it stays.

use std::collections::BTreeMap;
use std::sync::Arc;

use foretaste_cache::CacheConfig;
use foretaste_serve::ServeConfig;
use foretaste_store::MemoryStore;
use serde_json::json;

use crate::client::{get, post};
use crate::world::{World, patient};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_flood_is_answered_or_refused_and_leaves_nothing_behind() {
    let config = ServeConfig { cpu_threads: 1, queue_target_ms: 1, ..patient() };
    let world = World::with(config, Arc::new(MemoryStore::new()), true).await;
    let at = world.at;
    let path = |n: usize| format!("/v1/recommend/u{}?k={}&reasons=true", n % 20, 1 + n / 20);
    let flood: Vec<_> = (0..400)
        .map(|n| {
            let path = path(n);
            tokio::spawn(async move { get(at, &path).await })
        })
        .collect();
    let mut statuses = BTreeMap::new();
    for answer in flood {
        let response = answer.await.expect("no panic");
        *statuses.entry(response.status).or_insert(0) += 1;
        if response.status == 503 {
            assert_eq!(response.header("retry-after"), Some("1"), "{response:?}");
        } else {
            let body = response.expect(200).json();
            assert!(!body["items"].as_array().expect("items").is_empty(), "{body}");
        }
    }
    assert!(statuses.keys().all(|status| [200, 503].contains(status)), "{statuses:?}");
    let plain = {
        let cache = CacheConfig { enabled: false, ..CacheConfig::default() };
        let config = ServeConfig { cache, ..patient() };
        World::with(config, Arc::new(MemoryStore::new()), true).await
    };
    for n in 0..400 {
        let (kept, computed) = (get(at, &path(n)).await, get(plain.at, &path(n)).await);
        assert_eq!(kept.expect(200).body, computed.body, "{}", path(n));
    }
    let batch = json!({ "users": ["u0", "u1"], "k": 1 }).to_string();
    post(at, "/v1/recommend:batch", &batch).await.expect(200);
}
