//! The trainers as a whole: determinism, independence of names, and figures on real data.

mod channels;
mod real;
#[path = "../support/mod.rs"]
mod support;
