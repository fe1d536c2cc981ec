//! The part of a cluster that divides plans into tasks and hands them to executors.

use std::net::SocketAddr;
use std::sync::Arc;

use ballista_core::BALLISTA_VERSION;
use ballista_core::utils::default_session_builder;
use ballista_scheduler::cluster::BallistaCluster;
use ballista_scheduler::config::SchedulerConfig;
use ballista_scheduler::scheduler_process::{create_scheduler, start_grpc_service_with_listener};
use datafusion::DATAFUSION_VERSION;
use datafusion::execution::SessionState;
use datafusion::prelude::SessionConfig;
use datafusion_proto::protobuf::{LogicalPlanNode, PhysicalPlanNode};
use foretaste_core::{Error, ErrorKind, Result};
use foretaste_features::register_lake;
use tokio::net::TcpListener;
use tracing::info;

use crate::client::MESSAGE_BYTES;
use crate::failure;

/// How a scheduler runs.
#[derive(Clone, Debug)]
pub struct SchedulerOptions {
    /// Where it listens.
    pub listen: SocketAddr,
    /// The host name or address under which executors reach it; that of `listen` when there is
    /// none.
    pub advertise: Option<String>,
    /// An executor that has not been heard of for so long is gone, in seconds.
    pub executor_timeout_s: u64,
}

/// Schedules until `stop` is ready. What it knows of jobs is in memory: clients of running ones
/// get an error then, and their tables are as they were.
///
/// # Errors
/// `Config` when executors could not reach it, `Io` when it cannot listen.
pub async fn schedule(options: &SchedulerOptions, stop: impl Future<Output = ()>) -> Result<()> {
    let external_host = reachable(&options.listen, options.advertise.as_deref())?;
    let listener = TcpListener::bind(options.listen).await.map_err(|e| {
        let text = format!("cannot listen on {}; is it taken?", options.listen);
        Error::new(ErrorKind::Io, text).with_source(e)
    })?;
    let address = listener.local_addr()?;
    let config = SchedulerConfig {
        external_host,
        bind_host: address.ip().to_string(),
        bind_port: address.port(),
        executor_timeout_seconds: options.executor_timeout_s,
        expire_dead_executor_interval_seconds: (options.executor_timeout_s / 5).max(1),
        no_executors_grace_period_seconds: options.executor_timeout_s * 3 / 2,
        grpc_server_max_decoding_message_size: MESSAGE_BYTES,
        grpc_server_max_encoding_message_size: MESSAGE_BYTES,
        grpc_client_max_message_size: MESSAGE_BYTES,
        override_session_builder: Some(Arc::new(session)),
        ..SchedulerConfig::default()
    };
    let failed = |e| failure::of_part("the scheduler stopped", e);
    config.validate().map_err(failed)?;
    let cluster = BallistaCluster::new_from_config(&config).await.map_err(failed)?;
    let scheduler =
        create_scheduler::<LogicalPlanNode, PhysicalPlanNode>(cluster, Arc::new(config));
    let scheduler = scheduler.await.map_err(failed)?;
    info!(%address, ballista = BALLISTA_VERSION, datafusion = DATAFUSION_VERSION, "scheduling");
    tokio::select! {
        ended = start_grpc_service_with_listener(listener, scheduler) => ended.map_err(failed),
        () = stop => Ok(()),
    }
}

/// What plans are looked at with: no file is read here.
fn session(config: SessionConfig) -> datafusion::error::Result<SessionState> {
    let state = default_session_builder(config)?;
    register_lake(state.runtime_env(), None);
    Ok(state)
}

/// The host that others are told of.
pub(crate) fn reachable(listen: &SocketAddr, advertise: Option<&str>) -> Result<String> {
    match advertise {
        Some(host) => Ok(host.to_owned()),
        None if !listen.ip().is_unspecified() => Ok(listen.ip().to_string()),
        None => {
            let text = format!("{listen} says no host by which others reach it; give --advertise");
            Err(Error::new(ErrorKind::Config, text))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(listen: SocketAddr) -> SchedulerOptions {
        SchedulerOptions { listen, advertise: None, executor_timeout_s: 10 }
    }

    #[tokio::test]
    async fn what_cannot_be_reached_or_listened_on_is_refused() {
        let anywhere = options("0.0.0.0:0".parse().unwrap());
        let error = schedule(&anywhere, std::future::pending()).await.unwrap_err();
        assert!(error.to_string().contains("--advertise"), "{error}");
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let there = options(taken.local_addr().unwrap());
        let error = schedule(&there, std::future::pending()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Io);
        assert!(error.to_string().contains("is it taken"), "{error}");
    }
}
