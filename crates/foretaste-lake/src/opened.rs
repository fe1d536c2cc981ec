//! One segment, open: its bytes stay readable when its name goes.

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use foretaste_core::{Error, EventBatch, Result};

use crate::columns::Columns;
use crate::file::{ParquetFile, SharedFile};
use crate::manifest::SegmentMeta;

/// Bytes that one step of a check reads.
const CHECK_BYTES: usize = 1 << 20;

/// An open segment. Its bytes are compared with what was written before they are believed.
#[derive(Debug)]
pub struct OpenSegment {
    path: PathBuf,
    file: SharedFile,
    meta: SegmentMeta,
    checked: Mutex<bool>,
}

impl OpenSegment {
    /// Opens the segment of `meta` in `dir`.
    ///
    /// # Errors
    /// `NotFound`, `Io`.
    pub(crate) fn open(dir: &Path, meta: &SegmentMeta) -> Result<Self> {
        let path = dir.join(&meta.file);
        let file = SharedFile::open(&path)?;
        Ok(Self { path, file, meta: meta.clone(), checked: Mutex::new(false) })
    }

    /// What the list of segments says about it.
    pub fn meta(&self) -> &SegmentMeta {
        &self.meta
    }

    /// Its events, once its bytes are checked.
    ///
    /// # Errors
    /// As [`OpenSegment::check`].
    pub fn events(&self) -> Result<SegmentEvents> {
        self.check()?;
        Ok(SegmentEvents(ParquetFile::from_shared(&self.path, self.file.clone())?))
    }

    /// Compares the bytes with what was written; the first time only.
    ///
    /// # Errors
    /// `Corrupt` naming the file when they differ.
    pub fn check(&self) -> Result<()> {
        let mut checked = self.checked.lock().unwrap_or_else(|e| e.into_inner());
        if !*checked {
            self.compare()?;
            *checked = true;
        }
        Ok(())
    }

    fn compare(&self) -> Result<()> {
        let mut hasher = blake3::Hasher::new();
        let mut buffer = vec![0; CHECK_BYTES];
        let mut reader = self.file.reader();
        loop {
            let n = std::io::Read::read(&mut reader, &mut buffer)?;
            if n == 0 {
                break;
            }
            hasher.update(&buffer[..n]);
        }
        let intact = self.file.len() == self.meta.bytes
            && hasher.finalize().to_hex().as_str() == self.meta.blake3;
        if intact {
            return Ok(());
        }
        Err(Error::corrupt(format!(
            "segment {} is not what was written ({} bytes, expected {}); restore it from a backup",
            self.path.display(),
            self.file.len(),
            self.meta.bytes
        )))
    }
}

/// The events of a segment, row group by row group.
#[derive(Debug)]
pub struct SegmentEvents(ParquetFile);

impl SegmentEvents {
    /// Number of row groups.
    pub fn groups(&self) -> usize {
        self.0.groups()
    }

    /// The events of row group `group`.
    ///
    /// # Errors
    /// `Corrupt` naming the file.
    ///
    /// # Cost
    /// About 30 MB in memory for a full row group, and its ids.
    pub fn group(&self, group: usize, columns: Columns) -> Result<EventBatch> {
        self.0.events(group, columns)
    }
}
