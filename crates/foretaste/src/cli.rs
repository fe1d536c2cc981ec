//! What can be typed: commands and flags, as clap types. What they mean is in `commands`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::commands::advise::args::AdviseArgs;
use crate::commands::archive::args::ArchiveArgs;
use crate::commands::bundle::BundleCommand;
#[cfg(feature = "cluster")]
use crate::commands::cluster::args::ClusterCommand;
use crate::commands::extract::args::ExtractArgs;
#[cfg(feature = "lake")]
use crate::commands::features::args::FeaturesCommand;
use crate::commands::load::args::LoadCommand;
use crate::commands::quality::args::QualityArgs;

/// A recommendation engine that one team can run by itself.
///
/// Exit codes: 0 done; 1 it failed (the message says what, where and what to do); 2 the command
/// line or the configuration is wrong and nothing was started; 3 input was refused and the store
/// is unchanged; 4 and 5 a verdict of `load` (see there); 6 `train` made no bundle because the data
/// failed a check of their quality.
#[derive(Debug, Parser)]
#[command(name = "foretaste", version, max_term_width = 100, after_help = EXAMPLES)]
pub struct Cli {
    /// Folder of everything that Foretaste keeps: events, catalogue, bundles, reports
    #[arg(long, global = true, value_name = "DIR", default_value = "foretaste-data")]
    pub data: PathBuf,
    /// Configuration file [default: DIR/foretaste.toml where it exists]
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Print results as JSON, for machines
    #[arg(long, global = true)]
    pub json: bool,
    /// Show no progress
    #[arg(long, short, global = true)]
    pub quiet: bool,
    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

const EXAMPLES: &str = "\
Examples:
  foretaste demo                                        see it work on a generated marketplace
  foretaste import --format lists train.txt             behaviour in
  foretaste train --profile accurate                    learn
  foretaste evaluate --split temporal                   measure
  foretaste recommend alice -k 10                       ask once
  foretaste serve --listen 127.0.0.1:8080               answer over HTTP";

/// One command and its flags.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Generate a marketplace, train, evaluate, serve it and print what to try
    Demo(DemoArgs),
    /// Write a seeded data set with the structure of real behaviour as Parquet
    Generate(GenerateArgs),
    /// Read events, items or users from files
    Import(ImportArgs),
    /// Read what is new in the tables of live databases
    Extract(ExtractArgs),
    /// Say which indexes and settings the databases lack for being read, and build indexes
    Advise(AdviseArgs),
    /// Move old events from a database's server into Parquet files; answers and training see both
    Archive(ArchiveArgs),
    /// Check the quality of all that is stored; exit code 1 when a check fails
    Quality(QualityArgs),
    /// The lake and the SQL features that are computed from it
    #[cfg(feature = "lake")]
    #[command(subcommand)]
    Features(FeaturesCommand),
    /// The parts of a cluster that computes features
    #[cfg(feature = "cluster")]
    #[command(subcommand)]
    Cluster(ClusterCommand),
    /// Learn from all that is stored and make the new bundle current
    Train(TrainArgs),
    /// Hold events out, train on the rest, and measure through the pipeline that serves
    Evaluate(EvaluateArgs),
    /// Search for better settings on a validation part of the data
    Tune(TuneArgs),
    /// Recommend to one user, or to all users into a file
    Recommend(RecommendArgs),
    /// Items that are similar to an item
    Similar(SimilarArgs),
    /// List, check, choose or roll back bundles
    #[command(subcommand)]
    Bundle(BundleCommand),
    /// Answer over HTTP
    Serve(ServeArgs),
    /// Send load to a server and say how long its users would have waited
    #[command(subcommand)]
    Load(Box<LoadCommand>),
    /// Print or check the configuration
    #[command(subcommand)]
    Config(ConfigCommand),
}

/// How large a generated data set is.
#[derive(Args, Clone, Copy, Debug)]
pub struct SizeArgs {
    /// Number of users (up to 1,000,000)
    #[arg(long, default_value_t = 20_000)]
    pub users: u32,
    /// Number of items (up to 100,000)
    #[arg(long, default_value_t = 5_000)]
    pub items: u32,
    /// Number of events (up to 50,000,000)
    #[arg(long, default_value_t = 1_000_000)]
    pub events: u64,
    /// Everything follows from it
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
}

/// Flags of `demo`.
#[derive(Args, Debug)]
#[command(after_help = "\
The data goes to DIR of --data (default: a temporary folder that is removed at the end).

Examples:
  foretaste demo
  foretaste demo --users 2000 --items 500 --events 50000 --listen 127.0.0.1:9000")]
pub struct DemoArgs {
    /// Size of the marketplace
    #[command(flatten)]
    pub size: SizeArgs,
    /// Where to answer
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:8080")]
    pub listen: SocketAddr,
    /// `fast` or `accurate`
    #[arg(long, default_value = "fast")]
    pub profile: Profile,
    /// Stop after printing the table instead of serving
    #[arg(long)]
    pub no_serve: bool,
}

/// Flags of `generate`.
#[derive(Args, Debug)]
#[command(after_help = "\
Writes events.parquet, items.parquet and users.parquet, which `foretaste import DIR` reads.

Example:
  foretaste generate --users 100000 --items 20000 --events 5000000 --seed 7 --output market
  foretaste generate --events 20000 --sql matomo --output shop          shop/matomo.sql")]
pub struct GenerateArgs {
    /// Size of the marketplace
    #[command(flatten)]
    pub size: SizeArgs,
    /// Folder to write to; it is created
    #[arg(long, short, value_name = "DIR")]
    pub output: PathBuf,
    /// Write a script that fills the tables of a database instead
    #[arg(long, value_name = "SCHEMA")]
    pub sql: Option<SchemaArg>,
    /// Which server the script is for
    #[arg(long, default_value = "mysql", requires = "sql")]
    pub dialect: DialectArg,
}

/// Schemas of databases.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum SchemaArg {
    /// Log tables of Matomo with e-commerce
    Matomo,
    /// A data marketplace
    Marketplace,
}

/// Servers of databases.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum DialectArg {
    /// MySQL or MariaDB
    Mysql,
    /// PostgreSQL
    Postgres,
}

/// Flags of `import`.
#[derive(Args, Debug)]
#[command(after_help = "\
Rows that cannot be read go to DIR/quarantine with line number and reason. When their share passes
--max-bad-share, nothing of the file is stored. A file that was imported before is skipped.

Examples:
  foretaste import --format lists train.txt                   `user item item ...` a line
  foretaste import --format movielens ml-1m/                  users, movies and ratings
  foretaste import events.csv --map user=uid,item=sku,time=ts
  foretaste import --entity items items.jsonl")]
pub struct ImportArgs {
    /// Files or folders
    #[arg(required = true, value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// Layout of the files [default: from name and content]
    #[arg(long)]
    pub format: Option<ImportFormat>,
    /// What a row of the files is [default: from the columns]
    #[arg(long)]
    pub entity: Option<EntityArg>,
    /// Which column is what: FIELD=COLUMN, comma-separated (columns by name, or by 1-based number
    /// where there is no header)
    #[arg(long, value_name = "FIELD=COLUMN,...", value_delimiter = ',')]
    pub map: Vec<String>,
    /// Kind of events whose rows do not say it
    #[arg(long, value_name = "KIND")]
    pub kind: Option<String>,
    /// Column separator of CSV [default: `,`; a tab for .tsv]
    #[arg(long, value_name = "CHAR")]
    pub delimiter: Option<char>,
    /// Abort when more than this share of the rows is bad [default: from the configuration, 0.01]
    #[arg(long, value_name = "SHARE")]
    pub max_bad_share: Option<f64>,
    /// Read a file again that was imported before (its events are still counted once)
    #[arg(long)]
    pub again: bool,
}

/// Layouts that `import` reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ImportFormat {
    /// Comma-separated values, with or without a header
    Csv,
    /// Tab-separated values
    Tsv,
    /// One JSON object a line
    Jsonl,
    /// Parquet
    Parquet,
    /// A MovieLens folder (100k, 1m, 25m)
    Movielens,
    /// `user item item ...` a line
    Lists,
}

/// What a row is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum EntityArg {
    /// Behaviour
    Events,
    /// The catalogue
    Items,
    /// People or agents
    Users,
}

/// The two shipped sets of models.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Profile {
    /// About 0.2 ms of one core a request
    Fast,
    /// The best ranking within 3 ms of one core a request
    Accurate,
}

impl Profile {
    /// The name as configuration and bundles write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fast => "fast",
            Self::Accurate => "accurate",
        }
    }
}

/// Flags of `train`.
#[derive(Args, Debug)]
#[command(after_help = "\
Settings that `foretaste tune` saved in DIR/tuned.json are used, unless --untuned is given.
Data that fail a check of their quality are not learned from (exit code 6): the current bundle
stays. `foretaste quality` shows all checks.

Examples:
  foretaste train
  foretaste train --profile accurate --seed 7")]
pub struct TrainArgs {
    /// Which set of models [default: from the configuration, fast]
    #[arg(long)]
    pub profile: Option<Profile>,
    /// Everything random follows from it [default: from the configuration, 42]
    #[arg(long)]
    pub seed: Option<u64>,
    /// Ignore what `tune` found
    #[arg(long)]
    pub untuned: bool,
    /// Write the bundle, but leave the current one in service, whatever the quality of the data
    #[arg(long)]
    pub no_activate: bool,
    /// Learn from the data though they fail checks, and compare later runs with them
    #[arg(long)]
    pub accept_quality: bool,
}

/// How events are held out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SplitArg {
    /// All events after one moment
    Temporal,
    /// Each user's last items
    LeaveLastOut,
    /// A random share of each user's items
    Random,
    /// Held-out items sampled to a flatter popularity than the data has
    PopularityMatched,
}

/// Flags of `evaluate`.
#[derive(Args, Debug)]
#[command(after_help = "\
Without --test a share of the stored events is held out and models are trained on the rest. With
--test FILE (`user item item ...` a line) models are trained on all that is stored and measured on
the file. The report goes to DIR/reports as HTML and JSON.

Examples:
  foretaste evaluate --split temporal --share 0.1
  foretaste evaluate --test test.txt --profile accurate")]
pub struct EvaluateArgs {
    /// How to hold out [default: temporal where events have times, else random]
    #[arg(long, conflicts_with = "test")]
    pub split: Option<SplitArg>,
    /// Share of the events to hold out
    #[arg(long, default_value_t = 0.2)]
    pub share: f64,
    /// Held-out items from a file
    #[arg(long, value_name = "FILE")]
    pub test: Option<PathBuf>,
    /// Which set of models [default: from the configuration, fast]
    #[arg(long)]
    pub profile: Option<Profile>,
    /// Everything random follows from it [default: from the configuration, 42]
    #[arg(long)]
    pub seed: Option<u64>,
    /// At most so many users are replayed, chosen by the seed [default: all]
    #[arg(long)]
    pub users: Option<usize>,
    /// Folder for report.html and report.json [default: DIR/reports]
    #[arg(long, value_name = "DIR")]
    pub output: Option<PathBuf>,
}

/// Flags of `tune`.
#[derive(Args, Debug)]
#[command(after_help = "\
Every trial is appended to DIR/reports/trials.jsonl, so a search can be stopped and taken up again.
The best settings go to DIR/tuned.json, which `train` uses.

Example:
  foretaste tune --trials 40 --minutes 30 --profile accurate")]
pub struct TuneArgs {
    /// At most so many trials
    #[arg(long, default_value_t = 30)]
    pub trials: usize,
    /// Start no trial after so many minutes
    #[arg(long, default_value_t = 30.0)]
    pub minutes: f64,
    /// How the validation part is held out
    #[arg(long, default_value = "random")]
    pub split: SplitArg,
    /// Share of the events in the validation part
    #[arg(long, default_value_t = 0.2)]
    pub share: f64,
    /// Which set of models [default: from the configuration, fast]
    #[arg(long)]
    pub profile: Option<Profile>,
    /// Everything random follows from it [default: from the configuration, 42]
    #[arg(long)]
    pub seed: Option<u64>,
}

/// Flags of `recommend`.
#[derive(Args, Debug)]
#[command(after_help = "\
With --all-users every line of FILE is `user item item ...`, best first, items that the user has
seen left out.

Examples:
  foretaste recommend alice -k 10
  foretaste recommend --all-users --k 20 --scene evaluation --output lists.txt")]
pub struct RecommendArgs {
    /// Whom to recommend to
    #[arg(required_unless_present = "all_users", conflicts_with = "all_users")]
    pub user: Option<String>,
    /// Everyone with behaviour
    #[arg(long, requires = "output")]
    pub all_users: bool,
    /// How many items
    #[arg(long, short, default_value_t = 20)]
    pub k: usize,
    /// Scene whose settings apply
    #[arg(long, default_value = "homepage")]
    pub scene: String,
    /// File to write (with --all-users)
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// Flags of `similar`.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  foretaste similar sku-17 -k 10")]
pub struct SimilarArgs {
    /// The item
    pub item: String,
    /// How many items
    #[arg(long, short, default_value_t = 10)]
    pub k: usize,
    /// Scene whose settings apply
    #[arg(long, default_value = "homepage")]
    pub scene: String,
}

/// Flags of `serve`.
#[derive(Args, Debug)]
#[command(after_help = "\
SIGTERM or Ctrl-C: readiness turns false, requests in flight are finished, then it exits with 0.
With --follow the tables of all [[source]] entries of the configuration are read every interval_s
seconds (docs/extraction.md); what is new, changed or gone there counts in the next answer.

Examples:
  foretaste --data market serve --listen 0.0.0.0:8080 --admin-listen 127.0.0.1:8081
  foretaste --data market serve --grpc-listen 127.0.0.1:9090
  foretaste --data market serve --follow")]
pub struct ServeArgs {
    /// Where to answer [default: from the configuration, 127.0.0.1:8080]
    #[arg(long, value_name = "ADDR:PORT")]
    pub listen: Option<SocketAddr>,
    /// Where the admin routes answer [default: with the others when those are on loopback]
    #[arg(long, value_name = "ADDR:PORT")]
    pub admin_listen: Option<SocketAddr>,
    /// Where gRPC is answered [default: from the configuration, else nowhere]
    #[arg(long, value_name = "ADDR:PORT")]
    pub grpc_listen: Option<SocketAddr>,
    /// Follow the databases of the configuration
    #[arg(long)]
    pub follow: bool,
    /// With --follow: take changed types of columns as they are now
    #[arg(long, requires = "follow")]
    pub accept_schema: bool,
}

/// What can be done with the configuration.
#[derive(Clone, Copy, Debug, Subcommand)]
pub enum ConfigCommand {
    /// Every setting as it is in force
    Print,
    /// Say what is wrong, all of it; exit code 2 when anything is
    Check,
    /// The commented defaults, to start a foretaste.toml from
    Default,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_lines_that_outside_scripts_rely_on_parse() {
        for line in [
            "foretaste --data DIR import --format lists FILE",
            "foretaste --data DIR train --profile accurate --seed 7",
            "foretaste --data DIR recommend --all-users --k 20 --scene evaluation --output FILE",
            "foretaste --data DIR serve --listen 127.0.0.1:8080",
        ] {
            assert!(Cli::try_parse_from(line.split(' ')).is_ok(), "{line}");
        }
    }
}
