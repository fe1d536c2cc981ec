//! Whole bundles: written, opened, damaged, killed while being written.
#![allow(clippy::unwrap_used)] // in a test a panic is the message
#![allow(clippy::needless_range_loop)] // naive references read like their formulas

mod budgets;
mod channels;
mod damage;
mod fixture;
mod graphs;
mod packing;
mod planted;
mod registry;
mod whole;
