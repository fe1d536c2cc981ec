//! The lake that features are computed from: events by day, items and users as a caller's store
//! has them, and the tables of computed values beside them.

pub(crate) mod catalogue;
mod events;

use foretaste_core::Result;

use crate::place::Place;
use crate::table::{Grain, Partitioning, Table, TableState};

pub use catalogue::Copied;
pub use events::{DayDigests, EventCopy, EventsCopied};

/// Column of times in the table of events.
pub(crate) const TIME: &str = "time_ms";

/// The tables of one lake. Cheap to clone.
#[derive(Clone, Debug)]
pub struct FeatureLake {
    place: Place,
}

impl FeatureLake {
    /// The lake at `place`; nothing is read or written yet.
    pub fn new(place: &Place) -> Self {
        Self { place: place.clone() }
    }

    /// Where it lies.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// A table of this lake.
    ///
    /// # Errors
    /// `Invalid` for a name that no table can have.
    pub fn table(&self, name: &str) -> Result<Table> {
        let by_day = Partitioning { column: TIME.to_owned(), grain: Grain::Day };
        Table::new(&self.place, name, (name == EVENTS).then_some(by_day))
    }

    /// The present state of the three tables that features are computed from.
    ///
    /// # Errors
    /// What the storage says.
    pub async fn inputs(&self) -> Result<Inputs> {
        Ok(Inputs {
            events: self.table(EVENTS)?.state().await?,
            items: self.table(ITEMS)?.state().await?,
            users: self.table(USERS)?.state().await?,
        })
    }
}

pub(crate) const EVENTS: &str = "events";
pub(crate) const ITEMS: &str = "items";
pub(crate) const USERS: &str = "users";

/// A fixed state of what features are computed from.
#[derive(Clone, Debug)]
pub struct Inputs {
    /// Events.
    pub events: TableState,
    /// Items.
    pub items: TableState,
    /// Users.
    pub users: TableState,
}
