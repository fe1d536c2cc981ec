//! Everything about the rim that an operator may set. Durations are milliseconds in the file and
//! `Duration`s after [`Timeouts`]' accessors; nothing here reads a file or the environment.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use foretaste_cache::CacheConfig;
use foretaste_core::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};

use crate::external::{self, config::ExternalConfig};
use crate::features::FeaturesConfig;
use crate::http::cors;

/// The section `[serve]` of the configuration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ServeConfig {
    /// Address of the public listener; port 0 picks a free one.
    pub listen: SocketAddr,
    /// Address of a second listener for the admin routes and `/metrics`. Without it they are on
    /// the public listener if, and only if, that is a loopback address.
    pub admin_listen: Option<SocketAddr>,
    /// Address of a listener for gRPC; without it there is none.
    pub grpc_listen: Option<SocketAddr>,
    /// Serves `/metrics` on the public listener even when it is not a loopback address.
    pub public_metrics: bool,
    /// Worker threads that compute answers; 0 = one per core.
    pub cpu_threads: usize,
    /// Threads that help to compute an answer while there is no other to compute, at most one less
    /// than there are cores; 0 = none.
    pub cpu_helpers: usize,
    /// Requests that may wait for a worker; more are refused with 503.
    pub cpu_queue: usize,
    /// Wait for a worker that is aimed at, in ms: from once this on answers are leaner, from twice
    /// popular, from four times refused with 503. Batches are refused from once on.
    pub queue_target_ms: u64,
    /// Open connections per listener; more are refused with 503.
    pub max_connections: usize,
    /// Store calls in flight; more are refused with 503.
    pub store_calls: usize,
    /// Scene of requests that name none.
    pub default_scene: String,
    /// Memory of the process, without files that are only mapped, above 80% of which the cache
    /// gives back to 60% of what it holds; 0 = no such bound.
    pub memory_bytes: u64,
    /// Recent events kept in memory per user, newest first.
    pub live_events_per_user: usize,
    /// Recent events kept in memory in total; the oldest go first.
    pub live_events: usize,
    /// Events in the log from which on they are moved to long-term storage; the log is read at
    /// every start.
    pub seal_events: u64,
    /// How often `bundles/CURRENT` is looked at, in ms.
    pub watch_ms: u64,
    /// How often live trends are published, in ms.
    pub trends_ms: u64,
    /// Requests slower than this are logged as warnings, in ms.
    pub slow_ms: u64,
    /// Time for an answer, in ms: models that have not begun to search when three quarters of it
    /// are over are left out, and the answer says so. A request says another time with
    /// `X-Request-Timeout-Ms`.
    pub deadline_ms: u64,
    /// Whether requests with `X-Foretaste-Debug` are told in `Server-Timing` where the time went.
    pub server_timing: bool,
    /// Origins whose pages may read answers and write, as `https://host:port`; `*` = all.
    pub cors_origins: Vec<String>,
    /// Bounds on clients and on shutting down.
    pub timeouts: Timeouts,
    /// Published features.
    pub features: FeaturesConfig,
    /// Channels outside of the process; they have a section of their own, `[channels]`.
    #[serde(skip)]
    pub channels: BTreeMap<String, ExternalConfig>,
    /// The cache of answers; it has a section of its own, `[cache]`.
    #[serde(skip)]
    pub cache: CacheConfig,
}

impl Default for ServeConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            admin_listen: None,
            grpc_listen: None,
            public_metrics: false,
            cpu_threads: 0,
            cpu_helpers: 1,
            cpu_queue: 1_024,
            queue_target_ms: 10,
            max_connections: 10_000,
            store_calls: 256,
            default_scene: "default".to_owned(),
            memory_bytes: 0,
            live_events_per_user: 200,
            live_events: 2_000_000,
            seal_events: 1_000_000,
            watch_ms: 1_000,
            trends_ms: 1_000,
            slow_ms: 500,
            deadline_ms: 250,
            server_timing: false,
            cors_origins: Vec::new(),
            timeouts: Timeouts::default(),
            features: FeaturesConfig::default(),
            channels: BTreeMap::new(),
            cache: CacheConfig::default(),
        }
    }
}

impl ServeConfig {
    /// Checks what types cannot say.
    ///
    /// # Errors
    /// `Config`, naming the key and the allowed range.
    pub fn check(&self) -> Result<()> {
        let positive = [
            ("cpu_queue", self.cpu_queue),
            ("queue_target_ms", self.queue_target_ms as usize),
            ("max_connections", self.max_connections),
            ("store_calls", self.store_calls),
            ("live_events_per_user", self.live_events_per_user),
            ("live_events", self.live_events),
            ("seal_events", self.seal_events as usize),
            ("watch_ms", self.watch_ms as usize),
            ("trends_ms", self.trends_ms as usize),
            ("deadline_ms", self.deadline_ms as usize),
            ("timeouts.grpc_ping_ms", self.timeouts.grpc_ping_ms as usize),
        ];
        for (key, value) in positive {
            if value == 0 {
                return Err(Error::new(
                    ErrorKind::Config,
                    format!("serve.{key} is 0; set it to at least 1"),
                ));
            }
        }
        self.features.check()?;
        cors::check(&self.cors_origins)?;
        external::config::check(&self.channels)?;
        self.cache.check()
    }

    /// Number of worker threads to start.
    pub fn workers(&self) -> usize {
        match self.cpu_threads {
            0 => cores(),
            n => n,
        }
    }

    /// Number of threads that help to start: one that shares the core of whom it helps would only
    /// be in the way.
    pub fn helpers(&self) -> usize {
        self.cpu_helpers.min(cores() - 1)
    }
}

/// Cores that this process may use; at least one.
fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Bounds on the patience with clients, all in milliseconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Timeouts {
    /// From the accepted connection to its first byte.
    pub first_byte_ms: u64,
    /// From the first byte of a request to the end of its head.
    pub header_ms: u64,
    /// From the end of the head to the end of the body.
    pub body_ms: u64,
    /// Between two requests of one connection.
    pub idle_ms: u64,
    /// Without any progress while the client does not read its response.
    pub write_ms: u64,
    /// Whole request, body included.
    pub request_ms: u64,
    /// The same for routes of operators, which may open a bundle and make answers ahead of it.
    pub admin_ms: u64,
    /// Between two calls of one gRPC connection, and before its first.
    pub grpc_idle_ms: u64,
    /// Between two pings that find out whether the other end of a gRPC connection is still there;
    /// it has `write_ms` to answer.
    pub grpc_ping_ms: u64,
    /// Still serving, but not ready, before a shutdown stops accepting.
    pub drain_ms: u64,
    /// For requests in flight once accepting has stopped.
    pub shutdown_ms: u64,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            first_byte_ms: 3_000,
            header_ms: 3_000,
            body_ms: 5_000,
            idle_ms: 75_000,
            write_ms: 10_000,
            request_ms: 10_000,
            admin_ms: 120_000,
            grpc_idle_ms: 600_000,
            grpc_ping_ms: 20_000,
            drain_ms: 1_000,
            shutdown_ms: 20_000,
        }
    }
}

/// `ms` as a duration.
pub(crate) fn millis(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zero_bound_is_named() {
        let config = ServeConfig { cpu_queue: 0, ..Default::default() };
        let error = config.check().expect_err("a queue of nothing");
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.to_string().contains("serve.cpu_queue"), "{error}");
        ServeConfig::default().check().expect("defaults are valid");
    }

    #[test]
    fn whoever_helps_has_a_core_of_its_own() {
        let wanting = |cpu_helpers| ServeConfig { cpu_helpers, ..Default::default() }.helpers();
        assert_eq!((wanting(0), wanting(10_000)), (0, cores() - 1));
    }

    #[test]
    fn unknown_keys_are_errors() {
        serde_json::from_str::<ServeConfig>(r#"{"listen":"127.0.0.1:1"}"#).expect("known key");
        serde_json::from_str::<ServeConfig>(r#"{"listn":"127.0.0.1:1"}"#).expect_err("typo");
    }
}
