//! The default store: a folder with an event log, a lake of Parquet segments and an SQLite
//! catalogue. Nothing to set up; one process writes, any number read.
//!
//! `docs/decisions/0001-event-storage.md` says why the three share the work as they do.

mod bulk;
mod read;
mod rows;
mod seal;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};

use foretaste_core::{Error, ErrorKind, Event, EventBatch, IdTable, Item, Result, TimeMs, User};
use foretaste_lake::{Columns, Lake};

use crate::catalogue::{Catalogue, Erasures};
use crate::lock::WriterLock;
use crate::log::{EventLog, LogOptions};
use crate::store::{AppendOutcome, BulkWriter, Counts, Sink, Source, Store};
use crate::validate;

/// Sizes of an embedded store. The defaults suit a server with some GB of memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EmbeddedOptions {
    /// A log file that has reached this size is closed and the next one begun.
    pub log_file_bytes: u64,
    /// Appends wait while more than this is waiting for the disk.
    pub pending_bytes: usize,
    /// Number of latest events whose keys are remembered for answering duplicates.
    pub remembered_keys: usize,
    /// Events of one Parquet segment.
    pub segment_rows: u64,
}

impl Default for EmbeddedOptions {
    fn default() -> Self {
        Self {
            log_file_bytes: 64 << 20,
            pending_bytes: 16 << 20,
            remembered_keys: 1 << 20,
            segment_rows: 16 << 20,
        }
    }
}

/// The store in a folder.
pub struct EmbeddedStore {
    dir: PathBuf,
    options: EmbeddedOptions,
    catalogue: Catalogue,
    lake: Lake,
    writer: Option<Writer>,
}

/// What only the writing process has.
struct Writer {
    log: EventLog,
    /// Kinds of events stored so far.
    kinds: Mutex<IdTable>,
    erasures: RwLock<Erasures>,
    /// Held by whoever stores a step of rows.
    stepping: Mutex<()>,
    /// Held by whoever reorganises segments.
    maintenance: Mutex<()>,
    _lock: WriterLock,
}

impl EmbeddedStore {
    /// Opens the store in `dir` for reading and writing; creates it when there is none.
    ///
    /// # Errors
    /// `Conflict` naming the process that is writing already, `Corrupt` naming the damaged file,
    /// `Unsupported` when a newer version wrote it, `Io`.
    pub fn open(dir: &Path, options: EmbeddedOptions) -> Result<Self> {
        let log_folder = log_dir(dir);
        fs_err::create_dir_all(&log_folder)?;
        // A folder that a power cut takes away takes its files along.
        log_folder.ancestors().take(3).try_for_each(|at| fs_err::File::open(at)?.sync_all())?;
        let lock = WriterLock::take(dir)?;
        let catalogue = Catalogue::open(&catalogue_path(dir))?;
        let lake = Lake::open(&lake_dir(dir))?;
        rows::settle_loads(&catalogue, &lake)?;
        let stats = lake.stats()?;
        let sealed = (stats.sealed.log_segment, stats.sealed.seq);
        let mut kinds: IdTable = stats.kinds.iter().collect();
        let log = EventLog::open(&log_folder, sealed, options.log(), &mut |event| {
            validate::kind(&mut kinds, &event.kind)
        })?;
        log.remove_through(sealed.0, 0)?;
        let erasures = RwLock::new(catalogue.erasures()?);
        let writer = Writer {
            log,
            kinds: Mutex::new(kinds),
            erasures,
            stepping: Mutex::new(()),
            maintenance: Mutex::new(()),
            _lock: lock,
        };
        Ok(Self { dir: dir.to_owned(), options, catalogue, lake, writer: Some(writer) })
    }

    /// Opens the store in `dir` for reading, beside a process that may be writing. Every read
    /// sees what had been stored when it began.
    ///
    /// # Errors
    /// `NotFound` when there is no store, `Unsupported`, `Corrupt`, `Io`.
    pub fn open_reader(dir: &Path) -> Result<Self> {
        let found = catalogue_path(dir).exists() && log_dir(dir).exists();
        if !found {
            let text = format!("{} holds no data; import some first", dir.display());
            return Err(Error::not_found(text));
        }
        let catalogue = Catalogue::open_reader(&catalogue_path(dir))?;
        let lake = Lake::open_reader(&lake_dir(dir))?;
        let options = EmbeddedOptions::default();
        Ok(Self { dir: dir.to_owned(), options, catalogue, lake, writer: None })
    }

    /// Reads every stored byte of the sealed and imported events and compares it with what was
    /// written.
    ///
    /// # Errors
    /// `Corrupt` naming the first damaged file.
    pub fn verify(&self) -> Result<()> {
        self.lake.snapshot()?.verify()
    }

    fn writer(&self) -> Result<&Writer> {
        self.writer.as_ref().ok_or_else(|| {
            let text = format!("{} is open for reading only", self.dir.display());
            Error::new(ErrorKind::Conflict, text)
        })
    }
}

impl EmbeddedOptions {
    fn log(self) -> LogOptions {
        LogOptions {
            file_bytes: self.log_file_bytes,
            pending_bytes: self.pending_bytes,
            remembered: self.remembered_keys,
        }
    }
}

impl std::fmt::Debug for EmbeddedStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let writes = self.writer.is_some();
        f.debug_struct("EmbeddedStore").field("dir", &self.dir).field("writes", &writes).finish()
    }
}

impl Store for EmbeddedStore {
    fn append_events(&self, events: &[Event]) -> Result<AppendOutcome> {
        validate::events(events)?;
        let writer = self.writer()?;
        {
            let mut kinds = lock(&writer.kinds);
            events.iter().try_for_each(|event| validate::kind(&mut kinds, &event.kind))?;
        }
        writer.log.append(events)
    }

    fn bulk(&self, source: &Source) -> Result<Box<dyn BulkWriter + '_>> {
        self.start_bulk(source)
    }

    fn has_source(&self, digest: &str) -> Result<bool> {
        self.lake.has_source(digest)
    }

    fn read_events(&self, columns: Columns, sink: Sink<'_, EventBatch>) -> Result<()> {
        self.read(TimeMs::MIN, columns, sink)
    }

    fn read_events_since(
        &self,
        since_ms: TimeMs,
        columns: Columns,
        sink: Sink<'_, EventBatch>,
    ) -> Result<()> {
        self.read(since_ms, columns, sink)
    }

    fn tail(&self, after_seq: u64, sink: &mut dyn FnMut(u64, Event) -> Result<()>) -> Result<u64> {
        self.read_tail(after_seq, sink)
    }

    fn put_items(&self, items: &[Item]) -> Result<()> {
        validate::items(items)?;
        self.writer()?;
        self.catalogue.put_items(items)
    }

    fn put_users(&self, users: &[User]) -> Result<()> {
        validate::users(users)?;
        self.writer()?;
        self.catalogue.put_users(users)
    }

    fn item(&self, id: &str) -> Result<Option<Item>> {
        self.catalogue.item(id)
    }

    fn user(&self, id: &str) -> Result<Option<User>> {
        self.catalogue.user(id)
    }

    fn delete_item(&self, id: &str) -> Result<bool> {
        self.writer()?;
        self.catalogue.delete_item(id)
    }

    fn delete_user(&self, id: &str) -> Result<bool> {
        let writer = self.writer()?;
        validate::id("user_id", id)?;
        let mut erasures = writer.erasures.write().unwrap_or_else(PoisonError::into_inner);
        self.catalogue.erase_user(id, writer.log.given_seq(), &mut erasures)
    }

    fn set_hidden(&self, id: &str, hidden: bool) -> Result<bool> {
        validate::id("item_id", id)?;
        self.writer()?;
        self.catalogue.set_hidden(id, hidden)
    }

    fn hidden(&self) -> Result<Vec<String>> {
        self.catalogue.hidden()
    }

    fn items(&self, sink: Sink<'_, Item>) -> Result<()> {
        self.catalogue.items(sink)
    }

    fn users(&self, sink: Sink<'_, User>) -> Result<()> {
        self.catalogue.users(sink)
    }

    fn control(&self, key: &str) -> Result<Option<String>> {
        self.catalogue.control(&control_key(key))
    }

    fn set_control(&self, key: &str, value: Option<&str>) -> Result<()> {
        self.writer()?;
        self.catalogue.set_control(&control_key(key), value)
    }

    fn counts(&self) -> Result<Counts> {
        self.count()
    }

    fn log_events(&self) -> Result<u64> {
        self.log_size().map(|(events, _, _)| events)
    }

    fn seal(&self) -> Result<()> {
        self.seal_log()
    }
}

/// Callers' keys live apart from the store's own.
fn control_key(key: &str) -> String {
    format!("user.{key}")
}

fn log_dir(dir: &Path) -> PathBuf {
    dir.join("events").join("log")
}

fn lake_dir(dir: &Path) -> PathBuf {
    dir.join("events").join("lake")
}

fn catalogue_path(dir: &Path) -> PathBuf {
    dir.join("catalogue.db")
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
