//! One Parquet file of events, opened once and read row group by row group from any thread.

use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ::parquet::arrow::ProjectionMask;
use ::parquet::arrow::arrow_reader::{ArrowReaderMetadata, ParquetRecordBatchReaderBuilder};
use ::parquet::errors::{ParquetError, Result as ParquetResult};
use ::parquet::file::reader::{ChunkReader, Length};
use arrow_array::RecordBatch;
use bytes::Bytes;
use foretaste_core::{Error, EventBatch, Result};

use crate::columns::{CONTEXT, Columns};
use crate::decode;

/// A file read by position, so that threads share one handle.
#[derive(Clone, Debug)]
pub(crate) struct SharedFile {
    file: Arc<fs_err::File>,
    len: u64,
}

impl SharedFile {
    /// Opens `path` for reading.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let file = fs_err::File::open(path)?;
        let len = file.metadata()?.len();
        Ok(Self { file: Arc::new(file), len })
    }

    /// Reads from the beginning.
    pub(crate) fn reader(&self) -> Cursor {
        Cursor { file: self.clone(), at: 0 }
    }

    /// Length in bytes at the time of opening.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }
}

/// Reads a shared file from a position of its own.
#[derive(Debug)]
pub(crate) struct Cursor {
    file: SharedFile,
    at: u64,
}

impl Read for Cursor {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let n = self.file.file.file().read_at(into, self.at)?;
        self.at += n as u64;
        Ok(n)
    }
}

impl Length for SharedFile {
    fn len(&self) -> u64 {
        self.len
    }
}

impl ChunkReader for SharedFile {
    type T = io::BufReader<Cursor>;

    fn get_read(&self, start: u64) -> ParquetResult<Self::T> {
        Ok(io::BufReader::new(Cursor { file: self.clone(), at: start }))
    }

    fn get_bytes(&self, start: u64, length: usize) -> ParquetResult<Bytes> {
        if start.saturating_add(length as u64) > self.len {
            return Err(ParquetError::EOF("a column ends beyond the file".to_owned()));
        }
        let mut buffer = vec![0; length];
        self.file.file().read_exact_at(&mut buffer, start)?;
        Ok(buffer.into())
    }
}

/// A Parquet file with its metadata.
#[derive(Clone, Debug)]
pub(crate) struct ParquetFile {
    path: PathBuf,
    file: SharedFile,
    metadata: ArrowReaderMetadata,
}

impl ParquetFile {
    /// Opens a file and reads its footer.
    ///
    /// # Errors
    /// `Corrupt` naming the file when it is not Parquet, `NotFound`, `Io`.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        Self::from_shared(path, SharedFile::open(path)?)
    }

    /// The same on a file that is already open.
    pub(crate) fn from_shared(path: &Path, file: SharedFile) -> Result<Self> {
        let metadata = ArrowReaderMetadata::load(&file, Default::default());
        let metadata = metadata.map_err(|e| corrupt(path, e))?;
        Ok(Self { path: path.to_owned(), file, metadata })
    }

    /// Number of row groups.
    pub(crate) fn groups(&self) -> usize {
        self.metadata.metadata().num_row_groups()
    }

    /// The events of row group `group`.
    ///
    /// # Errors
    /// `Corrupt` naming the file.
    pub(crate) fn events(&self, group: usize, columns: Columns) -> Result<EventBatch> {
        let skip: &[&str] = if columns == Columns::NoContext { &CONTEXT } else { &[] };
        let record = self.record(group, skip)?;
        let Some(record) = record else { return Ok(EventBatch::default()) };
        decode::events(&record, columns).map_err(|e| e.context(self.path.display()))
    }

    /// A row group as one Arrow batch without the columns `skip`; `None` when it is empty.
    pub(crate) fn record(&self, group: usize, skip: &[&str]) -> Result<Option<RecordBatch>> {
        let rows = self.metadata.metadata().row_group(group).num_rows().max(1) as usize;
        let schema = self.metadata.parquet_schema();
        let roots = schema.root_schema().get_fields().iter().enumerate();
        let wanted = roots.filter(|(_, field)| !skip.contains(&field.name())).map(|(at, _)| at);
        let mask = ProjectionMask::roots(schema, wanted);
        let file = self.file.clone();
        let builder =
            ParquetRecordBatchReaderBuilder::new_with_metadata(file, self.metadata.clone())
                .with_row_groups(vec![group])
                .with_projection(mask)
                .with_batch_size(rows);
        let mut reader = builder.build().map_err(|e| corrupt(&self.path, e))?;
        reader.next().transpose().map_err(|e| corrupt(&self.path, e))
    }
}

fn corrupt(path: &Path, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    let text = format!(
        "{} is damaged or not a Parquet file; restore it from a backup or import its source again",
        path.display()
    );
    Error::corrupt(text).with_source(source)
}
