//! The accept loop: it survives running out of file descriptors, refuses cheaply above the
//! connection cap, and on the way out serves what the kernel had already queued.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::TokioExecutor;
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use super::connection::{self, Speech};
use crate::config::{Timeouts, millis};
use crate::http::Front;
use crate::metrics::Metrics;

const FIRST_BACK_OFF: Duration = Duration::from_millis(10);
const LAST_BACK_OFF: Duration = Duration::from_secs(1);
const BACKLOG_PATIENCE: Duration = Duration::from_millis(5);
const REFUSAL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\n\
    Content-Length: 0\r\nConnection: close\r\n\r\n";

/// One listener: what it serves and how many at a time.
pub(crate) struct Site {
    front: Front,
    builder: Arc<auto::Builder<TokioExecutor>>,
    timeouts: Arc<Timeouts>,
    slots: Arc<Semaphore>,
    metrics: Arc<Metrics>,
    graceful: GracefulShutdown,
}

impl Site {
    pub(crate) fn new(
        (front, speech): (Front, Speech),
        timeouts: &Timeouts,
        max_connections: usize,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            front,
            builder: Arc::new(speech.builder(timeouts)),
            timeouts: Arc::new(speech.patience(timeouts)),
            slots: Arc::new(Semaphore::new(max_connections)),
            metrics,
            graceful: GracefulShutdown::new(),
        }
    }

    /// Accepts until `stop` resolves, then ends all connections once their requests are answered.
    pub(crate) async fn run<F>(self, mut accept: impl FnMut() -> F, stop: impl Future<Output = ()>)
    where
        F: Future<Output = io::Result<(TcpStream, SocketAddr)>>,
    {
        tokio::pin!(stop);
        let mut back_off = FIRST_BACK_OFF;
        loop {
            let accepted = tokio::select! {
                biased;
                () = &mut stop => break,
                accepted = accept() => accepted,
            };
            match accepted {
                Ok((stream, _)) => {
                    back_off = FIRST_BACK_OFF;
                    self.admit(stream);
                }
                Err(error) if is_exhaustion(&error) => {
                    warn!(%error, ?back_off, "cannot accept connections; waiting");
                    self.metrics.accept_errors.inc();
                    sleep(back_off).await;
                    back_off = (back_off * 2).min(LAST_BACK_OFF);
                }
                Err(_) => {
                    self.metrics.accept_errors.inc();
                }
            }
        }
        self.leave(accept).await;
    }

    async fn leave<F>(self, mut accept: impl FnMut() -> F)
    where
        F: Future<Output = io::Result<(TcpStream, SocketAddr)>>,
    {
        while let Ok(Ok((stream, _))) = timeout(BACKLOG_PATIENCE, accept()).await {
            self.admit(stream);
        }
        drop(accept);
        let patience = millis(self.timeouts.shutdown_ms);
        if timeout(patience, self.graceful.shutdown()).await.is_err() {
            warn!(?patience, "connections still open at the end of the shutdown");
        } else {
            info!("all connections closed");
        }
    }

    fn admit(&self, stream: TcpStream) {
        let Ok(slot) = Arc::clone(&self.slots).try_acquire_owned() else {
            self.metrics.connections_refused.inc();
            // Best effort: the socket is fresh, so its send buffer takes these bytes or nobody.
            let _ = stream.try_write(REFUSAL);
            return;
        };
        let connection = connection::serve(
            stream,
            self.front.clone(),
            Arc::clone(&self.builder),
            Arc::clone(&self.timeouts),
            self.graceful.watcher(),
        );
        let open = self.metrics.connection_opened();
        tokio::spawn(async move {
            connection.await;
            drop((open, slot));
        });
    }
}

/// Errors that concern the process, not the one connection: retrying at once would spin.
fn is_exhaustion(error: &io::Error) -> bool {
    const ENOMEM: i32 = 12;
    const ENFILE: i32 = 23;
    const EMFILE: i32 = 24;
    const ENOBUFS: i32 = 105;
    matches!(error.raw_os_error(), Some(ENOMEM | ENFILE | EMFILE | ENOBUFS))
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::Router;
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio::sync::oneshot;

    #[tokio::test]
    async fn running_out_of_descriptors_is_survived_and_counted() {
        let metrics = Metrics::new();
        let router = Router::new().route("/", get(|| async { "served" }));
        let front = (Front::of(router), Speech::Http);
        let site = Site::new(front, &Timeouts::default(), 10, Arc::clone(&metrics));
        let listener = Arc::new(TcpListener::bind("127.0.0.1:0").await.expect("bind"));
        let at = listener.local_addr().expect("address");
        let mut failures = 3;
        let accept = move || {
            let fails = failures > 0;
            failures -= i32::from(fails);
            let listener = Arc::clone(&listener);
            async move {
                if fails { Err(io::Error::from_raw_os_error(24)) } else { listener.accept().await }
            }
        };
        let (stop, stopped) = oneshot::channel::<()>();
        let running = tokio::spawn(site.run(accept, async {
            let _ = stopped.await;
        }));
        let mut client = TcpStream::connect(at).await.expect("connect");
        let request = b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
        client.write_all(request).await.expect("send");
        let mut said = String::new();
        client.read_to_string(&mut said).await.expect("answer");
        assert!(said.ends_with("served"), "{said}");
        assert_eq!(metrics.accept_errors.get(), 3);
        stop.send(()).expect("running");
        running.await.expect("clean end");
    }
}
