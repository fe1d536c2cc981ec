//! A table: immutable Parquet files named by a manifest, on storage that many processes share.
//!
//! A commit creates the manifest of the next generation under a name that must not be taken. Of
//! two committers one succeeds; the other looks at what has changed, and either repeats its own
//! change on top or learns that it cannot. Nothing is ever changed in place, so a reader that
//! holds a state sees exactly that state, until [`Table::vacuum`] removes what it names.

mod calendar;
mod columns;
mod commit;
mod compact;
mod manifest;
mod provider;
mod vacuum;
mod write;

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::arrow::datatypes::SchemaRef;
use foretaste_core::{Error, ErrorKind, Result};

use crate::place::Place;

pub use columns::{Column, ColumnType, Columns};
pub use commit::{Change, Removal};
pub use compact::Compaction;
pub use foretaste_core::time::DAY_MS;
pub use manifest::{FileMeta, Grain, Partitioning};
pub use vacuum::Vacuumed;
pub use write::TableWriter;

pub(crate) use calendar::partition as partition_name;
use manifest::Manifest;
pub(crate) use provider::StateProvider;

/// How often a reader begins anew because the manifest it was about to read was removed.
const READ_ATTEMPTS: usize = 20;

/// A table of a lake. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Table {
    place: Place,
    name: String,
    partitioning: Option<Partitioning>,
}

impl Table {
    /// The table `name` of the lake at `place`. Nothing is read or written yet; a table without
    /// a commit is empty. `partitioning` holds for the first commit and stays as it is then.
    ///
    /// # Errors
    /// `Invalid` for a name that is not made of `a-z`, `0-9`, `_`.
    pub fn new(place: &Place, name: &str, partitioning: Option<Partitioning>) -> Result<Self> {
        let is_fine = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        if name.is_empty() || name.len() > 100 || !name.chars().all(is_fine) {
            let text = format!("{name:?} is no name of a table: use a-z, 0-9 and _");
            return Err(Error::invalid(text));
        }
        Ok(Self { place: place.clone(), name: name.to_owned(), partitioning })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The names of all tables at `place`.
    pub async fn names(place: &Place) -> Result<Vec<String>> {
        let mut names = place.folders("").await?;
        names.sort_unstable();
        Ok(names)
    }

    /// The latest state.
    ///
    /// # Errors
    /// `Corrupt` for a damaged manifest; what the storage says.
    pub async fn state(&self) -> Result<TableState> {
        for _ in 0..READ_ATTEMPTS {
            let generations = self.generations().await?;
            let Some(&latest) = generations.last() else {
                let manifest = Manifest::empty(self.partitioning.clone());
                return Ok(self.hold(manifest));
            };
            match self.load(latest).await {
                Err(e) if e.kind() == ErrorKind::NotFound => {}
                loaded => return loaded.map(|manifest| self.hold(manifest)),
            }
        }
        let text = format!("{} changes faster than it can be read", self.shown(""));
        Err(Error::new(ErrorKind::Unavailable, text))
    }

    /// An earlier state, as long as its manifest is kept.
    ///
    /// # Errors
    /// `NotFound` when [`Table::vacuum`] has removed it.
    pub async fn state_at(&self, generation: u64) -> Result<TableState> {
        Ok(self.hold(self.load(generation).await?))
    }

    fn hold(&self, manifest: Manifest) -> TableState {
        TableState { table: self.clone(), manifest: Arc::new(manifest) }
    }

    async fn load(&self, generation: u64) -> Result<Manifest> {
        let path = self.below(&Manifest::path(generation));
        Manifest::from_bytes(&self.place.get(&path).await?, &self.place.shown(&path))
    }

    /// The generations whose manifests are there, ascending.
    async fn generations(&self) -> Result<Vec<u64>> {
        let found = self.place.list(&self.below("manifest")).await?;
        let number = |name: &str| name.parse::<u64>().ok();
        Ok(found.iter().filter_map(|m| number(m.location.filename()?)).collect())
    }

    fn below(&self, path: &str) -> String {
        format!("{}/{path}", self.name)
    }

    fn shown(&self, path: &str) -> String {
        self.place.shown(&self.below(path))
    }
}

/// A state of a table, fixed for as long as it is held.
#[derive(Clone, Debug)]
pub struct TableState {
    table: Table,
    manifest: Arc<Manifest>,
}

impl TableState {
    /// The table.
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// The number of this state; 0 before the first commit, then one more with every commit.
    pub fn generation(&self) -> u64 {
        self.manifest.generation
    }

    /// Its columns; none before the first commit.
    pub fn columns(&self) -> &Columns {
        &self.manifest.columns
    }

    /// The Arrow schema in which rows are read.
    pub fn schema(&self) -> SchemaRef {
        self.manifest.columns.schema()
    }

    /// What writers remember together with the rows.
    pub fn marks(&self) -> &BTreeMap<String, String> {
        &self.manifest.marks
    }

    /// Its files.
    pub fn files(&self) -> &[FileMeta] {
        &self.manifest.files
    }

    /// Whether all its files are there: [`Table::vacuum`] removes those of states out of use.
    pub(crate) async fn is_whole(&self) -> Result<bool> {
        for file in self.files() {
            if !self.table.place.has(&self.table.below(&file.path)).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Number of rows.
    pub fn rows(&self) -> u64 {
        self.files().iter().map(|file| file.rows).sum()
    }

    /// Size of its files.
    pub fn bytes(&self) -> u64 {
        self.files().iter().map(|file| file.bytes).sum()
    }

    /// This state with only those files for which `keep` holds: a part of the rows.
    #[must_use]
    pub fn only(&self, keep: impl Fn(&FileMeta) -> bool) -> Self {
        let mut manifest = Manifest::clone(&self.manifest);
        manifest.files.retain(keep);
        Self { table: self.table.clone(), manifest: Arc::new(manifest) }
    }
}
