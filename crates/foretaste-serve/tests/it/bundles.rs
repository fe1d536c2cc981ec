//! Bundles go live and back under load: no error, one bundle per answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use foretaste_store::MemoryStore;
use serde_json::json;

use crate::client::{get, post};
use crate::world::{World, eventually, patient, write_bundle};

#[tokio::test(flavor = "multi_thread")]
async fn without_a_bundle_it_is_alive_but_not_ready_until_training_makes_one() {
    let world = World::with(patient(), Arc::new(MemoryStore::new()), false).await;
    get(world.at, "/health/live").await.expect(200);
    get(world.at, "/health/ready").await.expect(503);
    get(world.at, "/v1/recommend/u0").await.expect(503);
    let event = json!({ "user": "u0", "item": "item-21", "kind": "order" });
    post(world.at, "/v1/events", &event.to_string()).await.expect(200);
    let id = write_bundle(world.folder.path(), 1);
    foretaste_bundle::activate(world.folder.path(), &id).expect("activate");
    eventually("ready", || async { get(world.at, "/health/ready").await.status == 200 }).await;
    let items = get(world.at, "/v1/recommend/u0").await.items();
    assert!(items.iter().any(|id| id == "item-19" || id == "item-23"), "{items:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn swapping_under_load_fails_nobody_and_mixes_nothing() {
    let world = World::new().await;
    let at = world.at;
    let ids = [write_bundle(world.folder.path(), 1), write_bundle(world.folder.path(), 2)];
    let stop = Arc::new(AtomicBool::new(false));
    let mut clients = Vec::new();
    for user in 0..4 {
        let stop = Arc::clone(&stop);
        clients.push(tokio::spawn(async move {
            let mut answers = 0;
            while !stop.load(Relaxed) {
                let body = json!({ "users": ["u0", "u1", format!("u{user}")], "k": 3 });
                let batch = post(at, "/v1/recommend:batch", &body.to_string()).await.expect(200);
                let named = batch.header("x-foretaste-bundle").expect("header").to_owned();
                let batch = batch.json();
                for result in batch["results"].as_array().expect("results") {
                    assert_eq!(result["answer"]["bundle"], named.as_str());
                }
                answers += 1;
            }
            answers
        }));
    }
    for swap in 0..30 {
        let body = json!({ "id": ids[swap % 2].as_str() }).to_string();
        let card = post(at, "/v1/admin/bundles:promote", &body).await.expect(200).json();
        assert_eq!((&card["id"], &card["live"]), (&json!(ids[swap % 2].as_str()), &json!(true)));
    }
    stop.store(true, Relaxed);
    for client in clients {
        assert!(client.await.expect("no failed request") > 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn load_checks_promote_serves_and_rollback_returns() {
    let world = World::new().await;
    let at = world.at;
    let shelf = get(at, "/v1/admin/bundles").await.expect(200).json();
    let first = shelf["live"].as_str().expect("live").to_owned();
    let second = write_bundle(world.folder.path(), 2);
    let body = json!({ "id": second.as_str() }).to_string();
    let card = post(at, "/v1/admin/bundles:load", &body).await.expect(200).json();
    assert_eq!((&card["live"], &card["n_items"]), (&json!(false), &json!(40)));
    let live = async || get(at, "/health/ready").await.expect(200).json()["bundle"].clone();
    assert_eq!(live().await, first.as_str());
    post(at, "/v1/admin/bundles:promote", &body).await.expect(200);
    assert_eq!(live().await, second.as_str());
    post(at, "/v1/admin/bundles:rollback", "").await.expect(200);
    assert_eq!(live().await, first.as_str());
    let metrics = get(at, "/metrics").await.body;
    assert!(metrics.contains(&format!("bundle=\"{first}\"")), "{metrics}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_swap_may_take_longer_than_a_request() {
    let mut config = patient();
    config.timeouts.request_ms = 1;
    let world = World::with(config, Arc::new(MemoryStore::new()), true).await;
    let second = write_bundle(world.folder.path(), 2);
    let body = json!({ "id": second.as_str() }).to_string();
    post(world.at, "/v1/admin/bundles:promote", &body).await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_bundle_is_refused_and_counted_and_the_old_one_serves() {
    let world = World::new().await;
    let at = world.at;
    let before = get(at, "/v1/recommend/u1").await.body;
    let damaged = write_bundle(world.folder.path(), 2);
    let mut files: Vec<_> = fs_err::read_dir(world.folder.path().join(damaged.as_str()))
        .expect("folder")
        .map(|entry| entry.expect("entry").path())
        .filter(|path| path.extension().is_none_or(|e| e != "json"))
        .collect();
    files.sort();
    let bytes = fs_err::read(&files[0]).expect("file");
    let flipped: Vec<u8> = bytes.iter().map(|b| b ^ 1).collect();
    fs_err::write(&files[0], flipped).expect("damage");
    let body = json!({ "id": damaged.as_str() }).to_string();
    post(at, "/v1/admin/bundles:promote", &body).await.expect(422);
    assert_eq!(get(at, "/v1/recommend/u1").await.body, before);
    let metrics = get(at, "/metrics").await.body;
    assert!(metrics.contains("foretaste_reload_failures_total{reason=\"corrupt\"} 1"), "{metrics}");
}

#[tokio::test(flavor = "multi_thread")]
async fn bundles_are_named_never_pathed() {
    let world = World::new().await;
    for id in ["../x", "a/b", "/etc/passwd", "..", "", "a\u{0}b"] {
        let body = json!({ "id": id }).to_string();
        post(world.at, "/v1/admin/bundles:promote", &body).await.expect(400);
    }
    let body = json!({ "id": "none" }).to_string();
    post(world.at, "/v1/admin/bundles:load", &body).await.expect(404);
}
