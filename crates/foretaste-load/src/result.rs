//! What a run found, as it is written to JSON and read back as a baseline.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::record::{FAILURES, KindRecord, Recorder, Tick, Times, Window};
use crate::run::Plan;
use crate::scenario::{Goals, Pace, Scenario};
use crate::target::Target;
use crate::validity;

/// Version of the JSON form.
pub const FORMAT: u32 = 1;

/// Everything that one run found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunResult {
    /// Version of this form.
    pub format: u32,
    /// Name of the scenario.
    pub scenario: String,
    /// What the scenario stands for.
    pub about: String,
    /// Where requests went.
    pub target: String,
    /// Everything random followed from it.
    pub seed: u64,
    /// When it began, in ms since 1970.
    pub started_ms: i64,
    /// How requests were paced.
    pub pace: Pace,
    /// Length of the measurement.
    pub seconds: f64,
    /// Cores of the generator's machine, and whether the server shares them.
    pub machine: Machine,
    /// Requests and answers in numbers.
    pub totals: Totals,
    /// From the intended time to the end of the answer; failures other than timeouts left out.
    pub latency: Summary,
    /// From the first byte written to the end of the answer.
    pub service: Summary,
    /// Waiting for a free connection.
    pub connection_wait: Summary,
    /// By kind of request.
    pub kinds: Vec<KindResult>,
    /// Answers by status.
    pub statuses: BTreeMap<String, u64>,
    /// Requests without an answer, by reason.
    pub failures: BTreeMap<String, u64>,
    /// What `X-Cache` said; absent where it said nothing.
    pub cache: Option<CacheResult>,
    /// What slates said about themselves.
    pub slates: SlateResult,
    /// Connections.
    pub connections: ConnectionResult,
    /// The generator itself.
    pub generator: GeneratorResult,
    /// The requests before the measurement.
    pub warm_up: Option<WarmUpResult>,
    /// What was asked for.
    pub goals: Goals,
    /// Goals that were missed, in words.
    pub missed: Vec<String>,
    /// Why the figures must not be used; empty for a valid run.
    pub invalid_because: Vec<String>,
    /// What a reader should know besides.
    pub notes: Vec<String>,
    /// The run in stretches of equal length, by intended time.
    pub windows: Vec<WindowResult>,
    /// Latencies: upper bound of a class in ms, requests in it.
    pub distribution: Vec<(f64, u64)>,
}

/// Where the generator ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// Cores that the generator could use.
    pub cores: usize,
    /// Whether the server was on the same machine.
    pub is_shared: bool,
}

/// Requests and answers in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Totals {
    /// Requests.
    pub requests: u64,
    /// Good answers (2xx, 304).
    pub ok: u64,
    /// Everything else.
    pub failed: u64,
    /// Share of the requests that failed.
    pub error_share: f64,
    /// Requests per second.
    pub offered_per_s: f64,
    /// Good answers per second that kept up with the requests.
    pub achieved_per_s: f64,
    /// The ratio of the two; absent in a closed loop, where it says nothing.
    pub achieved_share: Option<f64>,
    /// Good answers per second within the p99 that was asked for.
    pub goodput_per_s: Option<f64>,
    /// Bytes read per second.
    pub read_bytes_per_s: f64,
}

/// Times in ms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Summary {
    pub count: u64,
    pub mean_ms: f64,
    pub stdev_ms: f64,
    pub min_ms: f64,
    pub p50_ms: f64,
    pub p75_ms: f64,
    pub p90_ms: f64,
    pub p95_ms: f64,
    pub p99_ms: f64,
    pub p999_ms: f64,
    pub p9999_ms: f64,
    pub max_ms: f64,
}

/// One kind of request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KindResult {
    /// Its name in the scenario.
    pub name: String,
    /// Good answers.
    pub ok: u64,
    /// Everything else.
    pub failed: u64,
    /// As for the whole run.
    pub latency: Summary,
}

/// What caches said.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct CacheResult {
    pub hit: u64,
    pub stale: u64,
    pub miss: u64,
    pub bypass: u64,
    /// Hits, stale ones included, of all.
    pub hit_rate: f64,
}

/// What slates said about themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlateResult {
    /// Something else than the user's past served.
    pub fallbacks: u64,
    /// Something could not be done as configured.
    pub degraded: u64,
}

/// Connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectionResult {
    /// Opened during the measurement.
    pub opened: u64,
    /// Requests sent again because an idle connection had ended.
    pub resent: u64,
    /// Requests that found all connections busy.
    pub waited: u64,
    /// Most requests under way or waiting at one time.
    pub peak: u64,
}

/// The generator itself.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct GeneratorResult {
    /// Its threads.
    pub threads: usize,
    /// Share of the time during which its busiest thread computed.
    pub cpu_share: f64,
    /// From the intended time to when it took a request up.
    pub lag: Summary,
}

/// The requests before the measurement.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct WarmUpResult {
    /// How long it took.
    pub seconds: f64,
    /// Whether medians and hit rates had settled at its end.
    pub is_stable: bool,
    /// All of it.
    pub latency: Summary,
    /// Median and p99 of its first second: the cold start.
    pub first_second_p50_ms: f64,
    /// See above.
    pub first_second_p99_ms: f64,
}

/// A stretch of the run.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct WindowResult {
    /// Where it begins.
    pub second: f64,
    pub offered: u64,
    pub ok: u64,
    pub failed: u64,
    pub p50_ms: f64,
    pub p99_ms: f64,
    pub max_ms: f64,
    /// Good answers within the p99 that was asked for; all good answers without a goal.
    pub good: u64,
}

/// What a result says besides what was recorded.
pub struct Context<'a> {
    /// What was run.
    pub scenario: &'a Scenario,
    /// Against what.
    pub target: &'a Target,
    /// By which plan.
    pub plan: &'a Plan,
    /// When, in ms since 1970.
    pub started_ms: i64,
    /// On how many threads.
    pub threads: usize,
    /// After which warm-up.
    pub warm_up: Option<WarmUpResult>,
}

impl RunResult {
    /// What a recorder says, in context.
    pub fn of(recorder: &Recorder, context: Context<'_>) -> Self {
        let Context { scenario, target, plan, .. } = context;
        let seconds = match plan {
            Plan::Open { .. } => recorder.seconds(),
            Plan::Closed(_) => recorder.seconds().min(recorder.ended as f64 / 1e9).max(1e-9),
        };
        let goals = scenario.limits;
        let mut result = Self {
            format: FORMAT,
            scenario: scenario.name.clone(),
            about: scenario.about.clone(),
            target: target.url.clone(),
            seed: scenario.seed,
            started_ms: context.started_ms,
            pace: pace(scenario.pace, plan),
            seconds: rounded(seconds),
            machine: Machine { cores: cores(), is_shared: target.is_local() },
            totals: totals(recorder, plan, seconds, goals),
            latency: Summary::of(&recorder.latency),
            service: Summary::of(&recorder.service),
            connection_wait: Summary::of(&recorder.wait),
            kinds: kinds(&recorder.kinds, scenario),
            statuses: counted(&recorder.statuses, |status| status.to_string()),
            failures: counted(&recorder.failures, |at| FAILURES[at].to_owned()),
            cache: cache(recorder.cache),
            slates: SlateResult { fallbacks: recorder.fallbacks, degraded: recorder.degraded },
            connections: ConnectionResult {
                opened: recorder.opened,
                resent: recorder.resent,
                waited: recorder.waited,
                peak: recorder.peak,
            },
            generator: GeneratorResult {
                threads: context.threads,
                cpu_share: rounded(recorder.cpu_share),
                lag: Summary::of(&recorder.lag),
            },
            warm_up: context.warm_up,
            goals,
            missed: Vec::new(),
            invalid_because: Vec::new(),
            notes: Vec::new(),
            windows: windows(recorder, goals),
            distribution: distribution(&recorder.latency),
        };
        result.missed = validity::missed(&result);
        result.invalid_because = validity::invalid_because(&result);
        result.notes = validity::notes(&result);
        result
    }

    /// Whether the figures may be used.
    pub fn is_valid(&self) -> bool {
        self.invalid_because.is_empty()
    }
}

impl Summary {
    /// The usual figures of some times.
    pub fn of(times: &Times) -> Self {
        let at = |share| rounded(times.quantile_ms(share));
        Self {
            count: times.count(),
            mean_ms: rounded(times.mean_ms()),
            stdev_ms: rounded(times.stdev_ms()),
            min_ms: rounded(times.min_ms()),
            p50_ms: at(0.5),
            p75_ms: at(0.75),
            p90_ms: at(0.9),
            p95_ms: at(0.95),
            p99_ms: at(0.99),
            p999_ms: at(0.999),
            p9999_ms: at(0.9999),
            max_ms: rounded(times.max_ms()),
        }
    }
}

impl WarmUpResult {
    /// What the warm-up recorded, and its first second.
    pub fn of(recorder: &Recorder, seconds: f64, is_stable: bool, first: Option<&Tick>) -> Self {
        let at = |share| first.map_or(0.0, |tick| rounded(tick.latency.quantile_ms(share)));
        Self {
            seconds,
            is_stable,
            latency: Summary::of(&recorder.latency),
            first_second_p50_ms: at(0.5),
            first_second_p99_ms: at(0.99),
        }
    }
}

/// The scenario's pace, or what a search made of it.
fn pace(pace: Pace, plan: &Plan) -> Pace {
    match (pace, plan) {
        (Pace::Open(mut open), Plan::Open { steps, .. }) => {
            open.seconds = plan.seconds();
            let requests: f64 = steps.iter().map(|s| s.rate * s.seconds).sum();
            open.rate = requests / open.seconds;
            Pace::Open(open)
        }
        (_, Plan::Closed(closed)) => Pace::Closed(*closed),
        (pace, _) => pace,
    }
}

fn totals(recorder: &Recorder, plan: &Plan, seconds: f64, goals: Goals) -> Totals {
    let (ok, failed) = (recorder.ok(), recorder.failed());
    let requests = ok + failed;
    let share = |n: u64| if requests == 0 { 0.0 } else { n as f64 / requests as f64 };
    let is_open = matches!(plan, Plan::Open { .. });
    let good = |most: f64| -> u64 {
        recorder.windows.iter().map(|w| w.latency.count_within_ms(most).min(w.ok)).sum()
    };
    Totals {
        requests,
        ok,
        failed,
        error_share: share(failed),
        offered_per_s: rounded(requests as f64 / seconds),
        achieved_per_s: rounded(recorder.ok_in_time as f64 / seconds),
        achieved_share: is_open.then(|| share(recorder.ok_in_time)),
        goodput_per_s: goals.p99_ms.map(|most| rounded(good(most) as f64 / seconds)),
        read_bytes_per_s: (recorder.bytes[0] as f64 / seconds).round(),
    }
}

fn kinds(records: &[KindRecord], scenario: &Scenario) -> Vec<KindResult> {
    let one = |(record, request): (&KindRecord, &crate::scenario::Request)| KindResult {
        name: request.name.clone(),
        ok: record.ok,
        failed: record.failed,
        latency: Summary::of(&record.latency),
    };
    records.iter().zip(&scenario.requests).map(one).collect()
}

fn counted(counts: &[u64], name: impl Fn(usize) -> String) -> BTreeMap<String, u64> {
    let some = counts.iter().enumerate().filter(|(_, n)| **n > 0);
    some.map(|(at, n)| (name(at), *n)).collect()
}

fn cache([hit, stale, miss, bypass]: [u64; 4]) -> Option<CacheResult> {
    let all = hit + stale + miss + bypass;
    let hit_rate = rounded((hit + stale) as f64 / all.max(1) as f64);
    (all > 0).then_some(CacheResult { hit, stale, miss, bypass, hit_rate })
}

fn windows(recorder: &Recorder, goals: Goals) -> Vec<WindowResult> {
    let one = |(at, window): (usize, &Window)| {
        let Window { offered, ok, failed, latency } = window;
        let quick = goals.p99_ms.map_or(*ok, |most| latency.count_within_ms(most).min(*ok));
        WindowResult {
            second: at as f64 * recorder.window_seconds(),
            offered: *offered,
            ok: *ok,
            failed: *failed,
            p50_ms: rounded(latency.quantile_ms(0.5)),
            p99_ms: rounded(latency.quantile_ms(0.99)),
            max_ms: rounded(latency.max_ms()),
            good: quick,
        }
    };
    recorder.windows.iter().enumerate().map(one).collect()
}

/// At most some 400 classes: neighbours are put together where the times are told apart more
/// finely than a plot can show.
fn distribution(times: &Times) -> Vec<(f64, u64)> {
    let mut out: Vec<(f64, u64)> = Vec::new();
    let mut floor = 0.0;
    for (us, n) in times.classes() {
        let ms = us as f64 / 1e3;
        match out.last_mut() {
            Some(last) if ms < floor * 1.02 => *last = (ms, last.1 + n),
            _ => {
                floor = ms;
                out.push((ms, n));
            }
        }
    }
    out
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// Three decimals: more are noise.
fn rounded(x: f64) -> f64 {
    (x * 1e3).round() / 1e3
}
