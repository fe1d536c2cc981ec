//! The program as its users run it: real processes, real files, real sockets.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod alerts;
mod contract;
mod mistakes;
mod program;
mod quality;
mod serving;
