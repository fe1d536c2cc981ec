//! Flags of `foretaste quality`.

use std::path::PathBuf;

use clap::Args;

/// Flags of `quality`.
#[derive(Args, Debug)]
#[command(after_help = "\
Data are compared with the last accepted run: one that ended in a new current bundle, or --accept.
The report goes to DIR/reports as quality.html and quality.json. Limits stand in [quality] of the
configuration; docs/data-quality.md says what is checked.

Exit codes: 0 nothing fails; 1 a check fails, or the data cannot be read (the message says which).

Examples:
  foretaste quality
  foretaste --json quality
  foretaste quality --accept             the change is meant: compare with these data from now on
  foretaste quality --metrics /var/lib/node_exporter/foretaste.prom")]
pub struct QualityArgs {
    /// Compare later runs with the data as they are now, whatever the checks say
    #[arg(long)]
    pub accept: bool,
    /// Folder for quality.html and quality.json [default: DIR/reports]
    #[arg(long, value_name = "DIR")]
    pub output: Option<PathBuf>,
    /// Write the figures in the text form of Prometheus, for a node exporter
    #[arg(long, value_name = "FILE")]
    pub metrics: Option<PathBuf>,
}
