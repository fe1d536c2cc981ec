//! Whoever is told of alerts.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc::{Receiver, sync_channel};

use serde_json::Value;

/// Takes every request and hands its path and body on.
pub(crate) fn receiver() -> (SocketAddr, Receiver<(String, Value)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (came, all) = sync_channel(100);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, mut text) = (stream.unwrap(), String::new());
            let mut buffer = [0; 4096];
            let body = loop {
                let n = stream.read(&mut buffer).unwrap();
                text.push_str(&String::from_utf8_lossy(&buffer[..n]));
                let body = text.split_once("\r\n\r\n").map(|(_, body)| body.to_owned());
                // A body is one JSON value, so it is complete when it can be read.
                if let Some(body) = body.and_then(|body| serde_json::from_str(&body).ok()) {
                    break body;
                }
            };
            let path = text.split(' ').nth(1).unwrap().to_owned();
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
            if came.send((path, body)).is_err() {
                return;
            }
        }
    });
    (address, all)
}
