//! Flags of `foretaste features`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

/// What to do with features.
#[derive(Debug, Subcommand)]
#[command(after_help = "\
The lake is a folder or a bucket ([lake] of the configuration); docs/features.md says how feature
sets are written.

Examples:
  foretaste features init features                         the starter set as files to change
  foretaste features build --as-of latest                  fill the lake, compute all values
  foretaste features show user_activity
  foretaste features rows --output rows.parquet --where \"kind = 'click'\"")]
pub enum FeaturesCommand {
    /// Write the starter set into a folder, for you to change
    Init(InitArgs),
    /// Bring the lake to what the store holds; only days that differ are written
    Sync,
    /// The feature sets and how old their values are
    List,
    /// Check all feature sets against the lake without computing anything
    Check,
    /// Fill the lake, then compute values or bring them up to date
    Build(BuildArgs),
    /// Make computed values readable for a server, as `build` does at its end
    Publish(PublishArgs),
    /// A feature set with its columns, and some of its values
    Show(ShowArgs),
    /// Training rows: events with the features as they were before each of them
    Rows(RowsArgs),
    /// How many users each two items have in common, into the table `item_pairs`
    Pairs(PairsArgs),
    /// Bring small files together and remove what nobody reads any more
    Tidy(TidyArgs),
}

/// Flags of `features init`.
#[derive(Args, Debug)]
pub struct InitArgs {
    /// Folder to write to; it is created
    #[arg(value_name = "DIR", default_value = "features")]
    pub folder: PathBuf,
}

/// Flags of `features build`.
#[derive(Args, Debug)]
#[command(after_help = "\
Within one day (UTC) only entities whose events have changed are computed anew; a new day, another
definition or another catalogue computes all. The output says which of the two was done, and why.

Examples:
  foretaste features build --due                           for a timer: what is older than its TTL
  foretaste features build user_activity --as-of 2026-06-01T12:00:00Z
  foretaste features build --as-of latest --no-sync        the lake as it is, to its newest event")]
pub struct BuildArgs {
    /// Names of feature sets [default: all]
    #[arg(value_name = "NAME")]
    pub names: Vec<String>,
    /// Events before this time count, or `latest`: all there are [default: now]
    #[arg(long, value_name = "TIME")]
    pub as_of: Option<String>,
    /// Leave the lake as it is instead of bringing it to what the store holds
    #[arg(long)]
    pub no_sync: bool,
    /// Only sets whose values are older than their TTL
    #[arg(long)]
    pub due: bool,
    /// Compute only; what a server reads stays as it is
    #[arg(long)]
    pub no_publish: bool,
}

/// Flags of `features publish`.
#[derive(Args, Debug)]
#[command(after_help = "\
Values become immutable files in the folder [serve.features] names; a running server takes them up
within a second. A set whose values are published already is not written again.

Example:
  foretaste features publish user_activity")]
pub struct PublishArgs {
    /// Names of feature sets [default: all that are built; those no longer defined are taken back]
    #[arg(value_name = "NAME")]
    pub names: Vec<String>,
}

/// Flags of `features show`.
#[derive(Args, Debug)]
pub struct ShowArgs {
    /// Name of a feature set, or `now` for the features of the moment
    #[arg(value_name = "NAME")]
    pub name: String,
    /// Rows of values to show
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(0..=10_000))]
    pub rows: u32,
}

/// Flags of `features rows`.
#[derive(Args, Debug)]
#[command(after_help = "\
A row has user_id, item_id, kind, value, time_ms, as_of, then the columns of the feature sets. No
value depends on an event at or after `as_of`, which is never later than the event.

Example:
  foretaste features rows --output rows.parquet --since 2026-05-01 --as-of-each hour \\
      --where \"kind IN ('impression', 'click')\"")]
pub struct RowsArgs {
    /// Names of feature sets [default: all]
    #[arg(value_name = "NAME")]
    pub names: Vec<String>,
    /// Parquet file to write
    #[arg(long, short, value_name = "FILE")]
    pub output: PathBuf,
    /// Condition in SQL on user_id, item_id, kind, value, time_ms, session, scene, position
    #[arg(long = "where", value_name = "SQL")]
    pub condition: Option<String>,
    /// Only events at this time or later
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    /// Only events before this time
    #[arg(long, value_name = "TIME")]
    pub until: Option<String>,
    /// How exactly features are those of the time of the event; coarser is cheaper
    #[arg(long, value_name = "GRID", default_value = "event")]
    pub as_of_each: GridArg,
}

/// How exactly the time of an event is that of its features.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum GridArg {
    /// To the millisecond
    Event,
    /// The full hour before
    Hour,
    /// The midnight (UTC) before
    Day,
}

/// Flags of `features pairs`.
#[derive(Args, Debug)]
pub struct PairsArgs {
    /// Pairs kept for each item: those with the most users
    #[arg(long, default_value_t = 400)]
    pub k: u32,
    /// Items of a user that take part: of more, those that the fewest users have
    #[arg(long, default_value_t = 1_000)]
    pub max_user_items: u32,
    /// Only events before this time
    #[arg(long, value_name = "TIME")]
    pub until: Option<String>,
}

/// Flags of `features tidy`.
#[derive(Args, Debug)]
pub struct TidyArgs {
    /// Files below this size are brought together
    #[arg(long, value_name = "MB", default_value_t = 32)]
    pub small_mb: u64,
    /// What is removed has been out of use for so long; longer than any reader takes
    #[arg(long, value_name = "HOURS", default_value_t = 24)]
    pub keep_hours: u64,
}
