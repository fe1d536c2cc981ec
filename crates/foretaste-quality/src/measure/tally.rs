//! Events per user or item: how many in all, how many in the latest weeks, and who has the most.

use foretaste_core::IdTable;
use foretaste_core::ids::id_hash;

use super::sample::{MOST, Sample, Sketch};
use crate::profile::{Largest, Skew};

/// How many ids are named.
const NAMED: usize = 10;

/// Events of one id; of weeks, only those of the latest two in which it had any are kept.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counted {
    pub(super) total: u32,
    weeks: [(u16, u32); 2],
}

impl Counted {
    /// Adds events of a week (0: of no known time).
    #[inline]
    pub(super) fn add(&mut self, week: u16, n: u32) {
        self.total = self.total.saturating_add(n);
        let [latest, before] = &mut self.weeks;
        if week == latest.0 {
            latest.1 += n;
        } else if week > latest.0 {
            *before = std::mem::replace(latest, (week, n));
        } else if week == before.0 {
            before.1 += n;
        } else if week > before.0 {
            *before = (week, n);
        }
    }

    fn merge(&mut self, other: &Self) {
        let weeks = other.weeks.iter().map(|w| w.1).sum::<u32>();
        self.total = self.total.saturating_add(other.total - weeks.min(other.total));
        other.weeks.iter().for_each(|&(week, n)| self.add(week, n));
    }

    /// Events in `week`; in all where it is `None`.
    pub(super) fn within(&self, week: Option<u16>) -> u32 {
        match week {
            None => self.total,
            Some(week) => self.weeks.iter().find(|w| w.0 == week).map_or(0, |w| w.1),
        }
    }
}

/// Events by id.
pub(super) struct Tally {
    sample: Sample<Counted>,
    /// Counts of all ids, from when the sample leaves some out.
    sketch: Option<Box<Sketch>>,
    largest: Vec<Largest>,
}

impl Tally {
    pub(super) fn new() -> Self {
        Self { sample: Sample::new(MOST), sketch: None, largest: Vec::new() }
    }

    /// Takes the counts of one batch, by its table of ids, with the ids' hashes.
    pub(super) fn add(&mut self, ids: &IdTable, hashes: &[u64], counted: &[Counted]) {
        for (at, (&hash, one)) in hashes.iter().zip(counted).enumerate() {
            if one.total == 0 {
                continue;
            }
            let exact = self.sample.entry(hash, Counted::default).map(|entry| {
                entry.merge(one);
                entry.total
            });
            if self.sketch.is_none() && !self.sample.is_whole() {
                self.sketch = Some(self.sketch_of_sample());
            }
            let estimate = self.sketch.as_mut().map(|s| s.add(hash, one.total));
            let total = exact.or(estimate).unwrap_or(one.total);
            if self.largest.len() < NAMED || total > self.largest[NAMED - 1].events {
                self.name(ids.get(at as u32), total);
            }
        }
    }

    /// What the sample still knows when it is thinned for the first time. Of those it has dropped,
    /// the largest are named, and are counted on from their count.
    fn sketch_of_sample(&self) -> Box<Sketch> {
        let mut sketch = Box::new(Sketch::new());
        self.sample.iter().for_each(|(hash, one)| {
            sketch.add(*hash, one.total);
        });
        let dropped = self.largest.iter().map(|one| (id_hash(&one.id), one.events));
        dropped.filter(|(hash, _)| !self.sample.covers(*hash)).for_each(|(hash, events)| {
            sketch.add(hash, events);
        });
        sketch
    }

    fn name(&mut self, id: &str, events: u32) {
        match self.largest.iter_mut().find(|one| one.id == id) {
            Some(one) => one.events = events,
            None => self.largest.push(Largest { id: id.to_owned(), events }),
        }
        self.largest.sort_by(|a, b| b.events.cmp(&a.events).then_with(|| a.id.cmp(&b.id)));
        self.largest.truncate(NAMED);
    }

    /// The sample, for comparing ids.
    pub(super) fn sample(&self) -> &Sample<Counted> {
        &self.sample
    }

    /// Distinct ids; estimated where they are too many to keep.
    pub(super) fn distinct(&self) -> u64 {
        (self.sample.len() as f64 * self.sample.scale()) as u64
    }

    /// Events of every id of the sample within `week`, ascending, without zeros.
    pub(super) fn counts(&self, week: Option<u16>) -> Vec<u32> {
        let mut counts: Vec<u32> =
            self.sample.iter().map(|(_, one)| one.within(week)).filter(|&n| n > 0).collect();
        counts.sort_unstable();
        counts
    }

    /// How unevenly events are spread.
    pub(super) fn skew(&self) -> Skew {
        let counts = self.counts(None);
        let n = counts.len() as f64;
        if counts.is_empty() {
            return Skew::default();
        }
        let sum: f64 = counts.iter().map(|&c| f64::from(c)).sum();
        let logs = || counts.iter().map(|&c| f64::from(c).ln());
        let mean = logs().sum::<f64>() / n;
        let sigma = (logs().map(|l| (l - mean).powi(2)).sum::<f64>() / n).sqrt();
        let above = (mean + 3.0 * sigma).exp();
        let ranked = counts.iter().zip(1u32..).map(|(&c, r)| f64::from(r) * f64::from(c));
        let first_of_top = counts.len() - (counts.len().div_ceil(100));
        let top: f64 = counts[first_of_top..].iter().map(|&c| f64::from(c)).sum();
        Skew {
            distinct: self.distinct(),
            mean_log: mean,
            sigma_log: sigma,
            above: above.min(1e15),
            n_above: (counts.iter().filter(|&&c| f64::from(c) > above).count() as f64
                * self.sample.scale()) as u64,
            gini: (2.0 * ranked.sum::<f64>() / (n * sum) - (n + 1.0) / n).max(0.0),
            top_share: top / sum,
            largest: self.largest.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(counts: &[u32]) -> Tally {
        let ids: IdTable = (0..counts.len()).map(|i| format!("u{i}")).collect();
        let hashes: Vec<u64> = ids.iter().map(id_hash).collect();
        let counted: Vec<Counted> =
            counts.iter().map(|&n| Counted { total: n, ..Counted::default() }).collect();
        let mut tally = Tally::new();
        tally.add(&ids, &hashes, &counted);
        tally
    }

    #[test]
    fn skew_of_known_counts() {
        let skew = tally(&[1, 1, 1, 1]).skew();
        assert_eq!((skew.gini, skew.n_above, skew.sigma_log), (0.0, 0, 0.0));
        let skew = tally(&[0, 1, 3]).skew();
        assert!((skew.gini - 0.25).abs() < 1e-12, "{skew:?}");
        assert_eq!((skew.distinct, skew.top_share), (2, 0.75));
        let mut counts = vec![10; 200];
        counts.push(100_000);
        let skew = tally(&counts).skew();
        assert_eq!((skew.n_above, skew.largest[0].id.as_str()), (1, "u200"));
        assert_eq!(tally(&[]).skew(), Skew::default());
    }

    #[test]
    fn weeks_are_counted_in_any_order_and_over_batches() {
        let mut one = Counted::default();
        [5, 3, 0, 6, 5, 4, 6].into_iter().for_each(|week| one.add(week, 1));
        let mut other = Counted::default();
        other.add(6, 2);
        other.add(2, 4);
        one.merge(&other);
        assert_eq!((one.within(Some(6)), one.within(Some(5)), one.within(None)), (4, 2, 13));
    }

    #[test]
    fn the_largest_is_found_though_the_sample_leaves_it_out() {
        let mut tally = Tally { sample: Sample::new(500), ..Tally::new() };
        for round in 0..40 {
            let mut ids: IdTable = (0..100).map(|i| format!("u{round}-{i}")).collect();
            let mut counted = vec![Counted { total: 2, ..Counted::default() }; 100];
            for bot in ["bot a", "bot b", "bot c"] {
                ids.intern(bot);
                counted.push(Counted { total: 50, ..Counted::default() });
            }
            let hashes: Vec<u64> = ids.iter().map(id_hash).collect();
            tally.add(&ids, &hashes, &counted);
        }
        assert!(!tally.sample.is_whole());
        let skew = tally.skew();
        assert!(skew.largest[..3].iter().all(|one| one.id.starts_with("bot")), "{skew:?}");
        assert!(skew.largest[..3].iter().all(|one| (2_000..2_010).contains(&one.events)));
        assert!((skew.distinct as f64 / 4_003.0 - 1.0).abs() < 0.2, "{}", skew.distinct);
    }
}
