//! Slow clients lose their connection; everybody else notices nothing.

use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::client::{get, parse, read_all};
use crate::world::{World, quick};

/// Opens a connection, sends `first`, then `drip` again and again, until the server closes.
async fn until_closed(world: &World, first: &[u8], drip: Option<&'static [u8]>) -> String {
    let mut stream = TcpStream::connect(world.at).await.expect("connect");
    stream.write_all(first).await.expect("first bytes");
    match drip {
        None => read_all(&mut stream).await,
        Some(drip) => {
            let (mut read, mut write) = stream.into_split();
            let dripping = tokio::spawn(async move {
                while write.write_all(drip).await.is_ok() {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            });
            let mut said = Vec::new();
            // A reset is one way of closing.
            let _ = tokio::io::AsyncReadExt::read_to_end(&mut read, &mut said).await;
            dripping.abort();
            String::from_utf8_lossy(&said).into_owned()
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_without_a_byte_is_closed() {
    let world = World::impatient().await;
    assert_eq!(until_closed(&world, b"", None).await, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partial_head_is_closed() {
    let world = World::impatient().await;
    until_closed(&world, b"GET / HTTP/1.1\r\nhost: x\r\nx-a: ", None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dripping_head_is_closed() {
    let world = World::impatient().await;
    until_closed(&world, b"GET / HTTP/1.1\r\nhost: x\r\nx-a: ", Some(b"a")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stalled_body_is_answered_and_closed() {
    let world = World::impatient().await;
    let head = b"POST /v1/events HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{";
    let said = until_closed(&world, head, None).await;
    assert_eq!(parse(&said).expect(408).header("connection"), Some("close"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dripping_body_is_answered_and_closed() {
    let world = World::impatient().await;
    let head = b"POST /v1/events HTTP/1.1\r\nhost: x\r\ncontent-length: 60000\r\n\r\n[";
    let said = until_closed(&world, head, Some(b" ")).await;
    assert_eq!(parse(&said).status, 408);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_keep_alive_connection_is_closed_later_than_a_slow_head() {
    let mut config = quick();
    config.timeouts.idle_ms = 1_500;
    let world = World::with(config, std::sync::Arc::new(foretaste_store::MemoryStore::new()), true);
    let world = world.await;
    let started = Instant::now();
    let said = until_closed(&world, b"GET /health/live HTTP/1.1\r\nhost: x\r\n\r\n", None).await;
    assert_eq!(parse(&said).status, 200);
    assert!(started.elapsed() > Duration::from_millis(1_400), "idle clients have more time");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_head_that_drips_is_closed_like_the_first() {
    let world = World::impatient().await;
    let first = b"GET /health/live HTTP/1.1\r\nhost: x\r\n\r\nGET / HTTP/1.1\r\nx: ";
    until_closed(&world, first, Some(b"a")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_http2_client_that_only_pings_is_closed() {
    let world = World::impatient().await;
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    let ping: &[u8] = b"\0\0\x08\x06\0\0\0\0\0abcdefgh";
    until_closed(&world, preface, Some(ping)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn normal_requests_do_not_notice_slow_clients() {
    let world = World::impatient().await;
    let mut slow = Vec::new();
    for _ in 0..50 {
        let mut stream = TcpStream::connect(world.at).await.expect("connect");
        stream.write_all(b"GET / HTTP/1.1\r\nx: ").await.expect("part of a head");
        slow.push(stream);
    }
    for _ in 0..50 {
        get(world.at, "/v1/recommend/u1").await.expect(200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn above_the_cap_connections_are_refused_and_the_rest_is_served() {
    let config = foretaste_serve::ServeConfig { max_connections: 3, ..quick() };
    let store = std::sync::Arc::new(foretaste_store::MemoryStore::new());
    let world = World::with(config, store, true).await;
    let mut held = Vec::new();
    for _ in 0..3 {
        let mut stream = TcpStream::connect(world.at).await.expect("connect");
        stream.write_all(b"G").await.expect("a byte");
        held.push(stream);
    }
    crate::world::eventually("the cap is reached", || async {
        get(world.at, "/health/live").await.status == 503
    })
    .await;
    drop(held);
    crate::world::eventually("served again", || async {
        get(world.at, "/health/live").await.status == 200
    })
    .await;
}
