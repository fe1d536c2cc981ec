//! The rim of Foretaste: HTTP and gRPC, live state, snapshots, metrics, the page.
//!
//! [`Server::bind`] then [`Server::run`]. A request is parsed, pins one snapshot, has its query
//! prepared from the bundle's history and recent events, is computed on a bounded pool of threads
//! and answered in external ids. Writes are acknowledged when the store says they are durable.
//!
//! This crate knows no SQL, no training and no command line; it reads neither the environment nor
//! a configuration file.

mod answer;
mod apart;
mod app;
mod bundles;
mod config;
mod cpu;
mod external;
mod features;
mod grpc;
mod http;
mod ladder;
mod limit;
mod live;
mod metrics;
mod net;
mod prepare;
mod pressure;
mod ready;
mod replicas;
mod server;
mod snapshots;
mod stages;
mod warm;

pub use answer::{Because, ChannelOpinion, ChannelShare, Explained, Recommended, Slate};
pub use config::{ServeConfig, Timeouts};
pub use external::config::ExternalConfig;
pub use features::{FeaturesConfig, StaleValues};
pub use live::feed::Feed;
pub use metrics::{QualityFigures, SourceFigures};
pub use server::{Addresses, Server};
