//! The way back: events of the archive into the table.

use foretaste_core::{EventBatch, Progress, Result};
use foretaste_lake::Columns;

use super::{ArchiveOptions, Archiving, moved};
use crate::server::ServerStore;
use crate::server::append::{insert, row_keyed};
use crate::server::partitions::{self, month_of};
use crate::server::sql::Changing;
use crate::server::warm::{Place, Segment, Stage, place};

impl ServerStore {
    /// Puts the events of the archive back into the tables, some at a time, and removes the files.
    /// Says how many.
    ///
    /// # Errors
    /// As [`ServerStore::archive`].
    pub fn archive_restore(
        &self,
        options: &ArchiveOptions,
        progress: &dyn Progress,
    ) -> Result<u64> {
        self.database.wait(async {
            let mut run = Archiving::begin(self, options, progress).await?;
            run.rewrite_all().await?;
            let mut restored = 0;
            for segment in run.segments().await? {
                restored += run.restore(segment).await?;
            }
            run.rewrite_all().await?;
            Ok(restored)
        })
    }
}

impl Archiving<'_> {
    /// From the last event to the first one, so that what is still in the archive ends at a place.
    async fn restore(&mut self, mut segment: Segment) -> Result<u64> {
        let events = self.file(&segment)?.events()?;
        partitions::make(self.database, vec![month_of(segment.range.start)]).await?;
        self.progress.start("restoring", Some(segment.moved), "events");
        let mut restored = 0;
        for group in (0..events.groups()).rev() {
            let batch = events.group(group, Columns::All)?;
            let moved = |&i: &usize| segment.through.is_some_and(|t| place(&batch, i) <= t);
            let mut end = (0..batch.len()).filter(moved).count();
            while end > 0 {
                let start = end.saturating_sub(self.options.delete_rows);
                segment.stage = Stage::Copied;
                segment.moved = segment.moved.saturating_sub((end - start) as u64);
                segment.through = Some(before(place(&batch, start)));
                let step = async |changing: &mut Changing<'_>| {
                    self.own(changing).await?;
                    step(changing, &segment, &batch, start..end).await
                };
                let Some(some) = self.paced(step).await? else { return Ok(restored) };
                restored += some;
                self.progress.advance((end - start) as u64);
                end = start;
            }
        }
        self.progress.finish();
        segment.meta = None;
        self.list(&segment, &[]).await?;
        Ok(restored)
    }
}

/// The last place before `place`.
fn before((time, key): Place) -> Place {
    match key.checked_sub(1) {
        Some(key) => (time, key),
        None => (time - 1, i64::MAX),
    }
}

/// Moves the place of `segment`, and puts the events behind it back that have not been erased.
/// `None` when there is no such segment any more.
async fn step(
    changing: &mut Changing<'_>,
    segment: &Segment,
    batch: &EventBatch,
    range: std::ops::Range<usize>,
) -> Result<Option<u64>> {
    let Some(living) = moved(changing, segment, (batch, range)).await? else { return Ok(None) };
    let rows = living.into_iter().map(|i| row_keyed(&batch.get(i), batch.key[i], None));
    let rows: Vec<_> = rows.collect();
    let n = rows.len() as u64;
    insert(changing, rows).await?;
    Ok(Some(n))
}
