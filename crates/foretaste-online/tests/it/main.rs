//! Published tables from the first byte to the last: real files, planted values, damage, crashes.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test may")]

mod damage;
mod moments;
mod publishing;
mod reading;
mod world;
