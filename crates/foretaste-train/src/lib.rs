//! Trainers: from interactions and catalogue to the models of a bundle.
//!
//! Pure functions of their input, configuration and seed. They use whatever rayon pool the caller
//! has installed and give the same bits on any number of threads: work is cut into chunks that do
//! not depend on the pool, and sums over chunks are taken in order. No file, clock or network.

mod channels;
pub mod config;
pub mod content;
mod dense;
pub mod ease;
mod eigen;
mod gemm;
mod gram;
pub mod ials;
pub mod item_item;
pub mod local_ease;
mod product;
mod rounding;
mod scale;
pub mod segments;
mod small;
pub mod spectral;
pub mod svd;
mod turns;
pub mod user_user;

pub use channels::{TrainInput, fit_channels};
pub use config::{Resolved, TrainConfig};
