//! The Parquet lake of events: immutable segments, a manifest, atomic commits.
//!
//! A segment is a Parquet file whose ids are dictionary-encoded, so that reading interns only the
//! distinct ids of a row group. A commit makes finished segments visible by one rename of the
//! manifest; before that nothing is, after that everything is. One process writes, any number
//! reads. The same encoding serves plain files of events, items and users ([`parquet`]).
//!
//! The crate knows nothing about logs, erasure or models; it carries the marks of the store that
//! uses it ([`Sealed`], `erased_through`) in the manifest because they must change together with
//! the segments.

mod chunk;
mod columns;
mod decode;
pub mod durable;
mod encode;
mod file;
mod group;
mod hybrid;
mod lake;
mod manifest;
mod opened;
pub mod parquet;
mod records;
mod segment;
mod shelf;
mod snapshot;

pub use columns::Columns;
pub use group::GroupWriter;
pub use lake::{CommitNote, Lake, LakeStats};
pub use manifest::{Sealed, SegmentMeta, SourceMeta};
pub use opened::{OpenSegment, SegmentEvents};
pub use segment::{FinishedSegment, SegmentWriter};
pub use shelf::Shelf;
pub use snapshot::LakeSnapshot;
