//! The connections of a store on a server, as it tells them when it is asked.

use std::fmt::Error;
use std::sync::{Arc, Mutex, PoisonError};

use foretaste_store::PoolFigures;
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
    pools: Arc<Mutex<Vec<PoolFigures>>>,
}

impl StoreMetrics {
    pub(crate) fn register(&self, r: &mut Registry) {
        r.register_collector(Box::new(self.clone()));
    }

    /// Takes over what the store says.
    pub(crate) fn show(&self, pools: Vec<PoolFigures>) {
        *self.pools.lock().unwrap_or_else(PoisonError::into_inner) = pools;
    }
}

impl Collector for StoreMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), Error> {
        let pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        if pools.is_empty() {
            return Ok(());
        }
        let mut all = Families { encoder: &mut encoder, pools: &pools };
        let help = "Connections to the store's server, those being made included";
        all.gauges("store_connections", help, |pool| {
            let labels = |state| StateLabels { server: pool.server, state };
            vec![(labels("idle"), pool.idle), (labels("in_use"), pool.open - pool.idle)]
        })?;
        let of = |pool: &PoolFigures| ServerLabel { server: pool.server };
        let help = "Connections to the store's server at most";
        all.gauges("store_connections_max", help, |pool| vec![(of(pool), pool.most)])?;
        let help = "Callers that wait for a connection";
        all.gauges("store_connection_waiting", help, |pool| vec![(of(pool), pool.waiting)])?;
        all.waits()?;
        let reasons = |pool: &PoolFigures, counts: &[(&'static str, u64)]| {
            let server = pool.server;
            counts.iter().map(|&(reason, n)| (ReasonLabels { server, reason }, n)).collect()
        };
        let help = "Callers that got no connection";
        all.counters("store_connection_failures", help, |pool| reasons(pool, &pool.failures))?;
        let help = "Connections that were made";
        all.counters("store_connections_made", help, |pool| vec![(of(pool), pool.made)])?;
        let help = "Connections that were closed";
        all.counters("store_connections_closed", help, |pool| reasons(pool, &pool.closed))
    }
}

/// Writes families of metrics over all pools.
struct Families<'a, 'e> {
    encoder: &'a mut DescriptorEncoder<'e>,
    pools: &'a [PoolFigures],
}

impl Families<'_, '_> {
    fn gauges<L: EncodeLabelSet>(
        &mut self,
        name: &str,
        help: &str,
        of: impl Fn(&PoolFigures) -> Vec<(L, u64)>,
    ) -> Result<(), Error> {
        self.numbers((name, help, MetricType::Gauge), of, |n| ConstGauge::new(n as i64))
    }

    fn counters<L: EncodeLabelSet>(
        &mut self,
        name: &str,
        help: &str,
        of: impl Fn(&PoolFigures) -> Vec<(L, u64)>,
    ) -> Result<(), Error> {
        self.numbers((name, help, MetricType::Counter), of, ConstCounter::new)
    }

    fn numbers<L: EncodeLabelSet, M: EncodeMetric>(
        &mut self,
        (name, help, kind): (&str, &str, MetricType),
        of: impl Fn(&PoolFigures) -> Vec<(L, u64)>,
        metric: impl Fn(u64) -> M,
    ) -> Result<(), Error> {
        let mut family = self.encoder.encode_descriptor(name, help, None, kind)?;
        for (labels, n) in self.pools.iter().flat_map(of) {
            metric(n).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }

    fn waits(&mut self) -> Result<(), Error> {
        let (name, help) = ("store_connection_wait_seconds", "From asking for a connection on");
        let mut family = self.encoder.encode_descriptor(name, help, None, MetricType::Histogram)?;
        for pool in self.pools {
            let n = pool.waits.iter().map(|(_, n)| n).sum();
            let labels = ServerLabel { server: pool.server };
            family.encode_family(&labels)?.encode_histogram::<NoLabelSet>(
                pool.waited.as_secs_f64(),
                n,
                &pool.waits,
                None,
            )?;
        }
        Ok(())
    }
}
