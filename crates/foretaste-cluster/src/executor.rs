//! The part of a cluster that reads files, groups and sorts.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ballista_core::RuntimeProducer;
use ballista_executor::executor_process::{ExecutorProcessConfig, start_executor_process};
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use foretaste_core::{Error, ErrorKind, Result};
use foretaste_features::{MERGED_RUNS, Place, register_lake};
use tracing::info;

use crate::address::Address;
use crate::client::MESSAGE_BYTES;
use crate::failure;
use crate::folder::WorkFolder;
use crate::scheduler::reachable;

/// How often an executor is heard of; after five times without an answer it stops.
const HEARTBEAT_S: u64 = 2;
/// How long it waits for its scheduler: they may have been started together.
const WAIT: Duration = Duration::from_secs(15);
const STEP: Duration = Duration::from_millis(200);
/// Intermediate rows that nobody has touched for so long belong to nobody, in seconds.
const LEFT_S: u64 = 24 * 3_600;

/// How an executor runs.
#[derive(Clone, Debug)]
pub struct ExecutorOptions {
    /// Its scheduler.
    pub scheduler: Address,
    /// Where rows are fetched; tasks come in at the port after it.
    pub listen: SocketAddr,
    /// The host name or address under which others reach it; that of `listen` when there is none.
    pub advertise: Option<String>,
    /// Tasks at a time; 0 = one per core.
    pub threads: usize,
    /// Memory for rows that are sorted, grouped and joined, for all tasks together.
    pub memory_mb: u64,
    /// Most that may lie in the folder beyond that.
    pub spill_mb: u64,
    /// Folder for intermediate rows and for what does not fit into memory; empty for the system's
    /// temporary folder.
    pub spill_dir: PathBuf,
}

/// Carries out tasks over the lake at `place` until SIGTERM or Ctrl-C; tasks at work are finished
/// then, and its folder is gone.
///
/// # Errors
/// `Unavailable` when the scheduler does not answer or went away, `Unsupported` when it is of
/// another version, `Io` when ports are taken, and what the lake says when it cannot be read.
pub async fn execute_tasks(options: &ExecutorOptions, place: &Place) -> Result<()> {
    let host = reachable(&options.listen, options.advertise.as_deref())?;
    place.look().await?;
    let tasks_port = free_ports(&options.listen)?;
    wait_for(&options.scheduler).await?;
    let folder = WorkFolder::new(&options.spill_dir)?;
    let config = ExecutorProcessConfig {
        bind_host: bind_host(&options.listen),
        external_host: Some(host),
        port: options.listen.port(),
        grpc_port: tasks_port,
        scheduler_host: options.scheduler.host().to_owned(),
        scheduler_port: options.scheduler.port(),
        vcores: threads(options.threads)?,
        work_dir: Some(folder.tasks().display().to_string()),
        job_data_ttl_seconds: LEFT_S,
        job_data_clean_up_interval_seconds: LEFT_S / 24,
        grpc_max_decoding_message_size: MESSAGE_BYTES,
        grpc_max_encoding_message_size: MESSAGE_BYTES,
        executor_heartbeat_interval_seconds: HEARTBEAT_S,
        memory_pool_size: Some(options.memory_mb << 20),
        override_runtime_producer: Some(runtimes(&folder.spill(), options.spill_mb, place)),
        ..ExecutorProcessConfig::default()
    };
    let (scheduler, listen) = (&options.scheduler, options.listen);
    info!(%scheduler, %listen, lake = place.name(), "executing");
    let mut told = Told::listen()?;
    let ended = start_executor_process(Arc::new(config)).await;
    ended.map_err(|e| {
        failure::of_part(&format!("the scheduler at {} took no executor", options.scheduler), e)
    })?;
    if told.has_come() {
        return Ok(());
    }
    let text = format!(
        "the scheduler at {} went away, or a port is lost; start this executor again",
        options.scheduler
    );
    Err(Error::new(ErrorKind::Unavailable, text))
}

/// Whether the process has been told to stop: the executor listens to that, too, but does not say
/// why it stopped.
struct Told([tokio::signal::unix::Signal; 2]);

impl Told {
    fn listen() -> Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self([signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?]))
    }

    fn has_come(&mut self) -> bool {
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        self.0.iter_mut().any(|signal| signal.poll_recv(&mut context).is_ready())
    }
}

fn bind_host(listen: &SocketAddr) -> String {
    if listen.is_ipv6() { format!("[{}]", listen.ip()) } else { listen.ip().to_string() }
}

fn threads(asked: usize) -> Result<usize> {
    if asked > 0 {
        return Ok(asked);
    }
    Ok(std::thread::available_parallelism()?.get())
}

/// The port for tasks, when both ports can be had.
fn free_ports(listen: &SocketAddr) -> Result<u16> {
    let (port, next) = (listen.port(), listen.port().checked_add(1));
    let Some(next) = next.filter(|_| port > 0) else {
        let text = format!("{listen}: an executor needs a port that others know, and the next one");
        return Err(Error::new(ErrorKind::Config, text));
    };
    for port in [port, next] {
        let address = SocketAddr::new(listen.ip(), port);
        TcpListener::bind(address).map_err(|e| {
            let text = format!("cannot listen on {address}; is it taken?");
            Error::new(ErrorKind::Io, text).with_source(e)
        })?;
    }
    Ok(next)
}

async fn wait_for(scheduler: &Address) -> Result<()> {
    let mut left = WAIT.as_millis() / STEP.as_millis();
    loop {
        match scheduler.greet().await {
            Err(e) if e.kind() == ErrorKind::Unavailable && left > 0 => left -= 1,
            greeted => return greeted.map(|_| ()),
        }
        tokio::time::sleep(STEP).await;
    }
}

/// Makes what tasks of one session share: the lake's storage and a place to spill to.
fn runtimes(spill: &Path, spill_mb: u64, place: &Place) -> RuntimeProducer {
    let (spill, place) = (spill.to_owned(), place.clone());
    Arc::new(move |_| {
        let mut disk = DiskManagerBuilder::default()
            .with_max_temp_directory_size(spill_mb.saturating_mul(1 << 20))
            .with_max_spill_merge_fan_in(MERGED_RUNS);
        disk.set_mode(DiskManagerMode::Directories(vec![spill.clone()]));
        let runtime = RuntimeEnvBuilder::new().with_disk_manager_builder(disk).build_arc()?;
        register_lake(&runtime, Some(&place));
        Ok(runtime)
    })
}
