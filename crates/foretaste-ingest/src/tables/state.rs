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
        serde_json::json!({ "at": self.at, "columns": self.columns }).to_string()
    }
}
