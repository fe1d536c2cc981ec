//! Plain Parquet files of events, items and users: what `foretaste generate` writes and
//! `foretaste import` reads. Segments of the lake use the same encoding with stored keys.

use std::fmt;
use std::io::Write;
use std::path::{Path, PathBuf};

use ::parquet::arrow::ArrowWriter;
use arrow_array::RecordBatch;
use foretaste_core::{Error, EventBatch, Result};

use crate::columns::{Columns, Keys, event_schema};
use crate::encode::{Encoder, GROUP_ROWS, properties};
use crate::file::ParquetFile;
pub use crate::records::{read_items, read_users, write_items, write_users};

/// Events as an Arrow batch, with the columns of [`EventWriter`].
///
/// # Errors
/// `Internal` when the columns of `batch` disagree.
pub fn event_record(batch: &EventBatch) -> Result<RecordBatch> {
    Encoder::new(batch, Keys::Derived).slice(0, batch.len())
}

/// Streams events into one Parquet file; memory is bounded by one encoded row group.
///
/// The file holds `user_id, item_id, kind, value, time_ms, session, scene, position, request_id`.
/// It does not hold ids of events: readers identify an event by its content.
pub struct EventWriter {
    inner: EncodedWriter<fs_err::File>,
}

impl EventWriter {
    /// Creates the file, or empties it.
    pub fn create(path: &Path) -> Result<Self> {
        let file = fs_err::File::create(path)?;
        Ok(Self { inner: EncodedWriter::new(path, file, Keys::Derived)? })
    }

    /// Adds the events of `batch`.
    pub fn write(&mut self, batch: &EventBatch) -> Result<()> {
        self.inner.write(batch)
    }

    /// Completes the file, waits until it is on disk and returns its number of events.
    pub fn finish(self) -> Result<u64> {
        let (file, rows) = self.inner.finish()?;
        file.sync_all()?;
        Ok(rows)
    }
}

impl fmt::Debug for EventWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventWriter").field("path", &self.inner.path).finish_non_exhaustive()
    }
}

/// Reads the events of a file row group by row group.
///
/// # Errors
/// `NotFound`, `Corrupt` naming the file, and what `sink` returns.
pub fn read_events(
    path: &Path,
    columns: Columns,
    sink: &mut dyn FnMut(EventBatch) -> Result<()>,
) -> Result<()> {
    let file = ParquetFile::open(path)?;
    (0..file.groups()).try_for_each(|group| sink(file.events(group, columns)?))
}

/// Events into any writer, for plain files and for segments.
pub(crate) struct EncodedWriter<W: Write + Send> {
    path: PathBuf,
    writer: ArrowWriter<W>,
    keys: Keys,
    rows: u64,
}

impl<W: Write + Send> EncodedWriter<W> {
    pub(crate) fn new(path: &Path, sink: W, keys: Keys) -> Result<Self> {
        let writer = ArrowWriter::try_new(sink, event_schema(keys), Some(properties()));
        let writer = writer.map_err(|e| refused(path, e))?;
        Ok(Self { path: path.to_owned(), writer, keys, rows: 0 })
    }

    pub(crate) fn write(&mut self, batch: &EventBatch) -> Result<()> {
        let encoder = Encoder::new(batch, self.keys);
        for from in (0..batch.len()).step_by(GROUP_ROWS) {
            let to = batch.len().min(from + GROUP_ROWS);
            let record = encoder.slice(from, to)?;
            self.writer.write(&record).map_err(|e| refused(&self.path, e))?;
            self.rows += (to - from) as u64;
        }
        Ok(())
    }

    /// The sink and the number of rows.
    pub(crate) fn finish(self) -> Result<(W, u64)> {
        let sink = self.writer.into_inner().map_err(|e| refused(&self.path, e))?;
        Ok((sink, self.rows))
    }
}

/// The error of a write to `path`; keeps the operating system's error where there is one.
pub(crate) fn refused(path: &Path, source: ::parquet::errors::ParquetError) -> Error {
    let text = format!("writing {} failed; check free space and permissions", path.display());
    Error::new(foretaste_core::ErrorKind::Io, text).with_source(source)
}
