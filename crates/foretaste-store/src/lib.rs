//! The durable store of events, items and users, behind one trait.
//!
//! [`EmbeddedStore`] is the default: a folder with an event log (acknowledged events survive a
//! crash), Parquet segments (bulk imports and sealed events) and an SQLite catalogue.
//! [`ServerStore`] keeps all in tables of a PostgreSQL, MySQL or MariaDB server, which many
//! processes may share. [`MemoryStore`] keeps nothing and serves tests. All pass one conformance
//! suite (`tests/it/conformance.rs`), as every further implementation must. [`load()`] turns a
//! store into the one sorted batch of events that training reads. The crate knows nothing about
//! HTTP, models or the clock.

mod catalogue;
mod embedded;
mod filter;
mod load;
mod lock;
mod log;
mod memory;
mod rows;
mod server;
mod store;
mod validate;

pub use embedded::{EmbeddedOptions, EmbeddedStore};
pub use foretaste_lake::Columns;
pub use load::{load, load_watched};
pub use memory::MemoryStore;
pub use rows::{
    Record, Row, RowBucket, RowChanges, RowLoad, RowOutcome, RowStep, RowStore, Texts, UNDATED,
};
pub use server::{
    ArchiveMonth, ArchiveOptions, ArchiveReport, ArchiveStatus, PoolFigures, ReadFigures,
    ServerOptions, ServerStore,
};
pub use store::{AppendOutcome, BulkOutcome, BulkWriter, Counts, Sink, Source, Store};
