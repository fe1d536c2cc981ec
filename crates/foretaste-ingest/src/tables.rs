//! Tables of a live Postgres, MySQL or MariaDB as sources of events, items and users.
//!
//! A pass reads, in one read-only snapshot, all rows whose watermark column lies between the last
//! watermark less the lookback and the database's own time less the settle time, page by page in
//! the order of (watermark, id). The store leaves alone what it has and keeps the watermark with
//! the rows, so that a pass may be killed and repeated at any moment: at least once, never less.
//! Late commits, unmarked updates and deletes escape every cursor; a reconciliation compares
//! count and checksum of each day (or range of ids) and reads again where they differ.

pub mod advise;
pub mod archive;
mod config;
mod connection;
mod copy;
mod cut;
mod digest;
mod failure;
mod judge;
mod kept;
mod layout;
mod load;
mod moment;
mod open;
mod page;
mod pass;
mod preset;
mod reconcile;
mod records;
mod schema;
mod slow;
mod sql;
mod state;

pub use config::{Condition, Field, Join, Present, Scalar, SourceConfig, TableConfig};
pub use kept::{Kept, KeptFigures};
pub use pass::{Outcome, Preview, Reader, TableReport};
pub use preset::{PresetConfig, PresetOptions};
pub use slow::StatementFigures;
pub use state::TableState;
