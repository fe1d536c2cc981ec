//! Flags of `foretaste cluster`.

use std::net::SocketAddr;

use clap::{Args, Subcommand};

/// Which part of a cluster to be.
#[derive(Debug, Subcommand)]
#[command(after_help = "\
A cluster is one scheduler and any number of executors, all of one version of this program, in one
private network: nothing between them is encrypted, and nobody is asked for a password. Every
executor reads the lake itself, so all of them have the same [lake]: a folder that all machines
share, or a bucket. Whoever computes features names the scheduler in one line:

  [features.engine]
  cluster = \"df://10.0.0.1:50050\"

Examples:
  foretaste cluster scheduler --listen 10.0.0.1:50050
  foretaste --config foretaste.toml cluster executor --listen 10.0.0.2:50051
  foretaste --config foretaste.toml features build")]
pub enum ClusterCommand {
    /// Divide queries into tasks and hand them to executors
    Scheduler(SchedulerArgs),
    /// Carry out tasks: read files, group, sort
    Executor(ExecutorArgs),
}

/// Flags of `cluster scheduler`.
#[derive(Args, Debug)]
#[command(after_help = "\
GET /readyz at the same port answers 200 when there are executors, else 503. SIGTERM or Ctrl-C ends
it at once; whoever waits for a query gets an error, and no table has changed.

Examples:
  foretaste cluster scheduler
  foretaste cluster scheduler --listen 0.0.0.0:50050 --advertise scheduler.internal")]
pub struct SchedulerArgs {
    /// Where to listen
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:50050")]
    pub listen: SocketAddr,
    /// Host by which executors reach it [default: that of --listen]
    #[arg(long, value_name = "HOST")]
    pub advertise: Option<String>,
    /// An executor that is silent for so long is gone, and others do its tasks
    #[arg(long, value_name = "SECONDS", default_value_t = 20,
        value_parser = clap::value_parser!(u64).range(5..=3_600))]
    pub executor_timeout: u64,
}

/// Flags of `cluster executor`.
#[derive(Args, Debug)]
#[command(after_help = "\
Memory, threads and the folder for intermediate rows are those of [features.engine]. SIGTERM or
Ctrl-C: tasks at work are finished, then it exits with 0. When its scheduler goes away it exits
with 1, so that whatever started it starts it again.

Examples:
  foretaste --data market cluster executor --scheduler df://127.0.0.1:50050
  foretaste --config foretaste.toml cluster executor --listen 0.0.0.0:50051 --advertise node-2")]
pub struct ExecutorArgs {
    /// Its scheduler [default: features.engine.cluster of the configuration]
    #[arg(long, value_name = "df://HOST:PORT")]
    pub scheduler: Option<String>,
    /// Where rows are fetched; tasks come in at the port after it
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:50051")]
    pub listen: SocketAddr,
    /// Host by which others reach it [default: that of --listen]
    #[arg(long, value_name = "HOST")]
    pub advertise: Option<String>,
}
