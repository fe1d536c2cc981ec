//! How strongly an event speaks for its item: one function for training and for serving, so that
//! an event means the same in a bundle's history and in the live history of the next request.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::TimeMs;

const DAY_MS: f64 = 86_400_000.0;

/// Weights by kind of event, with saturation and decay. A bundle carries the weights it was
/// trained with in its manifest; serving reads them from there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EventWeights {
    /// Weight of one event by kind; 0 = seen, but no sign of taste.
    pub kinds: BTreeMap<String, f32>,
    /// Weight of kinds that are not listed.
    pub other: f32,
    /// Kinds whose weight is multiplied by the event's value (ratings, seconds, quantities).
    pub by_value: Vec<String>,
    /// Weight above which further events of one user on one item add nothing.
    pub most: f32,
    /// Days after which an entry counts half; 0 = it never fades.
    pub half_life_days: f32,
}

impl Default for EventWeights {
    fn default() -> Self {
        let kinds = [
            ("impression", 0.0),
            ("view", 1.0),
            ("click", 1.5),
            ("favourite", 3.0),
            ("cart", 3.0),
            ("order", 5.0),
        ];
        Self {
            kinds: kinds.iter().map(|&(kind, w)| (kind.to_owned(), w)).collect(),
            other: 1.0,
            by_value: Vec::new(),
            most: 20.0,
            half_life_days: 0.0,
        }
    }
}

impl EventWeights {
    /// Weight of one event before decay: finite and at least 0.
    pub fn of(&self, kind: &str, value: f32) -> f32 {
        let weight = self.kinds.get(kind).copied().unwrap_or(self.other);
        let factor = if self.by_value.iter().any(|k| k == kind) { value } else { 1.0 };
        let product = weight * factor;
        if product.is_finite() { product.max(0.0) } else { 0.0 }
    }

    /// The weight of an entry after one more event of weight `event`.
    pub fn fold(&self, entry: f32, event: f32) -> f32 {
        (entry + event).min(self.most)
    }

    /// Factor of an entry that was last touched at `last_ms`, seen at `now_ms`. Unknown times
    /// (0) and times in the future do not fade.
    pub fn decay(&self, last_ms: TimeMs, now_ms: TimeMs) -> f32 {
        if self.half_life_days <= 0.0 || last_ms == 0 || last_ms >= now_ms {
            return 1.0;
        }
        let days = (now_ms - last_ms) as f64 / DAY_MS;
        (-days / f64::from(self.half_life_days)).exp2() as f32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_values_and_saturation() {
        let weights = EventWeights { by_value: vec!["rating".into()], ..Default::default() };
        assert_eq!((weights.of("view", 9.0), weights.of("order", 1.0)), (1.0, 5.0));
        assert_eq!((weights.of("rating", 4.0), weights.of("unheard", 4.0)), (4.0, 1.0));
        assert_eq!((weights.of("rating", -4.0), weights.of("rating", f32::NAN)), (0.0, 0.0));
        assert_eq!(weights.fold(19.0, 5.0), 20.0);
    }

    #[test]
    fn half_lives_halve_and_the_future_does_not_grow() {
        let weights = EventWeights { half_life_days: 2.0, ..Default::default() };
        let day = DAY_MS as TimeMs;
        assert_eq!(weights.decay(day, 3 * day), 0.5);
        assert_eq!((weights.decay(0, day), weights.decay(2 * day, day)), (1.0, 1.0));
        assert_eq!(EventWeights::default().decay(day, 9 * day), 1.0);
    }
}
