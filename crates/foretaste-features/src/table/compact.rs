//! Many small files into few large ones: the same rows, fewer reads.

use std::collections::{BTreeMap, HashSet};

use datafusion::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use foretaste_core::{ErrorKind, Result};

use super::manifest::FileMeta;
use super::write::TableWriter;
use super::{Change, Removal, Table, TableState};
use crate::failure;

/// What a compaction did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Compaction {
    /// Files that were replaced.
    pub before: usize,
    /// Files that took their place.
    pub after: usize,
    /// Partitions that somebody else changed at the same time; they stay as they are.
    pub skipped: usize,
}

impl Table {
    /// Brings the files of each partition that are smaller than `small_bytes` together, one
    /// commit a partition. Readers of earlier states are not disturbed.
    ///
    /// # Errors
    /// What the storage says; `Corrupt` naming a file that cannot be read.
    ///
    /// # Cost
    /// Reads and writes what it replaces; memory for the small files of one partition, decoded.
    pub async fn compact(&self, small_bytes: u64) -> Result<Compaction> {
        let state = self.state().await?;
        let mut partitions: BTreeMap<&str, Vec<&FileMeta>> = BTreeMap::new();
        for file in state.files().iter().filter(|file| file.bytes < small_bytes) {
            partitions.entry(&file.partition).or_default().push(file);
        }
        let mut done = Compaction::default();
        for files in partitions.into_values().filter(|files| files.len() > 1) {
            match self.merge(&state, &files).await {
                Ok(after) => {
                    done.before += files.len();
                    done.after += after;
                }
                Err(e) if matches!(e.kind(), ErrorKind::Conflict | ErrorKind::NotFound) => {
                    done.skipped += 1;
                }
                Err(e) => return Err(e),
            }
        }
        Ok(done)
    }

    async fn merge(&self, state: &TableState, files: &[&FileMeta]) -> Result<usize> {
        let mut writer = TableWriter::new(state, &state.schema())?;
        for file in files {
            let path = self.below(&file.path);
            let damaged = |e| failure::damaged(self.place.shown(&path), e);
            let bytes = self.place.get(&path).await?;
            let reader = ParquetRecordBatchReaderBuilder::try_new(bytes).map_err(damaged)?;
            for batch in reader.build().map_err(damaged)? {
                writer.write(&batch.map_err(failure::arrow)?).await?;
            }
        }
        let (add, columns) = writer.finish().await?;
        let after = add.len();
        let gone: HashSet<String> = files.iter().map(|file| file.path.clone()).collect();
        let remove = Removal::Files(gone);
        self.commit(&Change { add, remove, columns, ..Change::default() }).await?;
        Ok(after)
    }
}
