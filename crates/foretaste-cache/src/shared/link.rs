//! The way to the shared tier: one multiplexed connection, bounded in time and in number of
//! operations, and a keeper who makes the next one when it is lost.
//!
//! This is the circuit breaker: while there is no connection every operation is refused at once.
//! The keeper alone probes, and a probe is a connection that has answered, from a primary.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::cluster::ClusterClient;
use redis::cluster_async::ClusterConnection;
use redis::cluster_routing::{RoutingInfo, SingleNodeRoutingInfo};
use redis::{AsyncConnectionConfig, Client, Cmd, ErrorKind, FromRedisValue, RedisError};
use redis::{ServerErrorKind, Value};
use tokio::sync::{Notify, Semaphore};
use tokio::time::{sleep, timeout};

use super::config::RedisConfig;

/// Operations in a row that may run out of time before the connection counts as lost.
const MOST_LATE: u32 = 4;
const FIRST_PAUSE_MS: u64 = 100;
const LAST_PAUSE_MS: u64 = 2_000;
const PING: Duration = Duration::from_secs(1);

/// Why an operation has no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failed {
    /// There is no connection, or too many operations are in flight; nothing was sent.
    Bypassed,
    /// It took too long.
    Late,
    /// The server refused (out of memory, disk full); it answers other operations.
    Refused,
    /// The connection broke or spoke nonsense.
    Broken,
}

#[derive(Clone)]
pub(crate) enum Connection {
    Single(MultiplexedConnection),
    Cluster(ClusterConnection),
}

impl Connection {
    async fn query<T: FromRedisValue>(&mut self, cmd: &Cmd) -> Result<T, RedisError> {
        match self {
            Self::Single(connection) => cmd.query_async(connection).await,
            Self::Cluster(connection) => cmd.query_async(connection).await,
        }
    }

    /// One server takes a pipeline; the nodes of a cluster each their own commands.
    async fn query_all(&mut self, cmds: &[Cmd]) -> Result<(), RedisError> {
        match self {
            Self::Single(connection) => {
                let mut pipeline = redis::Pipeline::with_capacity(cmds.len());
                cmds.iter().for_each(|cmd| {
                    pipeline.add_command(cmd.clone());
                });
                // Read as values, because errors of what is ignored are ignored, too.
                let _: Vec<Value> = pipeline.query_async(connection).await?;
                Ok(())
            }
            Self::Cluster(connection) => {
                for cmd in cmds {
                    let _: Value = cmd.query_async(connection).await?;
                }
                Ok(())
            }
        }
    }
}

/// The connection and its keeper.
pub(crate) struct Link {
    config: RedisConfig,
    /// The connection and its number; a failure of an older one says nothing about this one.
    present: Mutex<Option<(u64, Connection)>>,
    made: AtomicU64,
    lost: Notify,
    late: AtomicU32,
    slots: Semaphore,
    pub(crate) figures: LinkFigures,
}

/// Counters of the link.
#[derive(Debug, Default)]
pub(crate) struct LinkFigures {
    pub(crate) late: AtomicU64,
    pub(crate) refused: AtomicU64,
    pub(crate) broken: AtomicU64,
    pub(crate) bypassed: AtomicU64,
    pub(crate) connected: AtomicU64,
}

impl Link {
    pub(crate) fn new(config: RedisConfig) -> Self {
        let slots = Semaphore::new(config.in_flight);
        Self {
            config,
            present: Mutex::new(None),
            made: AtomicU64::new(0),
            lost: Notify::new(),
            late: AtomicU32::new(0),
            slots,
            figures: LinkFigures::default(),
        }
    }

    fn present(&self) -> MutexGuard<'_, Option<(u64, Connection)>> {
        self.present.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn is_up(&self) -> bool {
        self.present().is_some()
    }

    /// Sends `cmd` and waits for its answer, at most for the budget of one operation.
    pub(crate) async fn run<T: FromRedisValue>(&self, cmd: &Cmd) -> Result<T, Failed> {
        self.run_within(cmd, self.config.operation_ms).await
    }

    /// As [`Link::run`], with another budget; for work that no request waits for.
    pub(crate) async fn run_within<T: FromRedisValue>(
        &self,
        cmd: &Cmd,
        budget_ms: u64,
    ) -> Result<T, Failed> {
        self.within(budget_ms, async |connection: &mut Connection| connection.query(cmd).await)
            .await
    }

    /// Sends several commands at once where that is possible; all succeed, or the first failure
    /// is told.
    pub(crate) async fn run_all(&self, cmds: &[Cmd]) -> Result<(), Failed> {
        let send = async |connection: &mut Connection| connection.query_all(cmds).await;
        self.within(self.config.connect_ms, send).await
    }

    async fn within<T>(
        &self,
        budget_ms: u64,
        send: impl AsyncFnOnce(&mut Connection) -> Result<T, RedisError>,
    ) -> Result<T, Failed> {
        let Some((number, mut connection)) = self.present().clone() else {
            return Err(self.count(Failed::Bypassed));
        };
        let Ok(_slot) = self.slots.try_acquire() else {
            return Err(self.count(Failed::Bypassed));
        };
        let budget = Duration::from_millis(budget_ms);
        let result = match timeout(budget, send(&mut connection)).await {
            Ok(Ok(value)) => {
                self.late.store(0, Relaxed);
                return Ok(value);
            }
            Ok(Err(error)) => failure(&error),
            Err(_) => Failed::Late,
        };
        let is_over = match result {
            Failed::Broken => true,
            Failed::Late => self.late.fetch_add(1, Relaxed) + 1 >= MOST_LATE,
            Failed::Refused | Failed::Bypassed => false,
        };
        if is_over {
            self.give_up(number);
        }
        Err(self.count(result))
    }

    /// The answer of one node of a cluster, or of the only server.
    pub(crate) async fn run_on(&self, node: &Node, cmd: &Cmd) -> Result<Value, Failed> {
        let Node::Of(host, port) = node else {
            return self.run_within(cmd, self.config.connect_ms).await;
        };
        let Some((_, Connection::Cluster(mut connection))) = self.present().clone() else {
            return Err(self.count(Failed::Bypassed));
        };
        let node = SingleNodeRoutingInfo::ByAddress { host: host.clone(), port: *port };
        let routed = connection.route_command(cmd.clone(), RoutingInfo::SingleNode(node));
        match timeout(Duration::from_millis(self.config.connect_ms), routed).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(self.count(failure(&error))),
            Err(_) => Err(self.count(Failed::Late)),
        }
    }

    /// All primaries.
    pub(crate) async fn nodes(&self) -> Result<Vec<Node>, Failed> {
        if !self.config.cluster {
            return Ok(vec![Node::Only]);
        }
        let mut slots = redis::cmd("CLUSTER");
        slots.arg("SLOTS");
        let ranges: Vec<Value> = self.run_within(&slots, self.config.connect_ms).await?;
        let mut nodes: Vec<Node> = ranges.iter().filter_map(primary).collect();
        nodes.sort();
        nodes.dedup();
        Ok(nodes)
    }

    fn count(&self, failed: Failed) -> Failed {
        let counter = match failed {
            Failed::Bypassed => &self.figures.bypassed,
            Failed::Late => &self.figures.late,
            Failed::Refused => &self.figures.refused,
            Failed::Broken => &self.figures.broken,
        };
        counter.fetch_add(1, Relaxed);
        failed
    }

    fn give_up(&self, number: u64) {
        let mut present = self.present();
        if present.as_ref().is_some_and(|(n, _)| *n == number) {
            *present = None;
            self.late.store(0, Relaxed);
            self.lost.notify_one();
        }
    }

    /// Makes a connection whenever there is none, for ever.
    pub(crate) async fn keep(&self) {
        let mut pause_ms = FIRST_PAUSE_MS;
        loop {
            if self.is_up() {
                // An idle connection does not say that it is dead.
                if timeout(PING, self.lost.notified()).await.is_err() {
                    let ping = redis::cmd("PING");
                    let _: Result<Value, Failed> =
                        self.run_within(&ping, self.config.connect_ms).await;
                }
                continue;
            }
            if let Some(connection) = self.connect().await {
                let number = self.made.fetch_add(1, Relaxed);
                *self.present() = Some((number, connection));
                self.figures.connected.fetch_add(1, Relaxed);
                pause_ms = FIRST_PAUSE_MS;
                continue;
            }
            sleep(Duration::from_millis(jittered(pause_ms))).await;
            pause_ms = (pause_ms * 2).min(LAST_PAUSE_MS);
        }
    }

    async fn connect(&self) -> Option<Connection> {
        let patience = Duration::from_millis(self.config.connect_ms);
        if self.config.cluster {
            let client = ClusterClient::builder(self.config.urls.clone())
                .connection_timeout(patience)
                .response_timeout(patience)
                .retries(1)
                .build()
                .ok()?;
            let made = timeout(4 * patience, client.get_async_connection()).await.ok()?;
            let mut connection = Connection::Cluster(made.ok()?);
            let ping = redis::cmd("PING");
            timeout(patience, connection.query::<Value>(&ping)).await.ok()?.ok()?;
            return Some(connection);
        }
        for url in &self.config.urls {
            if let Some(connection) = primary_at(url, patience).await {
                return Some(connection);
            }
        }
        None
    }
}

/// A server to ask.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Node {
    Only,
    Of(String, u16),
}

/// The primary of one range of `CLUSTER SLOTS`.
fn primary(range: &Value) -> Option<Node> {
    let Value::Array(range) = range else { return None };
    let Some(Value::Array(node)) = range.get(2) else { return None };
    let host = String::from_redis_value(node.first()?.clone()).ok()?;
    let port = u16::from_redis_value(node.get(1)?.clone()).ok()?;
    Some(Node::Of(host, port))
}

async fn primary_at(url: &str, patience: Duration) -> Option<Connection> {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(patience))
        .set_response_timeout(Some(patience));
    let client = Client::open(url).ok()?;
    let made = client.get_multiplexed_async_connection_with_config(&config);
    let mut connection = Connection::Single(timeout(2 * patience, made).await.ok()?.ok()?);
    let role: Vec<Value> = connection.query(&redis::cmd("ROLE")).await.ok()?;
    let role = String::from_redis_value(role.into_iter().next()?).ok()?;
    (role == "master").then_some(connection)
}

fn failure(error: &RedisError) -> Failed {
    if error.is_timeout() {
        return Failed::Late;
    }
    match error.kind() {
        // A replica that used to be the primary: look for the new one.
        ErrorKind::Server(ServerErrorKind::ReadOnly | ServerErrorKind::MasterDown) => {
            Failed::Broken
        }
        ErrorKind::Server(_) | ErrorKind::Extension => Failed::Refused,
        _ => Failed::Broken,
    }
}

/// Between one half and the whole of `ms`, so that replicas do not come back in step.
fn jittered(ms: u64) -> u64 {
    use std::hash::{BuildHasher, RandomState};
    ms / 2 + RandomState::new().hash_one(ms) % (ms / 2 + 1)
}
