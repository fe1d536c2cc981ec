//! Files mapped into memory for reading.
//!
//! A mapped file must never change: bundle files are written once, made read-only and replaced
//! only by new folders, because a truncated mapping kills the process (SIGBUS).
#![allow(unsafe_code)] // one call, with its reason

use std::path::Path;

use foretaste_core::{Error, ErrorKind, Result};

/// The bytes of a regular file, or what a packed one unpacks to.
#[derive(Debug)]
pub struct MappedFile {
    map: memmap2::Mmap,
}

impl MappedFile {
    /// Maps the file at `path`, which must not be a symbolic link.
    ///
    /// # Errors
    /// `NotFound` without the file, `Corrupt` when it is no regular file or empty, `Io` else.
    pub fn open(path: &Path) -> Result<Self> {
        let what = fs_err::symlink_metadata(path)?;
        if !what.is_file() || what.len() == 0 {
            let text = format!("{}: expected a regular file with content", path.display());
            return Err(Error::corrupt(text));
        }
        let file = fs_err::File::open(path)?;
        // SAFETY: files of a bundle are never written to after the rename that publishes them
        // (see the module), so the mapping stays valid while it is held.
        let map = unsafe { memmap2::Mmap::map(file.file())? };
        Ok(Self { map })
    }

    /// Bytes that are in no file: `fill` writes them into memory of this process alone.
    ///
    /// # Errors
    /// `Exhausted` where the system has no such memory, else those of `fill`.
    pub(crate) fn in_memory(
        bytes: usize,
        fill: impl FnOnce(&mut [u8]) -> Result<()>,
    ) -> Result<Self> {
        let no_memory = |e: std::io::Error| {
            let text = format!("no memory for the {bytes} bytes of a packed file");
            Error::new(ErrorKind::Exhausted, text).with_source(e)
        };
        let mut map = memmap2::MmapMut::map_anon(bytes).map_err(no_memory)?;
        fill(&mut map)?;
        Ok(Self { map: map.make_read_only().map_err(no_memory)? })
    }

    /// All bytes, aligned to a page.
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        &self.map
    }
}
