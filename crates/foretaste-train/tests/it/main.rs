//! The trainers as a whole: determinism, independence of names, and figures on real data.

// clippy.toml allows these in test functions only, not in what they call.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod channels;
mod real;
#[path = "../support/mod.rs"]
mod support;
