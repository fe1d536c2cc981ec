//! A folder of what one executor keeps while it runs: intermediate rows, and what did not fit into
//! memory. It goes with the executor; those of killed ones go when the next one starts.

use std::fs::File;
use std::path::{Path, PathBuf};

use foretaste_core::Result;
use tempfile::{Builder, TempDir};

const PREFIX: &str = "foretaste-executor-";
const LOCK: &str = "lock";

/// A folder that is held.
#[derive(Debug)]
pub(crate) struct WorkFolder {
    folder: TempDir,
    // Held for as long as the process lives, however it ends.
    _lock: File,
}

impl WorkFolder {
    /// A new folder below `parent`; empty stands for the system's temporary folder.
    ///
    /// # Errors
    /// `Io` when the disk refuses.
    pub(crate) fn new(parent: &Path) -> Result<Self> {
        let system = std::env::temp_dir();
        let parent = if parent.as_os_str().is_empty() { &system } else { parent };
        fs_err::create_dir_all(parent)?;
        let parent = fs_err::canonicalize(parent)?;
        remove_left(&parent)?;
        let folder = Builder::new().prefix(PREFIX).tempdir_in(&parent)?;
        let lock = fs_err::File::create_new(folder.path().join(LOCK))?.into_file();
        lock.lock()?;
        for part in ["tasks", "spill"] {
            fs_err::create_dir(folder.path().join(part))?;
        }
        Ok(Self { folder, _lock: lock })
    }

    /// Where intermediate rows lie.
    pub(crate) fn tasks(&self) -> PathBuf {
        self.folder.path().join("tasks")
    }

    /// Where rows go that do not fit into memory.
    pub(crate) fn spill(&self) -> PathBuf {
        self.folder.path().join("spill")
    }
}

/// Removes folders whose executor is gone.
fn remove_left(parent: &Path) -> Result<()> {
    for entry in fs_err::read_dir(parent)? {
        let path = entry?.path();
        let is_ours = path.file_name().is_some_and(|n| n.to_string_lossy().starts_with(PREFIX));
        let lock = is_ours.then(|| fs_err::File::open(path.join(LOCK)).ok()).flatten();
        // One without a lock is just being made.
        if lock.is_some_and(|file| file.file().try_lock().is_ok()) {
            fs_err::remove_dir_all(&path)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_of_killed_executors_go_and_others_stay() {
        let parent = tempfile::tempdir().unwrap();
        let count = || fs_err::read_dir(parent.path()).unwrap().count();
        let living = WorkFolder::new(parent.path()).unwrap();
        let killed = WorkFolder::new(parent.path()).unwrap();
        // As the system does it: the lock is free, the folder stays.
        let WorkFolder { folder, _lock } = killed;
        let left = folder.keep();
        drop(_lock);
        assert_eq!(count(), 2);
        fs_err::create_dir(parent.path().join("other")).unwrap();
        let next = WorkFolder::new(parent.path()).unwrap();
        assert!(!left.exists() && living.tasks().exists() && next.spill().exists());
        drop((living, next));
        assert_eq!(count(), 1, "only what is not ours stays");
    }
}
