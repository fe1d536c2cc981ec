//! Databases followed inside the serving process: a thread reads, the server hears of each page.

use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

use anyhow::Result;
use foretaste_ingest::tables::{KeptFigures, Outcome};
use foretaste_serve::{Feed, SourceFigures};
use foretaste_store::{RowChanges, RowOutcome};
use tracing::{debug, info, warn};

use crate::commands::extract::{Extraction, Reading, Stop, Witness};

/// How long the end waits for the page in hand. Leaving it undone loses nothing: the next start
/// reads it again.
const PATIENCE: Duration = Duration::from_secs(5);

/// The thread that follows.
pub struct Following {
    stop: Stop,
    ended: Receiver<()>,
}

impl Following {
    /// Starts reading.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn start(extraction: Extraction, feed: Feed) -> Result<Self> {
        let stop = extraction.stop.clone();
        let (end, ended) = sync_channel(1);
        feed.follows(extraction.tables().iter().map(String::as_str));
        info!(tables = extraction.tables().len(), "following databases");
        std::thread::Builder::new().name("follow".into()).spawn(move || {
            extraction.follow(&Live { feed });
            let _ = end.send(());
        })?;
        Ok(Self { stop, ended })
    }

    /// Asks for the end after the page in hand.
    pub fn ask_to_stop(&self) {
        self.stop.ask();
    }

    /// Waits for the end, not for long.
    pub fn wait(self) {
        self.stop.ask();
        if self.ended.recv_timeout(PATIENCE).is_err() {
            info!("leaving a page of a database unread; the next start reads it again");
        }
    }
}

/// Passes on to the server what was read.
struct Live {
    feed: Feed,
}

impl Witness for Live {
    fn listens(&self) -> bool {
        true
    }

    fn changed(&self, changes: &RowChanges) {
        if let Err(error) = self.feed.changed(changes) {
            warn!(%error, "items may be shown that the database hides; the next bundle hides them");
        }
    }

    fn connections(&self, source: &str, figures: KeptFigures) {
        let KeptFigures { open, used, made, closed } = figures;
        self.feed.connections(source, &SourceFigures { open, used, made, closed });
    }

    fn read(&self, reading: &Reading<'_>) {
        let Reading { table, what, .. } = reading;
        let what = what.name();
        let done = reading.done.as_ref().map(|report| outcome(&report.outcome));
        self.feed.read(table, reading.began, done.map_err(|error| error.kind()));
        match reading.done {
            Ok(report) => {
                if reading.is_news {
                    info!(table, what, "the table is read again");
                }
                if let Some(path) = &report.quarantine {
                    warn!(table, what, path = %path.display(), "rows were rejected");
                }
                if report.unreadable > 0 {
                    warn!(table, rows = report.unreadable, "rows have no watermark or id");
                }
                debug!(table, what, ?report.outcome, "read");
            }
            Err(error) if reading.is_news => warn!(table, what, %error, "cannot be read"),
            Err(error) => debug!(table, what, %error, "still cannot be read"),
        }
    }
}

fn outcome(all: &Outcome) -> RowOutcome {
    let n = |rows: u64| usize::try_from(rows).unwrap_or(usize::MAX);
    RowOutcome {
        added: n(all.added),
        changed: n(all.changed),
        unchanged: n(all.unchanged),
        removed: n(all.removed),
    }
}
