//! Requests that are short of time: what is late is left out and named, and not kept.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use foretaste_serve::ServeConfig;
use foretaste_store::MemoryStore;
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::client::{Response, get, get_with, ids, parse, read_all};
use crate::world::{World, patient};

const LATE: &str = "channel item_item was late and is left out";

async fn hasty() -> World {
    let config = ServeConfig { deadline_ms: 20, ..patient() };
    World::with(config, Arc::new(MemoryStore::new()), true).await
}

/// Sends the head of a POST, and its body once the server's deadline is over.
async fn dawdling(at: SocketAddr, path: &str, body: &str) -> Response {
    let mut stream = TcpStream::connect(at).await.expect("connect");
    let head = format!("POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n");
    let length = format!("content-length: {}\r\n\r\n", body.len());
    stream.write_all(format!("{head}{length}").as_bytes()).await.expect("head");
    tokio::time::sleep(Duration::from_millis(200)).await;
    stream.write_all(body.as_bytes()).await.expect("body");
    parse(&read_all(&mut stream).await)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_channel_is_left_out_named_counted_and_not_kept() {
    let world = hasty().await;
    let patience = "x-request-timeout-ms: 60000\r\n";
    let popular = get_with(world.at, "/v1/popular?k=5", patience).await.expect(200).json();
    let late = dawdling(world.at, "/v1/recommend/u1", r#"{"k":5}"#).await.expect(200).json();
    assert_eq!(late["degraded"], json!([LATE]), "{late}");
    assert_eq!(late["fallback"], "popular");
    let seen = ["item-1", "item-3", "item-5"];
    assert!(ids(&late).iter().all(|id| !seen.contains(&id.as_str())), "filters hold: {late}");
    assert_eq!(ids(&popular)[0], ids(&late)[0]);
    let metrics = get(world.at, "/metrics").await.body;
    assert!(metrics.contains("foretaste_channels_late_total{channel=\"item_item\"} 1"));

    let whole = get_with(world.at, "/v1/recommend/u1?k=5", patience).await.expect(200);
    assert_eq!(whole.header("x-cache"), Some("MISS"), "what was late is not kept");
    assert_eq!((&whole.json()["degraded"], &whole.json()["fallback"]), (&json!([]), &json!(null)));
    let kept = dawdling(world.at, "/v1/recommend/u1", r#"{"k":5}"#).await.expect(200);
    assert_eq!(kept.header("x-cache"), Some("HIT"), "what is ready is never late");
    assert_eq!(kept.body, whole.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_has_one_deadline() {
    let world = hasty().await;
    let body = json!({ "users": ["u1", "u2"], "k": 5 }).to_string();
    let batch = dawdling(world.at, "/v1/recommend:batch", &body).await.expect(200).json();
    for part in batch["results"].as_array().expect("results") {
        assert_eq!(part["answer"]["degraded"], json!([LATE]), "{part}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_is_told_when_its_own_time_is_over_and_how_to_say_it() {
    let world = World::new().await;
    let mut stream = TcpStream::connect(world.at).await.expect("connect");
    let head = "POST /v1/recommend/u1 HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\
        x-request-timeout-ms: 50\r\ncontent-length: 10\r\n\r\n";
    stream.write_all(head.as_bytes()).await.expect("head");
    let response = parse(&read_all(&mut stream).await).expect(503);
    assert_eq!(response.header("retry-after"), Some("1"));
    for bad in ["soon", "0", "-5"] {
        let header = format!("x-request-timeout-ms: {bad}\r\n");
        let response = get_with(world.at, "/v1/recommend/u1", &header).await.expect(400);
        assert!(response.body.contains("x-request-timeout-ms"), "{response:?}");
    }
}
