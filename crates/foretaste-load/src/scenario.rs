//! A scenario: who asks for what, how often, and what counts as good enough. Read from TOML, with
//! every problem reported at once.

use std::path::{Path, PathBuf};

use foretaste_core::{Error, ErrorKind, Limits, Result};
use serde::{Deserialize, Serialize};

use crate::schedule::Arrivals;

pub use read::check_header;

mod read;
mod table;
#[cfg(test)]
mod tests;

/// The product's bounds, which requests must respect.
pub(crate) const LIMITS: Limits = Limits::DEFAULT;

/// The shipped scenarios, by name.
pub const SHIPPED: [(&str, &str); 4] = [
    ("recommend", include_str!("../../../bench/scenarios/recommend.toml")),
    ("mixed", include_str!("../../../bench/scenarios/mixed.toml")),
    ("marketplace", include_str!("../../../bench/scenarios/marketplace.toml")),
    ("ingest", include_str!("../../../bench/scenarios/ingest.toml")),
];

/// Everything that a run needs to know, apart from where to send it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Scenario {
    /// Short name.
    pub name: String,
    /// What it stands for.
    pub about: String,
    /// Everything random follows from it.
    pub seed: u64,
    /// When requests are sent.
    pub pace: Pace,
    /// How they are sent.
    pub transport: Transport,
    /// What happens before the measurement.
    pub warm_up: WarmUp,
    /// What counts as good enough.
    pub limits: Goals,
    /// Who asks.
    pub users: Population,
    /// What they ask about.
    pub items: Population,
    /// What they ask for.
    pub requests: Vec<Request>,
    /// Headers of every request. Values may be secret: they are in no report.
    #[serde(skip)]
    pub headers: Vec<(String, String)>,
}

/// When requests are sent.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "mode", rename_all = "snake_case")]
pub enum Pace {
    /// On a fixed schedule, however slow the answers are.
    Open(OpenPace),
    /// By a fixed number of users, each waiting for its answer before it asks again.
    Closed(ClosedPace),
}

/// A fixed schedule.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct OpenPace {
    /// Requests per second.
    pub rate: f64,
    /// How far apart they are.
    pub arrivals: Arrivals,
    /// Length of the measurement.
    pub seconds: f64,
}

/// A fixed number of users.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClosedPace {
    /// Users that ask at the same time, each on its own connection.
    pub users: usize,
    /// Requests of each user; 0 = until the time is over.
    pub requests: u64,
    /// Longest duration of the measurement.
    pub seconds: f64,
    /// Time over which the users come in, one after the other.
    pub ramp_seconds: f64,
    /// Mean time between an answer and the next request of a user.
    pub think_ms: f64,
    /// How think times vary.
    pub think: Think,
}

/// How think times vary.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Think {
    /// Exponentially, as independent people do.
    #[default]
    Exponential,
    /// Not at all.
    Constant,
}

/// How requests are sent.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Transport {
    /// Most connections of an open loop; requests that find none free wait, and the wait counts.
    pub connections: usize,
    /// A request without an answer for so long, counted from its intended time, has failed.
    pub timeout_ms: u64,
    /// Threads of the generator.
    pub threads: usize,
    /// Whether they look for what is due or has come without ever sleeping.
    #[serde(default)]
    pub spin: bool,
}

/// Requests before the measurement: they fill caches and are reported apart.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct WarmUp {
    /// Shortest warm-up.
    pub seconds_at_least: f64,
    /// Longest warm-up; 0 = none.
    pub seconds_at_most: f64,
    /// Seconds in a row whose medians must agree.
    pub windows: usize,
    /// Within this share of their mean.
    pub tolerance: f64,
}

impl WarmUp {
    /// Measure from the first request on.
    pub const NONE: Self =
        Self { seconds_at_least: 0.0, seconds_at_most: 0.0, windows: 2, tolerance: 1.0 };
}

/// What counts as good enough.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Goals {
    /// Highest 99th percentile of the latency; absent = none is asked for.
    pub p99_ms: Option<f64>,
    /// Highest share of requests that may fail.
    pub error_share: f64,
    /// Lowest ratio of answers to requests per second.
    pub achieved_share: f64,
    /// Highest 99th percentile of the generator's own delay in an open loop; above it, a run is
    /// not valid.
    pub generator_lag_ms: f64,
    /// Highest share of the time that a thread of the generator may compute; above it, a run is
    /// not valid.
    pub generator_cpu_share: f64,
}

/// A population of ids and how often each is met.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Population {
    /// Where ids come from.
    pub source: Source,
    /// Exponent of their frequencies: 0 = all alike, 1 = the second half as often as the first.
    pub zipf: f64,
    /// Share of requests by ids that nobody has seen before (users only).
    pub new_share: f64,
}

/// Where ids come from.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// A prefix and a number.
    Numbered {
        /// What stands before the number.
        prefix: String,
        /// The first number.
        first: u64,
        /// How many there are.
        count: usize,
    },
    /// One id a line, the most frequent first.
    File(PathBuf),
    /// Given by the caller, the most frequent first.
    #[serde(serialize_with = "counted")]
    Given(Vec<String>),
}

fn counted<S: serde::Serializer>(ids: &[String], out: S) -> std::result::Result<S::Ok, S::Error> {
    out.serialize_u64(ids.len() as u64)
}

/// One kind of request in the mix.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Request {
    /// What reports call it.
    pub name: String,
    /// How often it is sent, relative to the others.
    pub weight: f64,
    /// What it asks for.
    pub ask: Ask,
}

/// What a request asks for.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Ask {
    /// `GET /v1/recommend/{user}`.
    Recommend(Options),
    /// `GET /v1/similar/{item}`.
    Similar(Options),
    /// `GET /v1/trending`.
    Trending(Options),
    /// `GET /v1/popular`.
    Popular(Options),
    /// `GET /v1/latest`.
    Latest(Options),
    /// `GET /v1/explain/{user}/{item}`.
    Explain(Options),
    /// `POST /v1/session/recommend`.
    Session {
        /// Items in the session.
        items: usize,
        /// The rest.
        options: Options,
    },
    /// `POST /v1/recommend:batch`.
    Batch {
        /// Users in the batch.
        users: usize,
        /// The rest.
        options: Options,
    },
    /// `POST /v1/events`.
    Events {
        /// Events in one request.
        records: usize,
        /// Kinds of events, each as often as the others.
        kinds: Vec<String>,
    },
    /// `GET` of a fixed path.
    Path {
        /// Path and query.
        path: String,
    },
}

/// Settings of a request for items; absent ones are left to the server.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Options {
    /// Items wanted.
    pub k: Option<usize>,
    /// Scene whose settings apply.
    pub scene: Option<String>,
    /// Window of trends.
    pub window: Option<String>,
    /// Whether reasons are wanted.
    pub reasons: bool,
}

impl Scenario {
    /// Reads a scenario; `folder` is where relative files in it are looked for.
    ///
    /// # Errors
    /// `Config`, with all problems of the text.
    pub fn parse(text: &str, name: &str, folder: &Path) -> Result<Self> {
        let table = text.parse().map_err(|error: toml::de::Error| {
            let text = format!("scenario {name}: {}", error.to_string().trim_end());
            Error::new(ErrorKind::Config, text)
        })?;
        read::scenario(table, name, folder)
    }

    /// A shipped scenario by its name, or a file.
    ///
    /// # Errors
    /// `Config` for a scenario with problems or a name that is not shipped, `NotFound` for a file
    /// that is not there.
    pub fn open(name_or_path: &str) -> Result<Self> {
        if let Some((name, text)) = SHIPPED.iter().find(|(name, _)| *name == name_or_path) {
            return Self::parse(text, name, Path::new("."));
        }
        let path = Path::new(name_or_path);
        if path.extension().is_none() && !path.exists() {
            let names: Vec<&str> = SHIPPED.iter().map(|(name, _)| *name).collect();
            let text = format!(
                "there is no scenario `{name_or_path}`; shipped: {}; or name a TOML file",
                names.join(", ")
            );
            return Err(Error::new(ErrorKind::Config, text));
        }
        let text = fs_err::read_to_string(path)?;
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        Self::parse(&text, &name, path.parent().unwrap_or(Path::new(".")))
    }
}
