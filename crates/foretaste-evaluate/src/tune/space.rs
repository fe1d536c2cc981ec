//! What may be varied and how far. Every range maps to and from the unit interval, so that the
//! search knows only numbers in [0, 1].

use std::collections::BTreeSet;

use foretaste_core::{Error, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A named hyper-parameter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parameter {
    /// Dotted path in the settings.
    pub name: String,
    /// Values to try.
    pub range: Range,
}

/// Values of a hyper-parameter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Range {
    /// Any number between two, evenly.
    Linear {
        /// Smallest.
        low: f64,
        /// Largest.
        high: f64,
    },
    /// Any number between two, evenly in its logarithm.
    Log {
        /// Smallest, above 0.
        low: f64,
        /// Largest.
        high: f64,
    },
    /// A whole number between two, evenly in its logarithm.
    Count {
        /// Smallest, at least 1.
        low: u64,
        /// Largest.
        high: u64,
    },
    /// One of some values.
    Choice {
        /// The values.
        values: Vec<Value>,
    },
}

impl Parameter {
    /// Shorthand.
    pub fn new(name: &str, range: Range) -> Self {
        Self { name: name.to_owned(), range }
    }
}

impl Range {
    /// The value at `at` in [0, 1). Numbers are rounded to four significant digits, so that tables
    /// can be read and typed.
    pub fn value(&self, at: f64) -> Value {
        match self {
            Self::Linear { low, high } => Value::from(rounded(low + at * (high - low))),
            Self::Log { low, high } => Value::from(rounded(low * (high / low).powf(at))),
            Self::Count { low, high } => {
                let value = *low as f64 * (*high as f64 / *low as f64).powf(at);
                Value::from((value.round() as u64).clamp(*low, *high))
            }
            Self::Choice { values } => {
                let n = values.len();
                values[((at * n as f64) as usize).min(n - 1)].clone()
            }
        }
    }

    /// Where a value lies in [0, 1]; `None` for one that is no value of the range's type.
    pub fn position(&self, value: &Value) -> Option<f64> {
        let at = match self {
            Self::Linear { low, high } => (value.as_f64()? - low) / (high - low),
            Self::Log { low, high } => (value.as_f64()? / low).ln() / (high / low).ln(),
            Self::Count { low, high } => {
                (value.as_f64()? / *low as f64).ln() / (*high as f64 / *low as f64).ln()
            }
            Self::Choice { values } => {
                let at = values.iter().position(|v| v == value)?;
                (at as f64 + 0.5) / values.len() as f64
            }
        };
        at.is_finite().then(|| at.clamp(0.0, 1.0))
    }

    fn is_sound(&self) -> bool {
        match self {
            Self::Linear { low, high } => low.is_finite() && high.is_finite() && low < high,
            Self::Log { low, high } => *low > 0.0 && high.is_finite() && low < high,
            Self::Count { low, high } => *low >= 1 && low < high,
            Self::Choice { values } => values.len() > 1,
        }
    }
}

fn rounded(x: f64) -> f64 {
    format!("{x:.3e}").parse().unwrap_or(x)
}

/// Checks names and ranges.
pub(super) fn check(space: &[Parameter]) -> Result<()> {
    if space.is_empty() {
        return Err(Error::invalid("tune: there is no parameter to search"));
    }
    let mut names = BTreeSet::new();
    for Parameter { name, range } in space {
        if !range.is_sound() {
            return Err(Error::invalid(format!("tune: the range of `{name}` is empty: {range:?}")));
        }
        if !names.insert(name) {
            return Err(Error::invalid(format!("tune: `{name}` is named twice")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_stay_in_their_range_and_positions_are_the_inverse() {
        let ranges = [
            Range::Linear { low: -1.0, high: 2.0 },
            Range::Log { low: 0.1, high: 1000.0 },
            Range::Count { low: 8, high: 512 },
            Range::Choice { values: vec![json!("a"), json!(2), json!({"b": 1})] },
        ];
        for range in ranges {
            for at in [0.0, 0.2, 0.5, 0.99] {
                let value = range.value(at);
                let back = range.position(&value).unwrap();
                assert!((back - at).abs() < 0.35, "{range:?} {at} -> {value} -> {back}");
                assert_eq!(range.value(back.min(0.999)), value);
            }
        }
        assert_eq!(Range::Log { low: 0.1, high: 10.0 }.value(0.5), json!(1.0));
        assert_eq!(Range::Count { low: 1, high: 9 }.position(&json!("x")), None);
    }

    #[test]
    fn unsound_spaces_are_refused() {
        let bad = [
            vec![],
            vec![Parameter::new("a", Range::Log { low: 0.0, high: 1.0 })],
            vec![Parameter::new("a", Range::Choice { values: vec![json!(1)] })],
            vec![Parameter::new("a", Range::Linear { low: 0.0, high: 1.0 }); 2],
        ];
        bad.iter().for_each(|space| assert!(check(space).is_err()));
    }
}
