//! Flags of `foretaste extract`.

use clap::{Args, Subcommand};

/// Flags of `extract`.
#[derive(Args, Debug)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "\
Databases and tables are [[source]] entries of the configuration (docs/extraction.md). A pass may be
stopped or killed at any moment; the next one goes on and stores nothing twice. SIGTERM or Ctrl-C
end --follow after the page in hand. One process writes a data folder: stop `serve` meanwhile.

Examples:
  foretaste extract --dry-run shop              what the first rows would become
  foretaste extract --once                      all sources, everything that is new
  foretaste extract --once --reconcile shop     and find deletes and late commits
  foretaste extract --follow
  foretaste extract --print-preset matomo
  foretaste extract status"
)]
pub struct ExtractArgs {
    /// What else can be asked
    #[command(subcommand)]
    pub command: Option<ExtractCommand>,
    /// Names of sources [default: all]
    #[arg(value_name = "SOURCE")]
    pub sources: Vec<String>,
    /// Read what is new, then end
    #[arg(
        long,
        group = "mode",
        required_unless_present_any = ["follow", "dry_run", "print_preset"]
    )]
    pub once: bool,
    /// Read what is new again and again, and reconcile from time to time
    #[arg(long, group = "mode")]
    pub follow: bool,
    /// Show the first rows of each table and what they would become; store nothing
    #[arg(long, group = "mode")]
    pub dry_run: bool,
    /// Show the tables of a preset as they would stand in the configuration
    #[arg(long, group = "mode", value_name = "PRESET")]
    pub print_preset: Option<String>,
    /// Rows that --dry-run shows of each table
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub rows: u32,
    /// With --once: compare all rows that were read with the tables, and repair what differs
    #[arg(long, requires = "once")]
    pub reconcile: bool,
    /// Take changed types of columns as they are now
    #[arg(long)]
    pub accept_schema: bool,
}

/// What else can be asked.
#[derive(Debug, Subcommand)]
pub enum ExtractCommand {
    /// How far each table was read, and how the last pass went
    Status,
}
