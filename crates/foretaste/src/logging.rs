//! Logs of commands that run for long.

use std::io::{IsTerminal, stderr};

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Logs go to standard error: JSON for machines, else lines. `RUST_LOG` sets the level, for all or
/// by crate: `warn,foretaste_serve=debug`.
pub fn start(json: bool) {
    start_with(json, Targets::new().with_default(LevelFilter::INFO));
}

/// As [`start`], for commands that end: our own warnings alone, where nothing else is said.
pub fn start_warnings(json: bool) {
    start_with(json, Targets::new().with_target("foretaste", LevelFilter::WARN));
}

fn start_with(json: bool, unsaid: Targets) {
    let lines = tracing_subscriber::fmt::layer().with_writer(stderr);
    let lines = lines.with_ansi(stderr().is_terminal());
    let all = tracing_subscriber::registry().with(levels(variable("RUST_LOG").as_deref(), unsaid));
    // Only the first call in a process counts; `demo` may have made it.
    let _ = if json { all.with(lines.json()).try_init() } else { all.with(lines).try_init() };
}

/// What is logged: `unsaid` where nothing is said, or nothing that can be read.
fn levels(said: Option<&str>, unsaid: Targets) -> Targets {
    let said = said.filter(|text| !text.trim().is_empty());
    let levels = said.and_then(|text| text.parse().ok());
    levels.unwrap_or(unsaid)
}

#[allow(clippy::disallowed_methods)] // this is the binary
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracing::Level;

    #[test]
    fn levels_are_those_that_were_asked_for() {
        let unsaid = || Targets::new().with_default(LevelFilter::INFO);
        let shows = |said: Option<&str>, of: &str, level: Level| {
            levels(said, unsaid()).would_enable(of, &level)
        };
        for said in [None, Some(""), Some("foretaste=loud")] {
            assert!(shows(said, "sqlx", Level::INFO) && !shows(said, "sqlx", Level::DEBUG));
        }
        let said = Some("warn,foretaste_serve=debug");
        assert!(shows(said, "foretaste_serve::http", Level::DEBUG));
        assert!(shows(said, "sqlx", Level::WARN) && !shows(said, "sqlx", Level::INFO));
    }
}
