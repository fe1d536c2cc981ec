//! Features as requests read them: immutable tables on a folder, published where the SQL engine is
//! and read where it is not.
//!
//! ```text
//! online/LOCK                     held by whoever publishes
//! online/SET/CURRENT              which file has the values of a feature set, and of when they are
//! online/SET/<digest>.bin         values, or the last events of users (docs/features.md)
//! ```
//!
//! [`Publisher`] writes, [`Follower`] takes up what was published, [`FeatureReader`] is what a
//! request pins: one call reads all features of a user and of many items. This crate knows no SQL
//! and no network; what time it is its callers say.

mod block;
mod directory;
mod follow;
mod last_events;
mod manifest;
mod moment;
mod plan;
mod publish;
mod reader;
mod table;
mod values;

pub use block::{Block, SetRead};
pub use follow::{Follower, Looked};
pub use last_events::{LastEvent, LastEvents, LastEventsDraft};
pub use manifest::{ColumnHead, ColumnKind, Content, Manifest};
pub use moment::{Catalogue, LiveEvent};
pub use plan::{MOMENT, Plan, PlannedColumn};
pub use publish::{Head, Published, Publisher};
pub use reader::{Asking, FeatureReader, Stale};
pub use table::FeatureTable;
pub use values::{Cell, ValuesDraft};
