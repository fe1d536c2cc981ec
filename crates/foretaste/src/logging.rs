//! Logs of commands that run for long.

use std::io::{IsTerminal, stderr};

use tracing_subscriber::EnvFilter;

/// Logs go to standard error: JSON for machines, else lines. `RUST_LOG` sets the level.
pub fn start(json: bool) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let colours = stderr().is_terminal();
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colours);
    let builder = builder.with_writer(stderr);
    // Only the first call in a process counts; `demo` may have made it.
    let _ = if json { builder.json().try_init() } else { builder.try_init() };
}
