//! Taking up what was published: each look compares the manifests with what is loaded, and opens
//! only what has changed. What cannot be opened is named, and the version before it stays.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use foretaste_core::{Error, Result};

use crate::last_events::LastEvents;
use crate::manifest::{CURRENT, Content, Manifest};
use crate::reader::FeatureReader;
use crate::table::FeatureTable;

/// A version that could not be opened is tried again after this time: the failure may have been the
/// machine's.
const RETRY: Duration = Duration::from_secs(60);
/// Sets at most; a folder with more is not one of ours.
const MOST_SETS: usize = 1_000;

/// Follows one folder.
#[derive(Debug)]
pub struct Follower {
    root: PathBuf,
    failed: HashMap<String, (String, Instant)>,
}

/// What a look found.
#[derive(Debug, Default)]
pub struct Looked {
    /// The reader from now on; `None` when nothing has changed.
    pub next: Option<FeatureReader>,
    /// Sets that were taken up, with their versions.
    pub taken: Vec<(String, String)>,
    /// Sets whose new version could not be opened, and why. Each is told once, then again when it
    /// was tried again.
    pub failures: Vec<(String, Error)>,
}

/// A set as it was found.
enum Found {
    Values(FeatureTable),
    Last(LastEvents),
}

impl Follower {
    /// Follows the folder at `root`, which need not be there yet.
    pub fn new(root: &Path) -> Self {
        Self { root: root.to_owned(), failed: HashMap::new() }
    }

    /// Looks once; `present` is the reader so far.
    ///
    /// # Errors
    /// `Io` when the folder cannot be read, `Corrupt` when it has too many folders; the present
    /// reader stays.
    ///
    /// # Cost
    /// A small file for each set, and one pass over each file that is new.
    pub fn look(&mut self, present: &FeatureReader) -> Result<Looked> {
        let mut looked = Looked::default();
        let (mut tables, mut last) = (Vec::new(), None);
        for set in self.sets()? {
            let before = known(present, &set);
            let found = self.found(&set, before.as_ref(), &mut looked);
            match found.or(before) {
                Some(Found::Values(table)) => tables.push(table),
                Some(Found::Last(events)) => last = Some(events),
                None => {}
            }
        }
        let n_before = present.tables().len() + usize::from(present.last_events().is_some());
        let n_now = tables.len() + usize::from(last.is_some());
        if !looked.taken.is_empty() || n_now != n_before {
            looked.next = Some(FeatureReader::new(tables, last));
        }
        Ok(looked)
    }

    /// Names of the sets that there are.
    fn sets(&self) -> Result<Vec<String>> {
        let entries = match fs_err::read_dir(&self.root) {
            Ok(entries) => entries,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(e.into()),
        };
        let mut sets = Vec::new();
        for entry in entries {
            let entry = entry?;
            if entry.path().join(CURRENT).is_file() {
                sets.extend(entry.file_name().to_str().map(str::to_owned));
            }
            if sets.len() > MOST_SETS {
                let text = format!("{}: more than {MOST_SETS} sets", self.root.display());
                return Err(Error::corrupt(text));
            }
        }
        sets.sort();
        Ok(sets)
    }

    /// The set as it is published now, where that is another version than `before` and can be
    /// opened.
    fn found(&mut self, set: &str, before: Option<&Found>, looked: &mut Looked) -> Option<Found> {
        let folder = self.root.join(set);
        let manifest = match Manifest::read(&folder) {
            Ok(manifest) => manifest?,
            Err(error) => {
                self.fail(set, String::new(), error, looked);
                return None;
            }
        };
        if before.is_some_and(|b| *b.manifest() == manifest) {
            self.failed.remove(set);
            return None;
        }
        let mark = format!("{} {}", manifest.version, manifest.published_ms);
        let is_fresh = |(failed, at): &(String, Instant)| *failed == mark && at.elapsed() < RETRY;
        if self.failed.get(set).is_some_and(is_fresh) {
            return None;
        }
        let version = manifest.version.clone();
        match Found::open(&folder, manifest, before) {
            Ok(found) => {
                self.failed.remove(set);
                looked.taken.push((set.to_owned(), version));
                Some(found)
            }
            Err(error) => {
                self.fail(set, mark, error, looked);
                None
            }
        }
    }

    fn fail(&mut self, set: &str, mark: String, error: Error, looked: &mut Looked) {
        let is_told = |(failed, at): &(String, Instant)| *failed == mark && at.elapsed() < RETRY;
        if !self.failed.get(set).is_some_and(is_told) {
            looked.failures.push((set.to_owned(), error));
            self.failed.insert(set.to_owned(), (mark, Instant::now()));
        }
    }
}

fn known(present: &FeatureReader, set: &str) -> Option<Found> {
    let table = present.tables().iter().find(|table| table.manifest().set == set);
    let last = || present.last_events().filter(|last| last.manifest().set == set);
    match table {
        Some(table) => Some(Found::Values(table.clone())),
        None => last().map(|last| Found::Last(last.clone())),
    }
}

impl Found {
    fn manifest(&self) -> &Manifest {
        match self {
            Self::Values(table) => table.manifest(),
            Self::Last(events) => events.manifest(),
        }
    }

    /// Opens what a manifest names, or takes over what is open already.
    fn open(folder: &Path, manifest: Manifest, before: Option<&Self>) -> Result<Self> {
        match (&manifest.content, before) {
            (Content::Values { .. }, Some(Self::Values(table))) => {
                if let Some(same) = table.renamed(manifest.clone()) {
                    return Ok(Self::Values(same));
                }
            }
            (Content::LastEvents { .. }, Some(Self::Last(events))) => {
                if let Some(same) = events.renamed(manifest.clone()) {
                    return Ok(Self::Last(same));
                }
            }
            _ => {}
        }
        match manifest.content {
            Content::Values { .. } => Ok(Self::Values(FeatureTable::open(folder, manifest)?)),
            Content::LastEvents { .. } => Ok(Self::Last(LastEvents::open(folder, manifest)?)),
        }
    }
}
