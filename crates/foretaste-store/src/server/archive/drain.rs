//! Deleting from the table what is in the archive, some events at a time.

use std::time::Instant;

use foretaste_core::{EventBatch, Result};
use foretaste_lake::Columns;

use super::{Archiving, is_passing, moved, pause};
use crate::server::rows::drop_events;
use crate::server::sql::Changing;
use crate::server::warm::{Place, Segment, Stage, place};

/// How often a transaction is tried anew when the server breaks it off.
const TRIES: usize = 3;

impl Archiving<'_> {
    /// Deletes all that is in listed segments and not deleted yet.
    pub(super) async fn drain_all(&mut self) -> Result<()> {
        let waiting = self.segments().await?.into_iter().filter(|s| s.stage == Stage::Copied);
        for segment in waiting.collect::<Vec<_>>() {
            self.drain(segment).await?;
        }
        Ok(())
    }

    async fn drain(&mut self, mut segment: Segment) -> Result<()> {
        let events = self.file(&segment)?.events()?;
        let rows = segment.meta.as_ref().map_or(0, |meta| meta.rows);
        self.progress.start("deleting", Some(rows - segment.moved.min(rows)), "events");
        for group in 0..events.groups() {
            let batch = events.group(group, Columns::NoContext)?;
            let is_last = group + 1 == events.groups();
            let mut at = match segment.through {
                Some(through) => {
                    (0..batch.len()).take_while(|&i| place(&batch, i) <= through).count()
                }
                None => 0,
            };
            while at < batch.len() {
                let end = batch.len().min(at + self.options.delete_rows);
                let mut next = segment.clone();
                next.moved += (end - at) as u64;
                next.through = Some(place(&batch, end - 1));
                if is_last && end == batch.len() {
                    next.stage = Stage::Moved;
                }
                let step = async |changing: &mut Changing<'_>| {
                    self.own(changing).await?;
                    step(changing, &next, &batch, at..end).await
                };
                let Some(deleted) = self.paced(step).await? else {
                    // Retention has dropped the segment.
                    self.progress.finish();
                    return Ok(());
                };
                self.report.deleted += deleted;
                self.progress.advance((end - at) as u64);
                (segment, at) = (next, end);
            }
        }
        self.progress.finish();
        Ok(())
    }

    /// Does a transaction, again where the server breaks it off, and leaves the server to others
    /// for as long as it took.
    pub(super) async fn paced<T>(
        &self,
        work: impl AsyncFn(&mut Changing<'_>) -> Result<T>,
    ) -> Result<T> {
        let mut tries = 1;
        loop {
            let begun = Instant::now();
            let done = self.database.transaction(&work).await;
            tokio::time::sleep(pause(begun.elapsed())).await;
            match done {
                Err(e) if is_passing(&e) && tries < TRIES => tries += 1,
                done => return done,
            }
        }
    }
}

/// Moves the place up to which `segment` counts, and deletes the events before it that are in it.
/// What has been erased there may have been stored anew here, so it stays. `None` when there is no
/// such segment any more.
async fn step(
    changing: &mut Changing<'_>,
    segment: &Segment,
    batch: &EventBatch,
    range: std::ops::Range<usize>,
) -> Result<Option<u64>> {
    let Some(living) = moved(changing, segment, (batch, range)).await? else { return Ok(None) };
    let places: Vec<Place> = living.into_iter().map(|i| place(batch, i)).collect();
    drop_events(changing, &places).await.map(Some)
}
