//! Bounds hold at limit - 1, limit and limit + 1, and malformed HTTP is refused.

use serde_json::json;

use crate::client::{get, post, raw, request};
use crate::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn every_bound_holds_on_both_sides() {
    let world = World::new().await;
    let at = world.at;
    let list = |n: usize| vec!["item-1"; n];
    let nested = |depth: usize| {
        (1..depth).fold(json!({ "category": "odd" }), |inner, _| json!({ "not": inner }))
    };
    for (n, status) in [(499, 200), (500, 200), (501, 400)] {
        get(at, &format!("/v1/recommend/u1?k={n}")).await.expect(status);
        let body = json!({ "k": n }).to_string();
        post(at, "/v1/recommend/u1", &body).await.expect(status);
    }
    for (n, status) in [(999, 200), (1000, 200), (1001, 400)] {
        let body = json!({ "exclude": list(n) }).to_string();
        post(at, "/v1/recommend/u1", &body).await.expect(status);
    }
    for (n, status) in [(199, 200), (200, 200), (201, 400)] {
        let body = json!({ "items": list(n) }).to_string();
        post(at, "/v1/session/recommend", &body).await.expect(status);
    }
    for (n, status) in [(99, 200), (100, 200), (101, 400), (0, 400)] {
        let body = json!({ "users": vec!["u1"; n], "k": 1 }).to_string();
        post(at, "/v1/recommend:batch", &body).await.expect(status);
    }
    for (n, status) in [(7, 200), (8, 200), (9, 400)] {
        let body = json!({ "filter": nested(n) }).to_string();
        post(at, "/v1/recommend/u1", &body).await.expect(status);
    }
    for (n, status) in [(127, 200), (128, 200), (129, 400)] {
        get(at, &format!("/v1/recommend/{}", "x".repeat(n))).await.expect(status);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_and_batches_are_bounded() {
    let world = World::new().await;
    let at = world.at;
    let limit = 64 << 10;
    for (bytes, status) in [(limit - 1, 200), (limit, 200), (limit + 1, 413)] {
        let padded = format!("{{\"k\":1{}}}", " ".repeat(bytes - 7));
        assert_eq!(padded.len(), bytes);
        post(at, "/v1/recommend/u1", &padded).await.expect(status);
        let event = r#"{"user":"u","item":"i","kind":"view"}"#;
        let padded = format!("{event}{}", " ".repeat(bytes - event.len()));
        post(at, "/v1/events", &padded).await.expect(status);
    }
    let event = |n: usize| format!(r#"{{"user":"u","item":"i","kind":"view","time_ms":{n}}}"#);
    for (n, status) in [(9_999, 200), (10_000, 200), (10_001, 400)] {
        let batch = (1..=n).map(event).collect::<Vec<_>>().join(",");
        post(at, "/v1/events", &format!("[{batch}]")).await.expect(status);
    }
    let chunked = format!(
        "POST /v1/recommend/u1 HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\
         connection: close\r\n\r\n{:x}\r\n{}\r\n0\r\n\r\n",
        limit + 1,
        " ".repeat(limit + 1)
    );
    raw(at, chunked.as_bytes()).await.expect(413);
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_http_is_refused() {
    let world = World::new().await;
    let at = world.at;
    raw(at, b"GET /health/live HTTP/1.1\r\nconnection: close\r\n\r\n").await.expect(400);
    for (first, second) in [
        ("content-length: 2", "transfer-encoding: chunked"),
        ("transfer-encoding: chunked", "content-length: 2"),
    ] {
        let text =
            format!("POST /v1/events HTTP/1.1\r\nhost: x\r\n{first}\r\n{second}\r\n\r\n0\r\n\r\n");
        raw(at, text.as_bytes()).await.expect(400);
    }
    assert_eq!(raw(at, b"NONSENSE\r\n\r\n").await.status, 400);
    let headers = (0..150).map(|n| format!("x-{n}: 1\r\n")).collect::<String>();
    let text = format!("GET / HTTP/1.1\r\nhost: x\r\n{headers}\r\n");
    assert_eq!(raw(at, text.as_bytes()).await.status, 431);
    let long = format!("/v1/recommend/u1?exclude={}", "x".repeat(50_000));
    get(at, &long).await.expect(414);
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_routes_methods_types_and_values_are_problems() {
    let world = World::new().await;
    let at = world.at;
    get(at, "/v1/nothing").await.expect(404);
    get(at, "/v1/events").await.expect(405);
    request(at, "DELETE", "/v1/popular", "").await.expect(405);
    get(at, "/v1/recommend/u1?unknown=1").await.expect(400);
    get(at, "/v1/recommend/u1?scene=none").await.expect(400);
    get(at, "/v1/trending?window=2h").await.expect(400);
    post(at, "/v1/recommend/u1", r#"{"filter":{"colour":"red"}}"#).await.expect(400);
    post(at, "/v1/recommend/u1", r#"{"k":1,"k":}"#).await.expect(400);
    post(at, "/v1/events", "\u{feff}").await.expect(400);
    let xml = b"POST /v1/events HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\
        content-type: text/xml\r\ncontent-length: 2\r\n\r\n{}";
    raw(at, xml).await.expect(415);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_sent_is_not_repeated() {
    let world = World::new().await;
    let secret = "s3cr3t-canary";
    let replies = [
        post(world.at, "/v1/events", &format!(r#"{{"user":"{secret}","item":3}}"#)).await,
        post(world.at, "/v1/events", &format!(r#"{{"{secret}": 1}}"#)).await,
        post(world.at, "/v1/recommend/u1", &format!(r#"{{"k":"{secret}"}}"#)).await,
        get(world.at, &format!("/v1/recommend/u1?{secret}=1")).await,
        get(world.at, &format!("/v1/recommend/u1?k={secret}")).await,
        get(world.at, &format!("/{secret}")).await,
    ];
    for reply in replies {
        assert!(reply.status >= 400 && !reply.body.contains(secret), "{reply:?}");
    }
}
