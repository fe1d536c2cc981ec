//! The gRPC contract of Foretaste: `proto/foretaste/v1/foretaste.proto`, and the messages, the
//! server's trait and the client that follow from it.
//!
//! The code is made by `cargo run -p foretaste-proto --example generate` and committed, so that a
//! build needs neither protoc nor the crates that do without it; a test checks that it is what the
//! proto file says.

/// Version 1.
#[allow(
    missing_docs,
    clippy::all,
    clippy::unwrap_used,
    clippy::too_many_lines,
    reason = "generated"
)]
pub mod v1 {
    include!("../proto/foretaste.v1.rs");

    /// The contract as text, for whoever checks that nothing of it was forgotten.
    pub const PROTO: &str = include_str!("../proto/foretaste/v1/foretaste.proto");
}
