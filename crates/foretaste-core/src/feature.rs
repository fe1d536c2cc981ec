//! What a feature set is about and how fast its values change: the words that whoever computes
//! values and whoever reads them have in common.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What the rows of a feature set are about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Entity {
    /// A user.
    User,
    /// An item.
    Item,
    /// A user and an item that the user has met.
    UserItem,
}

impl Entity {
    /// All of them, with the names that headers use.
    pub const ALL: [(&str, Self); 3] =
        [("user", Self::User), ("item", Self::Item), ("user_item", Self::UserItem)];

    /// The columns that name an entity.
    pub fn keys(self) -> &'static [&'static str] {
        match self {
            Self::User => &["user_id"],
            Self::Item => &["item_id"],
            Self::UserItem => &["user_id", "item_id"],
        }
    }

    /// Its name in headers.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, e)| *e == self).map_or("", |(name, _)| name)
    }
}

/// How fast the values of a feature set change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// Slowly: computed anew once a day unless the header says otherwise.
    Static,
    /// With behaviour: computed anew every five minutes unless the header says otherwise.
    Dynamic,
}

impl Class {
    /// Both, with the names that headers use.
    pub const ALL: [(&str, Self); 2] = [("static", Self::Static), ("dynamic", Self::Dynamic)];

    /// How old values may be where a set does not say.
    pub fn ttl(self) -> Duration {
        Duration::from_secs(if self == Self::Static { 86_400 } else { 300 })
    }

    /// Its name in headers.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, c)| *c == self).map_or("", |(name, _)| name)
    }
}
