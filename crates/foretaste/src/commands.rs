//! One module per command.

pub mod advise;
pub mod archive;
pub mod bundle;
#[cfg(feature = "cluster")]
pub mod cluster;
pub mod config;
pub mod demo;
pub mod evaluate;
pub mod extract;
#[cfg(feature = "lake")]
pub mod features;
pub mod generate;
pub mod import;
pub mod load;
pub mod quality;
pub mod recommend;
pub mod serve;
pub mod similar;
pub mod slate;
pub mod train;
pub mod tune;
