//! The right answer comes out, and changes when it should.

use serde_json::json;

use crate::client::{get, ids, post, request};
use crate::world::{AS_OF_MS, World, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn a_user_gets_unseen_items_of_the_own_taste_with_reasons() {
    let world = World::new().await;
    let response = get(world.at, "/v1/recommend/u1?k=4&reasons=true").await.expect(200);
    let slate = response.json();
    assert_eq!(response.header("x-foretaste-bundle"), slate["bundle"].as_str());
    assert_eq!(ids(&slate), ["item-7", "item-9", "item-11", "item-13"]);
    let first = &slate["items"][0];
    assert_eq!((&first["title"], &first["price"]), (&json!("Title 7"), &json!(7.0)));
    assert_eq!(first["categories"], json!(["odd"]));
    assert_eq!(first["channels"][0]["channel"], "item_item");
    assert_eq!(first["because"][0]["item_id"], "item-5");
    assert!(response.header("x-request-id").is_some());
    assert_eq!(response.header("cache-control"), Some("private, no-store"));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_event_changes_the_next_answer_of_that_user_only() {
    let world = World::new().await;
    let before = get(world.at, "/v1/recommend/u0?k=5").await.items();
    let other = get(world.at, "/v1/recommend/u2?k=5").await.items();
    let event = json!({ "user": "u0", "item": "item-21", "kind": "order" });
    post(world.at, "/v1/events", &event.to_string()).await.expect(200);
    let after = get(world.at, "/v1/recommend/u0?k=5").await.items();
    assert_ne!(before, after);
    assert!(after.iter().any(|id| id == "item-19" || id == "item-23"), "{after:?}");
    assert!(!after.contains(&"item-21".to_owned()));
    assert_eq!(get(world.at, "/v1/recommend/u2?k=5").await.items(), other);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_the_bundle_holds_does_not_count_twice() {
    let world = World::new().await;
    let before = get(world.at, "/v1/recommend/u0").await.body;
    let old = json!({ "user": "u0", "item": "item-2", "kind": "order", "time_ms": AS_OF_MS });
    post(world.at, "/v1/events", &old.to_string()).await.expect(200);
    assert_eq!(get(world.at, "/v1/recommend/u0").await.body, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn new_users_are_served_and_learn_at_once() {
    let world = World::new().await;
    let slate = get(world.at, "/v1/recommend/stranger?k=3").await.expect(200).json();
    assert_eq!(slate["fallback"], "popular");
    assert_eq!(ids(&slate), ["item-0", "item-1", "item-2"]);
    let event = json!({ "user": "stranger", "item": "item-9", "kind": "view" });
    post(world.at, "/v1/events", &event.to_string()).await.expect(200);
    let slate = get(world.at, "/v1/recommend/stranger?k=2").await.expect(200).json();
    assert_eq!(slate["fallback"], json!(null));
    assert_eq!(ids(&slate), ["item-7", "item-11"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hidden_item_is_gone_at_once_everywhere_and_comes_back() {
    let world = World::new().await;
    let places = [
        "/v1/recommend/u1?k=40",
        "/v1/similar/item-5?k=40",
        "/v1/popular?k=40",
        "/v1/trending?k=40&window=7d",
        "/v1/latest?k=40",
        "/v1/recommend/stranger?k=40",
    ];
    let seen_in = async |id: &str| {
        let mut n = 0;
        for place in places {
            n += usize::from(get(world.at, place).await.items().iter().any(|i| i == id));
        }
        n
    };
    assert_eq!(seen_in("item-7").await, places.len());
    request(world.at, "PATCH", "/v1/items/item-7", r#"{"hidden":true}"#).await.expect(200);
    assert_eq!(seen_in("item-7").await, 0);
    let explained = get(world.at, "/v1/explain/u1/item-7").await.expect(200).json();
    assert_eq!(explained["removed_by"], "hidden");
    request(world.at, "PATCH", "/v1/items/item-7", r#"{"hidden":false}"#).await.expect(200);
    assert_eq!(seen_in("item-7").await, places.len());
    request(world.at, "DELETE", "/v1/items/item-9", "").await.expect(200);
    assert_eq!(seen_in("item-9").await, 0);
    request(world.at, "DELETE", "/v1/items/nothing", "").await.expect(404);
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_excludes_and_sessions_are_honoured() {
    let world = World::new().await;
    let at = world.at;
    let even = get(at, "/v1/recommend/u1?k=5&category=even").await.items();
    assert!(even.iter().all(|id| id[5..].parse::<u32>().expect("number") % 2 == 0), "{even:?}");
    let left_out = get(at, "/v1/recommend/u1?k=2&exclude=item-7&exclude=item-9").await.items();
    assert_eq!(left_out, ["item-11", "item-13"]);
    let body = json!({ "k": 2, "filter": { "and": [
        { "category": "odd" }, { "price": { "min": 30 } }, { "not": { "category": "none" } }
    ] } });
    let dear = post(at, "/v1/recommend/u1", &body.to_string()).await.items();
    assert_eq!(dear, ["item-31", "item-33"]);
    let body = json!({ "items": ["item-20"], "k": 2, "reasons": true });
    let slate = post(at, "/v1/session/recommend", &body.to_string()).await.expect(200).json();
    assert_eq!((&slate["fallback"], ids(&slate).len()), (&json!("session"), 2));
    assert!(ids(&slate).iter().all(|id| id == "item-18" || id == "item-22"), "{slate}");
}

#[tokio::test(flavor = "multi_thread")]
async fn percent_encoded_ids_reach_their_items() {
    let world = World::new().await;
    let similar = get(world.at, "/v1/similar/item%2F39%20%C3%A9?k=1").await.items();
    assert_eq!(similar, ["item-37"]);
    get(world.at, "/v1/similar/item%FF").await.expect(400);
    get(world.at, "/v1/similar/none").await.expect(404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_keeps_its_users_apart() {
    let world = World::new().await;
    let body = json!({ "users": ["u0", "", "u1"], "k": 1 });
    let batch = post(world.at, "/v1/recommend:batch", &body.to_string()).await.expect(200).json();
    let results = batch["results"].as_array().expect("results");
    assert_eq!(ids(&results[0]["answer"]), ["item-6"]);
    assert_eq!(results[1]["problem"]["status"], 400);
    assert_eq!(ids(&results[2]["answer"]), ["item-7"]);
    let users: Vec<String> = (0..40).map(|n| format!("u{n}")).collect();
    let body = json!({ "users": users, "k": 3, "reasons": true }).to_string();
    for _ in 0..2 {
        let batch = post(world.at, "/v1/recommend:batch", &body).await.expect(200).json();
        for (user, result) in users.iter().zip(batch["results"].as_array().expect("results")) {
            let path = format!("/v1/recommend/{user}?k=3&reasons=true");
            assert_eq!(result["user"], user.as_str());
            assert_eq!(result["answer"], get(world.at, &path).await.expect(200).json());
        }
    }
    let event = json!({ "user": "u7", "item": "item-21", "kind": "order" });
    post(world.at, "/v1/events", &event.to_string()).await.expect(200);
    let after = post(world.at, "/v1/recommend:batch", &body).await.expect(200).json();
    assert_ne!(after["results"][7]["answer"], json!(null));
    let single = get(world.at, "/v1/recommend/u7?k=3&reasons=true").await.expect(200).json();
    assert_eq!(after["results"][7]["answer"], single, "the event counts in the next batch");
}

#[tokio::test(flavor = "multi_thread")]
async fn trends_move_within_their_interval() {
    let world = World::new().await;
    let events: Vec<_> = (0..50)
        .map(|n| json!({ "user": format!("v{n}"), "item": "item-33", "kind": "view" }))
        .collect();
    post(world.at, "/v1/events", &json!(events).to_string()).await.expect(200);
    for window in ["1h", "24h", "7d"] {
        let path = format!("/v1/trending?k=1&window={window}");
        eventually("item-33 trends", || async {
            get(world.at, &path).await.items() == ["item-33"]
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn explanations_agree_with_the_answer() {
    let world = World::new().await;
    let slate = get(world.at, "/v1/recommend/u1?k=5").await.expect(200).json();
    let third = slate["items"][2]["item_id"].as_str().expect("id").to_owned();
    let path = format!("/v1/explain/u1/{third}?k=5");
    let explained = get(world.at, &path).await.expect(200).json();
    assert_eq!(explained["position"], 3);
    assert_eq!(explained["score"], slate["items"][2]["score"]);
    assert_eq!(explained["channels"][0]["channel"], "item_item");
    let seen = get(world.at, "/v1/explain/u1/item-1").await.expect(200).json();
    assert_eq!(seen["removed_by"], "seen");
    for (asked, filter) in
        [(format!("exclude={third}"), "excluded"), ("category=none".into(), "request_filter")]
    {
        let path = format!("/v1/explain/u1/{third}?{asked}");
        assert_eq!(get(world.at, &path).await.expect(200).json()["removed_by"], filter);
    }
    get(world.at, "/v1/explain/u1/none").await.expect(404);
}
