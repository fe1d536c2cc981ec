//! A small HTTP/1.1 client: one request per connection, or raw bytes.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A response, read to its end.
#[derive(Debug)]
pub struct Response {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Response {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    /// The ids of a slate's items.
    #[track_caller]
    pub fn items(&self) -> Vec<String> {
        assert_eq!(self.status, 200, "{self:?}");
        ids(&self.json())
    }

    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{self:?}");
        if status >= 400 {
            assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
            assert_eq!(self.json()["status"], status, "{self:?}");
        }
        self
    }
}

#[track_caller]
pub fn ids(slate: &Value) -> Vec<String> {
    let items = slate["items"].as_array().expect("items");
    items.iter().map(|i| i["item_id"].as_str().expect("id").to_owned()).collect()
}

pub async fn request(at: SocketAddr, method: &str, path: &str, body: &str) -> Response {
    let length = if body.is_empty() && method == "GET" {
        String::new()
    } else {
        format!("content-type: application/json\r\ncontent-length: {}\r\n", body.len())
    };
    let text = format!("{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{length}\r\n");
    raw(at, format!("{text}{body}").as_bytes()).await
}

/// `headers` are whole lines.
pub async fn get_with(at: SocketAddr, path: &str, headers: &str) -> Response {
    let text = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{headers}\r\n");
    raw(at, text.as_bytes()).await
}

pub async fn get(at: SocketAddr, path: &str) -> Response {
    request(at, "GET", path, "").await
}

pub async fn post(at: SocketAddr, path: &str, body: &str) -> Response {
    request(at, "POST", path, body).await
}

/// Sends bytes and reads until the server closes.
pub async fn raw(at: SocketAddr, bytes: &[u8]) -> Response {
    let mut stream = TcpStream::connect(at).await.expect("connect");
    // A server that answers early may close before all is sent; what it said is read below.
    let _ = stream.write_all(bytes).await;
    parse(&read_all(&mut stream).await)
}

/// Everything until the end; a reset counts as the end.
pub async fn read_all(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let mut buffer = [0; 16 << 10];
    loop {
        let read = tokio::time::timeout(Duration::from_secs(300), stream.read(&mut buffer));
        match read.await.expect("the server neither answers nor closes") {
            Ok(0) | Err(_) => return String::from_utf8_lossy(&bytes).into_owned(),
            Ok(n) => bytes.extend_from_slice(&buffer[..n]),
        }
    }
}

#[track_caller]
pub fn parse(text: &str) -> Response {
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((text, ""));
    let status = head.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or(0);
    Response { status, head: head.to_owned(), body: body.to_owned() }
}
