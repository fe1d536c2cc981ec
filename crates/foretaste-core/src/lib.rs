//! The vocabulary of Foretaste: events, catalogue records, id tables, sparse and dense matrices,
//! quality metrics, error kinds, limits, escaped text and planted test data.
//!
//! Everything here is pure: no file, no socket, no clock, no thread. The other crates agree with
//! each other only through these types (and, for offline to online, through the bundle).

pub mod bits;
pub mod catalogue;
pub mod dense;
pub mod error;
pub mod event;
pub mod feature;
pub mod ids;
pub mod interactions;
pub mod limits;
pub mod markup;
pub mod metrics;
pub mod moment;
pub mod planted;
pub mod progress;
pub mod rng;
pub mod sparse;
pub mod time;
pub mod topk;
pub mod weights;

pub use bits::BitSet;
pub use catalogue::{Item, User};
pub use dense::Matrix;
pub use error::{Error, ErrorKind, Result};
pub use event::{Event, EventBatch, EventContext};
pub use ids::IdTable;
pub use interactions::{Interactions, KindSets};
pub use limits::Limits;
pub use progress::{NoProgress, Progress};
pub use rng::Rng;
pub use sparse::{Csr, CsrView};
pub use weights::EventWeights;

/// Dense index of an item: a row number inside one snapshot, meaningless outside it.
pub type ItemIdx = u32;
/// Dense index of a user: a row number inside one snapshot, meaningless outside it.
pub type UserIdx = u32;
/// Milliseconds since the Unix epoch, wall clock. 0 means that the time is not known.
pub type TimeMs = i64;
