//! When an entry is fresh, when it may still serve while it is renewed, and when it is over: a
//! pure function of its age and of how often it was asked for.

use crate::config::TtlConfig;

/// What an entry of some age is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Freshness {
    /// Serve it.
    Fresh,
    /// Serve it; it is asked for often and soon over, so somebody should renew it now.
    Ageing,
    /// Serve it while somebody renews it.
    Stale,
    /// Do not serve it.
    Over,
}

/// What an entry's lifetime follows from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Life {
    pub(crate) age_ms: u64,
    pub(crate) hits: u32,
    pub(crate) is_negative: bool,
    /// This entry's own place in the jitter, 0 to 255.
    pub(crate) jitter: u8,
}

impl TtlConfig {
    /// How long an entry is fresh.
    pub(crate) fn lifetime_ms(&self, life: &Life) -> u64 {
        let base = if life.is_negative {
            self.negative_ms
        } else if life.hits >= self.frequent_hits {
            self.frequent_ms
        } else if life.hits >= self.medium_hits {
            self.medium_ms
        } else {
            self.new_ms
        };
        let place = f64::from(life.jitter) / 127.5 - 1.0;
        (base as f64 * (1.0 + self.jitter * place)) as u64
    }

    pub(crate) fn freshness(&self, life: &Life) -> Freshness {
        let lifetime_ms = self.lifetime_ms(life);
        let stale_ms = if life.is_negative { 0 } else { self.stale_ms };
        if life.age_ms >= lifetime_ms {
            let is_over = life.age_ms >= lifetime_ms + stale_ms;
            return if is_over { Freshness::Over } else { Freshness::Stale };
        }
        let ahead_ms = (lifetime_ms as f64 * self.refresh_ahead) as u64;
        let is_ageing =
            !life.is_negative && life.hits >= self.frequent_hits && life.age_ms >= ahead_ms;
        if is_ageing { Freshness::Ageing } else { Freshness::Fresh }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ttl() -> TtlConfig {
        TtlConfig { jitter: 0.0, ..TtlConfig::default() }
    }

    fn life(age_ms: u64, hits: u32) -> Life {
        Life { age_ms, hits, is_negative: false, jitter: 128 }
    }

    #[track_caller]
    fn check(age_ms: u64, hits: u32, expected: Freshness) {
        assert_eq!(ttl().freshness(&life(age_ms, hits)), expected, "{age_ms} ms, {hits} hits");
    }

    #[test]
    fn entries_live_longer_the_more_they_are_asked_for() {
        let minutes = |m: u64| m * 60_000;
        check(minutes(30) - 1, 0, Freshness::Fresh);
        check(minutes(30), 2, Freshness::Stale);
        check(minutes(35), 2, Freshness::Over);
        check(minutes(30), 3, Freshness::Fresh);
        check(minutes(60), 9, Freshness::Stale);
        check(minutes(60), 10, Freshness::Fresh);
        check(minutes(108) - 1, 10, Freshness::Fresh);
        check(minutes(108), 10, Freshness::Ageing);
        check(minutes(120), 10, Freshness::Stale);
        check(minutes(125), u32::MAX, Freshness::Over);
    }

    #[test]
    fn what_is_not_there_is_forgotten_soon_and_never_stale() {
        let negative = |age_ms| Life { is_negative: true, ..life(age_ms, 99) };
        assert_eq!(ttl().freshness(&negative(29_999)), Freshness::Fresh);
        assert_eq!(ttl().freshness(&negative(30_000)), Freshness::Over);
    }

    #[test]
    fn jitter_spreads_lifetimes_within_its_bounds() {
        let ttl = TtlConfig::default();
        let of = |jitter| ttl.lifetime_ms(&Life { jitter, ..life(0, 0) });
        assert_eq!((of(0), of(255)), (1_620_000, 1_980_000));
        let distinct: std::collections::BTreeSet<u64> = (0..=255).map(of).collect();
        assert_eq!(distinct.len(), 256);
    }
}
