//! What a caller or a scene wants items to be like, as an expression over the catalogue that is
//! evaluated to a set of items before any channel searches.

use foretaste_bundle::ItemTable;
use foretaste_core::{BitSet, Error, Limits, Result, TimeMs};
use serde::{Deserialize, Serialize};

/// A condition on items, in JSON or TOML: `{"and": [{"category": "books"}, {"not": {"tag":
/// "used"}}, {"price": {"max": 20}}]}`. An unknown category, tag or attribute matches nothing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FilterExpr {
    /// All of these; the empty list matches every item.
    And(Vec<FilterExpr>),
    /// Any of these; the empty list matches no item.
    Or(Vec<FilterExpr>),
    /// Not this.
    Not(Box<FilterExpr>),
    /// In this category.
    Category(String),
    /// With this tag.
    Tag(String),
    /// With this value of this attribute.
    Attribute(AttributeIs),
    /// With a known price in this range.
    Price(PriceRange),
    /// Created at a known time later than this.
    CreatedAfterMs(TimeMs),
}

/// An attribute and the value it must have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AttributeIs {
    /// Name of the attribute.
    pub key: String,
    /// Its value.
    pub value: String,
}

/// A closed range of prices in the catalogue's currency; an absent end is open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PriceRange {
    /// Lowest price.
    pub min: Option<f64>,
    /// Highest price.
    pub max: Option<f64>,
}

impl FilterExpr {
    /// Checks the expression against [`Limits::filter_depth`] and its price ranges; the rim calls
    /// it on everything that came from outside.
    ///
    /// # Errors
    /// `Invalid`, naming the bound or the empty range.
    pub fn check(&self) -> Result<()> {
        self.check_below(Limits::DEFAULT.filter_depth)
    }

    fn check_below(&self, depth: usize) -> Result<()> {
        if depth == 0 {
            let most = Limits::DEFAULT.filter_depth;
            let text = format!("filter: nested deeper than {most} levels; write it flatter");
            return Err(Error::invalid(text));
        }
        match self {
            Self::And(parts) | Self::Or(parts) => {
                parts.iter().try_for_each(|p| p.check_below(depth - 1))
            }
            Self::Not(part) => part.check_below(depth - 1),
            Self::Price(range) => range.check(),
            _ => Ok(()),
        }
    }
}

impl PriceRange {
    fn check(&self) -> Result<()> {
        let (min, max) = self.ends();
        if min <= max {
            return Ok(());
        }
        Err(Error::invalid(format!("filter: price range {min}..{max} is empty; swap min and max")))
    }

    fn ends(&self) -> (f64, f64) {
        (self.min.unwrap_or(f64::NEG_INFINITY), self.max.unwrap_or(f64::INFINITY))
    }

    /// A missing price (NaN) is in no range.
    fn contains(&self, price: f32) -> bool {
        let (min, max) = self.ends();
        f64::from(price) >= min && f64::from(price) <= max
    }
}
