//! Generated data of several seeds and sizes: clean data raise nothing, every fault that is put in
//! is found in one pass and named.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod clean;
mod faults;
mod world;
