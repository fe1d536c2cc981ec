//! Records of the catalogue: items and users as their owner describes them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::TimeMs;

/// An item of the catalogue.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Item {
    /// The owner's id.
    pub item_id: String,
    /// What people read first.
    pub title: String,
    /// Longer text; feeds content similarity.
    pub description: String,
    /// Categories, most general first; an item may be in several.
    pub categories: Vec<String>,
    /// Free labels.
    pub tags: Vec<String>,
    /// Price in the catalogue's currency.
    pub price: Option<f64>,
    /// Any other property that filters and caps may use, as text.
    pub attributes: BTreeMap<String, String>,
    /// When it became available; 0 when not known.
    pub created_ms: TimeMs,
    /// Hidden items are in no answer.
    pub hidden: bool,
    /// A vector given by the owner; feeds content similarity. All items must agree on its length.
    pub embedding: Option<Vec<f32>>,
}

/// A user (a person or a software agent).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct User {
    /// The owner's id.
    pub user_id: String,
    /// Properties (country, age group, plan, ...), as text; they serve users without behaviour.
    pub attributes: BTreeMap<String, String>,
    /// When the user was first known; 0 when not known.
    pub created_ms: TimeMs,
}
