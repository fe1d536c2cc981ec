//! From a TOML table to a scenario: defaults, bounds, and every problem in one error.

use std::path::Path;

use foretaste_core::{Error, ErrorKind, Result};
use toml::Table;

use super::table::Reader;
use super::{
    Ask, ClosedPace, Goals, LIMITS, OpenPace, Options, Pace, Population, Request, Scenario, Source,
    Think, Transport, WarmUp,
};
use crate::schedule::Arrivals;

const MOST_RATE: f64 = 10_000_000.0;
const MOST_SECONDS: f64 = 86_400.0;
const MOST_CONNECTIONS: u64 = 20_000;

/// Reads the whole table.
pub(super) fn scenario(table: Table, name: &str, folder: &Path) -> Result<Scenario> {
    let mut problems = Vec::new();
    let mut reader = Reader::new("", table, &mut problems);
    let scenario = Scenario {
        name: reader.text("name").unwrap_or_else(|| name.to_owned()),
        about: reader.text("about").unwrap_or_default(),
        seed: reader.count("seed", 0..=i64::MAX as u64).unwrap_or(1),
        pace: pace(&mut reader),
        transport: transport(&mut reader),
        warm_up: warm_up(&mut reader),
        limits: goals(&mut reader),
        users: population(&mut reader, "users", folder),
        items: population(&mut reader, "items", folder),
        requests: requests(&mut reader),
        headers: headers(&mut reader),
    };
    reader.finish();
    if problems.is_empty() {
        return Ok(scenario);
    }
    let list: String = problems.iter().map(|p| format!("\n  {p}")).collect();
    let text = format!("scenario {name} has {} problem(s){list}", problems.len());
    Err(Error::new(ErrorKind::Config, text))
}

/// Which of the two tables stands there, with an open loop as the default.
fn pace(reader: &mut Reader<'_>) -> Pace {
    if reader.has("open") && reader.has("closed") {
        reader.refuse("closed", "left out where there is [open]: a run has one pace");
    }
    let closed = reader.table("closed").map(|mut table| {
        let pace = ClosedPace {
            users: table.count("users", 1..=MOST_CONNECTIONS).unwrap_or(10) as usize,
            requests: table.count("requests", 0..=u64::MAX >> 1).unwrap_or(0),
            seconds: table.number("seconds", 0.1..=MOST_SECONDS).unwrap_or(30.0),
            ramp_seconds: table.number("ramp_seconds", 0.0..=MOST_SECONDS).unwrap_or(0.0),
            think_ms: table.number("think_ms", 0.0..=3_600_000.0).unwrap_or(0.0),
            think: table.word("think", &THINK).unwrap_or_default(),
        };
        table.finish();
        pace
    });
    let open = reader.table("open").map(|mut table| {
        let pace = OpenPace {
            rate: table.number("rate", 0.01..=MOST_RATE).unwrap_or(OpenPace::default().rate),
            arrivals: table.word("arrivals", &ARRIVALS).unwrap_or_default(),
            seconds: table.number("seconds", 0.1..=MOST_SECONDS).unwrap_or(30.0),
        };
        table.finish();
        pace
    });
    match (open, closed) {
        (_, Some(closed)) => Pace::Closed(closed),
        (open, None) => Pace::Open(open.unwrap_or_default()),
    }
}

impl Default for OpenPace {
    fn default() -> Self {
        Self { rate: 100.0, arrivals: Arrivals::Poisson, seconds: 30.0 }
    }
}

impl Default for Transport {
    fn default() -> Self {
        Self { connections: 256, timeout_ms: 10_000, threads: 1, spin: false }
    }
}

impl Default for WarmUp {
    fn default() -> Self {
        Self { seconds_at_least: 3.0, seconds_at_most: 60.0, windows: 3, tolerance: 0.05 }
    }
}

impl Default for Goals {
    fn default() -> Self {
        Self {
            p99_ms: None,
            error_share: 0.001,
            achieved_share: 0.99,
            generator_lag_ms: 1.0,
            generator_cpu_share: 0.8,
        }
    }
}

const THINK: [(&str, Think); 2] =
    [("exponential", Think::Exponential), ("constant", Think::Constant)];
const ARRIVALS: [(&str, Arrivals); 2] =
    [("poisson", Arrivals::Poisson), ("constant", Arrivals::Constant)];

fn transport(reader: &mut Reader<'_>) -> Transport {
    let mut transport = Transport::default();
    let Some(mut table) = reader.table("transport") else { return transport };
    if let Some(connections) = table.count("connections", 1..=MOST_CONNECTIONS) {
        transport.connections = connections as usize;
    }
    if let Some(timeout_ms) = table.count("timeout_ms", 1..=600_000) {
        transport.timeout_ms = timeout_ms;
    }
    if let Some(threads) = table.count("threads", 1..=64) {
        transport.threads = threads as usize;
    }
    transport.spin = table.flag("spin");
    table.finish();
    transport
}

fn warm_up(reader: &mut Reader<'_>) -> WarmUp {
    let mut warm_up = WarmUp::default();
    let Some(mut table) = reader.table("warm_up") else { return warm_up };
    if let Some(seconds) = table.number("seconds_at_least", 0.0..=MOST_SECONDS) {
        warm_up.seconds_at_least = seconds;
    }
    if let Some(seconds) = table.number("seconds_at_most", 0.0..=MOST_SECONDS) {
        warm_up.seconds_at_most = seconds;
    }
    if let Some(windows) = table.count("windows", 2..=100) {
        warm_up.windows = windows as usize;
    }
    if let Some(tolerance) = table.number("tolerance", 0.001..=1.0) {
        warm_up.tolerance = tolerance;
    }
    if warm_up.seconds_at_least > warm_up.seconds_at_most && warm_up.seconds_at_most > 0.0 {
        table.refuse("seconds_at_most", "at least seconds_at_least, or 0 for no warm-up");
    }
    table.finish();
    warm_up
}

fn goals(reader: &mut Reader<'_>) -> Goals {
    let mut goals = Goals::default();
    let Some(mut table) = reader.table("limits") else { return goals };
    goals.p99_ms = table.number("p99_ms", 0.001..=600_000.0);
    goals.error_share = table.number("error_share", 0.0..=1.0).unwrap_or(goals.error_share);
    goals.achieved_share =
        table.number("achieved_share", 0.0..=1.0).unwrap_or(goals.achieved_share);
    goals.generator_lag_ms =
        table.number("generator_lag_ms", 0.01..=60_000.0).unwrap_or(goals.generator_lag_ms);
    goals.generator_cpu_share =
        table.number("generator_cpu_share", 0.01..=1.0).unwrap_or(goals.generator_cpu_share);
    table.finish();
    goals
}

fn population(reader: &mut Reader<'_>, key: &'static str, folder: &Path) -> Population {
    let prefix = if key == "users" { "u" } else { "d" };
    let count = if key == "users" { 10_000 } else { 1_000 };
    let numbered =
        |prefix: String, first, count| Source::Numbered { prefix, first, count: count as usize };
    let mut population =
        Population { source: numbered(prefix.to_owned(), 0, count), zipf: 1.0, new_share: 0.0 };
    let Some(mut table) = reader.table(key) else { return population };
    population.source = match table.text("file") {
        Some(file) => Source::File(folder.join(file)),
        None => numbered(
            table.text_or_empty("prefix").unwrap_or_else(|| prefix.to_owned()),
            table.count("first", 0..=u64::MAX >> 1).unwrap_or(0),
            table.count("count", 1..=1_000_000_000).unwrap_or(count),
        ),
    };
    population.zipf = table.number("zipf", 0.0..=10.0).unwrap_or(1.0);
    if key == "users" {
        population.new_share = table.number("new_share", 0.0..=1.0).unwrap_or(0.0);
    }
    table.finish();
    population
}

fn headers(reader: &mut Reader<'_>) -> Vec<(String, String)> {
    let Some(mut table) = reader.table("headers") else { return Vec::new() };
    let pairs = table.pairs();
    for (name, value) in &pairs {
        if let Err(expected) = check_header(name, value) {
            table.refuse(name, expected);
        }
    }
    pairs
}

/// Whether a header may be sent.
///
/// # Errors
/// What it must be instead.
pub fn check_header(name: &str, value: &str) -> Result<(), &'static str> {
    const OURS: [&str; 5] =
        ["host", "content-length", "transfer-encoding", "connection", "content-type"];
    let is_token = |c: u8| c.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&c);
    if name.is_empty() || !name.bytes().all(is_token) {
        return Err("the name of a header: letters, digits and -");
    }
    if OURS.contains(&name.to_ascii_lowercase().as_str()) {
        return Err("left out: the generator writes this header itself");
    }
    if !value.bytes().all(|c| c == b'\t' || (32..127).contains(&c)) {
        return Err("printable ASCII");
    }
    Ok(())
}

fn requests(reader: &mut Reader<'_>) -> Vec<Request> {
    let tables = reader.tables("request");
    if tables.is_empty() {
        reader.refuse("request", "given at least once: [[request]] with a kind");
    }
    let mut requests: Vec<Request> = Vec::new();
    for (at, table) in tables.into_iter().enumerate() {
        let mut inner = reader.inner(&format!("request[{at}]"), table);
        let Some(request) = request(&mut inner) else { continue };
        if requests.iter().any(|other| other.name == request.name) {
            inner.refuse("name", "a name that no other request has");
        }
        inner.finish();
        requests.push(request);
    }
    requests
}

/// One request; `None` where its kind is not known, so that its other keys cannot be judged.
fn request(reader: &mut Reader<'_>) -> Option<Request> {
    const KINDS: [&str; 10] = [
        "recommend",
        "similar",
        "trending",
        "popular",
        "latest",
        "explain",
        "session",
        "batch",
        "events",
        "path",
    ];
    let words = KINDS.map(|kind| (kind, kind));
    if !reader.has("kind") {
        reader.refuse("kind", &format!("one of {}", KINDS.join(", ")));
        return None;
    }
    let kind = reader.word("kind", &words)?;
    let name = reader.text("name").unwrap_or_else(|| kind.to_owned());
    let weight = reader.number("weight", 0.000_001..=1e9).unwrap_or(1.0);
    let ask = match kind {
        "recommend" => Ask::Recommend(scene_options(reader, true)),
        "similar" => Ask::Similar(scene_options(reader, false)),
        "explain" => Ask::Explain(scene_options(reader, false)),
        "trending" => Ask::Trending(Options {
            window: reader.word("window", &WINDOWS).map(str::to_owned),
            ..k_only(reader)
        }),
        "popular" => Ask::Popular(k_only(reader)),
        "latest" => Ask::Latest(k_only(reader)),
        "session" => Ask::Session {
            items: reader.count("items", 1..=LIMITS.session_events as u64).unwrap_or(3) as usize,
            options: scene_options(reader, true),
        },
        "batch" => Ask::Batch {
            users: reader.count("users", 1..=LIMITS.batch_users as u64).unwrap_or(10) as usize,
            options: scene_options(reader, true),
        },
        "events" => Ask::Events {
            records: reader.count("records", 1..=LIMITS.batch_writes as u64).unwrap_or(1) as usize,
            kinds: reader.texts("kinds").unwrap_or_else(|| vec!["view".to_owned()]),
        },
        _ => Ask::Path { path: path(reader) },
    };
    Some(Request { name, weight, ask })
}

const WINDOWS: [(&str, &str); 3] = [("1h", "1h"), ("24h", "24h"), ("7d", "7d")];

fn k_only(reader: &mut Reader<'_>) -> Options {
    let k = reader.count("k", 1..=LIMITS.k as u64).map(|k| k as usize);
    Options { k, ..Options::default() }
}

fn scene_options(reader: &mut Reader<'_>, may_say_why: bool) -> Options {
    let reasons = may_say_why && reader.flag("reasons");
    Options { scene: reader.text("scene"), reasons, ..k_only(reader) }
}

fn path(reader: &mut Reader<'_>) -> String {
    let path = reader.text("path").unwrap_or_else(|| "/".to_owned());
    let is_plain = path.bytes().all(|c| (33..127).contains(&c));
    if !path.starts_with('/') || !is_plain {
        reader.refuse("path", "a path that begins with / and has no spaces (percent-encode them)");
    }
    path
}
