//! What is remembered of a table between passes: how far it was read, and its columns' types.

use std::collections::BTreeMap;

use foretaste_core::{Error, Result};
use serde::{Deserialize, Serialize};

/// The watermark as the store keeps it, with the rows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableState {
    /// All rows up to here have been read: the text of a time or number, as the database gave it.
    pub at: String,
    /// Type of every column in use.
    pub columns: BTreeMap<String, String>,
    /// A first reading in the order of the primary key that has not come to its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scan: Option<Scan>,
}

/// How far a first reading in the order of the primary key has come.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scan {
    /// The watermark of its beginning: what was read of earlier rows may have changed only behind
    /// it, however often the reading was interrupted.
    pub to: String,
    /// Ids of the last row that was read.
    pub after: Vec<String>,
}

impl TableState {
    /// Reads what [`TableState::to_text`] wrote.
    ///
    /// # Errors
    /// `Corrupt` for anything else.
    pub fn parse(text: &str) -> Result<Self> {
        serde_json::from_str(text)
            .map_err(|e| Error::corrupt("the watermark in the store").with_source(e))
    }

    /// As text.
    pub fn to_text(&self) -> String {
        serde_json::to_string(self).expect("texts alone")
    }
}
