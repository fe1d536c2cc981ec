//! Two servers share what they compute through a real Redis; without it they serve on.
#![allow(clippy::print_stdout, reason = "a test that skips says so")]

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use foretaste_cache::{CacheConfig, RedisConfig};
use foretaste_serve::ServeConfig;
use foretaste_store::MemoryStore;
use serde_json::json;
use tempfile::TempDir;

use crate::client::{get, post, request};
use crate::world::{World, eventually, patient};

/// A private Redis, killed with the test.
pub struct Redis {
    child: Child,
    pub port: u16,
    _folder: TempDir,
}

impl Redis {
    pub fn start() -> Option<Self> {
        let free = TcpListener::bind("127.0.0.1:0").expect("bind");
        let port = free.local_addr().expect("address").port();
        drop(free);
        Self::start_at(port)
    }

    pub fn start_at(port: u16) -> Option<Self> {
        let folder = tempfile::tempdir().expect("folder");
        let spawned = Command::new("redis-server")
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", ""])
            .args(["--dir".as_ref(), folder.path().as_os_str()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let Ok(child) = spawned else {
            println!("skipped: redis-server is not installed");
            return None;
        };
        Some(Self { child, port, _folder: folder })
    }

    /// The process, for signals.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn kill(&mut self) {
        // Dropped after it was killed by a test.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.kill();
    }
}

pub async fn world(port: u16) -> World {
    let urls = vec![format!("redis://127.0.0.1:{port}/")];
    let redis = RedisConfig { urls, operation_ms: 2_000, ..RedisConfig::default() };
    let cache = CacheConfig { redis, warm_users: 0, ..CacheConfig::default() };
    let config = ServeConfig { cache, trends_ms: 3_600_000, ..patient() };
    let world = World::with(config, Arc::new(MemoryStore::new()), true).await;
    eventually("connected to Redis", || async { has(&world, "cache_redis_up 1").await }).await;
    // A new connection drops what is in process once more; an answer on its way would not be kept.
    tokio::time::sleep(Duration::from_secs(1)).await;
    world
}

pub async fn has(world: &World, line: &str) -> bool {
    get(world.at, "/metrics").await.body.contains(&format!("foretaste_{line}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn one_computes_and_both_answer_until_redis_is_gone_and_then_each_for_itself() {
    let Some(mut redis) = Redis::start() else { return };
    let (a, b) = (world(redis.port).await, world(redis.port).await);
    let path = "/v1/recommend/u1?k=5";
    let first = get(a.at, path).await.expect(200);
    assert_eq!(first.header("x-cache"), Some("MISS"));
    eventually("stored", || async { has(&a, "cache_stored_total{tier=\"redis\"} 1").await }).await;
    let second = get(b.at, path).await.expect(200);
    assert_eq!((second.header("x-cache"), &second.body), (Some("HIT"), &first.body));
    assert!(has(&b, "cache_lookups_total{tier=\"redis\",result=\"hit\"} 1").await);
    // An event is another key in the replica that has it, whatever the others keep.
    let event = json!({ "user": "u1", "item": "item-21", "kind": "order" });
    post(b.at, "/v1/events", &event.to_string()).await.expect(200);
    assert_eq!(get(b.at, path).await.header("x-cache"), Some("MISS"));
    eventually("stored", || async { has(&b, "cache_stored_total{tier=\"redis\"} 1").await }).await;
    // Erasing a user reaches what is shared.
    request(a.at, "DELETE", "/v1/users/u1", "").await.expect(200);
    eventually("removed", || async { has(&a, "cache_invalidated_total{tier=\"redis\"} 2").await })
        .await;
    redis.kill();
    for n in 1..=30 {
        for world in [&a, &b] {
            get(world.at, &format!("/v1/recommend/u3?k={n}")).await.expect(200);
        }
    }
    eventually("noticed", || async { has(&a, "cache_redis_up 0").await }).await;
}
