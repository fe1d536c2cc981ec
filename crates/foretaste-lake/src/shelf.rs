//! Segments whose list is kept elsewhere, in the tables of a database, say.
//!
//! A shelf is a folder with the name of its owner in it, so that nobody takes a folder that is not
//! mounted for an empty one, and no owner tidies the folder of another one. A segment that is put
//! on it is durable; whether it counts is for the list to say.

use std::path::{Path, PathBuf};

use foretaste_core::{Error, ErrorKind, Result};

use crate::durable;
use crate::manifest::SegmentMeta;
use crate::opened::OpenSegment;
use crate::segment::{EXTENSION, FinishedSegment, SegmentWriter, TEMPORARY};

/// The file that says whose folder it is.
const OWNER: &str = "OWNER";

/// A folder of segments.
#[derive(Clone, Debug)]
pub struct Shelf {
    dir: PathBuf,
}

impl Shelf {
    /// The shelf of `owner` in `dir`, which is made where there is none.
    ///
    /// # Errors
    /// `Conflict` when the folder belongs to another owner or holds other files, `Io`.
    pub fn create(dir: &Path, owner: &str) -> Result<Self> {
        fs_err::create_dir_all(dir)?;
        if !dir.join(OWNER).exists() {
            refuse_others(dir)?;
            durable::replace(&dir.join(OWNER), format!("{owner}\n").as_bytes())?;
            dir.parent().map_or(Ok(()), durable::sync_dir)?;
        }
        Self::open(dir, owner)
    }

    /// The shelf of `owner` in `dir`.
    ///
    /// # Errors
    /// `Unavailable` when it is not there, `Conflict` when it belongs to another owner.
    pub fn open(dir: &Path, owner: &str) -> Result<Self> {
        let found = fs_err::read_to_string(dir.join(OWNER)).map_err(|e| {
            let text = format!("there is no archive in {} (is it mounted?)", dir.display());
            Error::new(ErrorKind::Unavailable, text).with_source(e)
        })?;
        if found.trim_end() == owner {
            return Ok(Self { dir: dir.to_owned() });
        }
        let (dir, found) = (dir.display(), found.trim_end());
        let text = format!("{dir} is the archive {found} of another store, not {owner}");
        Err(Error::new(ErrorKind::Conflict, text))
    }

    /// Where it is.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Starts the segment `name`.
    pub fn writer(&self, name: &str) -> Result<SegmentWriter> {
        SegmentWriter::create(self.dir.join(format!("{name}.{EXTENSION}")))
    }

    /// Opens a segment that has been finished but is not put yet.
    pub fn proof(&self, segment: &FinishedSegment) -> Result<OpenSegment> {
        let file = format!("{}.{TEMPORARY}", segment.meta().name());
        OpenSegment::open(&self.dir, &SegmentMeta { file, ..segment.meta().clone() })
    }

    /// Gives the segment its name, durably.
    pub fn put(&self, segment: FinishedSegment) -> Result<SegmentMeta> {
        let meta = segment.publish(0)?;
        durable::sync_dir(&self.dir)?;
        Ok(meta)
    }

    /// Opens a segment.
    ///
    /// # Errors
    /// `NotFound` naming the file.
    pub fn segment(&self, meta: &SegmentMeta) -> Result<OpenSegment> {
        OpenSegment::open(&self.dir, meta)
    }

    /// Removes all segments that are not `listed`, finished or not, and says how many.
    pub fn clear(&self, listed: &dyn Fn(&str) -> bool) -> Result<usize> {
        let mut removed = 0;
        for entry in fs_err::read_dir(&self.dir)? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let is_segment = path.extension().is_some_and(|e| e == EXTENSION || e == TEMPORARY);
            if is_segment && !listed(&name) {
                fs_err::remove_file(&path)?;
                removed += 1;
            }
        }
        Ok(removed)
    }
}

/// Refuses a folder that holds anything but what a cut-off creation has left.
fn refuse_others(dir: &Path) -> Result<()> {
    let left = Path::new(OWNER).with_extension(TEMPORARY);
    for entry in fs_err::read_dir(dir)? {
        if entry?.file_name() != left.as_os_str() {
            let text = format!("{} is no archive, but not empty either", dir.display());
            return Err(Error::new(ErrorKind::Conflict, text));
        }
    }
    Ok(())
}
