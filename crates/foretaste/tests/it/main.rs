//! The program as a user meets it: processes, files, real databases, HTTP.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a test may panic, say why it skips, and read its own settings"
)]

mod advise;
mod archive;
mod archive_rows;
mod disk;
mod follow;
mod program;
mod receiver;
#[allow(dead_code, reason = "the tests of extraction use more of it")]
#[path = "../../../foretaste-ingest/tests/tables/servers.rs"]
mod servers;
mod stores;
mod tutorials;
