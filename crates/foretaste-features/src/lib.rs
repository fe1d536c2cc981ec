//! SQL features over a lake of tables: Parquet on a folder or on S3-compatible storage.
//!
//! A [`Table`] is a set of immutable Parquet files named by a manifest; a commit is the creation of
//! the next manifest, so any number of processes may read and write one lake without a lock.
//!
//! The crate does not know the store (whoever has events hands them in), models or HTTP. It is in
//! the program with the cargo feature `lake` only: its SQL engine is larger than all the rest.

mod build;
mod catalogue;
mod check;
mod definition;
mod engine;
mod failure;
mod history;
pub mod lake;
mod pairs;
mod place;
mod publish;
mod remote;
mod rows;
mod starter;
pub mod table;

pub use build::{Built, Mode, as_of, build};
pub use catalogue::Catalogue;
pub use check::{Checked, check};
pub use definition::{Definition, FeatureColumn};
pub use engine::{Engine, EngineConfig, MERGED_RUNS, register_lake};
pub use foretaste_core::feature::{Class, Entity};
pub use lake::FeatureLake;
pub use pairs::{PairsRequest, pairs};
pub use place::{Keys, Place, PlaceConfig};
pub use publish::{publish_last_events, publish_set};
pub use remote::RemoteExecution;
pub use rows::{Grid, RowsOutcome, RowsRequest, rows};
pub use starter::write_starter;
pub use table::{Table, TableState};
