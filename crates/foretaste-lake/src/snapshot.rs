//! A fixed state of the lake: every file is open, so that neither a commit nor a removal in this
//! or another process disturbs its reader.

use std::path::Path;
use std::sync::mpsc::{SyncSender, sync_channel};

use foretaste_core::{Error, EventBatch, Result};

use crate::columns::Columns;
use crate::manifest::{Manifest, Sealed, SegmentMeta};
use crate::opened::OpenSegment;

/// All segments of one generation of the lake.
#[derive(Debug)]
pub struct LakeSnapshot {
    sealed: Sealed,
    generation: u64,
    segments: Vec<OpenSegment>,
}

impl LakeSnapshot {
    /// Opens every segment of `manifest`.
    ///
    /// # Errors
    /// `NotFound` when a segment is gone (a writer has replaced it: load the manifest again).
    pub(crate) fn open(dir: &Path, manifest: &Manifest) -> Result<Self> {
        let open = |meta: &SegmentMeta| OpenSegment::open(dir, meta);
        let segments = manifest.segments.iter().map(open).collect::<Result<_>>()?;
        Ok(Self { sealed: manifest.sealed, generation: manifest.generation, segments })
    }

    /// Up to where the log is contained in this state.
    pub fn sealed(&self) -> Sealed {
        self.sealed
    }

    /// The number of this state; grows with every commit.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Its segments, oldest first.
    pub fn segments(&self) -> impl Iterator<Item = &SegmentMeta> {
        self.segments.iter().map(OpenSegment::meta)
    }

    /// Streams the events row group by row group, oldest segment first; `wanted` says which
    /// segments. The next row group is decoded while `sink` works.
    ///
    /// # Errors
    /// `Corrupt` naming the segment whose bytes are not those that were written; what `sink`
    /// returns.
    ///
    /// # Cost
    /// Three row groups of about 30 MB in memory, plus their ids.
    pub fn read(
        &self,
        columns: Columns,
        wanted: &(dyn Fn(&SegmentMeta) -> bool + Sync),
        sink: &mut dyn FnMut(&SegmentMeta, EventBatch) -> Result<()>,
    ) -> Result<()> {
        std::thread::scope(|scope| {
            let (send, receive) = sync_channel(1);
            let decoder = scope.spawn(move || self.decode(columns, wanted, &send));
            for (segment, batch) in receive.iter() {
                sink(self.segments[segment].meta(), batch)?;
            }
            decoder.join().unwrap_or_else(|_| Err(Error::internal("the Parquet decoder panicked")))
        })
    }

    fn decode(
        &self,
        columns: Columns,
        wanted: &(dyn Fn(&SegmentMeta) -> bool + Sync),
        send: &SyncSender<(usize, EventBatch)>,
    ) -> Result<()> {
        for (at, segment) in self.segments.iter().enumerate().filter(|(_, s)| wanted(s.meta())) {
            let file = segment.events()?;
            for group in 0..file.groups() {
                if send.send((at, file.group(group, columns)?)).is_err() {
                    return Ok(()); // The sink has failed and said why.
                }
            }
        }
        Ok(())
    }

    /// Reads every segment and compares its bytes with what was written.
    ///
    /// # Errors
    /// `Corrupt` naming the first segment that differs.
    pub fn verify(&self) -> Result<()> {
        self.segments.iter().try_for_each(OpenSegment::check)
    }
}
