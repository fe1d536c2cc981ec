//! `foretaste cluster`: the parts of a cluster that computes features.

use anyhow::{Context, Result};
use foretaste_cluster::{
    Address, ExecutorOptions, SchedulerOptions, execute_tasks, keep_journal, schedule,
};
use foretaste_core::{Error, ErrorKind};
use foretaste_features::Place;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};

use super::features::keys;
use crate::run::Run;

pub mod args;

use args::{ClusterCommand, ExecutorArgs, SchedulerArgs};

/// Plans are trees that are walked by functions that call themselves.
const STACK_BYTES: usize = 32 << 20;

/// Runs until it is told to stop.
pub fn run(run: &Run, command: &ClusterCommand) -> Result<()> {
    crate::logging::start(run.json);
    keep_journal();
    match command {
        ClusterCommand::Scheduler(args) => scheduler(args),
        ClusterCommand::Executor(args) => executor(run, args),
    }
}

fn runtime() -> Result<Runtime> {
    let mut builder = Builder::new_multi_thread();
    builder.enable_all().thread_stack_size(STACK_BYTES);
    builder.build().context("starting the runtime")
}

fn scheduler(args: &SchedulerArgs) -> Result<()> {
    let options = SchedulerOptions {
        listen: args.listen,
        advertise: args.advertise.clone(),
        executor_timeout_s: args.executor_timeout,
    };
    runtime()?.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let stop = async move {
            tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
        };
        Ok(schedule(&options, stop).await?)
    })
}

fn executor(run: &Run, args: &ExecutorArgs) -> Result<()> {
    let engine = &run.config.features.engine;
    let scheduler = args.scheduler.as_ref().unwrap_or(&engine.cluster);
    if scheduler.is_empty() {
        let text = "an executor needs its scheduler; give --scheduler df://HOST:PORT, or set \
                    features.engine.cluster";
        return Err(Error::new(ErrorKind::Config, text).into());
    }
    let options = ExecutorOptions {
        scheduler: Address::parse(scheduler)?,
        listen: args.listen,
        advertise: args.advertise.clone(),
        threads: engine.threads,
        memory_mb: engine.memory_mb,
        spill_mb: engine.spill_mb,
        spill_dir: engine.spill_dir.clone(),
    };
    let config = &run.config.lake;
    let keys = config.is_bucket().then(|| keys::read(config)).transpose()?;
    let place = Place::existing(config, &run.data.join("tables"), keys)?;
    Ok(runtime()?.block_on(execute_tasks(&options, &place))?)
}
