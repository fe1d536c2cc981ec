//! What can be typed after `foretaste load`, and what it changes in a scenario.

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, Subcommand, ValueEnum};
use foretaste_core::{Error, ErrorKind};
use foretaste_load::scenario::{ClosedPace, OpenPace, Pace, Scenario, Source, Think, check_header};
use foretaste_load::schedule::Arrivals;

/// What can be done with load.
#[derive(Debug, Subcommand)]
pub enum LoadCommand {
    /// Send requests on a schedule or by a number of users, and report latencies
    Run(RunArgs),
    /// Find the highest rate that a server sustains within its goals
    FindMax(FindMaxArgs),
    /// Drive a server to its break and watch it come back
    Stress(StressArgs),
    /// Say whether a server is slower than a baseline or than another server
    Compare(CompareArgs),
}

/// Where to send what; shared by all commands.
#[derive(Args, Clone, Debug)]
pub struct Shared {
    /// Server to send requests to (plain HTTP)
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080")]
    pub url: String,
    /// Shipped scenario (recommend, mixed, marketplace, ingest) or a TOML file
    #[arg(long, short, value_name = "NAME|FILE", default_value = "recommend")]
    pub scenario: String,
    /// Take the ids of users and items from the current bundle in DIR of --data
    #[arg(long, conflicts_with_all = ["user_ids", "item_ids"])]
    pub from_bundle: bool,
    /// User ids, one a line, the most active first [default: from the scenario]
    #[arg(long, value_name = "FILE")]
    pub user_ids: Option<PathBuf>,
    /// Item ids, one a line, the most popular first [default: from the scenario]
    #[arg(long, value_name = "FILE")]
    pub item_ids: Option<PathBuf>,
    /// Length of the measurement [default: from the scenario]
    #[arg(long, value_name = "SECONDS")]
    pub seconds: Option<f64>,
    /// Everything random follows from it [default: from the scenario]
    #[arg(long)]
    pub seed: Option<u64>,
    /// Most connections of an open loop [default: from the scenario, 256]
    #[arg(long, value_name = "N")]
    pub connections: Option<usize>,
    /// Threads of the generator [default: from the scenario, 1]
    #[arg(long, value_name = "N")]
    pub threads: Option<usize>,
    /// Never sleep: exact moments where sleeping cores wake late, as on virtual machines; each
    /// thread takes a core
    #[arg(long)]
    pub spin: bool,
    /// Longest wait for an answer [default: from the scenario, 10000]
    #[arg(long, value_name = "MS")]
    pub timeout_ms: Option<u64>,
    /// Highest 99th percentile that is good enough [default: from the scenario]
    #[arg(long, value_name = "MS")]
    pub p99_ms: Option<f64>,
    /// Header of every request, may be repeated; values are in no report
    #[arg(long = "header", value_name = "NAME: VALUE")]
    pub headers: Vec<String>,
    /// Measure from the first request on
    #[arg(long)]
    pub no_warm_up: bool,
    /// Folder for the reports [default: DIR/reports]
    #[arg(long, value_name = "DIR")]
    pub output: Option<PathBuf>,
}

/// How far apart requests are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ArrivalsArg {
    /// Independent of each other
    Poisson,
    /// At equal distances
    Constant,
}

/// Flags of `load run`.
#[derive(Args, Debug)]
#[command(after_help = "\
Open loop (default): requests go out on a schedule that follows from the seed, however slow the
answers are, and latency counts from the scheduled moment. Closed loop (--users): each user waits
for its answer; a server that stands still is then hardly seen in the percentiles.

Exit codes: 0 done; 4 a goal was missed (p99, errors, answers per request); 5 the figures are not
valid, because the generator lagged or was starved; others as for all commands.

Examples:
  foretaste load run --rate 200 --seconds 30
  foretaste load run --scenario mixed --rate 500 --p99-ms 20
  foretaste load run --from-bundle --users 50 --think-ms 200 --ramp-seconds 10
  foretaste load run --scenario mine.toml --runs 5 --save baseline.json")]
pub struct RunArgs {
    /// Where to send what
    #[command(flatten)]
    pub shared: Shared,
    /// When requests are sent
    #[command(flatten)]
    pub pace: PaceArgs,
    /// Measure so many times, one after the other
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub runs: usize,
    /// Write all runs to a file that `load compare --baseline` reads
    #[arg(long, value_name = "FILE")]
    pub save: Option<PathBuf>,
}

/// When requests are sent.
#[derive(Args, Clone, Debug)]
pub struct PaceArgs {
    /// Requests per second of an open loop [default: from the scenario]
    #[arg(long, value_name = "PER_SECOND", conflicts_with = "users")]
    pub rate: Option<f64>,
    /// How far apart the requests of an open loop are [default: from the scenario, poisson]
    #[arg(long, conflicts_with = "users")]
    pub arrivals: Option<ArrivalsArg>,
    /// Closed loop with so many users
    #[arg(long, value_name = "N")]
    pub users: Option<usize>,
    /// Requests of each user [default: until the time is over]
    #[arg(long, requires = "users", value_name = "N")]
    pub requests: Option<u64>,
    /// Mean time between an answer and the user's next request
    #[arg(long, requires = "users", value_name = "MS")]
    pub think_ms: Option<f64>,
    /// Time over which the users come in
    #[arg(long, requires = "users", value_name = "SECONDS")]
    pub ramp_seconds: Option<f64>,
}

/// Flags of `load find-max`.
#[derive(Args, Debug)]
#[command(after_help = "\
A rate is sustained when p99, failures and answers in time stay within the goals of the scenario
(p99: --p99-ms, else the scenario's, else 100 ms) for --seconds. The rate is doubled until one is
not, then halved towards the highest that is, which must hold --confirmations times more. Figures
to rely on want --seconds 60 and a generator on a machine of its own.

Exit codes: 0 found; 4 no rate was sustained; 5 no rate held as often as wanted.

Example:
  foretaste load find-max --scenario mixed --p99-ms 10 --seconds 60")]
pub struct FindMaxArgs {
    /// Where to send what; --seconds is the length of a try [default: 10]
    #[command(flatten)]
    pub shared: Shared,
    /// First rate to try
    #[arg(long, value_name = "PER_SECOND", default_value_t = 100.0)]
    pub start: f64,
    /// Highest rate to try
    #[arg(long, value_name = "PER_SECOND", default_value_t = 1_000_000.0)]
    pub most: f64,
    /// Distance to a rate that failed at which the answer is near enough
    #[arg(long, value_name = "SHARE", default_value_t = 0.03)]
    pub precision: f64,
    /// How often the answer must hold again
    #[arg(long, value_name = "N", default_value_t = 3)]
    pub confirmations: usize,
    /// Then run at 80% of the answer for so long
    #[arg(long, value_name = "SECONDS", default_value_t = 0.0)]
    pub soak_seconds: f64,
}

/// Flags of `load stress`.
#[derive(Args, Debug)]
#[command(after_help = "\
Rates rise by --factor until a goal is missed (p99: --p99-ms, else the scenario's, else 100 ms).
Then one run: half of what held, --overload times what broke it, and half again until
--recover-seconds are over. Recovery counts to the last bad second.

Exit codes: 0 it recovered, or nothing broke; 4 it did not recover; 5 the generator could not
overload it.

Example:
  foretaste load stress --scenario mixed --p99-ms 50 --start 500 --overload 3")]
pub struct StressArgs {
    /// Where to send what; --seconds is the length of a step [default: 10]
    #[command(flatten)]
    pub shared: Shared,
    /// First rate
    #[arg(long, value_name = "PER_SECOND", default_value_t = 100.0)]
    pub start: f64,
    /// From one step to the next
    #[arg(long, default_value_t = 1.5)]
    pub factor: f64,
    /// Highest rate upwards
    #[arg(long, value_name = "PER_SECOND", default_value_t = 1_000_000.0)]
    pub most: f64,
    /// Rate of the overload as a multiple of the rate that broke it
    #[arg(long, default_value_t = 2.0)]
    pub overload: f64,
    /// Length of the overload
    #[arg(long, value_name = "SECONDS", default_value_t = 10.0)]
    pub overload_seconds: f64,
    /// How long to watch it recover
    #[arg(long, value_name = "SECONDS", default_value_t = 30.0)]
    pub recover_seconds: f64,
}

/// Flags of `load compare`.
#[derive(Args, Debug)]
#[command(after_help = "\
With --baseline the runs of a file are compared with new runs of the same scenario. With --against
two servers are measured in turn (ABBA), which takes out what changes slowly on the machine. The
run is the sample: p50, p99 and answers per second must differ by Mann-Whitney (corrected by Holm)
and by a bootstrap interval, and by more than --threshold, to count.

Exit codes: 0 no change or an improvement; 4 a regression; 5 inconclusive (fewer than 5 runs a
side, or invalid runs).

Examples:
  foretaste load run --scenario mixed --rate 300 --runs 5 --save baseline.json
  foretaste load compare --scenario mixed --rate 300 --baseline baseline.json
  foretaste load compare --url http://127.0.0.1:8081 --against http://127.0.0.1:8080")]
pub struct CompareArgs {
    /// Where to send what
    #[command(flatten)]
    pub shared: Shared,
    /// When requests are sent
    #[command(flatten)]
    pub pace: PaceArgs,
    /// Runs to compare with, from `load run --save`
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with = "against",
        required_unless_present = "against"
    )]
    pub baseline: Option<PathBuf>,
    /// Server to compare with
    #[arg(long, value_name = "URL")]
    pub against: Option<String>,
    /// Runs of each side that is measured
    #[arg(long, default_value_t = 5, value_name = "N")]
    pub runs: usize,
    /// Smallest relative change that matters
    #[arg(long, default_value_t = 0.1, value_name = "SHARE")]
    pub threshold: f64,
    /// Write the new runs to a file that --baseline reads
    #[arg(long, value_name = "FILE")]
    pub save: Option<PathBuf>,
}

impl Shared {
    /// Lays the flags over a scenario.
    ///
    /// # Errors
    /// `Config` for a value that no scenario may have.
    pub fn apply(&self, scenario: &mut Scenario) -> Result<()> {
        let transport = &mut scenario.transport;
        transport.connections = self.connections.unwrap_or(transport.connections);
        transport.threads = self.threads.unwrap_or(transport.threads);
        transport.spin |= self.spin;
        transport.timeout_ms = self.timeout_ms.unwrap_or(transport.timeout_ms);
        if transport.connections == 0 || transport.threads == 0 || transport.timeout_ms == 0 {
            return Err(wrong("--connections, --threads and --timeout-ms must be at least 1"));
        }
        scenario.seed = self.seed.unwrap_or(scenario.seed);
        scenario.limits.p99_ms = self.p99_ms.or(scenario.limits.p99_ms);
        if let Some(file) = &self.user_ids {
            scenario.users.source = Source::File(file.clone());
        }
        if let Some(file) = &self.item_ids {
            scenario.items.source = Source::File(file.clone());
        }
        if let Some(wanted) = self.seconds {
            match &mut scenario.pace {
                Pace::Open(open) => open.seconds = wanted,
                Pace::Closed(closed) => closed.seconds = wanted,
            }
            check_positive("--seconds", wanted)?;
        }
        if self.no_warm_up {
            scenario.warm_up.seconds_at_most = 0.0;
        }
        for text in &self.headers {
            scenario.headers.push(header(text)?);
        }
        Ok(())
    }
}

fn header(text: &str) -> Result<(String, String)> {
    let (name, value) = text
        .split_once(':')
        .ok_or_else(|| wrong("--header: expected NAME: VALUE, found no colon"))?;
    let (name, value) = (name.trim(), value.trim());
    check_header(name, value)
        .map_err(|expected| wrong(format!("--header {name}: must be {expected}")))?;
    Ok((name.to_owned(), value.to_owned()))
}

impl PaceArgs {
    /// Lays the flags about pace over a scenario.
    ///
    /// # Errors
    /// `Config` for a value that no scenario may have.
    pub fn apply(&self, scenario: &mut Scenario) -> Result<()> {
        if let Some(users) = self.users {
            scenario.pace = Pace::Closed(self.closed(users, scenario.pace)?);
        } else if let Some(rate) = self.rate {
            check_positive("--rate", rate)?;
            let open = open_of(scenario.pace);
            scenario.pace = Pace::Open(OpenPace { rate, ..open });
        }
        if let (Pace::Open(open), Some(arrivals)) = (&mut scenario.pace, self.arrivals) {
            open.arrivals = match arrivals {
                ArrivalsArg::Poisson => Arrivals::Poisson,
                ArrivalsArg::Constant => Arrivals::Constant,
            };
        }
        Ok(())
    }

    fn closed(&self, users: usize, pace: Pace) -> Result<ClosedPace> {
        let (think_ms, ramp) = (self.think_ms.unwrap_or(0.0), self.ramp_seconds.unwrap_or(0.0));
        let is_time = |x: f64| x.is_finite() && x >= 0.0;
        if users == 0 || !is_time(think_ms) || !is_time(ramp) {
            return Err(wrong(
                "--users must be at least 1, --think-ms and --ramp-seconds at least 0",
            ));
        }
        Ok(ClosedPace {
            users,
            requests: self.requests.unwrap_or(0),
            seconds: open_of(pace).seconds,
            ramp_seconds: ramp,
            think_ms,
            think: Think::Exponential,
        })
    }
}

/// The open pace of a scenario, or one as long as its closed pace.
pub fn open_of(pace: Pace) -> OpenPace {
    match pace {
        Pace::Open(open) => open,
        Pace::Closed(closed) => OpenPace { seconds: closed.seconds, ..OpenPace::default() },
    }
}

/// Refuses a flag that is not above 0.
pub fn check_positive(flag: &str, value: f64) -> Result<()> {
    if value > 0.0 && value.is_finite() {
        return Ok(());
    }
    Err(wrong(format!("{flag} must be above 0")))
}

/// A command line that means nothing.
pub fn wrong(text: impl Into<String>) -> anyhow::Error {
    Error::new(ErrorKind::Config, text).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(subcommand)]
        command: LoadCommand,
    }

    fn scenario(line: &str) -> Result<Scenario> {
        let line = Line::try_parse_from(line.split(' '))?;
        let mut scenario = Scenario::open("mixed")?;
        let (shared, pace) = match &line.command {
            LoadCommand::Run(args) => (&args.shared, Some(&args.pace)),
            LoadCommand::FindMax(args) => (&args.shared, None),
            LoadCommand::Stress(args) => (&args.shared, None),
            LoadCommand::Compare(args) => (&args.shared, Some(&args.pace)),
        };
        shared.apply(&mut scenario)?;
        pace.map_or(Ok(()), |pace| pace.apply(&mut scenario))?;
        Ok(scenario)
    }

    #[test]
    fn flags_lie_over_the_scenario() {
        let open = scenario("x run --rate 250 --seconds 5 --arrivals constant --seed 9").unwrap();
        let expected = OpenPace { rate: 250.0, arrivals: Arrivals::Constant, seconds: 5.0 };
        assert_eq!((open.pace, open.seed), (Pace::Open(expected), 9));
        let closed = scenario("x run --users 8 --think-ms 50 --seconds 5 --no-warm-up").unwrap();
        assert!(matches!(closed.pace, Pace::Closed(c) if c.users == 8 && c.seconds == 5.0));
        assert_eq!(closed.warm_up.seconds_at_most, 0.0);
    }

    #[test]
    fn what_means_nothing_is_refused() {
        for line in [
            "x run --rate 0",
            "x run --seconds -1",
            "x run --users 0",
            "x run --users 3 --rate 5",
            "x run --think-ms 5",
            "x run --header x",
            "x run --header host:x",
            "x run --connections 0",
            "x compare",
            "x compare --baseline a --against b",
            "x find-max --rate 5",
        ] {
            assert!(scenario(line).is_err(), "{line}");
        }
    }

    #[test]
    fn every_command_has_its_defaults() {
        for line in ["x find-max", "x stress --start 5", "x compare --against b --rate 9"] {
            assert!(scenario(line).is_ok(), "{line}");
        }
    }

    #[test]
    fn headers_are_sent() {
        let scenario = scenario("x run --header x-key:secret").unwrap();
        assert_eq!(scenario.headers, [("x-key".to_owned(), "secret".to_owned())]);
    }
}
