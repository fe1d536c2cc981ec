//! Figures of the channels outside of the process.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::{ChannelLabel, Histograms, request_histogram};

/// A channel and what became of a call.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct CalledLabels {
    pub(crate) channel: String,
    pub(crate) result: &'static str,
}

/// What calls to channels came to.
pub(crate) struct ExternalMetrics {
    pub(crate) calls: Family<CalledLabels, Counter>,
    pub(crate) seconds: Histograms<ChannelLabel>,
    pub(crate) paused: Family<ChannelLabel, Gauge>,
}

impl ExternalMetrics {
    pub(crate) fn new() -> Self {
        Self {
            calls: Family::default(),
            seconds: Family::new_with_constructor(request_histogram),
            paused: Family::default(),
        }
    }

    pub(crate) fn register(&self, r: &mut Registry) {
        let help = "Calls of channels outside of the process, by what became of them";
        r.register("external_calls", help, self.calls.clone());
        let help = "Calls of channels outside of the process, from asking to list";
        r.register("external_call_duration_seconds", help, self.seconds.clone());
        let help = "Whether a channel outside of the process is left alone because it failed";
        r.register("external_paused", help, self.paused.clone());
    }
}
