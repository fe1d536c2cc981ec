//! What the log needs of a file system, so that a test can make every write and fsync fail.

use std::io::{self, Seek, SeekFrom, Write};
use std::path::Path;

/// Makes and opens files of the log.
pub(crate) trait LogFiles: Send + Sync {
    /// A new empty file; an old one of that name is emptied.
    fn create(&self, path: &Path) -> io::Result<Box<dyn LogFile>>;
    /// An existing file, cut to `len` bytes, to be continued there.
    fn resume(&self, path: &Path, len: u64) -> io::Result<Box<dyn LogFile>>;
    /// Makes the names in a folder durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
}

/// A file that is written at its end.
pub(crate) trait LogFile: Send {
    /// Writes all of `bytes`.
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// Makes everything written so far durable.
    fn sync(&mut self) -> io::Result<()>;
    /// Cuts the file to `len` bytes.
    fn truncate(&mut self, len: u64) -> io::Result<()>;
}

/// The operating system's files.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OsFiles;

impl LogFiles for OsFiles {
    fn create(&self, path: &Path) -> io::Result<Box<dyn LogFile>> {
        Ok(Box::new(fs_err::File::create(path)?))
    }

    fn resume(&self, path: &Path, len: u64) -> io::Result<Box<dyn LogFile>> {
        let mut file = fs_err::OpenOptions::new().write(true).open(path)?;
        file.set_len(len)?;
        file.sync_all()?;
        file.seek(SeekFrom::Start(len))?;
        Ok(Box::new(file))
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        fs_err::File::open(dir)?.sync_all()
    }
}

impl LogFile for fs_err::File {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        Write::write_all(self, bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }

    fn truncate(&mut self, len: u64) -> io::Result<()> {
        self.set_len(len)
    }
}
