//! The bundle: the immutable output of one training run, and inference on it.
//!
//! A bundle is a folder of files ([`write()`]), opened by mmap and checked completely before use
//! ([`Bundle::open`]), made current by swapping one pointer ([`activate`]). It is the only contract
//! between offline and online. Nothing here trains, and nothing here knows a network.
//!
//! ```text
//! bundles/CURRENT            id of the bundle in service
//! bundles/PREVIOUS           id of the one before, for rollback
//! bundles/<id>/manifest.json what it is; size and BLAKE3 of every file
//! bundles/<id>/*.bin         one file per structure (docs/bundle-format.md)
//! ```

mod channel;
mod contents;
mod format;
mod histories;
mod items;
pub mod kernels;
mod kinds;
mod manifest;
mod mmap;
mod packed;
mod packing;
mod popularity;
mod reader;
mod registry;
mod rounding;
mod text;
mod writer;

pub use channel::{
    Asking, ChannelScratch, Ended, GraphChoice, GraphConfig, LoadedChannel, ManyScratch, Meter,
    PackedChannel, PanelledChannel, Scan, Stop, Summing, VectorIndex,
};
pub use contents::{
    BundleContents, Channel, ChannelModel, IalsModel, ItemItem, LowRank, ManifestHead, Popularity,
    Segment, UserUser,
};
pub use format::{
    Column, Element, FORMAT_VERSION, FileKind, SectionReader, SectionWriter, read_only,
};
pub use histories::Histories;
pub use items::ItemTable;
pub use manifest::{ChannelEntry, Counts, FileEntry, Manifest};
pub use mmap::MappedFile;
pub use packing::{Form, bytes_on_disk, reform};
pub use popularity::PopularityView;
pub use reader::Bundle;
pub use registry::{BundleId, activate, current, list, previous, rollback, sync_folder};
pub use text::{FoundAt, IdIndex, TextColumn, Vocabulary};
pub use writer::{write, write_watched};
