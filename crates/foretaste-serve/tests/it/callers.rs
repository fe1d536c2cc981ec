//! What callers say about themselves: pages of other origins, ids, and whether they want to know
//! where the time went.

use std::sync::Arc;

use foretaste_serve::ServeConfig;
use foretaste_store::MemoryStore;

use crate::client::{Response, get_with, raw};
use crate::world::{World, patient};

const SHOP: &str = "https://shop.example";

async fn open_to_the_shop() -> World {
    let cors_origins = vec![SHOP.to_owned()];
    let config = ServeConfig { cors_origins, server_timing: true, ..patient() };
    World::with(config, Arc::new(MemoryStore::new()), true).await
}

async fn ask(world: &World, first_line: &str, headers: &str) -> Response {
    let text = format!("{first_line} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{headers}\r\n");
    raw(world.at, text.as_bytes()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn listed_pages_may_read_and_write_and_others_may_not() {
    let world = open_to_the_shop().await;
    let origin = |origin: &str| format!("origin: {origin}\r\n");
    // The second is a ready answer, which takes the short way.
    for cache in ["MISS", "HIT"] {
        let response = get_with(world.at, "/v1/recommend/u1?k=3", &origin(SHOP)).await.expect(200);
        assert_eq!(response.header("x-cache"), Some(cache));
        assert_eq!(response.header("access-control-allow-origin"), Some(SHOP), "{response:?}");
    }
    let stranger = get_with(world.at, "/v1/popular", &origin("https://evil.example")).await;
    assert_eq!(stranger.header("access-control-allow-origin"), None);
    assert!(stranger.head.to_lowercase().contains("vary: origin"), "{stranger:?}");

    let asks = "access-control-request-method: POST\r\n";
    let preflight = |from: &str| format!("{}{asks}", origin(from));
    let allowed = ask(&world, "OPTIONS /v1/events", &preflight(SHOP)).await.expect(204);
    assert_eq!(allowed.header("access-control-allow-origin"), Some(SHOP));
    assert!(
        allowed.header("access-control-allow-headers").is_some_and(|h| h.contains("content-type"))
    );
    ask(&world, "OPTIONS /v1/events", &preflight("https://evil.example")).await.expect(405);
    ask(&world, "OPTIONS /v1/admin/bundles:rollback", &preflight(SHOP)).await.expect(405);

    let body = r#"{"user":"u1","item":"item-9","kind":"view"}"#;
    let event = |from: &str| {
        let length =
            format!("content-type: application/json\r\ncontent-length: {}\r\n", body.len());
        format!(
            "POST /v1/events HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{}{length}\r\n{body}",
            origin(from)
        )
    };
    raw(world.at, event(SHOP).as_bytes()).await.expect(200);
    raw(world.at, event("https://evil.example").as_bytes()).await.expect(403);
    ask(&world, "POST /v1/admin/bundles:rollback", &origin(SHOP)).await.expect(403);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_is_told_where_the_time_went() {
    let world = open_to_the_shop().await;
    let debug = "x-foretaste-debug: 1\r\n";
    let path = "/v1/recommend/u2?k=3";
    let computed = get_with(world.at, path, debug).await.expect(200);
    let timing = computed.header("server-timing").expect("asked for").to_owned();
    for stage in ["queue;dur=", "prepare;dur=", "pipeline;dur=", "respond;dur=", "total;dur="] {
        assert!(timing.contains(stage), "{timing}");
    }
    let ready = get_with(world.at, path, debug).await.expect(200);
    let timing = ready.header("server-timing").expect("asked for");
    assert!(timing.starts_with("total;dur="), "nothing was computed: {timing}");
    assert_eq!(get_with(world.at, path, "").await.header("server-timing"), None);

    let reserved = World::new().await;
    let response = get_with(reserved.at, path, debug).await.expect(200);
    assert_eq!(response.header("server-timing"), None, "not without the setting");
}
