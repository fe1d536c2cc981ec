//! Two servers with a store each hear of each other's events, erasures and hides through a real
//! Redis, and miss nothing while it is away.

use serde_json::json;

use crate::client::{get, post, request};
use crate::redis::{Redis, has, world};
use crate::world::{World, eventually};

/// What the server would answer now, whatever it keeps.
async fn items_of(world: &World, user: &str) -> Vec<String> {
    get(world.at, &format!("/v1/recommend/{user}?k=5")).await.items()
}

async fn tell(world: &World, user: &str, item: &str) {
    let event =
        json!({ "user": user, "item": item, "kind": "order", "time_ms": 1_700_000_500_000_i64 });
    post(world.at, "/v1/events", &event.to_string()).await.expect(200);
}

fn n_events(world: &World) -> u64 {
    world.store.counts().expect("counts").log_events
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_told_to_one_counts_for_all_and_is_stored_by_one() {
    let Some(redis) = Redis::start() else { return };
    let (a, b) = (world(redis.port).await, world(redis.port).await);
    let before = items_of(&b, "u1").await;
    tell(&a, "u1", &before[0]).await;
    eventually("heard", || async { items_of(&b, "u1").await != before }).await;
    assert_eq!(items_of(&b, "u1").await, items_of(&a, "u1").await);
    assert!(has(&b, "replica_news_total{reason=\"heard\"} 1").await);
    assert_eq!((n_events(&a), n_events(&b)), (1, 0));
    // A user of whom nobody knew anything, in a batch of more events than an entry holds.
    let events: Vec<_> = (0..40)
        .map(|n| json!({ "user": format!("new-{}", n % 2), "item": format!("item-{}", n / 2), "kind": "view" }))
        .collect();
    post(b.at, "/v1/events", &json!(events).to_string()).await.expect(200);
    eventually("all of them", || async { has(&a, "live_events 41").await }).await;
    for user in ["new-0", "new-1"] {
        assert_eq!(items_of(&a, user).await, items_of(&b, user).await);
    }
    // Told again, it changes nothing anywhere.
    tell(&b, "u1", &before[0]).await;
    eventually("told", || async { has(&a, "replica_news_total{reason=\"heard\"} 41").await }).await;
    assert!(has(&a, "live_events 41").await && has(&b, "live_events 41").await);

    let late = world(redis.port).await;
    eventually("caught up", || async { has(&late, "live_events 41").await }).await;
    assert_eq!(items_of(&late, "u1").await, items_of(&a, "u1").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erasure_and_a_hide_reach_all() {
    let Some(redis) = Redis::start() else { return };
    let (a, b) = (world(redis.port).await, world(redis.port).await);
    tell(&a, "u1", "item-21").await;
    eventually("heard", || async { has(&b, "live_events 1").await }).await;
    request(a.at, "DELETE", "/v1/users/u1", "").await.expect(200);
    eventually("forgotten", || async { has(&b, "live_events 0").await }).await;
    let stranger = items_of(&b, "nobody").await;
    assert_eq!(items_of(&b, "u1").await, stranger, "nothing of the user is left");

    let hidden = &items_of(&b, "u2").await[0];
    let path = format!("/v1/items/{hidden}");
    request(a.at, "PATCH", &path, r#"{"hidden":true}"#).await.expect(200);
    eventually("gone", || async { !items_of(&b, "u2").await.contains(hidden) }).await;
    request(b.at, "PATCH", &path, r#"{"hidden":false}"#).await.expect(200);
    eventually("back", || async { items_of(&a, "u2").await.contains(hidden) }).await;
    assert!(items_of(&b, "u2").await.contains(hidden));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_redis_each_serves_on_and_afterwards_hears_what_it_missed() {
    let Some(mut redis) = Redis::start() else { return };
    let (a, b) = (world(redis.port).await, world(redis.port).await);
    redis.kill();
    eventually("noticed", || async { has(&a, "cache_redis_up 0").await }).await;
    for n in 0..20 {
        let item = format!("item-{}", 10 + n);
        tell(&a, "u4", &item).await;
        assert!(!items_of(&a, "u4").await.contains(&item), "fresh where it was told");
        get(b.at, "/v1/recommend/u4?k=5").await.expect(200);
    }
    assert!(has(&b, "live_events 0").await);
    let Some(_redis) = Redis::start_at(redis.port) else { return };
    eventually("told after all", || async { has(&b, "live_events 20").await }).await;
    assert_eq!(items_of(&b, "u4").await, items_of(&a, "u4").await);
}
