//! What one pass found: the form in which accepted runs are kept and compared.

use std::collections::BTreeMap;

use foretaste_core::TimeMs;
use serde::{Deserialize, Serialize};

/// What a store holds, in figures.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Profile {
    /// Format of this file; another one is not read.
    pub version: u32,
    /// When it was measured.
    pub measured_ms: TimeMs,
    /// Behaviour.
    pub events: Events,
    /// The catalogue.
    pub items: Catalogue,
    /// People and agents.
    pub users: Catalogue,
    /// Items by their first category; the rarest are together under an empty name.
    pub categories: BTreeMap<String, u64>,
    /// Prices of items.
    pub prices: Numbers,
    /// How unevenly events are spread over users.
    pub user_skew: Skew,
    /// How unevenly events are spread over items.
    pub item_skew: Skew,
    /// The latest whole week, or everything where there is none.
    pub week: Week,
}

impl Profile {
    /// The format that this build writes and reads.
    pub const VERSION: u32 = 1;
}

/// Figures about events.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Events {
    /// Events read, repeated ones included.
    pub rows: u64,
    /// Share of events that have the id (or, without one, the content) of an earlier one: reading
    /// leaves them out.
    pub repeats: f64,
    /// Share of the others with the content of another event and an id of their own.
    pub duplicates: f64,
    /// Events of no known time.
    pub untimed: u64,
    /// Events ahead of the clock.
    pub future: u64,
    /// Events before the first year.
    pub ancient: u64,
    /// Time of the newest event that is not ahead of the clock; 0 = none.
    pub newest_ms: TimeMs,
    /// Share of events whose item has no record; `None` without any record.
    pub orphan_items: Option<f64>,
    /// Share of events whose user has no record; `None` without any record.
    pub orphan_users: Option<f64>,
    /// By kind.
    pub kinds: BTreeMap<String, Kind>,
    /// By day (days since 1970, UTC), the latest hundred.
    pub days: BTreeMap<i64, DayCounts>,
}

/// Figures about the events of one kind.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Kind {
    /// Events.
    pub rows: u64,
    /// Time of the newest; 0 = not known.
    pub newest_ms: TimeMs,
    /// Their values.
    pub values: Numbers,
    /// Longest run of days without any, between the first and the newest.
    pub longest_silence_days: i64,
    /// Days with any.
    pub active_days: u64,
}

/// Events of one day (UTC).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DayCounts {
    /// By kind.
    pub kinds: BTreeMap<String, u32>,
    /// By hour.
    pub hours: [u32; 24],
}

impl DayCounts {
    /// Events of the day.
    pub fn total(&self) -> u64 {
        self.hours.iter().map(|&n| u64::from(n)).sum()
    }
}

/// Figures about a table of records.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Catalogue {
    /// Records.
    pub rows: u64,
    /// Time of creation of the newest that is not ahead of the clock; 0 = none is known.
    pub newest_ms: TimeMs,
    /// Records whose time of creation is ahead of the clock.
    pub future: u64,
    /// By field.
    pub fields: BTreeMap<String, Field>,
}

/// Figures about one field.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Field {
    /// Records in which it is there and not empty.
    pub present: u64,
}

/// The spread of numbers: counts by the upper 12 bits of their f32 form (sign, exponent, three bits
/// of the fraction), so a number is known to 12.5%.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Numbers {
    /// Counts by cell, ascending; cells ascend with the numbers.
    pub cells: Vec<(u16, u64)>,
    /// Numbers.
    pub rows: u64,
    /// Numbers outside of declared bounds; `None` where none are declared.
    pub outside: Option<u64>,
    /// The smallest, exact.
    pub min: f64,
    /// The largest, exact.
    pub max: f64,
}

impl Numbers {
    /// The cell of a number.
    pub(crate) fn cell(number: f32) -> u16 {
        let bits = ((number + 0.0).to_bits() >> 20) as u16;
        if bits & 0x800 == 0 { bits | 0x800 } else { 0x7ff - (bits & 0x7ff) }
    }

    /// The smallest number of a cell.
    pub(crate) fn floor_of(cell: u16) -> f64 {
        let bits = if cell & 0x800 != 0 { cell & 0x7ff } else { (0x7ff - cell) | 0x800 };
        let edge = u32::from(bits) << 20;
        let edge = if cell & 0x800 != 0 { edge } else { edge | 0xf_ffff };
        f64::from(f32::from_bits(edge))
    }

    /// The cell in which the share `q` of the numbers has been passed.
    pub(crate) fn quantile_cell(&self, q: f64) -> u16 {
        let target = (q * self.rows as f64).min(self.rows.saturating_sub(1) as f64) as u64;
        let mut before = 0;
        let reached = self.cells.iter().find(|(_, n)| {
            before += n;
            before > target
        });
        reached.or(self.cells.last()).map_or(0x800, |cell| cell.0)
    }

    /// The number below which the share `q` lies, to 12.5%.
    pub fn quantile(&self, q: f64) -> f64 {
        Self::floor_of(self.quantile_cell(q)).clamp(self.min, self.max)
    }

    /// Numbers in cells that lie wholly below `low` or begin at or above `high`.
    pub(crate) fn beyond(&self, low: f64, high: f64) -> u64 {
        let (low, high) = (Self::cell(low as f32), Self::cell(high as f32));
        let beyond = self.cells.iter().filter(|(cell, _)| *cell < low || *cell > high);
        beyond.map(|(_, n)| n).sum()
    }
}

/// How unevenly events are spread over users or items.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Skew {
    /// Distinct ids.
    pub distinct: u64,
    /// Mean of the logarithm of events per id.
    pub mean_log: f64,
    /// Its standard deviation.
    pub sigma_log: f64,
    /// Events from which on an id is abnormal: exp(mean + 3 sigma).
    pub above: f64,
    /// Abnormal ids.
    pub n_above: u64,
    /// Gini coefficient of events per id: 0 evenly, 1 all with one.
    pub gini: f64,
    /// Share of the events that the most active hundredth of the ids has.
    pub top_share: f64,
    /// The ids with the most events.
    pub largest: Vec<Largest>,
}

/// An id and how many events it has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Largest {
    /// The external id.
    pub id: String,
    /// Its events.
    pub events: u32,
}

/// How events are spread in the latest whole week (Monday to Sunday, UTC).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Week {
    /// First day (days since 1970); `None` where there is no whole week: then all events count.
    pub first_day: Option<i64>,
    /// Users with events.
    pub users: u64,
    /// Items with events.
    pub items: u64,
    /// Users by events, in steps of two: 1, 2-3, 4-7, 8-15, ...
    pub events_per_user: Vec<u64>,
    /// Share of the events by tenth of the items, from the least to the most popular.
    pub popularity: Vec<f64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(values: &[f32]) -> Numbers {
        let mut cells = BTreeMap::new();
        values.iter().for_each(|v| *cells.entry(Numbers::cell(*v)).or_default() += 1);
        let fold = |f: fn(f64, f64) -> f64| values.iter().map(|v| f64::from(*v)).reduce(f);
        Numbers {
            cells: cells.into_iter().collect(),
            rows: values.len() as u64,
            outside: None,
            min: fold(f64::min).unwrap_or(0.0),
            max: fold(f64::max).unwrap_or(0.0),
        }
    }

    #[test]
    fn cells_ascend_with_numbers_and_know_them_to_an_eighth() {
        let ascending = [-1e30f32, -5.0, -1.0, -1e-20, 0.0, 1e-20, 0.5, 1.0, 3.0, 7e20];
        assert!(ascending.windows(2).all(|w| Numbers::cell(w[0]) < Numbers::cell(w[1])));
        assert_eq!(Numbers::cell(-0.0), Numbers::cell(0.0));
        for number in ascending {
            let floor = Numbers::floor_of(Numbers::cell(number));
            let off = (f64::from(number) - floor).abs();
            assert!(floor <= f64::from(number) && off <= 0.13 * floor.abs(), "{number} {floor}");
        }
    }

    #[test]
    fn quantiles_and_what_lies_beyond() {
        let all = numbers(&(1..=1000).map(|i| i as f32).collect::<Vec<_>>());
        assert!((all.quantile(0.5) / 500.0 - 1.0).abs() < 0.13, "{}", all.quantile(0.5));
        assert_eq!((all.quantile(0.0), all.beyond(0.0, 2000.0)), (1.0, 0));
        assert_eq!(numbers(&[-3.0, 0.0, 1.0, 99.0]).beyond(0.0, 10.0), 2);
        assert_eq!(Numbers::default().quantile(0.5), 0.0);
    }
}
