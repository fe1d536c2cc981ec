//! Files in their packed form and back, one after the other and each by a rename: whenever this is
//! broken off, every file is there in one form or in both, and readers take what they find.

use std::path::Path;

use foretaste_core::{Error, ErrorKind, Result};

use crate::manifest::{FileEntry, MANIFEST, Manifest};
use crate::mmap::MappedFile;
use crate::packed::{self, packed_path};
use crate::reader::checked_manifest;
use crate::registry::{BundleId, sync_folder};
use crate::writer::{remove_leftovers, temporary_name};

/// The form of files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// As they are mapped.
    Plain,
    /// Smaller; they are unpacked into memory when they are opened.
    Packed,
}

/// Gives all files of a bundle this form and returns their sizes before and after. The bundle is
/// the same before, after and meanwhile: its id and digests are those of the plain bytes.
///
/// # Errors
/// `NotFound` without the bundle, `Corrupt` when a file is damaged, `Io` as the system says (a full
/// disk among it). What was not changed by then is as before.
///
/// # Cost
/// As [`FileEntry::reform`], file by file.
pub fn reform(root: &Path, id: &BundleId, form: Form) -> Result<(u64, u64)> {
    let folder = root.join(id.as_str());
    let manifest = checked_manifest(&folder, id)?;
    remove_leftovers(&folder)?;
    let before = stored_bytes(&folder, &manifest)?;
    manifest.files.iter().try_for_each(|file| file.reform(&folder, form))?;
    Ok((before, stored_bytes(&folder, &manifest)?))
}

/// Bytes that a bundle takes on disk, whatever its form.
///
/// # Errors
/// `NotFound` without the bundle or one of its files, `Corrupt` when its manifest is damaged.
pub fn bytes_on_disk(root: &Path, id: &BundleId) -> Result<u64> {
    let folder = root.join(id.as_str());
    stored_bytes(&folder, &checked_manifest(&folder, id)?)
}

fn stored_bytes(folder: &Path, manifest: &Manifest) -> Result<u64> {
    let files = manifest.files.iter().map(|file| file.stored_bytes(folder)).sum::<Result<u64>>()?;
    Ok(files + fs_err::metadata(folder.join(MANIFEST))?.len())
}

impl FileEntry {
    /// What the name of a file's packed form has at its end.
    pub const PACKED: &str = packed::ENDING;

    /// Whether the file is in `folder`, in any form and as long as it should be; its digest is not
    /// looked at.
    pub fn is_in(&self, folder: &Path) -> bool {
        let plain = folder.join(&self.name);
        fs_err::metadata(&plain).is_ok_and(|f| f.len() == self.bytes)
            || packed::is_there(&packed_path(&plain), self.bytes)
    }

    /// Gives the file in `folder` this form; nothing is done when it has it alone. Where both are
    /// there, the one to stay is checked, and made anew from the other if it is damaged, before the
    /// other goes.
    ///
    /// # Errors
    /// `NotFound` without the file, `Corrupt` when it is not the one that was written, `Io` as the
    /// system says. The file is as before then.
    ///
    /// # Cost
    /// Packing: two goes of zstd over its bytes, and it is unpacked once for a test. Both work on
    /// all threads of the current rayon pool.
    pub fn reform(&self, folder: &Path, form: Form) -> Result<()> {
        let plain = folder.join(&self.name);
        let packed = packed_path(&plain);
        let (to, from, other) = match form {
            Form::Plain => (&plain, &packed, Form::Packed),
            Form::Packed => (&packed, &plain, Form::Plain),
        };
        if !from.exists() && to.exists() {
            return Ok(());
        }
        if self.open_as(form, to).is_err() {
            let file = self.open_as(other, from)?;
            let temporary = folder.join(temporary_name());
            let written = self.put(&file, &temporary, form);
            if let Err(e) = written.and_then(|()| Ok(fs_err::rename(&temporary, to)?)) {
                // The first error is the one to report.
                let _ = fs_err::remove_file(&temporary);
                return Err(e);
            }
            sync_folder(folder)?;
        }
        fs_err::remove_file(from)?;
        sync_folder(folder)
    }

    fn put(&self, file: &MappedFile, to: &Path, form: Form) -> Result<()> {
        match form {
            Form::Packed => {
                packed::write(file, &self.name, to)?;
                // It takes the place of what may be the only copy.
                self.open_as(form, to).map(drop)
            }
            Form::Plain => {
                fs_err::write(to, file.bytes())?;
                fs_err::File::open(to)?.sync_all()?;
                crate::format::read_only(to)
            }
        }
    }

    /// Bytes that the file takes in `folder`, whatever its form.
    ///
    /// # Errors
    /// `NotFound` without the file.
    pub fn stored_bytes(&self, folder: &Path) -> Result<u64> {
        let plain = folder.join(&self.name);
        let found = |path: &Path| match fs_err::metadata(path) {
            Ok(about) => Ok(Some(about.len())),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(Error::from(e)),
        };
        let bytes = [found(&plain)?, found(&packed_path(&plain))?].into_iter().flatten();
        let missing = || Error::new(ErrorKind::NotFound, plain.display().to_string());
        bytes.reduce(std::ops::Add::add).ok_or_else(missing)
    }
}
