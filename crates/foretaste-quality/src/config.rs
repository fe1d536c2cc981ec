//! What counts as good enough: limits per check, bounds, required fields.

use std::collections::BTreeMap;

use foretaste_core::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};

/// `[quality]`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct QualityConfig {
    /// Whether a failing check keeps a new bundle from being made.
    pub gate: bool,
    /// Profiles of accepted runs that are kept.
    pub keep: usize,
    /// Hours by which a time may be ahead of the clock.
    pub ahead_hours: f64,
    /// The first year that times may lie in.
    pub first_year: i32,
    /// Oldest age of the newest row.
    pub max_age_hours: MaxAge,
    /// Fields that must be there.
    pub required: Required,
    /// Bounds of numbers.
    pub bounds: Bounds,
    /// Limits and weights by name of check.
    pub limits: Limits,
}

/// Oldest age of the newest row in hours, by table; 0 = learned from accepted runs.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct MaxAge {
    /// Of events.
    pub events: f64,
    /// Of items (by their time of creation).
    pub items: f64,
    /// Of users (by their time of creation).
    pub users: f64,
}

/// Names of fields that must be there.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Required {
    /// Of items: `title`, `price`, `attributes.brand`, ...
    pub items: Vec<String>,
    /// Of users: `created_ms`, `attributes.country`, ...
    pub users: Vec<String>,
}

/// Bounds that the owner of the data knows; smallest and largest allowed number.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Bounds {
    /// Of prices; empty = learned.
    pub price: Vec<f64>,
    /// Of values, by kind of event; learned for others.
    pub values: BTreeMap<String, Vec<f64>>,
}

/// A check warns from `warn` on and fails from `fail` on; `weight` is its part of the score.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Limit {
    /// From here on it warns.
    pub warn: f64,
    /// From here on it fails.
    pub fail: f64,
    /// Part of the score.
    pub weight: f64,
}

/// Limits by name of check.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "each is described where it is set, in the commented defaults")]
pub struct Limits {
    pub freshness: Limit,
    pub silence: Limit,
    pub gap: Limit,
    pub surge: Limit,
    pub missing: Limit,
    pub nulls: Limit,
    pub duplicates: Limit,
    pub repeats: Limit,
    pub future: Limit,
    pub ancient: Limit,
    pub range: Limit,
    pub orphans: Limit,
    pub shrinkage: Limit,
    pub abnormal_users: Limit,
    pub abnormal_items: Limit,
    pub concentration: Limit,
    pub quarantine: Limit,
    pub drift: Limit,
}

impl Limits {
    /// Every limit with its name, in the order of reports.
    pub fn named(&self) -> [(&'static str, Limit); 18] {
        [
            ("freshness", self.freshness),
            ("silence", self.silence),
            ("gap", self.gap),
            ("surge", self.surge),
            ("missing", self.missing),
            ("nulls", self.nulls),
            ("duplicates", self.duplicates),
            ("repeats", self.repeats),
            ("future", self.future),
            ("ancient", self.ancient),
            ("range", self.range),
            ("orphans", self.orphans),
            ("shrinkage", self.shrinkage),
            ("abnormal_users", self.abnormal_users),
            ("abnormal_items", self.abnormal_items),
            ("concentration", self.concentration),
            ("quarantine", self.quarantine),
            ("drift", self.drift),
        ]
    }
}

impl Default for QualityConfig {
    fn default() -> Self {
        let limit = |warn, fail, weight| Limit { warn, fail, weight };
        Self {
            gate: true,
            keep: 10,
            ahead_hours: 1.0,
            first_year: 1990,
            max_age_hours: MaxAge { events: 0.0, items: 0.0, users: 0.0 },
            required: Required { items: Vec::new(), users: Vec::new() },
            bounds: Bounds { price: Vec::new(), values: BTreeMap::new() },
            limits: Limits {
                freshness: limit(1.0, 1.2, 3.0),
                silence: limit(1.0, 2.0, 3.0),
                gap: limit(0.5, 0.9, 3.0),
                surge: limit(2.0, 10.0, 1.0),
                missing: limit(0.01, 0.05, 3.0),
                nulls: limit(0.05, 0.2, 2.0),
                duplicates: limit(0.02, 0.3, 3.0),
                repeats: limit(0.3, 1.0, 1.0),
                future: limit(0.001, 0.01, 3.0),
                ancient: limit(0.001, 0.01, 2.0),
                range: limit(0.001, 0.01, 2.0),
                orphans: limit(0.05, 0.2, 2.0),
                shrinkage: limit(0.1, 0.5, 3.0),
                abnormal_users: limit(0.01, 0.1, 2.0),
                abnormal_items: limit(0.1, 0.3, 2.0),
                concentration: limit(0.1, 0.3, 1.0),
                quarantine: limit(0.005, 0.05, 1.0),
                drift: limit(0.1, 0.25, 2.0),
            },
        }
    }
}

impl QualityConfig {
    /// Refuses settings that make no sense.
    ///
    /// # Errors
    /// `Config`, naming the setting.
    pub fn check(&self) -> Result<()> {
        let refuse = |text: String| Err(Error::new(ErrorKind::Config, text));
        for (name, Limit { warn, fail, weight }) in self.limits.named() {
            if !(warn > 0.0 && fail >= warn && weight >= 0.0 && weight.is_finite()) {
                return refuse(format!(
                    "`quality.limits.{name}`: 0 < warn <= fail and weight >= 0 must hold"
                ));
            }
        }
        let MaxAge { events, items, users } = self.max_age_hours;
        if ![events, items, users, self.ahead_hours].iter().all(|h| *h >= 0.0 && h.is_finite()) {
            return refuse("hours of `quality` must be 0 or more".to_owned());
        }
        if !(1970..=2100).contains(&self.first_year) {
            return refuse("`quality.first_year` must be 1970 to 2100".to_owned());
        }
        if self.keep == 0 {
            return refuse("`quality.keep` must be at least 1".to_owned());
        }
        let price = std::iter::once(("price".to_owned(), &self.bounds.price));
        let values = self.bounds.values.iter().map(|(kind, b)| (format!("values.{kind}"), b));
        for (name, bounds) in price.chain(values) {
            let is_price_unset = name == "price" && bounds.is_empty();
            let ordered = matches!(bounds[..], [low, high] if low <= high);
            if !(is_price_unset || ordered) {
                return refuse(format!(
                    "`quality.bounds.{name}` must be [smallest, largest], found {bounds:?}"
                ));
            }
        }
        Ok(())
    }

    /// Declared bounds of prices.
    pub(crate) fn price(&self) -> Option<(f64, f64)> {
        pair(&self.bounds.price)
    }

    /// Declared bounds of the values of a kind.
    pub(crate) fn values(&self, kind: &str) -> Option<(f64, f64)> {
        self.bounds.values.get(kind).and_then(|bounds| pair(bounds))
    }
}

fn pair(bounds: &[f64]) -> Option<(f64, f64)> {
    match bounds {
        [low, high] => Some((*low, *high)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refused(change: impl FnOnce(&mut QualityConfig), name: &str) {
        let mut config = QualityConfig::default();
        change(&mut config);
        let error = config.check().expect_err("must be refused").to_string();
        assert!(error.contains(name), "{error}");
    }

    #[test]
    fn settings_without_sense_are_refused_by_name() {
        QualityConfig::default().check().unwrap();
        refused(|c| c.limits.drift.warn = 0.5, "limits.drift");
        refused(|c| c.limits.gap.weight = f64::NAN, "limits.gap");
        refused(|c| c.max_age_hours.items = -1.0, "hours");
        refused(|c| c.bounds.price = vec![1.0], "bounds.price");
        refused(|c| c.keep = 0, "keep");
        let reversed = BTreeMap::from([("rating".to_owned(), vec![5.0, 1.0])]);
        refused(|c| c.bounds.values = reversed, "bounds.values.rating");
    }
}
