//! The seam for whoever writes to the store beside the server, in the same process: what changed
//! there comes into live state here. The server does not know where it came from.

use std::sync::Arc;
use std::time::Instant;

use foretaste_core::{ErrorKind, Result};
use foretaste_store::{RowChanges, RowOutcome};

use crate::app::App;
use crate::metrics::{QualityFigures, SourceFigures};

/// Brings changes of the store into a running server. Calls return when the next answer reflects
/// them, so that a writer can never be ahead of the server by more than one step.
#[derive(Clone)]
pub struct Feed {
    app: Arc<App>,
}

impl Feed {
    pub(crate) fn new(app: &Arc<App>) -> Self {
        Self { app: Arc::clone(app) }
    }

    /// Takes up what has been stored: events count, retracted ones no longer do, items that are
    /// hidden or gone are in no answer.
    ///
    /// # Errors
    /// The store's, when it cannot say whether an item is hidden; all else has been taken up.
    ///
    /// # Cost
    /// As for events over HTTP; with retractions, one look at every recent event.
    pub fn changed(&self, changes: &RowChanges) -> Result<()> {
        self.app.take_changes(changes)
    }

    /// Announces tables, so that their lag shows before the first reading has ended.
    pub fn follows<'a>(&self, tables: impl Iterator<Item = &'a str>) {
        let now = Instant::now();
        tables.for_each(|table| self.app.metrics.extract.follows(table, now));
    }

    /// Shows what the last look at the quality of the data found.
    pub fn quality(&self, figures: &QualityFigures) {
        self.app.metrics.quality.show(figures);
    }

    /// Shows what became of the connections to the database of a source, from the start on.
    pub fn connections(&self, source: &str, figures: &SourceFigures) {
        self.app.metrics.extract.connections(source, figures);
    }

    /// Counts a reading of `table` that began at `began`.
    pub fn read(&self, table: &str, began: Instant, done: Result<RowOutcome, ErrorKind>) {
        match done {
            Ok(outcome) => self.app.metrics.extract.read(table, began, outcome),
            Err(kind) => self.app.metrics.extract.failed(table, kind),
        }
    }
}

impl std::fmt::Debug for Feed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Feed")
    }
}
