//! The lake and features from the command line: real processes and real files.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test may panic, and says why it skips"
)]

#[cfg(feature = "cluster")]
mod cluster;
mod failures;
mod flow;
mod online;
#[allow(dead_code, reason = "the tests of other commands use more of it")]
#[path = "../commands/program.rs"]
mod program;
#[cfg(feature = "cluster")]
#[allow(dead_code, reason = "the tests of the lake itself use more of it")]
#[path = "../../../foretaste-features/tests/it/s3.rs"]
mod s3;

use serde_json::Value;

use program::Place;

/// A time within the generated events, all of which lie before it.
const NOON: &str = "2026-05-31T12:00:00Z";

/// A store with a generated marketplace.
fn marketplace() -> Place {
    let place = Place::new();
    place.run("generate --users 80 --items 30 --events 20000 --output market");
    place.run("import market");
    place
}

/// What a command that must end well prints for machines.
#[track_caller]
fn json(place: &Place, args: &str) -> Value {
    serde_json::from_str(&place.run(&format!("--json {args}"))).unwrap()
}
