//! Statements that took long are logged, for whoever looks after the database.

use std::time::Duration;

use foretaste_core::Error;
use tracing::warn;

/// Watches the statements of one connection.
#[derive(Clone, Debug, Default)]
pub(super) struct Watch {
    /// `source/table`.
    table: String,
    /// Statements that take longer are logged; `None`: none is.
    threshold: Option<Duration>,
}

impl Watch {
    /// Logs what takes longer than `threshold_ms`; 0: nothing.
    pub(super) fn new(table: &str, threshold_ms: u32) -> Self {
        let threshold = (threshold_ms > 0).then(|| Duration::from_millis(threshold_ms.into()));
        Self { table: table.to_owned(), threshold }
    }

    /// Looks at a statement that came to its end with so many rows, or failed. Its text holds no
    /// values, which are parameters; the server's message may, so its kind has to do.
    pub(super) fn look(&self, statement: &str, took: Duration, rows: Result<u64, &Error>) {
        if self.threshold.is_none_or(|threshold| took <= threshold) {
            return;
        }
        let (table, ms) = (self.table.as_str(), took.as_millis() as u64);
        match rows {
            Ok(rows) => warn!(table, ms, rows, statement, "a statement was slow"),
            Err(e) => warn!(table, ms, kind = ?e.kind(), statement, "a slow statement failed"),
        }
    }
}
