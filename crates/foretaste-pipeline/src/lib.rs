//! The request as data: recall, merge, filter, diversify, explain.
//!
//! A request is a pure function of a [`Snapshot`], a [`Scene`] and a [`Query`]; the scratch only
//! saves allocations. No clock, no lock, no file, no global: the caller brings all of it in the
//! query and takes the [`Outcome`] away. [`run()`] reads top-down; every stage is one module.

pub mod batch;
pub mod channel_scores;
pub mod diversify;
pub mod explain;
pub mod filter;
pub mod listing;
pub mod outcome;
pub mod query;
pub mod reasons;
pub mod recall;
pub mod scene;
pub mod snapshot;

mod candidates;
mod executor;
mod fallback;
mod fill;
mod likeness;
mod mask;
mod merge;
mod plan;
mod respond;
mod run;
mod shape;
mod similar;
mod stop;
mod tables;

pub use batch::Batch;
pub use channel_scores::{ChannelColumn, ChannelScores, channel_scores};
pub use executor::Executor;
pub use explain::{ChannelExplanation, Explanation, explain};
pub use filter::{AttributeIs, FilterExpr, PriceRange};
pub use foretaste_bundle::Stop;
pub use listing::{Listing, listing};
pub use outcome::{
    BuiltIn, ChannelId, Degraded, Fallback, FilterKind, Outcome, ReasonNote, SlateItem, StageWork,
};
pub use query::{External, HistoryEntry, Query, Said};
pub use run::{Scratch, run};
pub use scene::{ChannelConfig, FilterConfig, Merge, Scene, SceneConfig, Scenes};
pub use similar::similar;
pub use snapshot::{Snapshot, TrendWindow, Trends};
