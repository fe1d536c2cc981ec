//! Removing what no state refers to any more.

use std::collections::HashSet;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use foretaste_core::Result;
use object_store::ObjectMeta;

use super::Table;

/// Manifests that stay whatever their age: a committer that is slower than this many commits of
/// others notices it and begins anew.
const KEPT_MANIFESTS: usize = 100;

/// What a vacuum removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Vacuumed {
    /// Manifests of old states.
    pub manifests: usize,
    /// Files that were replaced, or never committed, or never finished.
    pub files: usize,
    /// Their size.
    pub bytes: u64,
}

impl Table {
    /// Removes manifests and files that only states older than `age` refer to, and files that
    /// were written longer ago than `age` without having been committed. A reader or writer that
    /// takes longer than `age` may find its files gone; it fails then, and can be repeated.
    ///
    /// # Errors
    /// What the storage says.
    pub async fn vacuum(&self, age: Duration) -> Result<Vacuumed> {
        let is_old = |meta: &ObjectMeta| {
            let modified = UNIX_EPOCH
                + Duration::from_millis(meta.last_modified.timestamp_millis().max(0) as u64);
            SystemTime::now().duration_since(modified).is_ok_and(|passed| passed >= age)
        };
        let mut manifests = self.place.list(&self.below("manifest")).await?;
        // A state is out of use since the next one came.
        let is_unused = |at: usize, all: &[ObjectMeta]| all.get(at + 1).is_some_and(&is_old);
        let mut done = Vacuumed::default();
        let removable = manifests.len().saturating_sub(KEPT_MANIFESTS);
        let unused = (0..removable).take_while(|&at| is_unused(at, &manifests)).count();
        // In ascending order, one after another: commits rely on it.
        for manifest in manifests.drain(..unused) {
            self.place.remove(&manifest.location).await?;
            done.manifests += 1;
        }
        let mut known = HashSet::new();
        for at in (0..manifests.len()).filter(|&at| !is_unused(at, &manifests)) {
            let number = manifests[at].location.filename().and_then(|name| name.parse().ok());
            let Some(generation) = number else { continue };
            let files = self.load(generation).await?.files;
            known.extend(files.into_iter().map(|file| self.place.path(&self.below(&file.path))));
        }
        for file in self.place.list(&self.below("data")).await? {
            if is_old(&file) && !known.contains(&file.location) {
                self.place.remove(&file.location).await?;
                done.files += 1;
                done.bytes += file.size;
            }
        }
        if let Some(folder) = self.place.local(&self.below("")) {
            remove_unnamed(&folder, age, &mut done)?;
        }
        Ok(done)
    }
}

/// Removes what writers to a folder left that were killed before a file had its name: storage
/// writes to `NAME#1` first, and lists no such file.
fn remove_unnamed(folder: &Path, age: Duration, done: &mut Vacuumed) -> Result<()> {
    if !folder.exists() {
        return Ok(());
    }
    for entry in fs_err::read_dir(folder)? {
        let path = entry?.path();
        let metadata = fs_err::symlink_metadata(&path)?;
        if metadata.is_dir() {
            remove_unnamed(&path, age, done)?;
            continue;
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let is_unnamed = name.rsplit_once('#').is_some_and(|(_, at)| at.parse::<u32>().is_ok());
        let passed = SystemTime::now().duration_since(metadata.modified()?);
        if is_unnamed && passed.is_ok_and(|passed| passed >= age) {
            fs_err::remove_file(&path)?;
            done.files += 1;
            done.bytes += metadata.len();
        }
    }
    Ok(())
}
