//! Rows of a table in one Parquet file, and the digest that says whether two rows are the same.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::{Field, Schema};
use foretaste_core::{Error, ErrorKind, Result};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::arrow::{ArrowWriter, ProjectionMask};
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;

use super::columns::Column;
use super::value::{Builder, Value};
use crate::tables::page::{Page, Row};

/// Rows and bytes that are gathered before they are encoded.
const BATCH: (usize, usize) = (8_192, 16 << 20);
/// Rows and encoded bytes of a row group, which is held in memory until it ends.
const GROUP: (usize, usize) = (1 << 17, 64 << 20);

/// 128 bits of the BLAKE3 of all texts of a row.
pub type RowDigest = [u8; 16];

/// What a sequence of rows is: how many, and one digest of all of theirs in order.
#[derive(Clone, Default)]
pub struct Content {
    /// Number of rows.
    pub rows: u64,
    hasher: blake3::Hasher,
}

impl Content {
    /// Adds the next row.
    pub fn add(&mut self, row: &RowDigest) {
        self.rows += 1;
        self.hasher.update(row);
    }

    /// The digest in hexadecimal.
    pub fn digest(&self) -> String {
        self.hasher.finalize().to_hex().to_string()
    }
}

/// The digest of a row of texts.
pub fn digest_of(row: Row<'_>, scratch: &mut Vec<u8>) -> RowDigest {
    scratch.clear();
    for cell in row.cells(0) {
        match cell {
            None => scratch.push(0),
            Some(text) => {
                scratch.push(1);
                scratch.extend_from_slice(&(text.len() as u64).to_le_bytes());
                scratch.extend_from_slice(text);
            }
        }
    }
    let whole = blake3::hash(scratch);
    let mut digest = RowDigest::default();
    digest.copy_from_slice(&whole.as_bytes()[..16]);
    digest
}

/// A row that was sent, as values and as a page of one row of texts; else the place of the first
/// column that does not fit.
pub fn words<'s>(
    columns: &[Column],
    sent: Row<'s>,
) -> Result<(Vec<Option<Value<'s>>>, Page), usize> {
    let (mut values, mut page) = (Vec::with_capacity(columns.len()), Page::new(columns.len()));
    for (at, column) in columns.iter().enumerate() {
        let value = match sent.cell(at) {
            None => None,
            Some(cell) => Some(column.kind.read(cell).ok_or(at)?),
        };
        push(&mut page, column, value.as_ref());
        values.push(value);
    }
    Ok((values, page))
}

fn push(page: &mut Page, column: &Column, value: Option<&Value<'_>>) {
    let written = page.push(|out| {
        if let Some(value) = value {
            column.kind.write(value, out);
        }
        Ok::<_, std::convert::Infallible>(value.is_some())
    });
    match written {
        Ok(()) => {}
    }
}

/// Writes a file row by row.
pub struct FileWriter {
    path: PathBuf,
    builders: Vec<Builder>,
    schema: Arc<Schema>,
    arrow: ArrowWriter<fs_err::File>,
    /// Rows and bytes in the builders.
    held: (usize, usize),
}

impl FileWriter {
    /// Begins the file `path`.
    ///
    /// # Errors
    /// `Io` naming the file.
    pub fn create(path: &Path, columns: &[Column]) -> Result<Self> {
        let fields = columns.iter().map(|own| Field::new(&own.name, own.kind.arrow(), true));
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let zstd = Compression::ZSTD(ZstdLevel::try_new(3).expect("3 is a level of zstd"));
        let properties = WriterProperties::builder()
            .set_created_by("foretaste".to_owned())
            .set_compression(zstd)
            .set_max_row_group_row_count(Some(GROUP.0))
            .build();
        let file = fs_err::File::create(path)?;
        let arrow = ArrowWriter::try_new(file, schema.clone(), Some(properties));
        let arrow = arrow.map_err(|e| unwritten(path, e))?;
        let builders = columns.iter().map(|column| Builder::new(column.kind)).collect();
        Ok(Self { path: path.to_owned(), builders, schema, arrow, held: (0, 0) })
    }

    /// Appends a row of so many bytes.
    pub fn push(&mut self, values: Vec<Option<Value<'_>>>, bytes: usize) -> Result<()> {
        for (builder, value) in self.builders.iter_mut().zip(values) {
            builder.push(value);
        }
        self.held = (self.held.0 + 1, self.held.1 + bytes);
        if self.held.0 >= BATCH.0 || self.held.1 >= BATCH.1 { self.encode() } else { Ok(()) }
    }

    fn encode(&mut self) -> Result<()> {
        self.held = (0, 0);
        let columns = self.builders.iter_mut().map(Builder::finish).collect();
        let batch = RecordBatch::try_new(self.schema.clone(), columns);
        let mut written = batch.map_err(Into::into).and_then(|batch| self.arrow.write(&batch));
        if written.is_ok() && self.arrow.in_progress_size() >= GROUP.1 {
            written = self.arrow.flush();
        }
        written.map_err(|e| unwritten(&self.path, e))
    }

    /// Ends the file, durably, though not yet by its name.
    pub fn finish(mut self) -> Result<()> {
        self.encode()?;
        let file = self.arrow.into_inner().map_err(|e| unwritten(&self.path, e))?;
        Ok(file.sync_all()?)
    }
}

/// Reads rows of texts, in pages of at most `rows`; columns that are not `wanted` are NULL.
///
/// # Errors
/// `Corrupt` naming the file, and what `each` returns.
pub fn read_file(
    path: &Path,
    columns: &[Column],
    wanted: &dyn Fn(&str) -> bool,
    rows: usize,
    each: &mut dyn FnMut(Page) -> Result<()>,
) -> Result<()> {
    let file = fs_err::File::open(path)?.into_parts().0;
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(|e| damaged(path, e))?;
    let fields = builder.schema().fields();
    let as_written = fields.len() == columns.len()
        && columns.iter().zip(fields).all(|(own, field)| own.kind.arrow() == *field.data_type());
    if !as_written {
        return Err(damaged(path, "its columns are not those that were written"));
    }
    let places: Vec<usize> = (0..columns.len()).filter(|&at| wanted(&columns[at].name)).collect();
    let mask = ProjectionMask::roots(builder.parquet_schema(), places.iter().copied());
    let reader = builder.with_projection(mask).with_batch_size(rows).build();
    for batch in reader.map_err(|e| damaged(path, e))? {
        let batch = batch.map_err(|e| damaged(path, e))?;
        let mut page = Page::new(columns.len());
        for row in 0..batch.num_rows() {
            for (at, column) in columns.iter().enumerate() {
                let place = places.binary_search(&at).ok();
                let value = place.and_then(|place| column.kind.value(batch.column(place), row));
                push(&mut page, column, value.as_ref());
            }
        }
        each(page)?;
    }
    Ok(())
}

/// Reads a file and compares count and digest of its rows with what they were.
///
/// # Errors
/// `Corrupt` naming the file.
pub fn compare(path: &Path, columns: &[Column], expected: &(u64, String)) -> Result<()> {
    let (mut found, mut scratch) = (Content::default(), Vec::new());
    read_file(path, columns, &|_| true, BATCH.0, &mut |page| {
        page.rows().for_each(|row| found.add(&digest_of(row, &mut scratch)));
        Ok(())
    })?;
    if (found.rows, found.digest()) == *expected {
        return Ok(());
    }
    Err(damaged(path, "its rows are not those that were written"))
}

/// Length and BLAKE3 of a file.
pub fn fingerprint(path: &Path) -> Result<(u64, String)> {
    let mut hasher = blake3::Hasher::new();
    let length = std::io::copy(&mut fs_err::File::open(path)?, &mut hasher)?;
    Ok((length, hasher.finalize().to_hex().to_string()))
}

fn unwritten(path: &Path, source: parquet::errors::ParquetError) -> Error {
    let text = format!("{} cannot be written", path.display());
    Error::new(ErrorKind::Io, text).with_source(source)
}

/// The error of a file that is not what was written.
pub fn damaged(path: &Path, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    let text = format!("{} is damaged; put it back from a backup", path.display());
    Error::corrupt(text).with_source(source)
}
