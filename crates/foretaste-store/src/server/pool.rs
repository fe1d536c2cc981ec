//! Connections that are kept and lent, and what is counted about them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use foretaste_core::{ErrorKind, Result};
use sqlx::Connection;
use sqlx::pool::PoolConnection;
use sqlx_core::any::{Any, AnyConnection, AnyPool};
use sqlx_core::pool::PoolOptions;

use super::ServerOptions;
use super::failure::failure;
use super::sql::{Dialect, begin_session};

/// Upper bounds, in seconds, of the waits that are counted together.
const WAITS: [f64; 14] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// A pool of connections as it is at one moment, and what it has counted so far.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PoolFigures {
    /// Which of the store's servers it is for.
    pub server: &'static str,
    /// Connections, those that are being made included.
    pub open: u64,
    /// Of these, connections that nobody uses.
    pub idle: u64,
    /// Connections at most.
    pub most: u64,
    /// Callers that wait for a connection.
    pub waiting: u64,
    /// How many callers waited longer than the bound before and not longer than this one, in
    /// seconds; whether they got a connection or not. The last bound is infinite.
    pub waits: Vec<(f64, u64)>,
    /// How long all callers together waited.
    pub waited: Duration,
    /// Callers that got no connection, by reason.
    pub failures: [(&'static str, u64); 3],
    /// Connections that were made.
    pub made: u64,
    /// Connections that were closed, by reason.
    pub closed: [(&'static str, u64); 3],
}

#[derive(Default)]
struct Counted {
    waiting: AtomicU64,
    waits: [AtomicU64; WAITS.len() + 1],
    waited_us: AtomicU64,
    timed_out: AtomicU64,
    unreachable: AtomicU64,
    refused: AtomicU64,
    made: AtomicU64,
    /// Closed with their use, because of what their session held.
    own: AtomicU64,
    /// Found ended before their use.
    broken: AtomicU64,
    /// The highest number of those that the pool closed by itself.
    retired: AtomicU64,
}

/// The connections to one server.
pub(super) struct Pool {
    server: &'static str,
    inner: AnyPool,
    counted: Arc<Counted>,
}

impl Pool {
    /// Connects; `server` is what the figures call the other side.
    pub(super) async fn connect(
        server: &'static str,
        options: &ServerOptions,
        (dialect, url): (Dialect, &str),
    ) -> Result<Self> {
        let counted = Arc::new(Counted::default());
        let inner = pool(options, dialect, &counted).connect(url).await.map_err(failure)?;
        Ok(Self { server, inner, counted })
    }

    /// As [`Pool::connect`], but connects when a connection is first asked for.
    pub(super) fn connect_lazily(
        server: &'static str,
        options: &ServerOptions,
        (dialect, url): (Dialect, &str),
    ) -> Result<Self> {
        let counted = Arc::new(Counted::default());
        let inner = pool(options, dialect, &counted).connect_lazy(url).map_err(failure)?;
        Ok(Self { server, inner, counted })
    }

    /// A connection that goes back after its use.
    pub(super) async fn acquire(&self) -> Result<PoolConnection<Any>> {
        let waiting = Waiting::begin(&self.counted);
        let acquired = self.inner.acquire().await;
        drop(waiting);
        let timed_out = matches!(acquired, Err(sqlx::Error::PoolTimedOut));
        acquired.map_err(failure).inspect_err(|error| {
            let count = match error.kind() {
                _ if timed_out => &self.counted.timed_out,
                ErrorKind::Unavailable => &self.counted.unreachable,
                _ => &self.counted.refused,
            };
            count.fetch_add(1, Relaxed);
        })
    }

    /// A connection that ends with its use, and with it all that its session holds.
    pub(super) async fn acquire_own(&self) -> Result<PoolConnection<Any>> {
        let mut connection = self.acquire().await?;
        connection.close_on_drop();
        self.counted.own.fetch_add(1, Relaxed);
        Ok(connection)
    }

    pub(super) fn figures(&self) -> PoolFigures {
        let counted = &self.counted;
        let of = |count: &AtomicU64| count.load(Relaxed);
        let (open, idle) = (u64::from(self.inner.size()), self.inner.num_idle() as u64);
        let (made, own, broken) = (of(&counted.made), of(&counted.own), of(&counted.broken));
        // Less by those that are being made or about to be closed, so it never has to go back.
        let retired = made.saturating_sub(open + own + broken);
        let retired = counted.retired.fetch_max(retired, Relaxed).max(retired);
        let bounds = WAITS.into_iter().chain([f64::INFINITY]);
        PoolFigures {
            server: self.server,
            open,
            idle: idle.min(open),
            most: self.inner.options().get_max_connections().into(),
            waiting: of(&counted.waiting),
            waits: bounds.zip(counted.waits.iter().map(of)).collect(),
            waited: Duration::from_micros(of(&counted.waited_us)),
            failures: [
                ("timeout", of(&counted.timed_out)),
                ("unreachable", of(&counted.unreachable)),
                ("refused", of(&counted.refused)),
            ],
            made,
            closed: [("own", own), ("broken", broken), ("retired", retired)],
        }
    }
}

fn pool(options: &ServerOptions, dialect: Dialect, counted: &Arc<Counted>) -> PoolOptions<Any> {
    let (making, testing) = (Arc::clone(counted), Arc::clone(counted));
    let lock_timeout = options.lock_timeout;
    PoolOptions::new()
        .max_connections(options.connections.max(2))
        .min_connections(options.min_connections)
        .acquire_timeout(options.acquire_timeout)
        .idle_timeout(options.idle_timeout)
        .max_lifetime(options.max_lifetime)
        // What sqlx would do by itself, and count for nobody.
        .test_before_acquire(false)
        .before_acquire(move |connection: &mut AnyConnection, _| {
            let counted = Arc::clone(&testing);
            Box::pin(async move {
                let is_alive = connection.ping().await;
                counted.broken.fetch_add(u64::from(is_alive.is_err()), Relaxed);
                is_alive.map(|()| true)
            })
        })
        .after_connect(move |connection, _| {
            let counted = Arc::clone(&making);
            Box::pin(async move {
                begin_session(dialect, lock_timeout, connection).await?;
                counted.made.fetch_add(1, Relaxed);
                Ok(())
            })
        })
}

/// A caller that waits, until it is dropped: with a connection, without one, or given up.
struct Waiting<'a> {
    counted: &'a Counted,
    began: Instant,
}

impl<'a> Waiting<'a> {
    fn begin(counted: &'a Counted) -> Self {
        counted.waiting.fetch_add(1, Relaxed);
        Self { counted, began: Instant::now() }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let waited = self.began.elapsed();
        let bucket = WAITS.partition_point(|&bound| bound < waited.as_secs_f64());
        self.counted.waits[bucket].fetch_add(1, Relaxed);
        self.counted.waited_us.fetch_add(waited.as_micros() as u64, Relaxed);
        self.counted.waiting.fetch_sub(1, Relaxed);
    }
}
