//! Answers that are there before anybody asks: after a swap and after a start.

use std::net::SocketAddr;
use std::sync::Arc;

use foretaste_cache::CacheConfig;
use foretaste_serve::ServeConfig;
use foretaste_store::MemoryStore;
use serde_json::json;

use crate::client::{get, post};
use crate::world::{World, patient, write_bundle};

fn config(warm_users: usize) -> ServeConfig {
    // It is done while nobody else wants the core, and other tests do.
    let cache = CacheConfig { warm_users, warm_ms: 60_000, ..CacheConfig::default() };
    ServeConfig { cache, trends_ms: 3_600_000, ..patient() }
}

async fn source(at: SocketAddr, path: &str) -> String {
    let answer = get(at, path).await.expect(200);
    answer.header("x-cache").unwrap_or("none").to_owned()
}

async fn swap(world: &World) {
    let next = write_bundle(world.folder.path(), 2);
    let body = json!({ "id": next.as_str() }).to_string();
    post(world.at, "/v1/admin/bundles:promote", &body).await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_asked_most_is_there_after_a_swap_in_the_form_it_was_asked_in() {
    let world = World::with(config(2), Arc::new(MemoryStore::new()), true).await;
    let often = ["/v1/recommend/u1?k=4", "/v1/recommend/u2?k=3&reasons=true"];
    let once = "/v1/recommend/u3?k=4";
    get(world.at, once).await.expect(200);
    let filtered = "/v1/recommend/u1?k=4&exclude=item-9";
    for _ in 0..3 {
        for path in [often[0], often[1]] {
            get(world.at, path).await.expect(200);
        }
    }
    swap(&world).await;
    for path in often {
        let answer = get(world.at, path).await.expect(200);
        assert_eq!(answer.header("x-cache"), Some("HIT"), "{path}");
        let bundle = answer.header("x-foretaste-bundle").expect("a bundle").to_owned();
        assert_eq!(answer.json()["bundle"], bundle.as_str(), "made from the bundle that serves");
    }
    assert_eq!(source(world.at, "/v1/popular").await, "HIT", "lists, too");
    for path in [once, filtered, "/v1/recommend/u1?k=5"] {
        assert_eq!(source(world.at, path).await, "MISS", "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_warming_or_time_for_it_nothing_is_there_after_a_swap() {
    let mut hurried = config(50);
    hurried.cache.warm_ms = 0;
    for config in [config(0), hurried] {
        let world = World::with(config, Arc::new(MemoryStore::new()), true).await;
        get(world.at, "/v1/recommend/u1?k=4").await.expect(200);
        swap(&world).await;
        assert_eq!(source(world.at, "/v1/recommend/u1?k=4").await, "MISS");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_active_last_finds_an_answer_after_a_start() {
    let store = Arc::new(MemoryStore::new());
    let mut world = World::with(config(50), store.clone(), true).await;
    let event = json!({ "user": "u5", "item": "item-9", "kind": "view" });
    post(world.at, "/v1/events", &event.to_string()).await.expect(200);
    world.ask_to_stop();
    let world = World::in_folder(config(50), store, world.stopped().await).await;
    assert_eq!(source(world.at, "/v1/recommend/u5").await, "HIT");
    assert_eq!(source(world.at, "/v1/recommend/u7").await, "MISS");
    // Who acted has a say before a swap, too, as there is room behind those who asked.
    swap(&world).await;
    assert_eq!(source(world.at, "/v1/recommend/u5").await, "HIT");
}
