//! SQL features on a Ballista cluster: one scheduler, any number of executors, and their client.
//!
//! A program plans a query as it always does (`foretaste-features`); the plan goes to the
//! scheduler, which divides it into stages for the executors, and the rows come back from these.
//! All three are this program, so versions and functions are the same everywhere, and whoever finds
//! another version says so before any plan is sent.
//!
//! Executors read the files of the lake themselves: each is started for one lake. There is neither
//! encryption nor a password between the parts: they belong into one private network.

mod address;
mod client;
mod executor;
mod failure;
mod folder;
mod journal;
mod plan;
mod scheduler;

pub use address::Address;
pub use client::Cluster;
pub use executor::{ExecutorOptions, execute_tasks};
pub use journal::keep_journal;
pub use scheduler::{SchedulerOptions, schedule};
