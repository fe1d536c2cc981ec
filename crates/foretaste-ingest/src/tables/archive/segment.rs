//! The files of a table's archive: each Parquet file with a record beside it that says what it
//! holds and how far its rows have left the table.
//!
//! A record is replaced as a whole, durably, before and after each step. The store's side keeps a
//! note of the files whose rows it would miss, so that a folder that is not mounted is never taken
//! for an archive without rows.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::TryLockError;
use std::path::{Path, PathBuf};

use foretaste_core::{Error, ErrorKind, Result};
use foretaste_lake::durable;
use foretaste_store::RowStore;
use serde::{Deserialize, Serialize};

use super::columns::Column;
use super::file::{damaged, fingerprint};

/// The form of records that is written and read.
const VERSION: u32 = 1;

/// Rows and sum of digests of each bucket.
pub type Buckets = BTreeMap<i64, (u64, i128)>;

/// What lies beside a Parquet file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Segment {
    /// The form of this record.
    pub version: u32,
    /// How far its rows have left the table.
    pub stage: Stage,
    /// Of the configuration.
    pub source: String,
    /// On the server.
    pub table: String,
    /// The database that it is in.
    pub database: String,
    /// Name and version of the server.
    pub server: String,
    /// All rows are older than this day (UTC).
    pub before: String,
    /// The column that says how old a row is.
    pub age: String,
    /// The columns that identify a row.
    pub id: Vec<String>,
    /// All columns, in the order of the table.
    pub columns: Vec<Column>,
    /// The statement that made the table.
    pub definition: String,
    /// Rows of the file.
    pub rows: u64,
    /// Its length.
    pub bytes: u64,
    /// Digest of its bytes.
    pub blake3: String,
    /// Digest of the digests of its rows, in order.
    pub rows_blake3: String,
    /// Age and id of the first row.
    pub first: Vec<String>,
    /// Age and id of the last row.
    pub last: Vec<String>,
    /// Sum of the first id column, where that is a whole number.
    pub key_sum: Option<i128>,
    /// By reading (`source/table`) what its rows are in the buckets of reconciliations.
    pub readings: BTreeMap<String, Buckets>,
}

/// How far the rows of a file have left the table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// None has.
    Copied,
    /// Those before `next`, but for some; rows from there to `until` may have.
    Moving {
        /// The first row that is not settled.
        next: u64,
        /// The first row that has not been touched.
        until: u64,
        /// Rows that stay in the table, or were deleted by others.
        left: BTreeSet<u64>,
    },
    /// All, but for some.
    Moved {
        /// As in [`Stage::Moving`].
        left: BTreeSet<u64>,
        /// Buckets of such rows, by reading.
        loose: BTreeMap<String, BTreeSet<i64>>,
    },
    /// Some may be back.
    Restoring {
        /// As in [`Stage::Moving`].
        left: BTreeSet<u64>,
    },
}

impl Stage {
    /// Rows that are not the archive's; `None` when none is.
    pub fn left(&self) -> Option<&BTreeSet<u64>> {
        match self {
            Self::Copied => None,
            Self::Moving { left, .. } | Self::Moved { left, .. } | Self::Restoring { left } => {
                Some(left)
            }
        }
    }

    /// Rows that have left a table for a file of so many.
    pub fn moved(&self, rows: u64) -> u64 {
        match self {
            Self::Copied => 0,
            Self::Moving { next, left, .. } => next - left.len() as u64,
            Self::Moved { left, .. } | Self::Restoring { left } => rows - left.len() as u64,
        }
    }
}

impl Segment {
    /// What is in force of the form now.
    pub const VERSION: u32 = VERSION;

    /// Compares the bytes of the file with what was written.
    ///
    /// # Errors
    /// `Corrupt` naming the file.
    pub fn verify(&self, path: &Path) -> Result<()> {
        let (bytes, blake3) = fingerprint(path)?;
        if (bytes, blake3.as_str()) == (self.bytes, self.blake3.as_str()) {
            return Ok(());
        }
        Err(damaged(
            path,
            format!("it has {bytes} bytes, or others than the {} written", self.bytes),
        ))
    }
}

/// Where the archive of extraction sources is.
#[derive(Clone, Debug)]
pub struct ArchiveFolder {
    /// The folder of all archives.
    pub folder: PathBuf,
    /// Folder of the notes; `None`: they are in the control state of a store on a server.
    pub notes: Option<PathBuf>,
}

/// What the store's side remembers.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Note {
    /// Where the files were last.
    folder: PathBuf,
    /// Files from which rows have been deleted in the table.
    segments: BTreeSet<u32>,
}

/// The files of one table.
pub struct Files<'a> {
    dir: PathBuf,
    key: String,
    store: &'a dyn RowStore,
    notes: Option<&'a Path>,
}

impl ArchiveFolder {
    /// The files of `table` of `source`.
    pub fn files<'a>(&'a self, store: &'a dyn RowStore, source: &str, table: &str) -> Files<'a> {
        Files {
            dir: self.folder.join("sources").join(source).join(table),
            key: format!("{source}/{table}"),
            store,
            notes: self.notes.as_deref(),
        }
    }
}

impl Files<'_> {
    /// Their folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The Parquet file of this number.
    pub fn path(&self, number: u32) -> PathBuf {
        self.dir.join(format!("{number:06}.parquet"))
    }

    fn record(&self, number: u32) -> PathBuf {
        self.dir.join(format!("{number:06}.json"))
    }

    /// All records by number.
    ///
    /// # Errors
    /// `Unavailable` when a file that is needed is not there, `Corrupt` for a record that cannot be
    /// read.
    pub fn load(&self) -> Result<BTreeMap<u32, Segment>> {
        let mut all = BTreeMap::new();
        for number in self.numbers("json")? {
            all.insert(number, self.segment(number)?);
        }
        let note = self.note()?;
        match note.segments.iter().find(|number| !all.contains_key(number)) {
            None => Ok(all),
            Some(number) => {
                let text = format!(
                    "{} of the archive is not there; it was in {}. Mount that folder or set \
                     `archive.folder`; without it nobody can tell rows that were archived from \
                     rows that were deleted",
                    self.record(*number).display(),
                    note.folder.display(),
                );
                Err(Error::new(ErrorKind::Unavailable, text))
            }
        }
    }

    fn segment(&self, number: u32) -> Result<Segment> {
        let path = self.record(number);
        let text = fs_err::read_to_string(&path)?;
        let segment: Segment = serde_json::from_str(&text).map_err(|e| damaged(&path, e))?;
        if segment.version == VERSION {
            return Ok(segment);
        }
        let text = format!("{} was written by a later version of Foretaste", path.display());
        Err(Error::new(ErrorKind::Unsupported, text))
    }

    /// Writes a record, durably.
    pub fn save(&self, number: u32, segment: &Segment) -> Result<()> {
        let mut text = serde_json::to_string_pretty(segment).map_err(|e| {
            Error::internal("a record of the archive cannot be written down").with_source(e)
        })?;
        text.push('\n');
        durable::replace(&self.record(number), text.as_bytes())
    }

    /// Removes a file and its record, in this order: a record without a file is noticed.
    pub fn remove(&self, number: u32) -> Result<()> {
        fs_err::remove_file(self.record(number))?;
        durable::sync_dir(&self.dir)?;
        Ok(fs_err::remove_file(self.path(number))?)
    }

    /// The number of the next file.
    pub fn next(&self) -> Result<u32> {
        let noted = self.note()?.segments.last().copied();
        let last = self.numbers("json")?.last().copied();
        Ok(noted.max(last).unwrap_or(0) + 1)
    }

    /// Makes the folder and keeps it for one run until what it returns is dropped; removes what a
    /// run that was killed has left.
    ///
    /// # Errors
    /// `Conflict` when another run is at work.
    pub fn lock(&self) -> Result<std::fs::File> {
        fs_err::create_dir_all(&self.dir)?;
        // The folder of the archive, and the three in it.
        self.dir.ancestors().take(4).try_for_each(durable::sync_dir)?;
        let path = self.dir.join("LOCK");
        let file = fs_err::File::create(&path)?.into_parts().0;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let text = format!("another run archives this table ({})", path.display());
                return Err(Error::new(ErrorKind::Conflict, text));
            }
            Err(TryLockError::Error(e)) => return Err(Error::from(e).context(path.display())),
        }
        let known: BTreeSet<u32> = self.numbers("json")?.into_iter().collect();
        for number in self.numbers("parquet")?.into_iter().filter(|n| !known.contains(n)) {
            fs_err::remove_file(self.path(number))?;
        }
        for number in self.numbers("tmp")? {
            fs_err::remove_file(self.path(number).with_extension("tmp"))?;
        }
        Ok(file)
    }

    /// The numbers of all files with this extension, ascending.
    fn numbers(&self, extension: &str) -> Result<Vec<u32>> {
        let mut numbers = Vec::new();
        let entries = match fs_err::read_dir(&self.dir) {
            Ok(entries) => entries,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(numbers),
            Err(e) => return Err(e.into()),
        };
        for entry in entries {
            let path = entry?.path();
            let stem = path.file_stem().and_then(|stem| stem.to_str());
            if path.extension().is_some_and(|own| own == extension)
                && let Some(number) = stem.and_then(|stem| stem.parse().ok())
            {
                numbers.push(number);
            }
        }
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// Notes that rows of this file leave the table, or that they are all back.
    pub fn announce(&self, number: u32, leaves: bool) -> Result<()> {
        let mut note = self.note()?;
        let changed = match leaves {
            true => note.segments.insert(number),
            false => note.segments.remove(&number),
        };
        if !changed && note.folder == self.dir {
            return Ok(());
        }
        note.folder.clone_from(&self.dir);
        let text = serde_json::to_string(&note)
            .map_err(|e| Error::internal("a note cannot be written down").with_source(e))?;
        match self.note_path() {
            None => self.store.set_control(&self.control(), Some(&text)),
            Some(path) => {
                path.parent().map_or(Ok(()), fs_err::create_dir_all)?;
                durable::replace(&path, text.as_bytes())
            }
        }
    }

    fn note(&self) -> Result<Note> {
        let text = match self.note_path() {
            None => self.store.control(&self.control())?,
            Some(path) => match fs_err::read_to_string(path) {
                Ok(text) => Some(text),
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => None,
                Err(e) => return Err(e.into()),
            },
        };
        let Some(text) = text else { return Ok(Note::default()) };
        serde_json::from_str(&text)
            .map_err(|e| Error::corrupt(format!("the note of {}", self.key)).with_source(e))
    }

    fn note_path(&self) -> Option<PathBuf> {
        let name = format!("{}.json", self.key.replace('/', "-"));
        self.notes.map(|notes| notes.join(name))
    }

    fn control(&self) -> String {
        format!("archive.rows.{}", self.key)
    }
}
