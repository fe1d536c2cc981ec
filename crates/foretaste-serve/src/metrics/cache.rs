//! The cache's figures, taken over when they are exposed.

use std::sync::{Mutex, PoisonError};

use foretaste_cache::{CacheStats, LinkStats, TierStats};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::catch_up;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TierLabel {
    tier: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LookupLabels {
    tier: &'static str,
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResultLabel {
    result: &'static str,
}

/// What is exported about the cache.
#[derive(Default)]
pub(crate) struct CacheMetrics {
    lookups: Family<LookupLabels, Counter>,
    stored: Family<TierLabel, Counter>,
    evicted: Family<TierLabel, Counter>,
    invalidated: Family<TierLabel, Counter>,
    entries: Family<TierLabel, Gauge>,
    bytes: Family<TierLabel, Gauge>,
    computed: Counter,
    coalesced: Counter,
    outdated: Counter,
    redis_up: Gauge,
    redis_operations: Family<ResultLabel, Counter>,
    /// Two scrapes at once must not count the same difference twice.
    turn: Mutex<()>,
}

impl CacheMetrics {
    pub(crate) fn register(&self, r: &mut Registry) {
        r.register("cache_lookups", "Lookups by what they found", self.lookups.clone());
        r.register("cache_stored", "Entries stored", self.stored.clone());
        r.register("cache_evicted", "Entries pushed out by a bound", self.evicted.clone());
        let invalidated = self.invalidated.clone();
        r.register("cache_invalidated", "Entries dropped because of a change", invalidated);
        r.register("cache_entries", "Entries now", self.entries.clone());
        r.register("cache_bytes", "Bytes of entries now", self.bytes.clone());
        r.register("cache_computed", "Values computed to be kept", self.computed.clone());
        let coalesced = self.coalesced.clone();
        r.register("cache_coalesced", "Misses that waited for another's computation", coalesced);
        let outdated = self.outdated.clone();
        r.register("cache_outdated", "Values not kept: an input changed meanwhile", outdated);
        let up = self.redis_up.clone();
        r.register("cache_redis_up", "1 while there is a connection to Redis", up);
        let operations = self.redis_operations.clone();
        r.register("cache_redis_operations", "Operations that went wrong, by how", operations);
    }

    /// Takes over what the cache has counted.
    pub(crate) fn take_over(&self, stats: &CacheStats) {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        self.take_tier("l1", &stats.l1);
        self.take_tier("redis", &stats.shared);
        self.take_link(&stats.link);
        catch_up(&self.computed, stats.computed);
        catch_up(&self.coalesced, stats.coalesced);
        catch_up(&self.outdated, stats.outdated);
    }

    fn take_link(&self, link: &LinkStats) {
        self.redis_up.set(i64::from(link.is_up));
        for (result, n) in [
            ("bypassed", link.bypassed),
            ("late", link.late),
            ("refused", link.refused),
            ("broken", link.broken),
            ("damaged", link.damaged),
            ("dropped", link.dropped),
        ] {
            catch_up(&self.redis_operations.get_or_create(&ResultLabel { result }), n);
        }
    }

    fn take_tier(&self, tier: &'static str, stats: &TierStats) {
        for (result, n) in [("hit", stats.hits), ("stale", stats.stale), ("miss", stats.misses)] {
            catch_up(&self.lookups.get_or_create(&LookupLabels { tier, result }), n);
        }
        let label = TierLabel { tier };
        catch_up(&self.stored.get_or_create(&label), stats.stored);
        catch_up(&self.evicted.get_or_create(&label), stats.evicted);
        catch_up(&self.invalidated.get_or_create(&label), stats.invalidated);
        self.entries.get_or_create(&label).set(stats.entries as i64);
        self.bytes.get_or_create(&label).set(stats.bytes as i64);
    }
}
