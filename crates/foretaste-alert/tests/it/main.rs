//! Delivery to real receivers: an HTTP server that fails in many ways, and Alertmanager.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test may panic, and say why it skips"
)]

mod manager;
mod receiver;
mod webhook;

use std::collections::BTreeMap;
use std::time::Duration;

use foretaste_alert::{Alert, Notice, Patience, Severity};

const PATIENCE: Patience =
    Patience { attempt: Duration::from_millis(500), all: Duration::from_secs(5) };

fn notice(check: &str, since_ms: i64) -> Notice {
    let alert = Alert {
        name: "ForetasteDataQuality".to_owned(),
        labels: BTreeMap::from([("check".to_owned(), check.to_owned())]),
        severity: Severity::Critical,
        summary: format!("{check} fails"),
        description: "look at it".to_owned(),
    };
    Notice { alert, since_ms, ended_ms: None }
}
