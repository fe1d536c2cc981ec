//! Alerts of any rule: what is wrong, told to people once, and told again when it is over.
//!
//! A rule gives all alerts that are on at a moment to a [`Ledger`], which knows what was told and
//! says what is news. [`deliver()`] brings news to a receiver, a webhook or Alertmanager, within a
//! bounded time; what could not be brought stays news. There is a ledger per receiver, as plain
//! data for the caller to keep. Nothing here knows rules, files or threads.

mod deliver;
mod ledger;
mod message;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use deliver::{Patience, Receiver, deliver};
pub use ledger::{Ledger, Notice};
pub use message::{alertmanager, webhook};

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Worth a look today.
    Warning,
    /// Worth a look now.
    Critical,
}

impl Severity {
    /// A limit exceeded by so many times is critical.
    pub const CRITICAL_TIMES: f64 = 1.2;

    /// The word in labels and messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

/// Something that is wrong. Its name and labels are its identity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alert {
    /// Which rule.
    pub name: String,
    /// What it is about; names are letters, digits and underscores.
    pub labels: BTreeMap<String, String>,
    /// How bad it is.
    pub severity: Severity,
    /// One line.
    pub summary: String,
    /// What was found and what to do.
    pub description: String,
}
