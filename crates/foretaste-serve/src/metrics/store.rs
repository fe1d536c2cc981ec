//! The connections of a store on a server, as it tells them when it is asked.

use std::fmt::Error;
use std::sync::{Arc, Mutex, PoisonError};

use foretaste_store::{PoolFigures, ReadFigures};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ServerLabel {
    server: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabels {
    server: &'static str,
    state: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabels {
    server: &'static str,
    reason: &'static str,
}

/// What is exported about it; nothing where the store is in files.
#[derive(Clone, Debug, Default)]
pub(crate) struct StoreMetrics {
    told: Arc<Mutex<(Vec<PoolFigures>, Option<ReadFigures>)>>,
}

impl StoreMetrics {
    pub(crate) fn register(&self, r: &mut Registry) {
        r.register_collector(Box::new(self.clone()));
    }

    /// Takes over what the store says.
    pub(crate) fn show(&self, pools: Vec<PoolFigures>, reads: Option<ReadFigures>) {
        *self.told.lock().unwrap_or_else(PoisonError::into_inner) = (pools, reads);
    }
}

impl Collector for StoreMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), Error> {
        let told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let (pools, reads) = &*told;
        if !pools.is_empty() {
            show_pools(&mut encoder, pools)?;
        }
        reads.as_ref().map_or(Ok(()), |reads| show_reads(&mut encoder, reads))
    }
}

fn show_pools(encoder: &mut DescriptorEncoder<'_>, pools: &[PoolFigures]) -> Result<(), Error> {
    let states = pools.iter().flat_map(|pool| {
        let labels = |state| StateLabels { server: pool.server, state };
        [(labels("idle"), pool.idle), (labels("in_use"), pool.open - pool.idle)]
    });
    let help = "Connections to the store's servers, those being made included";
    gauges(encoder, ("store_connections", help), states)?;
    let of = |n: fn(&PoolFigures) -> u64| {
        pools.iter().map(move |pool| (ServerLabel { server: pool.server }, n(pool)))
    };
    let help = "Connections to a server of the store at most";
    gauges(encoder, ("store_connections_max", help), of(|pool| pool.most))?;
    let help = "Callers that wait for a connection";
    gauges(encoder, ("store_connection_waiting", help), of(|pool| pool.waiting))?;
    show_waits(encoder, pools)?;
    let reasons = |counts: fn(&PoolFigures) -> [(&'static str, u64); 3]| {
        pools.iter().flat_map(move |pool| {
            let labels = |reason| ReasonLabels { server: pool.server, reason };
            counts(pool).map(|(reason, n)| (labels(reason), n))
        })
    };
    let help = "Callers that got no connection";
    counters(encoder, ("store_connection_failures", help), reasons(|pool| pool.failures))?;
    let help = "Connections that were made";
    counters(encoder, ("store_connections_made", help), of(|pool| pool.made))?;
    let help = "Connections that were closed";
    counters(encoder, ("store_connections_closed", help), reasons(|pool| pool.closed))
}

fn show_waits(encoder: &mut DescriptorEncoder<'_>, pools: &[PoolFigures]) -> Result<(), Error> {
    let (name, help) = ("store_connection_wait_seconds", "From asking for a connection on");
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Histogram)?;
    for pool in pools {
        let n = pool.waits.iter().map(|(_, n)| n).sum();
        let (labels, sum) = (ServerLabel { server: pool.server }, pool.waited.as_secs_f64());
        let mut waits = family.encode_family(&labels)?;
        waits.encode_histogram::<NoLabelSet>(sum, n, &pool.waits, None)?;
    }
    Ok(())
}

fn show_reads(encoder: &mut DescriptorEncoder<'_>, reads: &ReadFigures) -> Result<(), Error> {
    let labels = reads.reads.map(|(server, reason, n)| (ReasonLabels { server, reason }, n));
    let help = "Long reads by the server of the store that they went to";
    counters(encoder, ("store_reads", help), labels.into_iter())?;
    let help = "For which the last long read waited until the replica had all";
    let lag = ConstGauge::new(reads.lag.as_secs_f64());
    let name = "store_replica_lag_seconds";
    lag.encode(encoder.encode_descriptor(name, help, None, MetricType::Gauge)?)
}

fn gauges<L: EncodeLabelSet>(
    encoder: &mut DescriptorEncoder<'_>,
    (name, help): (&str, &str),
    values: impl Iterator<Item = (L, u64)>,
) -> Result<(), Error> {
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    for (labels, n) in values {
        ConstGauge::new(n as i64).encode(family.encode_family(&labels)?)?;
    }
    Ok(())
}

fn counters<L: EncodeLabelSet>(
    encoder: &mut DescriptorEncoder<'_>,
    (name, help): (&str, &str),
    values: impl Iterator<Item = (L, u64)>,
) -> Result<(), Error> {
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
    for (labels, n) in values {
        ConstCounter::new(n).encode(family.encode_family(&labels)?)?;
    }
    Ok(())
}
