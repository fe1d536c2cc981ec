//! The durable store of events, items and users, behind one trait.
//!
//! [`MemoryStore`] keeps nothing and serves tests. Every implementation of [`Store`] passes the
//! same conformance suite. The crate knows nothing about HTTP, models or the clock.

mod filter;
mod memory;
mod store;
mod validate;

pub use foretaste_lake::Columns;
pub use memory::MemoryStore;
pub use store::{AppendOutcome, BulkOutcome, BulkWriter, Counts, Sink, Source, Store};
