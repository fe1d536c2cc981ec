//! Whole jobs on planted data: learning, training, replay, recommendations to all, search.

mod jobs;
mod market;
mod replaying;
