//! What a caller or a scene wants items to be like, as an expression over the catalogue that is
//! evaluated to a set of items before any channel searches.

use foretaste_bundle::{ItemTable, Vocabulary};
use foretaste_core::{BitSet, Error, ItemIdx, Limits, Result, TimeMs};
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

impl FilterExpr {
    /// The items of a catalogue of `n_items` that match.
    ///
    /// # Cost
    /// O(n / 64) per node and O(members) per category, tag or attribute; O(n) for a price or time.
    pub(crate) fn matching(&self, items: &ItemTable, n_items: usize) -> BitSet {
        match self {
            Self::And(parts) => {
                let mut all = BitSet::full(n_items);
                parts.iter().for_each(|p| all.intersect(&p.matching(items, n_items)));
                all
            }
            Self::Or(parts) => {
                let mut any = BitSet::empty(n_items);
                parts.iter().for_each(|p| any.union(&p.matching(items, n_items)));
                any
            }
            Self::Not(part) => {
                let mut rest = BitSet::full(n_items);
                rest.subtract(&part.matching(items, n_items));
                rest
            }
            Self::Category(name) => labelled(items.category_vocabulary(), name, n_items),
            Self::Tag(name) => labelled(items.tag_vocabulary(), name, n_items),
            Self::Attribute(AttributeIs { key, value }) => {
                labelled(items.attribute_vocabulary(), &format!("{key}={value}"), n_items)
            }
            Self::Price(range) => matching_items(n_items, |i| range.contains(items.price(i))),
            Self::CreatedAfterMs(time) => matching_items(n_items, |i| {
                let created = items.created_ms(i);
                created > 0 && created > *time
            }),
        }
    }
}

fn labelled(vocabulary: &Vocabulary, name: &str, n_items: usize) -> BitSet {
    let mut set = BitSet::empty(n_items);
    if let Some(code) = vocabulary.code(name) {
        vocabulary.add_items(code, &mut set);
    }
    set
}

fn matching_items(n_items: usize, holds: impl Fn(ItemIdx) -> bool) -> BitSet {
    let mut set = BitSet::empty(n_items);
    (0..n_items as ItemIdx).filter(|&i| holds(i)).for_each(|i| set.insert(i));
    set
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
