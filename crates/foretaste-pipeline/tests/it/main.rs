//! Requests against planted bundles that were really written and opened.

mod allocations;
mod explaining;
mod fallbacks;
mod lists;
mod merging;
mod planted;
mod properties;
mod reasons;
mod scenes;
mod stopping;
