//! A change of a table, and how it becomes the next generation beside other committers.

use std::collections::{BTreeMap, HashSet};

use foretaste_core::{Error, ErrorKind, Result};

use super::columns::Columns;
use super::manifest::{FileMeta, Manifest};
use super::write::unique_name;
use super::{Table, TableState};

/// How often a commit is repeated on top of others' before it gives up.
const ATTEMPTS: usize = 50;

/// Which rows leave the table with a commit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Removal {
    /// None: the commit appends.
    #[default]
    Nothing,
    /// All of them: the commit replaces the table.
    All,
    /// Those of these partitions.
    Partitions(HashSet<String>),
    /// Those of these files, which must still be there.
    Files(HashSet<String>),
}

/// What a commit does, in one step.
#[derive(Clone, Debug, Default)]
pub struct Change {
    /// Files that come, from a [`super::TableWriter`].
    pub add: Vec<FileMeta>,
    /// Rows that leave.
    pub remove: Removal,
    /// Columns of the files that come.
    pub columns: Columns,
    /// Marks to set, or with `None` to remove.
    pub marks: BTreeMap<String, Option<String>>,
    /// Where given, the commit succeeds only on top of this generation.
    pub expected: Option<u64>,
}

impl Table {
    /// Makes `change` the next state of the table: all of it, or nothing. Beside other committers
    /// it is repeated on top of theirs, so nothing of anybody is lost.
    ///
    /// # Errors
    /// `Conflict` when a file to remove is gone, the columns do not fit those of another commit,
    /// or the generation is not the expected one; `Unavailable` after 50 lost races. The table
    /// is unchanged then, except that a commit whose answer was lost may have been made: the
    /// error is `Unavailable` in that case, too.
    ///
    /// # Cost
    /// One listing, one read and one write, of the manifest only.
    pub async fn commit(&self, change: &Change) -> Result<TableState> {
        let name = unique_name();
        for _ in 0..ATTEMPTS {
            let base = self.state().await?;
            let next = applied(&base.manifest, change, &name).map_err(|e| {
                e.context(format!("{} at generation {}", self.shown(""), base.generation()))
            })?;
            let path = self.below(&Manifest::path(next.generation));
            match self.place.create(&path, next.to_bytes()?).await {
                Ok(()) => {}
                Err(e) if e.kind() == ErrorKind::Conflict => {
                    // Somebody was faster, or an earlier try of ours did arrive after all.
                    if self.contains(&name).await? {
                        return Ok(self.hold(next));
                    }
                    continue;
                }
                Err(e) => return Err(e),
            }
            if self.holds(&base, &name).await? {
                return Ok(self.hold(next));
            }
            // The name was free because a vacuum had removed what stood there: nobody reads it.
            self.place.remove(&self.place.path(&path)).await?;
        }
        let text = format!("{}: others commit all the time; try again later", self.shown(""));
        Err(Error::new(ErrorKind::Unavailable, text))
    }

    /// Whether what was created continues the table. Manifests are removed in ascending order,
    /// so if the base is still there, the name after it had never been taken before.
    async fn holds(&self, base: &TableState, name: &str) -> Result<bool> {
        Ok(self.generations().await?.contains(&base.generation()) || self.contains(name).await?)
    }

    async fn contains(&self, name: &str) -> Result<bool> {
        Ok(self.state().await?.manifest.recent.iter().any(|recent| recent == name))
    }
}

fn applied(base: &Manifest, change: &Change, name: &str) -> Result<Manifest> {
    if change.expected.is_some_and(|expected| expected != base.generation) {
        let text = "another commit came in between; start again from the present state";
        return Err(Error::new(ErrorKind::Conflict, text));
    }
    let mut next = base.next(name);
    match &change.remove {
        Removal::Nothing => {}
        Removal::All => next.files.clear(),
        Removal::Partitions(gone) => next.files.retain(|file| !gone.contains(&file.partition)),
        Removal::Files(gone) => {
            next.files.retain(|file| !gone.contains(&file.path));
            if base.files.len() - next.files.len() != gone.len() {
                let text = "files that were to be replaced are gone already";
                return Err(Error::new(ErrorKind::Conflict, text));
            }
        }
    }
    if !change.add.is_empty() || change.remove == Removal::All {
        let anew = change.remove == Removal::All;
        let old = if anew { Columns::default() } else { base.columns.clone() };
        next.columns = old.evolve(&change.columns)?;
    }
    next.files.extend(change.add.iter().cloned());
    for (mark, value) in &change.marks {
        match value {
            Some(value) => next.marks.insert(mark.clone(), value.clone()),
            None => next.marks.remove(mark),
        };
    }
    Ok(next)
}
