//! The lake and its features as callers meet them: on a folder and on an S3 server of their own.
#![allow(clippy::unwrap_used, reason = "a test may panic")]
#![allow(clippy::disallowed_methods, reason = "a test looks at files")]

mod building;
mod copying;
mod market;
mod online;
mod pairs;
mod past;
mod places;
mod queries;
mod s3;
mod starter;
mod tables;
