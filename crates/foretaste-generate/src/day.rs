//! One day of the marketplace: what is popular on it, and when its visits happen.

use foretaste_core::{Rng, TimeMs};

use crate::market::{BEFORE, Market, pick, running_sum};
use crate::vocabulary::COUNTRIES;
use crate::{DAY_MS, Spec};

/// Relative number of visits by local hour.
const HOURS: [f32; 24] = [
    0.5, 0.3, 0.2, 0.15, 0.15, 0.25, 0.5, 0.9, 1.5, 2.1, 2.3, 2.2, 1.7, 1.9, 2.2, 2.1, 1.9, 1.6,
    1.3, 1.3, 1.4, 1.3, 1.1, 0.8,
];
/// Relative number of visits by weekday, Monday first.
const WEEKDAYS: [f64; 7] = [1.10, 1.15, 1.15, 1.10, 1.00, 0.65, 0.60];

/// Popularity of the items that can be met on one day.
#[derive(Debug)]
pub struct Day {
    /// Number within the window.
    pub number: i32,
    /// Its midnight.
    pub start_ms: TimeMs,
    /// Running sum of weights within each topic, aligned with `Market::by_topic`.
    within_topic: Vec<f32>,
    /// Running sum of weights of topics.
    topics: Vec<f32>,
    hours: Vec<f32>,
}

impl Day {
    /// Day `number` of the window.
    pub fn new(market: &Market, number: i32) -> Self {
        let weight = |&item: &u32| weight_on(market, item, number);
        let topic = |t: usize| market.topic_start[t] as usize..market.topic_start[t + 1] as usize;
        let mut within_topic = Vec::with_capacity(market.by_topic.len());
        for t in 0..market.n_topics {
            within_topic.extend(running_sum(market.by_topic[topic(t)].iter().map(weight)));
        }
        let total = |t: usize| within_topic[topic(t)].last().copied().unwrap_or(0.0);
        let topics = running_sum((0..market.n_topics).map(total));
        let start_ms = market.spec.start_ms() + TimeMs::from(number) * DAY_MS;
        Self { number, start_ms, within_topic, topics, hours: running_sum(HOURS) }
    }

    /// An item of a topic, popular ones more often.
    pub fn draw_item(&self, market: &Market, topic: u32, rng: &mut Rng) -> u32 {
        let start = market.topic_start[topic as usize] as usize;
        let end = market.topic_start[topic as usize + 1] as usize;
        market.by_topic[start + pick(&self.within_topic[start..end], rng.f32())]
    }

    /// Any item, popular ones more often.
    pub fn draw_popular(&self, market: &Market, rng: &mut Rng) -> u32 {
        let topic = pick(&self.topics, rng.f32());
        self.draw_item(market, topic as u32, rng)
    }

    /// A moment at which someone of this country starts a visit.
    pub fn draw_time(&self, country: usize, rng: &mut Rng) -> TimeMs {
        let local_hour = pick(&self.hours, rng.f32()) as i64;
        let hour = (local_hour - i64::from(COUNTRIES[country].1)).rem_euclid(24);
        self.start_ms + hour * 3_600_000 + rng.below(3_600_000) as i64
    }

    /// First moment after the day.
    pub fn end_ms(&self) -> TimeMs {
        self.start_ms + DAY_MS
    }
}

/// New items are boosted for some days, trending ones too, absent ones are not there.
fn weight_on(market: &Market, item: u32, day: i32) -> f32 {
    let traits = &market.items[item as usize];
    if traits.arrival >= day {
        return 0.0;
    }
    let age = (day - traits.arrival) as f32;
    let fresh = if traits.arrival == BEFORE { 0.0 } else { 3.0 * (-age / 6.0).exp() };
    let trending = (0..5).contains(&day.saturating_sub(traits.trend_day));
    traits.weight * (1.0 + fresh) * if trending { 5.0 } else { 1.0 }
}

/// How many of the events fall on each day: weekly rhythm, slow growth, exact in sum.
pub fn events_by_day(spec: &Spec) -> Vec<u64> {
    let first_day = spec.start_ms() / DAY_MS;
    let weight = |d: u16| {
        let weekday = (first_day + i64::from(d) + 3).rem_euclid(7) as usize; // 1970: a Thursday
        WEEKDAYS[weekday] * (1.0 + 0.3 * f64::from(d) / f64::from(spec.days))
    };
    let total: f64 = (0..spec.days).map(weight).sum();
    let (mut sum, mut given) = (0.0, 0);
    let mut share = |d: u16| {
        sum += weight(d);
        let upto = if d + 1 == spec.days {
            spec.events
        } else {
            (spec.events as f64 * sum / total) as u64
        };
        let now = upto.saturating_sub(given);
        given += now;
        now
    };
    (0..spec.days).map(&mut share).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_add_up_and_weekends_are_quiet() {
        for events in [0, 1, 1_000_000] {
            let spec = Spec { events, ..Spec::default() };
            assert_eq!(events_by_day(&spec).iter().sum::<u64>(), events);
        }
        let days = events_by_day(&Spec::default());
        // The window ends before Monday 2026-06-01.
        let (sunday, friday) = (days[89], days[87]);
        assert!(sunday * 10 < friday * 8, "{sunday} {friday}");
    }

    #[test]
    fn items_are_met_only_after_they_arrived_and_more_when_they_trend() {
        let mut market = Market::new(&Spec { items: 100, ..Spec::default() });
        market.items[7].arrival = 10;
        market.items[7].trend_day = 50;
        let at = |day| weight_on(&market, 7, day);
        assert_eq!((at(0), at(10)), (0.0, 0.0));
        assert!(at(11) > at(40) && at(50) > 4.0 * at(49) && at(55) < at(54));
    }
}
