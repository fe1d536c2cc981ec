//! Leaving without failing anyone.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use http_body_util::{BodyExt, Empty};
use hyper::Request;
use hyper::body::Bytes;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::client::{get, read_all};
use crate::world::World;

fn request(path: &str) -> Request<Empty<Bytes>> {
    Request::builder().uri(path).header("host", "x").body(Empty::new()).expect("request")
}

/// Keeps a connection busy as a proxy would: when the server says close, it opens a new one as
/// long as the server is ready.
async fn client(world_at: std::net::SocketAddr, answered: Arc<AtomicUsize>) {
    loop {
        if get(world_at, "/health/ready").await.status != 200 {
            return;
        }
        let stream = TcpStream::connect(world_at).await.expect("connect while ready");
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.expect("handshake");
        let connection = tokio::spawn(connection);
        loop {
            let response = sender.send_request(request("/v1/recommend/u1")).await;
            let response = response.expect("no failed request");
            assert_eq!(response.status(), 200);
            let closes = response.headers().get("connection").is_some_and(|v| v == "close");
            response.into_body().collect().await.expect("whole body");
            answered.fetch_add(1, Relaxed);
            if closes {
                break;
            }
        }
        connection.await.expect("task").expect("clean end");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_under_load_fails_no_request() {
    let mut world = World::new().await;
    let answered = Arc::new(AtomicUsize::new(0));
    let clients: Vec<_> =
        (0..8).map(|_| tokio::spawn(client(world.at, Arc::clone(&answered)))).collect();
    crate::world::eventually("load", || async { answered.load(Relaxed) > 100 }).await;
    world.ask_to_stop();
    for client in clients {
        client.await.expect("no failed request");
    }
    world.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_never_finishes_cannot_block_the_end() {
    let mut world = World::impatient().await;
    let mut stuck = TcpStream::connect(world.at).await.expect("connect");
    let head = b"POST /v1/events HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{";
    stuck.write_all(head).await.expect("part of a request");
    world.ask_to_stop();
    world.stopped().await;
    read_all(&mut stuck).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn http2_with_prior_knowledge_is_served_and_told_to_go() {
    let mut world = World::new().await;
    let stream = TcpStream::connect(world.at).await.expect("connect");
    let (mut sender, connection) =
        http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.expect("handshake");
    let connection = tokio::spawn(connection);
    for _ in 0..20 {
        let response = sender.send_request(request("/v1/recommend/u1")).await.expect("answer");
        assert_eq!(response.status(), 200);
        response.into_body().collect().await.expect("whole body");
    }
    world.ask_to_stop();
    connection.await.expect("task").expect("a clean goodbye");
    world.stopped().await;
}
