//! What is published of features, and what reads of them find.

use std::sync::atomic::AtomicU64;

use foretaste_core::TimeMs;
use foretaste_online::{FeatureReader, Manifest, SetRead};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SetLabel {
    set: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResultLabels {
    set: String,
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct VersionLabels {
    set: String,
    version: String,
}

/// What is exported about it.
#[derive(Default)]
pub(crate) struct FeatureMetrics {
    reads: Counter,
    rows: Family<ResultLabels, Counter>,
    stale: Family<SetLabel, Counter>,
    reloads: Family<SetLabel, Counter>,
    failures: Family<ResultLabels, Counter>,
    version: Family<VersionLabels, Gauge>,
    age: Family<SetLabel, Gauge<f64, AtomicU64>>,
    ttl: Family<SetLabel, Gauge<f64, AtomicU64>>,
}

impl FeatureMetrics {
    pub(crate) fn register(&self, r: &mut Registry) {
        r.register("feature_reads", "Reads of features, one for each request", self.reads.clone());
        let help = "Rows of feature sets that reads looked for, by what became of them";
        r.register("feature_rows", help, self.rows.clone());
        let help = "Reads that met values older than their set allows";
        r.register("feature_stale_reads", help, self.stale.clone());
        let help = "Versions of feature sets that went live";
        r.register("feature_reloads", help, self.reloads.clone());
        let help = "Published versions that failed their checks, by why";
        r.register("feature_reload_failures", help, self.failures.clone());
        let help = "1 for the version of each feature set that is read";
        r.register("feature_version_info", help, self.version.clone());
        let help = "Time since the one that values are computed for";
        r.register("feature_age_seconds", help, self.age.clone());
        r.register("feature_ttl_seconds", "How old values may be", self.ttl.clone());
    }

    /// Counts a read by what it found in each set.
    pub(crate) fn read(&self, reader: &FeatureReader, sets: &[SetRead]) {
        self.reads.inc();
        for read in sets {
            let set = &reader.tables()[read.table].manifest().set;
            let missing = if read.is_withheld { "withheld" } else { "missing" };
            for (result, n) in [("found", read.found), (missing, read.wanted - read.found)] {
                if n > 0 {
                    let labels = ResultLabels { set: set.clone(), result };
                    self.rows.get_or_create(&labels).inc_by(n as u64);
                }
            }
            if read.is_stale {
                self.stale.get_or_create(&SetLabel { set: set.clone() }).inc();
            }
        }
    }

    pub(crate) fn taken(&self, set: &str) {
        self.reloads.get_or_create(&SetLabel { set: set.to_owned() }).inc();
    }

    pub(crate) fn failed(&self, set: &str, reason: &'static str) {
        let labels = ResultLabels { set: set.to_owned(), result: reason };
        self.failures.get_or_create(&labels).inc();
    }

    /// Shows versions and ages at `now_ms`.
    pub(crate) fn show(&self, reader: &FeatureReader, now_ms: TimeMs) {
        self.version.clear();
        self.age.clear();
        self.ttl.clear();
        let of_sets = reader.tables().iter().map(foretaste_online::FeatureTable::manifest);
        let of_events = reader.last_events().map(foretaste_online::LastEvents::manifest);
        for manifest in of_sets.chain(of_events) {
            let Manifest { set, version, as_of_ms, ttl_s, .. } = manifest;
            let labels = VersionLabels { set: set.clone(), version: version.clone() };
            self.version.get_or_create(&labels).set(1);
            let label = SetLabel { set: set.clone() };
            self.age.get_or_create(&label).set((now_ms - as_of_ms) as f64 / 1e3);
            self.ttl.get_or_create(&label).set(*ttl_s as f64);
        }
    }
}
