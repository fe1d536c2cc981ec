//! The page loads without anything from elsewhere, and every address it uses answers.

use serde_json::json;

use crate::client::{get, post, request};
use crate::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn the_page_is_self_contained_and_guarded() {
    let world = World::new().await;
    let page = get(world.at, "/").await.expect(200);
    let policy = page.header("content-security-policy").expect("policy").to_owned();
    let nonce = policy.split("nonce-").nth(1).and_then(|s| s.split('\'').next()).expect("nonce");
    assert_eq!(page.body.matches(&format!("nonce=\"{nonce}\"")).count(), 2);
    assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
    for outside in ["http://", "https://", "//cdn", "@import", "url(", "innerHTML", "onclick="] {
        assert!(!page.body.contains(outside), "{outside}");
    }
    assert_ne!(get(world.at, "/").await.header("content-security-policy"), Some(policy.as_str()));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_address_of_the_page_answers() {
    let world = World::new().await;
    let at = world.at;
    let page = get(at, "/").await.body;
    let used = [
        "/v1/items?limit=",
        "/v1/users?limit=",
        "/v1/recommend/",
        "/v1/similar/",
        "/v1/explain/",
        "/v1/trending?window=",
        "/v1/popular?",
        "/v1/latest?",
        "/v1/events",
        "/health/ready",
    ];
    for path in used {
        assert!(page.contains(path), "the page does not use {path}");
    }
    for path in [
        "/v1/items?limit=12",
        "/v1/items?limit=12&prefix=Title%202",
        "/v1/users?limit=12&prefix=u1",
        "/v1/recommend/u1?k=12&reasons=true",
        "/v1/similar/item-1?k=12",
        "/v1/explain/u1/item-7",
        "/v1/trending?window=24h&k=12",
        "/v1/popular?k=12",
        "/v1/latest?k=12",
        "/health/ready",
    ] {
        get(at, path).await.expect(200);
    }
    let event = json!({ "user": "u1", "item": "item-7", "kind": "view" }).to_string();
    post(at, "/v1/events", &event).await.expect(200);
    request(at, "PATCH", "/v1/items/item-7", r#"{"hidden":true}"#).await.expect(200);
    let found = get(at, "/v1/items?limit=100&prefix=item-7").await.expect(200).json();
    assert_eq!(found["items"][0]["hidden"], true);
}
