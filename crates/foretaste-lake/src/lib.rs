//! The Parquet lake of events: segments, manifest, atomic commits.

mod columns;

pub use columns::Columns;
