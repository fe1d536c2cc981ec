//! Bulk imports: straight into segments of the lake, beside the log.

use foretaste_core::{EventBatch, Result};
use foretaste_lake::{CommitNote, FinishedSegment, Lake, SegmentWriter, SourceMeta};

use super::{EmbeddedStore, Writer, lock};
use crate::memory::imported_before;
use crate::store::{BulkOutcome, BulkWriter, Source};
use crate::validate;

impl EmbeddedStore {
    pub(super) fn start_bulk(&self, source: &Source) -> Result<Box<dyn BulkWriter + '_>> {
        let writer = self.writer()?;
        if self.lake.has_source(&source.digest)? {
            return Err(imported_before(source));
        }
        let segments = Segments::new(&self.lake, self.options.segment_rows);
        Ok(Box::new(EmbeddedBulk { store: self, writer, source: source.clone(), segments }))
    }
}

struct EmbeddedBulk<'a> {
    store: &'a EmbeddedStore,
    writer: &'a Writer,
    source: Source,
    segments: Segments<'a>,
}

impl BulkWriter for EmbeddedBulk<'_> {
    fn write(&mut self, batch: &EventBatch) -> Result<()> {
        let mut kinds = lock(&self.writer.kinds);
        batch.kinds.iter().try_for_each(|kind| validate::kind(&mut kinds, kind))?;
        drop(kinds);
        self.segments.write(batch)
    }

    fn commit(self: Box<Self>) -> Result<BulkOutcome> {
        let finished = self.segments.finish()?;
        let metas = || finished.iter().map(FinishedSegment::meta);
        let outcome = BulkOutcome {
            events: metas().map(|meta| meta.rows).sum(),
            bytes: metas().map(|meta| meta.bytes).sum(),
        };
        let Source { name, digest } = self.source;
        // Held until the commit is done: an erasure comes before it or after it.
        let erasures = self.writer.erasures.read().unwrap_or_else(|e| e.into_inner());
        let note = CommitNote {
            source: Some(SourceMeta { name, digest, rows: outcome.events }),
            erased_through: erasures.last(),
            ..CommitNote::default()
        };
        self.store.lake.commit(finished, note)?;
        Ok(outcome)
    }
}

/// Events cut into segments of a bounded number of rows.
pub(super) struct Segments<'a> {
    lake: &'a Lake,
    rows: u64,
    open: Option<SegmentWriter>,
    finished: Vec<FinishedSegment>,
}

impl<'a> Segments<'a> {
    pub(super) fn new(lake: &'a Lake, rows: u64) -> Self {
        Self { lake, rows, open: None, finished: Vec::new() }
    }

    pub(super) fn write(&mut self, batch: &EventBatch) -> Result<()> {
        let mut open = match self.open.take() {
            Some(open) => open,
            None => self.lake.writer()?,
        };
        open.write(batch)?;
        if open.rows() >= self.rows {
            self.finished.push(open.finish()?);
        } else {
            self.open = Some(open);
        }
        Ok(())
    }

    pub(super) fn finish(mut self) -> Result<Vec<FinishedSegment>> {
        if let Some(open) = self.open {
            self.finished.push(open.finish()?);
        }
        Ok(self.finished)
    }
}
