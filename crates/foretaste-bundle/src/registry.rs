//! The folder of bundles: which exist, which is current, which was before.
//!
//! `CURRENT` and `PREVIOUS` are small files that hold an id; they change by rename only.

use std::fmt;
use std::io::Write;
use std::path::Path;

use foretaste_core::{Error, Result};

const CURRENT: &str = "CURRENT";
const PREVIOUS: &str = "PREVIOUS";

/// The name of a bundle: 1 to 64 of `A-Z a-z 0-9 . _ -`, not starting with a dot.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BundleId(String);

impl BundleId {
    /// Checks a name.
    ///
    /// # Errors
    /// `Invalid` for anything that is not a plain name; paths never are.
    pub fn new(name: &str) -> Result<Self> {
        if is_plain_name(name) {
            return Ok(Self(name.to_owned()));
        }
        let text = "a bundle id is 1 to 64 of A-Z a-z 0-9 . _ - and does not start with a dot";
        Err(Error::invalid(text))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for BundleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

pub(crate) fn is_plain_name(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    (1..=64).contains(&name.len()) && name.bytes().all(plain) && !name.starts_with('.')
}

/// The current bundle, if one was ever made current.
///
/// # Errors
/// `Corrupt` when `CURRENT` holds something else than an id, `Io` as the system says.
pub fn current(root: &Path) -> Result<Option<BundleId>> {
    read_pointer(root, CURRENT)
}

/// The bundle that was current before.
///
/// # Errors
/// As [`current`].
pub fn previous(root: &Path) -> Result<Option<BundleId>> {
    read_pointer(root, PREVIOUS)
}

/// Ids of all complete bundles, ascending; ids start with their as-of time.
///
/// # Errors
/// `Io` as the system says; a folder that does not exist holds none.
pub fn list(root: &Path) -> Result<Vec<BundleId>> {
    if !root.exists() {
        return Ok(Vec::new());
    }
    let mut ids = Vec::new();
    for entry in fs_err::read_dir(root)? {
        let entry = entry?;
        let name = entry.file_name();
        let id = name.to_str().and_then(|n| BundleId::new(n).ok());
        if let Some(id) = id.filter(|_| entry.path().join(crate::manifest::MANIFEST).is_file()) {
            ids.push(id);
        }
    }
    ids.sort();
    Ok(ids)
}

/// Makes a bundle current; the one before becomes `previous`. Nothing is checked but that the
/// bundle is there: open it first.
///
/// # Errors
/// `NotFound` without the bundle, `Io` as the system says.
pub fn activate(root: &Path, id: &BundleId) -> Result<()> {
    if !list(root)?.contains(id) {
        return Err(Error::not_found(format!("bundle {id} in {}", root.display())));
    }
    match current(root)? {
        Some(now) if now == *id => return Ok(()),
        Some(now) => write_pointer(root, PREVIOUS, &now)?,
        None => {}
    }
    write_pointer(root, CURRENT, id)
}

/// Makes the bundle before the current one current again, and returns it. Doing it twice comes
/// back.
///
/// # Errors
/// `NotFound` when there is no bundle before.
pub fn rollback(root: &Path) -> Result<BundleId> {
    let before = previous(root)?.filter(|id| list(root).is_ok_and(|all| all.contains(id)));
    let id = before.ok_or_else(|| Error::not_found("there is no bundle to roll back to"))?;
    activate(root, &id)?;
    Ok(id)
}

fn read_pointer(root: &Path, name: &str) -> Result<Option<BundleId>> {
    let path = root.join(name);
    match fs_err::read_to_string(&path) {
        Ok(text) => match BundleId::new(text.trim()) {
            Ok(id) => Ok(Some(id)),
            Err(_) => Err(Error::corrupt(format!("{}: holds no bundle id", path.display()))),
        },
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e.into()),
    }
}

fn write_pointer(root: &Path, name: &str, id: &BundleId) -> Result<()> {
    let temporary = root.join(format!(".{name}.{}.tmp", std::process::id()));
    let mut file = fs_err::File::create(&temporary)?;
    writeln!(file, "{id}")?;
    file.sync_all()?;
    fs_err::rename(&temporary, root.join(name))?;
    sync_folder(root)
}

/// Makes renames in a folder durable.
///
/// # Errors
/// `Io` as the system says.
pub fn sync_folder(folder: &Path) -> Result<()> {
    fs_err::File::open(folder)?.sync_all()?;
    Ok(())
}
