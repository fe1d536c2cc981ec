//! Connections that are kept open: requests whose answer is ready are answered in the socket, the
//! others by hyper, and the client must not be able to tell which.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use foretaste_store::MemoryStore;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::sleep;

use crate::client::{Response, get, get_with, parse};
use crate::world::{World, patient};

/// Answers move with what is done alone.
async fn world() -> World {
    let config = foretaste_serve::ServeConfig { trends_ms: 3_600_000, ..patient() };
    World::with(config, Arc::new(MemoryStore::new()), true).await
}

/// A connection that is kept open.
struct Kept {
    stream: TcpStream,
    unread: Vec<u8>,
}

impl Kept {
    async fn open(at: SocketAddr) -> Self {
        Self { stream: TcpStream::connect(at).await.expect("connect"), unread: Vec::new() }
    }

    /// One whose client's side holds little.
    async fn narrow(at: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().expect("socket");
        socket.set_recv_buffer_size(4_096).expect("a small buffer");
        Self { stream: socket.connect(at).await.expect("connect"), unread: Vec::new() }
    }

    async fn send(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).await.expect("send");
    }

    /// The next whole response.
    async fn next(&mut self) -> Response {
        loop {
            if let Some(length) = whole(&self.unread) {
                let rest = self.unread.split_off(length);
                let response = std::mem::replace(&mut self.unread, rest);
                return parse(&String::from_utf8_lossy(&response));
            }
            let read = self.stream.read_buf(&mut self.unread);
            let n = tokio::time::timeout(Duration::from_secs(300), read).await.expect("an answer");
            assert!(n.expect("read") > 0, "closed: {}", String::from_utf8_lossy(&self.unread));
        }
    }

    async fn ask(&mut self, text: &str) -> Response {
        self.send(text).await;
        self.next().await
    }
}

/// Bytes of the response that these begin with, once it is whole.
fn whole(bytes: &[u8]) -> Option<usize> {
    let end = 4 + bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = parse(std::str::from_utf8(&bytes[..end]).expect("a head is text"));
    let length = head.header("content-length").map_or(0, |n| n.parse().expect("a number"));
    (bytes.len() >= end + length).then_some(end + length)
}

fn wants(path: &str, lines: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: x\r\n{lines}\r\n")
}

/// All of a head that two responses must have in common.
fn lasting(response: &Response) -> Vec<&str> {
    let moves = |line: &str| {
        ["date:", "age:", "connection:"].iter().any(|name| line.starts_with(name))
            || line.starts_with("x-request-id:") && !line.ends_with("mine")
    };
    let mut lines: Vec<&str> = response.head.lines().filter(|line| !moves(line)).collect();
    lines.sort_unstable();
    lines
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kept_connection_gets_what_a_new_one_gets() {
    let world = world().await;
    let path = "/v1/recommend/u1?k=20";
    let etag = get(world.at, path).await.expect(200).header("etag").expect("etag").to_owned();
    for lines in [
        "",
        "x-request-id: mine\r\nuser-agent: test\r\naccept: */*\r\n",
        "accept-encoding: gzip\r\n",
        &format!("if-none-match: {etag}\r\n"),
        &format!("if-none-match: \"other\"\r\nif-none-match: {etag}\r\n"),
        "cache-control: no-cache\r\n",
    ] {
        get_with(world.at, path, lines).await;
        let alone = get_with(world.at, path, lines).await;
        let mut kept = Kept::open(world.at).await;
        for _ in 0..3 {
            let response = kept.ask(&wants(path, lines)).await;
            assert_eq!(lasting(&response), lasting(&alone), "{lines}");
            assert_eq!(response.body, alone.body, "{lines}");
            let dated = response.header("date").is_some_and(|date| date.ends_with("GMT"));
            assert!(dated && response.header("x-request-id").is_some(), "{response:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_in_any_pieces_are_answered_in_their_order() {
    let world = world().await;
    let paths = ["/v1/recommend/u1?k=3", "/v1/recommend/u2?k=9", "/v1/popular"];
    let mut expected = Vec::new();
    for path in paths {
        expected.push(get(world.at, path).await.expect(200).body);
    }
    let [one, two, popular] = paths.map(|path| wants(path, ""));
    let mut kept = Kept::open(world.at).await;
    let pieces: [(&[&str], &[usize]); 9] = [
        (&[&one], &[0]),
        (&[&one], &[0]),
        (&[&two], &[1]),
        (&[&format!("{one}{two}")], &[0, 1]),
        (&[&two[..30], &two[30..]], &[1]),
        (&[&format!("{one}{}", &two[..40]), &two[40..]], &[0, 1]),
        (&[&format!("{popular}GET /health/live HTTP/1.1\r\nx: "), &one], &[2, 3]),
        (&["\r\n", &one], &[0]),
        (&[&one], &[0]),
    ];
    // A head that goes on where another seems to begin: the other is a header's value.
    let live = get(world.at, "/health/live").await;
    expected.push(live.body);
    for (sent, answers) in pieces {
        for piece in sent {
            kept.send(piece).await;
            sleep(Duration::from_millis(20)).await;
        }
        for &answer in answers {
            let response = kept.next().await;
            if answer == 3 {
                // It has no `Host` of its own, but that of the other.
                assert_eq!(response.status, 200, "{response:?}");
            }
            assert_eq!(response.body, expected[answer], "{sent:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_written_on_the_same_connection_is_in_the_next_answer() {
    let world = world().await;
    let mut kept = Kept::open(world.at).await;
    let path = wants("/v1/recommend/u1?k=3", "");
    let mut seen = Vec::new();
    for round in 0..6 {
        let items = kept.ask(&path).await.items();
        assert_eq!(kept.ask(&path).await.header("x-cache"), Some("HIT"));
        let event = format!(r#"{{"user":"u1","item":"{}","kind":"view"}}"#, items[0]);
        let head = "POST /v1/events HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n";
        let n = event.len();
        let post = match round % 3 {
            0 => format!("{head}content-length: {n}\r\n\r\n{event}"),
            1 => format!("{head}content-length: {n}\r\n\r\n{event}{path}"),
            _ => format!("{head}transfer-encoding: chunked\r\n\r\n{n:x}\r\n{event}\r\n0\r\n\r\n"),
        };
        let stored = kept.ask(&post).await;
        assert!(stored.status < 300, "{stored:?}");
        seen.push(items[0].clone());
        let next = if round % 3 == 1 { kept.next().await } else { kept.ask(&path).await };
        assert!(next.items().iter().all(|item| !seen.contains(item)), "{seen:?} {next:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_reads_late_gets_every_byte() {
    const N: usize = 1_500;
    let world = world().await;
    let request = wants("/v1/recommend/u1?k=37", "");
    let expected = get(world.at, "/v1/recommend/u1?k=37").await.expect(200).body;
    let mut kept = Kept::narrow(world.at).await;
    for _ in 0..N {
        kept.send(&request).await;
        sleep(Duration::from_millis(1)).await;
    }
    for n in 0..N {
        assert_eq!(kept.next().await.body, expected, "response {n}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_never_reads_is_closed() {
    let world = World::impatient().await;
    let request = wants("/v1/recommend/u1?k=37", "");
    let mut kept = Kept::narrow(world.at).await;
    let mut sent = 0;
    // Waits of more than the time that a client has to send its next request would end it, too.
    while kept.stream.write_all(request.as_bytes()).await.is_ok() {
        sent += 1;
        assert!(sent < 200_000, "the server neither stops reading nor closes");
        if sent % 100 == 0 {
            sleep(Duration::from_millis(1)).await;
        }
    }
}
