//! Where the time of one request went: for the log line of a slow request, and for the caller who
//! asks with `X-Foretaste-Debug`.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// A stage of an answer that was computed for this request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Waiting for a worker.
    Queue,
    /// From ids to a query.
    Prepare,
    /// From query to outcome.
    Pipeline,
    /// From outcome to bytes.
    Respond,
}

const NAMES: [&str; 4] = ["queue", "prepare", "pipeline", "respond"];

/// Time per stage in ns; 0 for a stage that this request did not need.
#[derive(Debug, Default)]
pub(crate) struct StageTimes([AtomicU64; NAMES.len()]);

impl StageTimes {
    pub(crate) fn note(&self, stage: Stage, took: Duration) {
        self.0[stage as usize].store(took.as_nanos() as u64, Relaxed);
    }

    fn known(&self) -> impl Iterator<Item = (&'static str, f64)> {
        let ms = |ns: &AtomicU64| ns.load(Relaxed) as f64 / 1e6;
        NAMES.into_iter().zip(self.0.iter().map(ms)).filter(|(_, ms)| *ms > 0.0)
    }

    /// `queue=0.012 pipeline=0.410`, in ms; empty when nothing was computed.
    pub(crate) fn to_text(&self) -> String {
        let parts = self.known().map(|(name, ms)| format!("{name}={ms:.3}"));
        parts.collect::<Vec<_>>().join(" ")
    }

    /// The value of `Server-Timing`.
    pub(crate) fn to_header(&self, total: Duration) -> String {
        let mut out = String::with_capacity(96);
        for (name, ms) in self.known() {
            // Writing to a string cannot fail.
            let _ = write!(out, "{name};dur={ms:.3}, ");
        }
        let _ = write!(out, "total;dur={:.3}", total.as_secs_f64() * 1e3);
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_stages_that_took_time_are_told() {
        let times = StageTimes::default();
        let total = Duration::from_micros(1_500);
        assert_eq!(
            (times.to_text(), times.to_header(total)),
            (String::new(), "total;dur=1.500".into())
        );
        times.note(Stage::Pipeline, Duration::from_micros(410));
        times.note(Stage::Queue, Duration::from_micros(12));
        assert_eq!(times.to_text(), "queue=0.012 pipeline=0.410");
        let told = times.to_header(total);
        assert_eq!(told, "queue;dur=0.012, pipeline;dur=0.410, total;dur=1.500");
    }
}
