//! Sealing: events of closed log files become a segment of the lake, in one atomic step; then
//! segments that hold erased events are written anew without them.

use std::collections::BTreeSet;

use foretaste_core::{EventBatch, Result};
use foretaste_lake::{Columns, CommitNote, Sealed, SegmentMeta};

use super::bulk::Segments;
use super::rows::settle_loads;
use super::{EmbeddedStore, Writer, lock};
use crate::catalogue::Erasures;
use crate::log::LogEnd;

/// Events that are turned into columns at a time.
const BATCH_EVENTS: usize = 1 << 20;

impl EmbeddedStore {
    pub(super) fn seal_log(&self) -> Result<()> {
        let writer = self.writer()?;
        let _one_at_a_time = lock(&writer.maintenance);
        {
            let _no_step = lock(&writer.stepping);
            settle_loads(&self.catalogue, &self.lake)?;
        }
        // First the end, then the erasures: one that comes later covers all events before the
        // end and carries a higher number than the segments written here, so that readers leave
        // its events out of them; one that came earlier is among those applied here.
        let end = writer.log.rotate();
        let erasures = writer.erasures.read().unwrap_or_else(|e| e.into_inner()).clone();
        self.move_log(writer, end, &erasures)?;
        self.drop_erased(&erasures)?;
        let seq = self.lake.stats()?.sealed.seq;
        let mut known = writer.erasures.write().unwrap_or_else(|e| e.into_inner());
        self.catalogue.forget_erasures(erasures.last(), seq, &mut known)
    }

    fn move_log(&self, writer: &Writer, end: LogEnd, erasures: &Erasures) -> Result<()> {
        let sealed = self.lake.stats()?.sealed;
        if end.number <= sealed.log_segment {
            return Ok(());
        }
        let mut view = writer.log.view(sealed.log_segment)?;
        view.limit(end);
        let mut segments = Segments::new(&self.lake, self.options.segment_rows);
        let (mut batch, mut last_seq, mut events) = (EventBatch::default(), sealed.seq, 0);
        view.read(0, &mut |seq, event| {
            (last_seq, events) = (seq, events + 1);
            if !erasures.covers(&event, seq) {
                batch.push(&event);
            }
            if batch.len() < BATCH_EVENTS {
                return Ok(());
            }
            segments.write(&std::mem::take(&mut batch))
        })?;
        segments.write(&batch)?;
        let note = CommitNote {
            sealed: Some(Sealed { log_segment: end.number, seq: last_seq }),
            erased_through: erasures.last(),
            ..CommitNote::default()
        };
        self.lake.commit(segments.finish()?, note)?;
        writer.log.remove_through(end.number, events)
    }

    /// Rewrites the segments that hold erased events, one commit each.
    fn drop_erased(&self, erasures: &Erasures) -> Result<()> {
        let snapshot = self.lake.snapshot()?;
        let concerned = |meta: &SegmentMeta| erasures.concern(meta.erased_through);
        let mut affected: BTreeSet<String> = BTreeSet::new();
        snapshot.read(Columns::NoContext, &concerned, &mut |meta, batch| {
            let before = batch.len();
            if erasures.apply(batch, meta.erased_through).len() < before {
                affected.insert(meta.file.clone());
            }
            Ok(())
        })?;
        let clean = snapshot.segments().filter(|m| concerned(m) && !affected.contains(&m.file));
        let note = CommitNote {
            erased_through: erasures.last(),
            cleared: clean.map(|meta| meta.file.clone()).collect(),
            ..CommitNote::default()
        };
        if !note.cleared.is_empty() {
            self.lake.commit(Vec::new(), note)?;
        }
        affected.into_iter().try_for_each(|file| {
            let mut segments = Segments::new(&self.lake, u64::MAX);
            let this = |meta: &SegmentMeta| meta.file == file;
            snapshot.read(Columns::All, &this, &mut |meta, batch| {
                segments.write(&erasures.apply(batch, meta.erased_through))
            })?;
            let note = CommitNote {
                erased_through: erasures.last(),
                replaces: vec![file.clone()],
                ..CommitNote::default()
            };
            self.lake.commit(segments.finish()?, note)
        })
    }
}
