//! Data quality: what a store holds, measured in one pass, and what is wrong with it.
//!
//! [`Measure`] takes items, users and events as they are read, in any order of events, and ends as
//! a [`Profile`]: small, the same whatever the size of the data. [`check()`] compares a profile
//! with limits, with its own rhythm and with the profile of the last accepted run, and gives a
//! [`Report`]: checks with a verdict each, and a score. Nothing here reads a file, a store or the
//! clock; `docs/data-quality.md` says what is checked and how.

mod check;
mod config;
mod html;
mod measure;
mod profile;
mod report;

pub(crate) use foretaste_core::time::DAY_MS;

pub use check::check;
pub use config::{Bounds, Limit, Limits, MaxAge, QualityConfig, Required};
pub use html::page;
pub use measure::Measure;
pub use profile::{
    Catalogue, DayCounts, Events, Field, Kind, Largest, Numbers, Profile, Skew, Week,
};
pub use report::{Check, Report, Skipped, Unit, Verdict};

/// Milliseconds of an hour.
pub(crate) const HOUR_MS: i64 = 3_600_000;
