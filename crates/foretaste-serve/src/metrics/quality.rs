//! The quality of the data that the last run of `quality` or `train` found. The server does not
//! measure; whoever did tells it.

use std::sync::atomic::AtomicU64;

use foretaste_core::Result;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::{named, text};

/// What a look at the data found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct QualityFigures {
    /// 0 to 100.
    pub score: f64,
    /// When the data were measured.
    pub measured_ms: i64,
    /// The worst verdict of each check: 0 ok, 1 warn, 2 fail.
    pub checks: Vec<(String, u8)>,
    /// Checks by verdict.
    pub verdicts: Vec<(&'static str, usize)>,
}

impl QualityFigures {
    /// These figures alone in the text form of Prometheus, under the names that the server gives
    /// them.
    ///
    /// # Errors
    /// `Internal` when a metric cannot be written.
    pub fn exposition(&self) -> Result<String> {
        let (mut registry, metrics) = (named(), QualityMetrics::default());
        metrics.register(&mut registry);
        metrics.show(self);
        text(&registry)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CheckLabel {
    check: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct VerdictLabel {
    verdict: &'static str,
}

/// What is exported about it.
#[derive(Default)]
pub(crate) struct QualityMetrics {
    score: Gauge<f64, AtomicU64>,
    last_run: Gauge<f64, AtomicU64>,
    check: Family<CheckLabel, Gauge>,
    checks: Family<VerdictLabel, Gauge>,
}

impl QualityMetrics {
    pub(crate) fn register(&self, r: &mut Registry) {
        r.register("quality_score", "Quality of the data, 0 to 100", self.score.clone());
        let last_run = self.last_run.clone();
        r.register("quality_last_run_timestamp_seconds", "When the data were measured", last_run);
        r.register("quality_check", "Verdict: 0 ok, 1 warn, 2 fail", self.check.clone());
        r.register("quality_checks", "Checks by verdict", self.checks.clone());
    }

    pub(crate) fn show(&self, figures: &QualityFigures) {
        self.score.set(figures.score);
        self.last_run.set(figures.measured_ms as f64 / 1e3);
        self.check.clear();
        for (check, verdict) in &figures.checks {
            let label = CheckLabel { check: check.clone() };
            self.check.get_or_create(&label).set(i64::from(*verdict));
        }
        for (verdict, n) in &figures.verdicts {
            self.checks.get_or_create(&VerdictLabel { verdict }).set(*n as i64);
        }
    }
}
