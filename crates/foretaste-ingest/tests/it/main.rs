//! Files in, records out: every layout, every kind of bad row, and all or nothing.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test may panic and say why it skips"
)]

mod all_or_nothing;
mod bad_rows;
mod layouts;
mod movielens;
mod parquet_files;
mod real;

use std::path::{Path, PathBuf};

use foretaste_core::{Event, Item, NoProgress, Result, User};
use foretaste_ingest::{ImportReport, ImportRequest, import};
use foretaste_store::{Columns, MemoryStore, Store, load};

/// A folder with files, and a store.
pub(crate) struct Bench {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) store: MemoryStore,
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), store: MemoryStore::new() }
    }

    /// Writes a file and returns its path.
    pub(crate) fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.dir.path().join(name);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(&path, content).unwrap();
        path
    }

    pub(crate) fn request(&self, path: &Path) -> ImportRequest {
        ImportRequest::new(path, self.dir.path().join("quarantine"))
    }

    pub(crate) fn import(&self, path: &Path) -> Result<ImportReport> {
        import(&self.store, &self.request(path), &NoProgress)
    }

    pub(crate) fn import_text(&self, name: &str, content: impl AsRef<[u8]>) -> ImportReport {
        self.import(&self.file(name, content)).unwrap()
    }

    /// Everything stored, sorted by user and time.
    pub(crate) fn events(&self) -> Vec<Event> {
        let batch = load(&self.store, Columns::All, &NoProgress).unwrap();
        let mut events: Vec<Event> = (0..batch.len()).map(|i| batch.get(i)).collect();
        events.sort_by(|a, b| (&a.user, a.time_ms, &a.item).cmp(&(&b.user, b.time_ms, &b.item)));
        events
    }

    /// Events in short: `user item kind value time`.
    pub(crate) fn short(&self) -> Vec<String> {
        let show =
            |e: &Event| format!("{} {} {} {} {}", e.user, e.item, e.kind, e.value, e.time_ms);
        self.events().iter().map(show).collect()
    }

    pub(crate) fn items(&self) -> Vec<Item> {
        let mut all = Vec::new();
        self.store
            .items(&mut |i| {
                all.push(i);
                Ok(())
            })
            .unwrap();
        all
    }

    pub(crate) fn users(&self) -> Vec<User> {
        let mut all = Vec::new();
        self.store
            .users(&mut |u| {
                all.push(u);
                Ok(())
            })
            .unwrap();
        all
    }
}
