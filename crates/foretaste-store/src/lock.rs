//! One writer at a time: a locked file that names the process which holds it.
//!
//! The operating system frees the lock when that process ends, however it ends.

use std::fs::TryLockError;
use std::io::{Read, Write};
use std::path::Path;

use foretaste_core::{Error, ErrorKind, Result};

const FILE: &str = "writer.lock";

/// Held as long as this value lives.
#[derive(Debug)]
pub(crate) struct WriterLock {
    _file: fs_err::File,
}

impl WriterLock {
    /// Takes the lock of the store in `dir`.
    ///
    /// # Errors
    /// `Conflict` naming the process that holds it.
    pub(crate) fn take(dir: &Path) -> Result<Self> {
        let path = dir.join(FILE);
        let mut options = fs_err::OpenOptions::new();
        let mut file = options.read(true).write(true).create(true).truncate(false).open(&path)?;
        match file.file().try_lock() {
            Ok(()) => {
                file.set_len(0)?;
                write!(file, "{}", std::process::id())?;
                Ok(Self { _file: file })
            }
            Err(TryLockError::WouldBlock) => Err(held(dir, &mut file)),
            Err(TryLockError::Error(e)) => {
                let text = format!("{} cannot be locked", path.display());
                Err(Error::new(ErrorKind::Io, text).with_source(e))
            }
        }
    }
}

fn held(dir: &Path, file: &mut fs_err::File) -> Error {
    let mut holder = String::new();
    let known = file.read_to_string(&mut holder).is_ok() && !holder.is_empty();
    let holder = if known { holder } else { "unknown".to_owned() };
    let text = format!(
        "{} is in use by process {holder}, and only one may write: stop it, or send the change to \
         it over HTTP; commands that only read work beside it",
        dir.display()
    );
    Error::new(ErrorKind::Conflict, text)
}
