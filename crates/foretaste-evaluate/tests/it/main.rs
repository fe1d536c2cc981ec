//! Whole jobs on planted data: learning, training, replay, recommendations to all, search.
#![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

mod jobs;
mod market;
mod replaying;
