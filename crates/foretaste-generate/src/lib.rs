//! A seeded generator of marketplace behaviour: a data marketplace with users, datasets and the
//! events between them.
//!
//! It exists so that the demo, the load tests and the benchmarks have input of any size whose
//! structure is that of real behaviour: latent tastes that drift, Zipf popularity, sessions,
//! daily and weekly rhythm, new items, trends, position bias, a funnel of event kinds. Everything
//! follows from [`Spec`] alone: the number of threads changes no byte. It does not imitate any
//! real marketplace's figures.

mod catalogue;
mod day;
mod market;
mod people;
mod session;
mod sql;
mod stream;
mod vocabulary;
mod write;

use foretaste_core::{Error, Result, TimeMs};
use serde::{Deserialize, Serialize};

pub use catalogue::{items, users};
pub use sql::{Dialect, Schema, write_sql};
pub use stream::generate;
pub use write::{EVENTS_FILE, ITEMS_FILE, SPEC_FILE, USERS_FILE, write_parquet};

pub(crate) use foretaste_core::time::DAY_MS;

/// What to generate. Equal specs give equal data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Spec {
    /// Number of users.
    pub users: u32,
    /// Number of items.
    pub items: u32,
    /// Number of events of all kinds together, exact.
    pub events: u64,
    /// Everything random follows from it.
    pub seed: u64,
    /// Length of the window in days.
    pub days: u16,
    /// Midnight (UTC) after the last day, in ms; rounded down to a whole day.
    pub end_ms: TimeMs,
}

impl Default for Spec {
    fn default() -> Self {
        let end_ms = 20_605 * DAY_MS; // 2026-06-01
        Self { users: 20_000, items: 5_000, events: 1_000_000, seed: 42, days: 90, end_ms }
    }
}

impl Spec {
    /// Refuses what cannot be generated within bounded memory, or makes no sense.
    ///
    /// # Errors
    /// `Invalid`, naming the field and its bounds.
    pub fn check(&self) -> Result<()> {
        let refuse = |what: &str| Err(Error::invalid(format!("cannot generate: {what}")));
        match self {
            Self { users: 0 | 10_000_001.., .. } => refuse("users must be 1 to 10,000,000"),
            Self { items: 0 | 1_000_001.., .. } => refuse("items must be 1 to 1,000,000"),
            Self { days: 0 | 3_661.., .. } => refuse("days must be 1 to 3,660"),
            _ if self.events / u64::from(self.days) > MAX_EVENTS_A_DAY => {
                refuse("more than 4,000,000 events a day; spread them over more days")
            }
            _ if self.start_ms() <= 0 => refuse("the window must begin after 1970"),
            _ => Ok(()),
        }
    }

    /// Midnight (UTC) at which the first day begins.
    pub fn start_ms(&self) -> TimeMs {
        (self.end_ms.div_euclid(DAY_MS) - TimeMs::from(self.days)) * DAY_MS
    }
}

/// One day is in memory at a time, at about 32 bytes an event.
const MAX_EVENTS_A_DAY: u64 = 4_000_000;
