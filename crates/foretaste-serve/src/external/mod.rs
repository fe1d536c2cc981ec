//! Channels outside of the process: asked over HTTP before a request is run, all that a scene uses
//! at once, each within its budget. Their lists enter the pipeline like any other input, so a
//! request is still a pure function; what is late or broken is left out, named and counted.
//!
//! A channel is asked with a `GET` of its address, in which `{user}`, `{scene}` and `{n}` are
//! filled in, and answers `{"items": [{"item_id": "..", "score": 1.5}, ..]}`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use foretaste_core::{ItemIdx, Result};
use foretaste_pipeline::{External, Said, Scene};
use futures_util::future::join_all;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::Uri;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::sync::Semaphore;
use tracing::debug;

use crate::metrics::{CalledLabels, ChannelLabel, Metrics};
use crate::prepare::Asked;
use crate::snapshots::Pinned;
use address::Template;
use breaker::Breaker;
use config::{Channels, ExternalConfig};

mod address;
mod answer;
mod breaker;
pub(crate) mod config;

/// Idle connections are given up after so long.
const IDLE: Duration = Duration::from_secs(30);

/// All channels outside of the process.
pub(crate) struct Externals {
    channels: Vec<Channel>,
    names: Arc<[String]>,
    client: Client<HttpConnector, Empty<Bytes>>,
    metrics: Arc<Metrics>,
}

struct Channel {
    name: String,
    config: ExternalConfig,
    address: Template,
    /// Calls that may be open at a time.
    slots: Semaphore,
    breaker: Breaker,
}

/// Why a channel gave no list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Failure {
    /// Not in time.
    Late,
    /// It failed often, and is left alone for a while.
    Paused,
    /// There was no connection, or it broke.
    Connection,
    /// Another status than 200.
    Status,
    /// More bytes than it may send.
    TooLong,
    /// Not the JSON that is expected.
    Malformed,
}

impl Failure {
    fn name(self) -> &'static str {
        match self {
            Self::Late => "late",
            Self::Paused => "paused",
            Self::Connection => "connection",
            Self::Status => "status",
            Self::TooLong => "too_long",
            Self::Malformed => "malformed",
        }
    }
}

impl Externals {
    /// # Errors
    /// `Config` for an address that cannot be asked.
    pub(crate) fn new(channels: &Channels, metrics: Arc<Metrics>) -> Result<Self> {
        let open = |(name, config): (&String, &ExternalConfig)| {
            Ok(Channel {
                name: name.clone(),
                address: config.template(name)?,
                slots: Semaphore::new(config.connections),
                breaker: Breaker::new(config.breaker_failures, config.pause()),
                config: config.clone(),
            })
        };
        let most = channels.values().map(|c| c.connections).max().unwrap_or_default();
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(most)
            .build(connector);
        let names = channels.keys().cloned().collect();
        let channels = channels.iter().map(open).collect::<Result<_>>()?;
        Ok(Self { channels, names, client, metrics })
    }

    /// The names, in the order of their numbers.
    pub(crate) fn names(&self) -> Arc<[String]> {
        Arc::clone(&self.names)
    }

    /// For how long an answer of this scene may be kept because of the lists in it, in ms.
    pub(crate) fn ttl_ms(&self, scene: &Scene) -> Option<i64> {
        self.used_by(scene).map(|(_, channel)| channel.config.ttl_ms()).min()
    }

    fn used_by<'a>(&'a self, scene: &'a Scene) -> impl Iterator<Item = (u16, &'a Channel)> {
        let numbered = self.channels.iter().enumerate().map(|(i, channel)| (i as u16, channel));
        numbered.filter(|(_, channel)| scene.uses(&channel.name))
    }

    /// Asks every channel that the scene uses, at once; none takes longer than its budget, nor
    /// than half of the time until `until`: the rest is for the channels inside. A channel that is
    /// asked about users has nothing to say about nobody.
    pub(crate) async fn ask(
        &self,
        pinned: &Pinned,
        scene: &Scene,
        asked: &Asked,
        until: Option<Instant>,
    ) -> Vec<External> {
        let n = scene.config().candidates.max(2 * asked.k);
        let user = asked.user.as_deref();
        let calls = self.used_by(scene).filter_map(|(number, channel)| {
            let uri = channel.address.fill(user, scene.name(), n)?;
            Some(async move {
                let said = self.call(channel, uri, pinned, until).await;
                External { channel: number, said }
            })
        });
        join_all(calls).await
    }

    async fn call(
        &self,
        channel: &Channel,
        uri: Uri,
        pinned: &Pinned,
        until: Option<Instant>,
    ) -> Said {
        let began = Instant::now();
        let result = match channel.breaker.admits(began) {
            false => Err(Failure::Paused),
            true => {
                let budget = channel.config.budget();
                let left = until.map_or(budget, |until| budget.min((until - began) / 2));
                let list = self.list(channel, uri, pinned);
                let result = tokio::time::timeout(left, list).await.unwrap_or(Err(Failure::Late));
                // The caller's hurry is not the channel's fault.
                if result.is_ok() || left == budget {
                    channel.breaker.note(result.is_ok(), Instant::now());
                }
                result
            }
        };
        self.account(channel, began.elapsed(), &result);
        match result {
            Ok(items) => Said::Items(items),
            Err(Failure::Late) => Said::Late,
            Err(_) => Said::Nothing,
        }
    }

    async fn list(
        &self,
        channel: &Channel,
        uri: Uri,
        pinned: &Pinned,
    ) -> std::result::Result<Vec<(ItemIdx, f32)>, Failure> {
        // The semaphore is never closed.
        let _slot = channel.slots.acquire().await.map_err(|_| Failure::Connection)?;
        let response = self.client.get(uri).await.map_err(|_| Failure::Connection)?;
        if response.status() != hyper::StatusCode::OK {
            return Err(Failure::Status);
        }
        let body = Limited::new(response.into_body(), channel.config.max_bytes).collect().await;
        let body = body.map_err(|error| match error.is::<http_body_util::LengthLimitError>() {
            true => Failure::TooLong,
            false => Failure::Connection,
        })?;
        answer::items(&body.to_bytes(), pinned).ok_or(Failure::Malformed)
    }

    fn account<T>(
        &self,
        channel: &Channel,
        took: Duration,
        result: &std::result::Result<T, Failure>,
    ) {
        let result = result.as_ref().map_or_else(|failure| failure.name(), |_| "answered");
        let name = channel.name.clone();
        let external = &self.metrics.external;
        external.calls.get_or_create(&CalledLabels { channel: name.clone(), result }).inc();
        let label = ChannelLabel { channel: name };
        external.seconds.get_or_create(&label).observe(took.as_secs_f64());
        external.paused.get_or_create(&label).set(i64::from(channel.breaker.is_open()));
        if result != "answered" {
            debug!(channel = channel.name, result, ms = took.as_millis(), "left out");
        }
    }
}
