//! The bundle: an immutable folder of files that training writes and serving reads, and the
//! inference on what is inside. It is the only contract between offline and online.
//!
//! [`write`] makes a bundle from [`BundleContents`], byte for byte the same for the same contents;
//! [`activate`] points `CURRENT` at it; [`Bundle::open`] verifies every byte, index and float
//! before it returns. A [`LoadedChannel`] answers requests: `prepare` with a list of items, then
//! `search`, `score`, `contributions`. The format is described in `docs/bundle-format.md`.
//!
//! This crate does not train, does not know the network and does not read the clock.

#[cfg(target_endian = "big")]
compile_error!("bundles are little-endian and read in place: this target is not supported");

mod contents;

pub use contents::{
    BundleContents, Channel, ChannelModel, IalsModel, ItemItem, LowRank, ManifestHead, Popularity,
    Segment, UserUser,
};
