//! Rows to Parquet files of a table, one partition a file, before a commit makes them visible.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hasher, RandomState};

use datafusion::arrow::array::{Array, Int64Array, RecordBatch, UInt32Array};
use datafusion::arrow::compute::{concat_batches, take_record_batch};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::basic::{Compression, ZstdLevel};
use datafusion::parquet::file::properties::WriterProperties;
use foretaste_core::{Error, Result};

use super::calendar;
use super::columns::Columns;
use super::manifest::{FileMeta, Partitioning};
use super::{Table, TableState};
use crate::failure;

/// Rows that wait in memory, over all partitions, before the largest becomes a file.
const WAITING_ROWS: usize = 1 << 22;
/// Rows of one file.
const FILE_ROWS: usize = 1 << 22;
/// Rows of one row group: the unit in which several threads share a file.
const GROUP_ROWS: usize = 1 << 18;

/// Takes rows and leaves files that nobody sees until they are committed. Dropping it, or the
/// files it gave, leaves files that [`Table::vacuum`] removes.
#[derive(Debug)]
pub struct TableWriter {
    table: Table,
    columns: Columns,
    partitioning: Option<Partitioning>,
    waiting: BTreeMap<i64, Waiting>,
    waiting_rows: usize,
    files: Vec<FileMeta>,
}

#[derive(Debug, Default)]
struct Waiting {
    batches: Vec<RecordBatch>,
    rows: usize,
}

impl TableWriter {
    /// Writes rows of the form `schema`, to be committed on top of `state`.
    ///
    /// # Errors
    /// `Conflict` when the columns cannot become those of the table ([`Columns::evolve`]),
    /// `Invalid` for a type that tables do not hold or a missing column of times.
    pub fn new(state: &TableState, schema: &SchemaRef) -> Result<Self> {
        Self::replacing(state, &Columns::of(schema)?, state.columns())
    }

    /// As [`TableWriter::new`], for rows that take the place of all there are: the columns are
    /// those of `schema`, whatever they were.
    pub fn anew(state: &TableState, schema: &SchemaRef) -> Result<Self> {
        Self::replacing(state, &Columns::of(schema)?, &Columns::default())
    }

    fn replacing(state: &TableState, new: &Columns, old: &Columns) -> Result<Self> {
        let table = state.table.clone();
        let columns = old.evolve(new).map_err(|e| e.context(table.shown("")))?;
        let partitioning = state.manifest.partitioning.clone();
        if let Some(by) = &partitioning
            && columns.get(&by.column).is_none_or(|c| c.nullable)
        {
            let text = format!("{} needs a column {} without gaps", table.shown(""), by.column);
            return Err(Error::invalid(text));
        }
        let (waiting, files) = (BTreeMap::new(), Vec::new());
        Ok(Self { table, columns, partitioning, waiting, waiting_rows: 0, files })
    }

    /// Adds rows.
    ///
    /// # Errors
    /// `Invalid` when a column that must have values has none; what the storage says.
    pub async fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        let batch = self.columns.conform(batch).map_err(|e| e.context(self.table.shown("")))?;
        for (partition, part) in self.divide(batch)? {
            let waiting = self.waiting.entry(partition).or_default();
            waiting.rows += part.num_rows();
            self.waiting_rows += part.num_rows();
            waiting.batches.push(part);
        }
        while self.waiting_rows >= WAITING_ROWS {
            let largest = self.waiting.iter().max_by_key(|(_, waiting)| waiting.rows);
            let Some((&partition, _)) = largest else { break };
            self.flush(partition).await?;
        }
        Ok(())
    }

    /// The files, for a [`super::Change`], and the columns that the table has with them.
    pub async fn finish(mut self) -> Result<(Vec<FileMeta>, Columns)> {
        while let Some((&partition, _)) = self.waiting.first_key_value() {
            self.flush(partition).await?;
        }
        Ok((self.files, self.columns))
    }

    /// The rows of each partition.
    fn divide(&self, batch: RecordBatch) -> Result<Vec<(i64, RecordBatch)>> {
        let Some(by) = &self.partitioning else { return Ok(vec![(0, batch)]) };
        let times = times(&batch, &by.column)?;
        let mut parts: BTreeMap<i64, Vec<u32>> = BTreeMap::new();
        for (row, &time) in times.values().iter().enumerate() {
            parts.entry(calendar::number(by.grain, time)).or_default().push(row as u32);
        }
        if parts.len() == 1 {
            return Ok(parts.into_keys().map(|partition| (partition, batch.clone())).collect());
        }
        let part = |(partition, rows): (i64, Vec<u32>)| {
            let taken = take_record_batch(&batch, &UInt32Array::from(rows));
            Ok((partition, taken.map_err(failure::arrow)?))
        };
        parts.into_iter().map(part).collect()
    }

    async fn flush(&mut self, partition: i64) -> Result<()> {
        let Some(waiting) = self.waiting.remove(&partition) else { return Ok(()) };
        self.waiting_rows -= waiting.rows;
        let schema = self.columns.schema();
        let all = concat_batches(&schema, &waiting.batches).map_err(failure::arrow)?;
        drop(waiting);
        for from in (0..all.num_rows()).step_by(FILE_ROWS) {
            let part = all.slice(from, FILE_ROWS.min(all.num_rows() - from));
            let file = self.store(&part).await?;
            self.files.push(file);
        }
        Ok(())
    }

    async fn store(&self, rows: &RecordBatch) -> Result<FileMeta> {
        let bytes = encode(rows)?;
        let by = self.partitioning.as_ref();
        let times = by.map(|by| times(rows, &by.column)).transpose()?.and_then(range);
        let partition = match (by, times) {
            (Some(by), Some((first, _))) => calendar::partition(by.grain, first),
            _ => String::new(),
        };
        let folder = if partition.is_empty() { "all" } else { &partition };
        let path = format!("data/{folder}/{}.parquet", unique_name());
        let (rows, size) = (rows.num_rows() as u64, bytes.len() as u64);
        self.table.place.create(&self.table.below(&path), bytes.into()).await?;
        Ok(FileMeta { path, rows, bytes: size, partition, times })
    }
}

fn times<'a>(batch: &'a RecordBatch, column: &str) -> Result<&'a Int64Array> {
    let found = batch.column_by_name(column).and_then(|c| c.as_any().downcast_ref::<Int64Array>());
    found.ok_or_else(|| Error::invalid(format!("column {column} must hold whole milliseconds")))
}

fn range(times: &Int64Array) -> Option<(i64, i64)> {
    Some((*times.values().iter().min()?, *times.values().iter().max()?))
}

fn encode(rows: &RecordBatch) -> Result<Vec<u8>> {
    let zstd = Compression::ZSTD(ZstdLevel::try_new(1).expect("1 is a level of zstd"));
    let properties = WriterProperties::builder()
        .set_created_by("foretaste".to_owned())
        .set_compression(zstd)
        .set_max_row_group_row_count(Some(GROUP_ROWS))
        .build();
    let refused = |e| Error::internal("rows do not become Parquet").with_source(e);
    let mut writer =
        ArrowWriter::try_new(Vec::new(), rows.schema(), Some(properties)).map_err(refused)?;
    writer.write(rows).map_err(refused)?;
    writer.into_inner().map_err(refused)
}

/// A name that nobody else gives: 128 bits from the system's randomness.
pub(super) fn unique_name() -> String {
    let part = || RandomState::new().build_hasher().finish();
    format!("{:016x}{:016x}", part(), part())
}

#[cfg(test)]
mod tests {
    use super::unique_name;

    #[test]
    fn names_are_unique() {
        let names: std::collections::HashSet<String> = (0..1_000).map(|_| unique_name()).collect();
        assert_eq!(names.len(), 1_000);
    }
}
