//! A bare hyper server that answers every request alike: what load generators are measured against.
//!
//!     hello_server [THREADS [BODY_BYTES [DELAY_US]]]
//!
//! Prints its address and serves until it is killed.

#![allow(clippy::print_stdout)] // its address is its only output

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

fn main() {
    let argument = |at: usize, default: u64| {
        std::env::args().nth(at).map_or(default, |text| text.parse().expect("a number"))
    };
    let (threads, bytes, delay_us) = (argument(1, 1), argument(2, 13), argument(3, 0));
    let body = Bytes::from(vec![b'x'; bytes as usize]);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads as usize)
        .enable_all()
        .build()
        .expect("runtime");
    runtime.block_on(serve(body, Duration::from_micros(delay_us)));
}

async fn serve(body: Bytes, delay: Duration) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("bind");
    println!("listening on http://{}", listener.local_addr().expect("address"));
    loop {
        let (stream, _) = listener.accept().await.expect("accept");
        stream.set_nodelay(true).expect("nodelay");
        let body = body.clone();
        tokio::spawn(async move {
            let service = service_fn(move |_: Request<hyper::body::Incoming>| {
                let body = body.clone();
                async move {
                    if !delay.is_zero() {
                        tokio::time::sleep(delay).await;
                    }
                    Ok::<_, Infallible>(Response::new(Full::new(body)))
                }
            });
            let connection = hyper::server::conn::http1::Builder::new();
            // A client that goes away is no concern of this server.
            let _ = connection.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}
