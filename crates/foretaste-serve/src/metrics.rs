//! Every figure the rim exports, in one struct, so that a name exists once.
//!
//! Labels hold route templates, methods and statuses, never ids. Histograms are in seconds with
//! buckets dense around the promised latencies.

mod cache;
mod external;
mod extract;
mod features;
mod quality;
mod store;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use foretaste_core::{Error, Result};
use prometheus_client::encoding::{EncodeLabelSet, text::encode};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

pub(crate) use cache::CacheMetrics;
pub(crate) use external::{CalledLabels, ExternalMetrics};
pub(crate) use extract::ExtractMetrics;
pub use extract::SourceFigures;
pub(crate) use features::FeatureMetrics;
pub use quality::QualityFigures;
pub(crate) use quality::QualityMetrics;
pub(crate) use store::StoreMetrics;

const SECONDS: [f64; 16] = [
    0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.05, 0.075, 0.1, 0.25,
    0.5, 1.0,
];
const STAGE_SECONDS: [f64; 14] = [
    0.000_01, 0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.0025, 0.005, 0.01, 0.025,
    0.05, 0.1, 1.0,
];

/// Labels of a request.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct RequestLabels {
    pub(crate) method: &'static str,
    pub(crate) route: &'static str,
    pub(crate) status: u16,
}

/// One label with a fixed set of values.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct ReasonLabel {
    pub(crate) reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct ChannelLabel {
    pub(crate) channel: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct StageLabel {
    pub(crate) stage: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct BundleLabels {
    pub(crate) bundle: String,
    pub(crate) profile: String,
}

type Histograms<L> = Family<L, Histogram, fn() -> Histogram>;

fn request_histogram() -> Histogram {
    Histogram::new(SECONDS)
}

fn stage_histogram() -> Histogram {
    Histogram::new(STAGE_SECONDS)
}

/// All metrics of the server.
pub(crate) struct Metrics {
    registry: Registry,
    pub(crate) requests: Histograms<RequestLabels>,
    pub(crate) stages: Histograms<StageLabel>,
    pub(crate) connections_open: Gauge,
    pub(crate) connections_refused: Counter,
    pub(crate) accept_errors: Counter,
    pub(crate) panics: Counter,
    pub(crate) shed: Family<ReasonLabel, Counter>,
    pub(crate) degraded: Family<ReasonLabel, Counter>,
    pub(crate) fallbacks: Family<ReasonLabel, Counter>,
    pub(crate) channels_late: Family<ChannelLabel, Counter>,
    pub(crate) events_written: Counter,
    pub(crate) events_duplicate: Counter,
    pub(crate) live_evicted: Counter,
    pub(crate) live_events: Gauge,
    pub(crate) news: Family<ReasonLabel, Counter>,
    pub(crate) queue_depth: Gauge,
    pub(crate) concurrency_limit: Gauge,
    pub(crate) pressure: Gauge<f64, AtomicU64>,
    pub(crate) bundle_info: Family<BundleLabels, Gauge>,
    pub(crate) bundle_as_of: Gauge<f64, AtomicU64>,
    pub(crate) reloads: Counter,
    pub(crate) reload_failures: Family<ReasonLabel, Counter>,
    pub(crate) ready: Gauge,
    pub(crate) cache: CacheMetrics,
    pub(crate) external: ExternalMetrics,
    pub(crate) extract: ExtractMetrics,
    pub(crate) features: FeatureMetrics,
    pub(crate) quality: QualityMetrics,
    pub(crate) store: StoreMetrics,
    resident_bytes: Gauge,
}

impl Metrics {
    /// All metrics at zero, registered under their names.
    pub(crate) fn new() -> Arc<Self> {
        let mut metrics = Self {
            registry: named(),
            requests: Family::new_with_constructor(request_histogram),
            stages: Family::new_with_constructor(stage_histogram),
            connections_open: Gauge::default(),
            connections_refused: Counter::default(),
            accept_errors: Counter::default(),
            panics: Counter::default(),
            shed: Family::default(),
            degraded: Family::default(),
            fallbacks: Family::default(),
            channels_late: Family::default(),
            events_written: Counter::default(),
            events_duplicate: Counter::default(),
            live_evicted: Counter::default(),
            live_events: Gauge::default(),
            news: Family::default(),
            queue_depth: Gauge::default(),
            concurrency_limit: Gauge::default(),
            pressure: Gauge::default(),
            bundle_info: Family::default(),
            bundle_as_of: Gauge::default(),
            reloads: Counter::default(),
            reload_failures: Family::default(),
            ready: Gauge::default(),
            cache: CacheMetrics::default(),
            external: ExternalMetrics::new(),
            extract: ExtractMetrics::default(),
            features: FeatureMetrics::default(),
            quality: QualityMetrics::default(),
            store: StoreMetrics::default(),
            resident_bytes: Gauge::default(),
        };
        metrics.register_requests();
        metrics.register_state();
        metrics.cache.register(&mut metrics.registry);
        metrics.external.register(&mut metrics.registry);
        metrics.extract.register(&mut metrics.registry);
        metrics.features.register(&mut metrics.registry);
        metrics.quality.register(&mut metrics.registry);
        metrics.store.register(&mut metrics.registry);
        Arc::new(metrics)
    }

    fn register_requests(&mut self) {
        let r = &mut self.registry;
        let requests = self.requests.clone();
        r.register("http_request_duration_seconds", "From head read to response made", requests);
        let stages = self.stages.clone();
        r.register("stage_duration_seconds", "Time of one stage of an answer", stages);
        let open = self.connections_open.clone();
        r.register("connections_open", "Connections open now", open);
        let refused = self.connections_refused.clone();
        r.register("connections_refused", "Connections above the cap", refused);
        let accept = self.accept_errors.clone();
        r.register("accept_errors", "Failed accepts (descriptors used up, aborted)", accept);
        r.register("panics", "Panics turned into a response", self.panics.clone());
        r.register("requests_shed", "Requests refused by a full queue", self.shed.clone());
        let degraded = self.degraded.clone();
        r.register("degraded", "Answers made without something they wanted", degraded);
        let fallbacks = self.fallbacks.clone();
        r.register("fallbacks", "Answers that the user's past could not give", fallbacks);
        let late = self.channels_late.clone();
        r.register("channels_late", "Channels left out because time was over", late);
        r.register("queue_depth", "Requests waiting for a worker", self.queue_depth.clone());
        let limit = self.concurrency_limit.clone();
        r.register("concurrency_limit", "Answers computed or waiting at a time, at most", limit);
        let pressure = self.pressure.clone();
        r.register("pressure_ratio", "Wait for a worker over the wait aimed at", pressure);
    }

    fn register_state(&mut self) {
        let r = &mut self.registry;
        r.register("events_written", "Events acknowledged as new", self.events_written.clone());
        let duplicate = self.events_duplicate.clone();
        r.register("events_duplicate", "Events acknowledged as known", duplicate);
        r.register("live_events", "Recent events in memory", self.live_events.clone());
        let evicted = self.live_evicted.clone();
        r.register("live_events_evicted", "Recent events dropped by a bound", evicted);
        let news = self.news.clone();
        r.register("replica_news", "Events, erasures and hides told between replicas", news);
        r.register("bundle_info", "1 for the bundle that serves", self.bundle_info.clone());
        let as_of = self.bundle_as_of.clone();
        r.register("bundle_as_of_timestamp_seconds", "Time the bundle's data end", as_of);
        r.register("bundle_reloads", "Bundles that went live", self.reloads.clone());
        let failures = self.reload_failures.clone();
        r.register("reload_failures", "Bundles that failed their checks", failures);
        r.register("ready", "1 when requests are welcome", self.ready.clone());
        let resident = self.resident_bytes.clone();
        r.register("process_resident_memory_bytes", "Resident memory", resident);
    }

    /// Counts a connection until the guard is dropped.
    pub(crate) fn connection_opened(&self) -> OpenConnection {
        self.connections_open.inc();
        OpenConnection(self.connections_open.clone())
    }

    /// Counts a bundle as the one that serves.
    pub(crate) fn bundle_live(&self, labels: &BundleLabels, as_of_seconds: f64) {
        self.bundle_info.clear();
        self.bundle_info.get_or_create(labels).set(1);
        self.bundle_as_of.set(as_of_seconds);
        self.reloads.inc();
    }

    /// The exposition in text form.
    ///
    /// # Errors
    /// `Internal` when a metric cannot be written.
    pub(crate) fn expose(&self) -> Result<String> {
        self.resident_bytes.set(process_bytes("VmRSS").unwrap_or(0));
        self.extract.refresh();
        text(&self.registry)
    }
}

/// A registry whose names begin as all of ours do.
fn named() -> Registry {
    Registry::with_prefix("foretaste")
}

/// Brings a counter to what was counted elsewhere.
fn catch_up(counter: &Counter, n: u64) {
    counter.inc_by(n.saturating_sub(counter.get()));
}

fn text(registry: &Registry) -> Result<String> {
    let mut out = String::with_capacity(16 << 10);
    encode(&mut out, registry)
        .map_err(|e| Error::internal("metrics cannot be written").with_source(e))?;
    Ok(out)
}

/// An open connection, for the gauge.
pub(crate) struct OpenConnection(Gauge);

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// A figure of this process such as `VmRSS`; absent where there is no `/proc`.
pub(crate) fn process_bytes(name: &str) -> Option<i64> {
    let status = fs_err::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(':'))?;
    let kib: i64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_conventions_and_have_help() {
        let metrics = Metrics::new();
        metrics.shed.get_or_create(&ReasonLabel { reason: "queue" }).inc();
        let text = metrics.expose().expect("exposition");
        for line in text.lines().filter(|l| !l.starts_with('#')) {
            assert!(line.starts_with("foretaste_"), "{line}");
            assert!(!line.contains("_ms"), "{line}");
        }
        let helps = text.lines().filter(|l| l.starts_with("# HELP")).count();
        let types = text.lines().filter(|l| l.starts_with("# TYPE")).count();
        assert_eq!(helps, types);
        assert!(text.contains("foretaste_requests_shed_total{reason=\"queue\"} 1"), "{text}");
        let checks = vec![("drift".to_owned(), 2)];
        metrics.quality.show(&QualityFigures { score: 75.0, checks, ..QualityFigures::default() });
        let text = metrics.expose().expect("exposition");
        assert!(text.contains("foretaste_quality_score 75"), "{text}");
        assert!(text.contains("foretaste_quality_check{check=\"drift\"} 2"), "{text}");
        assert!(!text.contains("foretaste_process_resident_memory_bytes 0\n"), "{text}");
    }

    #[test]
    fn a_store_without_connections_shows_none() {
        let metrics = Metrics::new();
        let shown = || metrics.expose().expect("exposition");
        assert!(!shown().contains("foretaste_store_"), "{}", shown());
        let pools = vec![foretaste_store::PoolFigures {
            server: "primary",
            open: 3,
            idle: 1,
            most: 8,
            waits: vec![(0.5, 4), (f64::INFINITY, 2)],
            waited: std::time::Duration::from_millis(2_500),
            failures: [("timeout", 2), ("unreachable", 0), ("refused", 0)],
            ..Default::default()
        }];
        let reads = foretaste_store::ReadFigures {
            lag: std::time::Duration::from_millis(40),
            reads: [("replica", "fresh", 7); 5],
        };
        metrics.store.show(pools, Some(reads));
        for line in [
            "reads_total{server=\"replica\",reason=\"fresh\"} 7",
            "replica_lag_seconds 0.04",
            "connections{server=\"primary\",state=\"in_use\"} 2",
            "connections_max{server=\"primary\"} 8",
            "connection_wait_seconds_sum{server=\"primary\"} 2.5",
            "connection_wait_seconds_count{server=\"primary\"} 6",
            "connection_wait_seconds_bucket{le=\"0.5\",server=\"primary\"} 4",
            "connection_wait_seconds_bucket{le=\"+Inf\",server=\"primary\"} 6",
            "connection_failures_total{server=\"primary\",reason=\"timeout\"} 2",
        ] {
            assert!(shown().contains(&format!("\nforetaste_store_{line}\n")), "{}", shown());
        }
    }
}
