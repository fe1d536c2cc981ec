//! One connection, HTTP/1.1 or HTTP/2 with prior knowledge, until it ends or is asked to.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::Body;
use hyper::body::Incoming;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::Watcher;
use tokio::net::TcpStream;
use tower::ServiceExt;
use tracing::debug;

use super::activity::{Activity, TrackedBody};
use super::io::PatientIo;
use crate::config::{Timeouts, millis};
use crate::http::Front;

const HEAD_BYTES: usize = 64 << 10;
const HTTP2_STREAMS: u32 = 128;
const HTTP2_RESETS: usize = 64;

/// Put into a request whose head says its length twice.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AmbiguousLength;

/// What clients of a listener speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Speech {
    /// HTTP/1.1, or HTTP/2 with prior knowledge.
    Http,
    /// gRPC: HTTP/2 alone, connections that stay open between calls.
    Grpc,
}

impl Speech {
    /// Our patience with such clients. HTTP/2 begins with a head that gRPC clients send before they
    /// have anything to ask, so the wait for a first call is the wait between calls.
    pub(crate) fn patience(self, timeouts: &Timeouts) -> Timeouts {
        let idle_ms = timeouts.grpc_idle_ms;
        match self {
            Self::Http => timeouts.clone(),
            Self::Grpc => Timeouts { header_ms: idle_ms, idle_ms, ..timeouts.clone() },
        }
    }

    /// hyper's settings, the same for all connections. At most 100 headers are hyper's default,
    /// which costs less than the same number set.
    pub(crate) fn builder(self, timeouts: &Timeouts) -> auto::Builder<TokioExecutor> {
        let mut builder = auto::Builder::new(TokioExecutor::new());
        let ping = match self {
            Self::Http => millis(timeouts.idle_ms) / 2,
            Self::Grpc => millis(timeouts.grpc_ping_ms),
        };
        builder.http1().timer(TokioTimer::new()).header_read_timeout(None).max_buf_size(HEAD_BYTES);
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(HTTP2_STREAMS)
            .max_pending_accept_reset_streams(HTTP2_RESETS)
            .max_local_error_reset_streams(HTTP2_RESETS)
            .max_header_list_size(HEAD_BYTES as u32)
            .keep_alive_interval(ping)
            .keep_alive_timeout(millis(timeouts.write_ms));
        if self == Self::Grpc { builder.http2_only() } else { builder }
    }
}

/// Serves `stream` until the client closes, loses our patience, or the watcher ends it.
pub(crate) async fn serve(
    stream: TcpStream,
    front: Front,
    builder: Arc<auto::Builder<TokioExecutor>>,
    timeouts: Arc<Timeouts>,
    watcher: Watcher,
) {
    if let Err(error) = stream.set_nodelay(true) {
        debug!(%error, "TCP_NODELAY refused");
    }
    let activity = Arc::new(Activity::default());
    let ends = (stream, front.clone());
    let io = TokioIo::new(PatientIo::new(ends, Arc::clone(&activity), timeouts));
    let tracked = Tracked { front, activity: Arc::clone(&activity) };
    let mut connection =
        std::pin::pin!(watcher.watch(builder.serve_connection(io, tracked).into_owned()));
    let ended = std::future::poll_fn(|cx| activity.poll(connection.as_mut(), cx)).await;
    if let Err(error) = ended {
        debug!(%error, "connection ended early");
    }
}

/// The front as hyper wants it, counting requests of this connection.
struct Tracked {
    front: Front,
    activity: Arc<Activity>,
}

impl hyper::service::Service<Request<Incoming>> for Tracked {
    type Response = Response<TrackedBody>;
    type Error = Infallible;
    type Future = Answering;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let in_flight = self.activity.begin();
        let mut request = request.map(Body::new);
        if self.activity.has_ambiguous_length() {
            request.extensions_mut().insert(AmbiguousLength);
        }
        if let Some(response) = self.front.ready(&request) {
            let response = response.map(|body| TrackedBody::new(body, in_flight));
            return Answering::Ready(std::future::ready(Ok(response)));
        }
        let router = self.front.router();
        Answering::Routed(Box::pin(async move {
            let response = router.oneshot(request).await?;
            Ok(response.map(|body| TrackedBody::new(body, in_flight)))
        }))
    }
}

type Answered = Result<Response<TrackedBody>, Infallible>;

/// A response on its way.
enum Answering {
    Ready(std::future::Ready<Answered>),
    Routed(Pin<Box<dyn Future<Output = Answered> + Send>>),
}

impl Future for Answering {
    type Output = Answered;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Answered> {
        match self.get_mut() {
            Self::Ready(ready) => Pin::new(ready).poll(cx),
            Self::Routed(routed) => routed.as_mut().poll(cx),
        }
    }
}
