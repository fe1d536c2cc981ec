//! Figures about tables of databases that are followed.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use foretaste_core::ErrorKind;
use foretaste_store::RowOutcome;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::catch_up;

/// `source/table` as the configuration names it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TableLabel {
    table: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RowLabels {
    table: String,
    change: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ErrorLabels {
    table: String,
    kind: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SourceLabel {
    source: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ClosedLabels {
    source: String,
    reason: &'static str,
}

/// What became of the connections to the database of a source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SourceFigures {
    /// Connections now.
    pub open: u64,
    /// Readings of tables that used one.
    pub used: u64,
    /// Connections that were made.
    pub made: u64,
    /// Connections that were closed, by reason.
    pub closed: [(&'static str, u64); 3],
}

/// What is exported about extraction.
#[derive(Default)]
pub(crate) struct ExtractMetrics {
    rows: Family<RowLabels, Counter>,
    errors: Family<ErrorLabels, Counter>,
    lag: Family<TableLabel, Gauge<f64, AtomicU64>>,
    open: Family<SourceLabel, Gauge>,
    used: Family<SourceLabel, Counter>,
    made: Family<SourceLabel, Counter>,
    closed: Family<ClosedLabels, Counter>,
    /// When the last reading that went well began.
    began: Mutex<BTreeMap<String, Instant>>,
}

impl ExtractMetrics {
    pub(crate) fn register(&self, r: &mut Registry) {
        r.register("extract_rows", "Rows of databases by what they changed", self.rows.clone());
        r.register("extract_errors", "Readings of tables that failed", self.errors.clone());
        let lag = self.lag.clone();
        r.register("extract_lag_seconds", "Since the last reading that went well began", lag);
        r.register("extract_connections", "Connections to the database now", self.open.clone());
        let used = self.used.clone();
        r.register("extract_connection_uses", "Readings that used a connection", used);
        let made = self.made.clone();
        r.register("extract_connections_made", "Connections that were made", made);
        let closed = self.closed.clone();
        r.register("extract_connections_closed", "Connections that were closed", closed);
    }

    /// Takes over what was counted from the start on; of one source by one thread at a time.
    pub(crate) fn connections(&self, source: &str, figures: &SourceFigures) {
        let source = || source.to_owned();
        let label = SourceLabel { source: source() };
        self.open.get_or_create(&label).set(figures.open as i64);
        catch_up(&self.used.get_or_create(&label), figures.used);
        catch_up(&self.made.get_or_create(&label), figures.made);
        for (reason, n) in figures.closed {
            let labels = ClosedLabels { source: source(), reason };
            catch_up(&self.closed.get_or_create(&labels), n);
        }
    }

    pub(crate) fn follows(&self, table: &str, now: Instant) {
        self.set_began(table, now);
    }

    pub(crate) fn read(&self, table: &str, began: Instant, outcome: RowOutcome) {
        self.set_began(table, began);
        let changes =
            [("added", outcome.added), ("changed", outcome.changed), ("removed", outcome.removed)];
        for (change, n) in changes {
            let labels = RowLabels { table: table.to_owned(), change };
            self.rows.get_or_create(&labels).inc_by(n as u64);
        }
    }

    pub(crate) fn failed(&self, table: &str, kind: ErrorKind) {
        let kind = format!("{kind:?}").to_lowercase();
        self.errors.get_or_create(&ErrorLabels { table: table.to_owned(), kind }).inc();
    }

    /// Brings the lags up to date.
    pub(crate) fn refresh(&self) {
        let began = self.began.lock().unwrap_or_else(PoisonError::into_inner);
        for (table, began) in &*began {
            let label = TableLabel { table: table.clone() };
            self.lag.get_or_create(&label).set(began.elapsed().as_secs_f64());
        }
    }

    fn set_began(&self, table: &str, at: Instant) {
        let mut began = self.began.lock().unwrap_or_else(PoisonError::into_inner);
        began.insert(table.to_owned(), at);
    }
}
