//! The program as its users run it: real processes, real files, real sockets.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test may panic, and says why it skips"
)]

mod alerts;
mod bundles;
mod contract;
mod mistakes;
mod program;
mod quality;
#[path = "../it/receiver.rs"]
mod receiver;
mod serving;
