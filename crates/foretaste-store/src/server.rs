//! A store in the tables of a PostgreSQL, MySQL or MariaDB server, for teams that have one: many
//! processes share it, and its backups and replicas are theirs.
//!
//! Whoever stores events holds the row of the counter, so sequence numbers ascend in the order of
//! commits and no two writers lock each other out; the threads of one process share transactions.
//! `docs/decisions/0010-server-store.md` says why it is as it is.

mod append;
mod archive;
mod bulk;
mod catalogue;
mod failure;
mod partitions;
mod pool;
mod read;
mod replica;
mod rows;
mod schema;
mod snapshot;
mod sql;
mod warm;

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use foretaste_core::{Event, EventBatch, Item, Result, TimeMs, User};
use foretaste_lake::Columns;

use crate::memory::imported_before;
use crate::store::{AppendOutcome, BulkWriter, Counts, Sink, Source, Store};
use crate::validate;
use append::Queue;
pub use archive::{ArchiveMonth, ArchiveOptions, ArchiveReport, ArchiveStatus};
pub use pool::PoolFigures;
pub use replica::ReadFigures;
use sql::{Arg, Database, text};

/// Where the tables are and what may be kept in them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerOptions {
    /// `postgres://user:password@host:port/database`, or `mysql://...`, `mariadb://...`.
    pub url: String,
    /// A replica of that server, where long reads take place while it keeps up.
    pub replica_url: Option<String>,
    /// How long such a read waits for the replica to have what the primary has.
    pub replica_max_lag: Duration,
    /// Connections at most; one of them writes.
    pub connections: u32,
    /// Connections that are there before they are needed; lost ones are again after `idle_timeout`.
    pub min_connections: u32,
    /// How long a request waits for a free connection.
    pub acquire_timeout: Duration,
    /// A connection that was idle so long is closed.
    pub idle_timeout: Duration,
    /// A connection that is so old is closed after its use.
    pub max_lifetime: Duration,
    /// How long a statement waits for what another transaction holds, in whole seconds.
    pub lock_timeout: Duration,
    /// How often months of events are made and dropped while the store is open.
    pub upkeep_every: Duration,
    /// Number of latest events whose keys are remembered for answering duplicates.
    pub remembered_keys: u64,
    /// Months of events that are kept, the running one not counted; `None`: all.
    pub retention_months: Option<u32>,
    /// Where the folder of the archive is here; `None`: where it was when it was written last.
    pub archive: Option<PathBuf>,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            url: String::new(),
            replica_url: None,
            replica_max_lag: Duration::from_secs(10),
            connections: 8,
            min_connections: 0,
            acquire_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(300),
            max_lifetime: Duration::from_secs(1_800),
            lock_timeout: Duration::from_secs(10),
            upkeep_every: Duration::from_secs(3_600),
            remembered_keys: 1 << 20,
            retention_months: None,
            archive: None,
        }
    }
}

/// The store on a server. Any number of processes may write and read.
pub struct ServerStore {
    database: Arc<Database>,
    options: ServerOptions,
    waiting: Queue,
    /// Held by the thread that writes for all that wait.
    writing: Mutex<()>,
}

impl ServerStore {
    /// Opens the store on a server; makes its tables where there are none.
    ///
    /// # Errors
    /// `Config` for a URL or access that is wrong, `Unavailable` when the server cannot be
    /// reached, `Unsupported` when a newer version made the tables.
    pub fn open(options: ServerOptions) -> Result<Self> {
        let database = Arc::new(Database::connect(&options)?);
        let store = Self { database, options, waiting: Queue::default(), writing: Mutex::new(()) };
        store.database.wait(schema::prepare(&store.database))?;
        store.keep_months()?;
        store.keep_months_from_now_on()?;
        Ok(store)
    }

    /// Makes partitions for the months ahead and drops those beyond retention.
    fn keep_months(&self) -> Result<()> {
        let months = self.options.retention_months;
        self.database.wait(partitions::keep(&self.database, months))
    }

    /// Does the upkeep again and again until the store is dropped.
    fn keep_months_from_now_on(&self) -> Result<()> {
        let (every, months) = (self.options.upkeep_every, self.options.retention_months);
        let database = Arc::downgrade(&self.database);
        self.database.spawn(async move {
            loop {
                tokio::time::sleep(every).await;
                let Some(database) = database.upgrade() else { return };
                // What is wrong is told by `seal`, which does the same and has somebody to tell.
                let _ = partitions::keep(&database, months).await;
            }
        })
    }
}

impl std::fmt::Debug for ServerStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The URL holds a password.
        f.debug_struct("ServerStore").field("dialect", &self.database.dialect).finish()
    }
}

impl Store for ServerStore {
    fn append_events(&self, events: &[Event]) -> Result<AppendOutcome> {
        validate::events(events)?;
        self.append(events)
    }

    fn bulk(&self, source: &Source) -> Result<Box<dyn BulkWriter + '_>> {
        if self.has_source(&source.digest)? {
            return Err(imported_before(source));
        }
        Ok(Box::new(bulk::ServerBulk::begin(&self.database, source)?))
    }

    fn has_source(&self, digest: &str) -> Result<bool> {
        let sql = "SELECT digest FROM foretaste_sources WHERE digest = ?";
        let found = self.database.rows(sql, vec![Arg::text(digest)])?;
        Ok(!found.is_empty())
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
        let (last, sealed) = self.counters()?;
        self.read_log((after_seq.max(sealed), last), sink)
    }

    fn news(
        &self,
        after_seq: u64,
        sink: &mut dyn FnMut(u64, Event) -> Result<()>,
    ) -> Result<Option<u64>> {
        let (last, _) = self.counters()?;
        if last <= after_seq {
            return Ok(Some(last));
        }
        self.read_log((after_seq, last), sink).map(Some)
    }

    fn put_items(&self, items: &[Item]) -> Result<()> {
        validate::items(items)?;
        self.database.wait(catalogue::put_items(&self.database, items))
    }

    fn put_users(&self, users: &[User]) -> Result<()> {
        validate::users(users)?;
        self.database.wait(catalogue::put_users(&self.database, users))
    }

    fn item(&self, id: &str) -> Result<Option<Item>> {
        catalogue::item(&self.database, id)
    }

    fn user(&self, id: &str) -> Result<Option<User>> {
        catalogue::user(&self.database, id)
    }

    fn delete_item(&self, id: &str) -> Result<bool> {
        self.database.wait(catalogue::delete_item(&self.database, id))
    }

    fn delete_user(&self, id: &str) -> Result<bool> {
        validate::id("user_id", id)?;
        self.database.wait(catalogue::delete_user(&self.database, id))
    }

    fn set_hidden(&self, id: &str, hidden: bool) -> Result<bool> {
        validate::id("item_id", id)?;
        self.database.wait(catalogue::set_hidden(&self.database, id, hidden))
    }

    fn hidden(&self) -> Result<Vec<String>> {
        catalogue::hidden(&self.database)
    }

    fn items(&self, sink: Sink<'_, Item>) -> Result<()> {
        catalogue::items(&self.database, sink)
    }

    fn users(&self, sink: Sink<'_, User>) -> Result<()> {
        catalogue::users(&self.database, sink)
    }

    fn control(&self, key: &str) -> Result<Option<String>> {
        let sql = "SELECT value FROM foretaste_control WHERE name = ?";
        let rows = self.database.rows(sql, vec![Arg::text(key)])?;
        rows.first().map(|row| text(row, 0)).transpose()
    }

    fn set_control(&self, key: &str, value: Option<&str>) -> Result<()> {
        self.database.wait(catalogue::set_control(&self.database, key, value))
    }

    fn counts(&self) -> Result<Counts> {
        self.count()
    }

    fn log_events(&self) -> Result<u64> {
        self.unsealed()
    }

    fn seal(&self) -> Result<()> {
        self.database.wait(append::seal(&self.database))?;
        self.keep_months()
    }

    fn pools(&self) -> Vec<PoolFigures> {
        self.database.pools()
    }

    fn reads(&self) -> Option<ReadFigures> {
        self.database.replica.as_ref().map(replica::Replica::reads)
    }
}
