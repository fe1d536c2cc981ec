//! Writing a segment: a temporary file that becomes part of the lake by a commit, or vanishes.

use std::collections::BTreeSet;
use std::fmt;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use foretaste_core::{EventBatch, Result, TimeMs};

use crate::columns::Keys;
use crate::group::GroupWriter;
use crate::manifest::SegmentMeta;
use crate::parquet::{EncodedWriter, refused};

/// Ending of a segment that is not committed.
pub(crate) const TEMPORARY: &str = "tmp";

/// Streams events into a segment that nobody sees before its commit. Memory is bounded by one
/// encoded row group.
pub struct SegmentWriter {
    file: Temporary,
    writer: EncodedWriter<Hashing>,
    kinds: BTreeSet<String>,
    times: Option<(TimeMs, TimeMs)>,
    rows: u64,
}

impl SegmentWriter {
    pub(crate) fn create(path: PathBuf) -> Result<Self> {
        let file = Temporary { path: path.with_extension(TEMPORARY), keep: false };
        let sink = Hashing::new(fs_err::File::create(&file.path)?);
        let writer = EncodedWriter::new(&path, sink, Keys::Stored)?;
        Ok(Self { file, writer, kinds: BTreeSet::new(), times: None, rows: 0 })
    }

    /// Writes the events of `batch`, which should be one row group, as a segment.
    pub(crate) fn at_once(
        path: PathBuf,
        batch: &EventBatch,
        group: &mut GroupWriter,
    ) -> Result<FinishedSegment> {
        let file = Temporary { path: path.with_extension(TEMPORARY), keep: false };
        let sink = Hashing::new(fs_err::File::create(&file.path)?);
        let sink = group.write(sink, batch).map_err(|e| refused(&path, e))?;
        let kinds = batch.kinds.iter().map(str::to_owned).collect();
        finished(file, sink, (batch.len() as u64, kinds, batch.time_range()))
    }

    /// Adds the events of `batch`.
    pub fn write(&mut self, batch: &EventBatch) -> Result<()> {
        self.writer.write(batch)?;
        self.rows += batch.len() as u64;
        for kind in batch.kinds.iter().filter(|_| !batch.is_empty()) {
            if !self.kinds.contains(kind) {
                self.kinds.insert(kind.to_owned());
            }
        }
        if let Some((low, high)) = batch.time_range() {
            let (first, last) = self.times.unwrap_or((low, high));
            self.times = Some((first.min(low), last.max(high)));
        }
        Ok(())
    }

    /// Events written so far.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Completes the file and waits until it is on disk. It becomes visible by
    /// [`crate::Lake::commit`] and is removed if that never happens.
    pub fn finish(self) -> Result<FinishedSegment> {
        let (sink, rows) = self.writer.finish()?;
        finished(self.file, sink, (rows, self.kinds, self.times))
    }
}

/// Waits until a file is on disk.
fn finished(
    temporary: Temporary,
    mut sink: Hashing,
    (rows, kinds, time_range): (u64, BTreeSet<String>, Option<(TimeMs, TimeMs)>),
) -> Result<FinishedSegment> {
    sink.file.flush()?;
    let file = sink.file.into_inner().map_err(io::IntoInnerError::into_error)?;
    file.sync_all()?;
    let meta = SegmentMeta {
        file: final_name(&temporary.path),
        rows,
        bytes: sink.bytes,
        blake3: sink.hasher.finalize().to_hex().to_string(),
        time_range,
        kinds: kinds.into_iter().collect(),
        erased_through: 0,
    };
    Ok(FinishedSegment { file: temporary, meta })
}

impl fmt::Debug for SegmentWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SegmentWriter").field("rows", &self.rows).finish_non_exhaustive()
    }
}

/// A segment on disk that waits for its commit.
#[derive(Debug)]
pub struct FinishedSegment {
    file: Temporary,
    meta: SegmentMeta,
}

impl FinishedSegment {
    /// What the manifest will say about it.
    pub fn meta(&self) -> &SegmentMeta {
        &self.meta
    }

    /// Gives the file its final name. Only the manifest makes it part of the lake.
    pub(crate) fn publish(mut self, erased_through: u64) -> Result<SegmentMeta> {
        let path = self.file.path.with_file_name(&self.meta.file);
        fs_err::rename(&self.file.path, path)?;
        self.file.keep = true;
        Ok(SegmentMeta { erased_through, ..self.meta.clone() })
    }
}

fn final_name(temporary: &Path) -> String {
    let path = temporary.with_extension(EXTENSION);
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Ending of a committed segment.
pub(crate) const EXTENSION: &str = "parquet";

/// A file that is removed when it is dropped.
#[derive(Debug)]
struct Temporary {
    path: PathBuf,
    keep: bool,
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.keep {
            // A file that stays is an orphan; the next writer to open the lake removes it.
            let _ = fs_err::remove_file(&self.path);
        }
    }
}

/// Hashes what it writes.
struct Hashing {
    file: BufWriter<fs_err::File>,
    hasher: blake3::Hasher,
    bytes: u64,
}

impl Hashing {
    fn new(file: fs_err::File) -> Self {
        let file = BufWriter::with_capacity(1 << 20, file);
        Self { file, hasher: blake3::Hasher::new(), bytes: 0 }
    }
}

impl Write for Hashing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = self.file.write(bytes)?;
        self.hasher.update(&bytes[..n]);
        self.bytes += n as u64;
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
