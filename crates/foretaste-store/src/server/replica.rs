//! Long reads on a replica, where it has all that the primary had when they began.
//!
//! How far a replica is behind is not asked of the server, whose answer depends on its kind, on
//! rights and on how replication is set up: a mark is written on the primary and waited for on the
//! connection that then reads. What was committed before the mark is there when the mark is, so
//! such a read sees no less than one on the primary would, whichever server its neighbours are on.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use foretaste_core::{Error, ErrorKind, Result};
use futures_util::TryStreamExt;
use sqlx::pool::PoolConnection;
use sqlx_core::any::{Any, AnyConnection, AnyRow};
use tracing::{info, warn};

use super::failure::failure;
use super::pool::{Pool, PoolFigures};
use super::sql::{Arg, Database, Dialect, bound, dialect_of, rows, run, spelled};
use super::warm::Warm;
use super::{ServerOptions, partitions, snapshot};

/// For so long a replica that was of no use is left alone.
const PAUSE: Duration = Duration::from_secs(60);
/// How often the mark is looked for.
const LOOK_EVERY: Duration = Duration::from_millis(20);
const BROKEN_OFF: &str = "broken_off";
/// Rows that are waited for together.
const ROWS_AT_ONCE: usize = 256;
/// Marks whose reader was killed are taken away when they are so old.
const FORGOTTEN_MS: i64 = 3_600_000;

/// Where long reads took place.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ReadFigures {
    /// How long the last read that went to the replica waited until that had all.
    pub lag: Duration,
    /// Reads by the server that they went to, and why.
    pub reads: [(&'static str, &'static str, u64); 5],
}

impl ReadFigures {
    /// Reads that the replica did not bring to their end.
    pub fn broken_off(&self) -> u64 {
        let of = |(_, reason, n): &(_, &str, u64)| (*reason == BROKEN_OFF).then_some(*n);
        self.reads.iter().filter_map(of).sum()
    }
}

/// Why a read did not go to the replica, or not to its end.
#[derive(Clone, Copy, Debug)]
enum Left {
    Behind,
    Away,
    Paused,
    BrokenOff,
}

/// The replica of a store's server.
pub(super) struct Replica {
    pool: Pool,
    max_lag: Duration,
    /// When it was found to be of no use.
    left_at: Mutex<Option<Instant>>,
    lag_us: AtomicU64,
    fresh: AtomicU64,
    left: [AtomicU64; 4],
}

impl Replica {
    /// The replica of the options, where they name one; nobody connects to it before it is needed.
    ///
    /// # Errors
    /// `Config` for a URL that is wrong or for another kind of server than the primary.
    pub(super) fn of(options: &ServerOptions, primary: Dialect) -> Result<Option<Self>> {
        let Some(url) = &options.replica_url else { return Ok(None) };
        let (dialect, url) = dialect_of(url)?;
        if dialect != primary {
            let text = "the store's replica is another kind of server than its primary; name a \
                        replica of the primary, or none";
            return Err(Error::new(ErrorKind::Config, text));
        }
        let patience = ServerOptions {
            acquire_timeout: options.replica_max_lag,
            min_connections: 0,
            ..options.clone()
        };
        Ok(Some(Self {
            pool: Pool::connect_lazily("replica", &patience, (dialect, &url))?,
            max_lag: options.replica_max_lag,
            left_at: Mutex::default(),
            lag_us: AtomicU64::default(),
            fresh: AtomicU64::default(),
            left: Default::default(),
        }))
    }

    pub(super) fn pool(&self) -> PoolFigures {
        self.pool.figures()
    }

    pub(super) fn reads(&self) -> ReadFigures {
        let left = |why: Left| self.left[why as usize].load(Relaxed);
        ReadFigures {
            lag: Duration::from_micros(self.lag_us.load(Relaxed)),
            reads: [
                ("replica", "fresh", self.fresh.load(Relaxed)),
                ("replica", BROKEN_OFF, left(Left::BrokenOff)),
                ("primary", "behind", left(Left::Behind)),
                ("primary", "away", left(Left::Away)),
                ("primary", "paused", left(Left::Paused)),
            ],
        }
    }

    /// A connection on which all is seen that the primary shows now; `None` when there is none in
    /// time.
    async fn connection(&self, primary: &Database) -> Result<Option<PoolConnection<Any>>> {
        if self.is_paused() {
            self.count(Left::Paused);
            return Ok(None);
        }
        let mark = Mark::set(primary).await?;
        let found = self.having(primary, &mark).await;
        mark.remove(primary).await;
        match found {
            Ok(Some(connection)) => {
                self.fresh.fetch_add(1, Relaxed);
                if self.left_at().take().is_some() {
                    info!("the store's replica is read again");
                }
                Ok(Some(connection))
            }
            Ok(None) => {
                let max_lag_s = self.max_lag.as_secs();
                self.leave(Left::Behind, &format!("it is more than {max_lag_s} s behind"));
                Ok(None)
            }
            Err(error) => {
                self.leave(Left::Away, &error);
                Ok(None)
            }
        }
    }

    /// A connection to a server that has `mark`; `None` when the mark does not come in time.
    async fn having(&self, primary: &Database, mark: &Mark) -> Result<Option<PoolConnection<Any>>> {
        let began = Instant::now();
        let mut connection = self.pool.acquire().await?;
        let sql = "SELECT name FROM foretaste_control WHERE name = ?";
        while rows(primary.dialect, &mut connection, sql, mark.args()).await?.is_empty() {
            if began.elapsed() > self.max_lag {
                return Ok(None);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        self.lag_us.store(began.elapsed().as_micros() as u64, Relaxed);
        Ok(Some(connection))
    }

    fn is_paused(&self) -> bool {
        self.left_at().is_some_and(|at| at.elapsed() < PAUSE)
    }

    /// Leaves the replica alone for a while; told once for as long as it is of no use.
    fn leave(&self, why: Left, reason: &dyn std::fmt::Display) {
        self.count(why);
        if self.left_at().replace(Instant::now()).is_none() {
            warn!(%reason, "the store's replica cannot be read; its primary is read instead");
        }
    }

    fn count(&self, why: Left) {
        self.left[why as usize].fetch_add(1, Relaxed);
    }

    fn left_at(&self) -> std::sync::MutexGuard<'_, Option<Instant>> {
        self.left_at.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A row of the primary by which a replica shows that it has all that came before.
struct Mark(String);

impl Mark {
    async fn set(primary: &Database) -> Result<Self> {
        let now_ms = partitions::now_ms(primary).await?;
        let random = std::collections::hash_map::RandomState::new();
        let number = std::hash::BuildHasher::hash_one(&random, now_ms);
        let mark = Self(format!("mark.{number:016x}"));
        let mut connection = primary.connection().await?;
        let forget = "DELETE FROM foretaste_control WHERE name LIKE 'mark.%' AND value < ?";
        let forgotten = vec![Arg::text(&(now_ms - FORGOTTEN_MS).to_string())];
        run(primary.dialect, &mut connection, forget, forgotten).await?;
        let sql = "INSERT INTO foretaste_control (name, value) VALUES (?, ?)";
        let row = vec![Arg::text(&mark.0), Arg::text(&now_ms.to_string())];
        run(primary.dialect, &mut connection, sql, row).await?;
        Ok(mark)
    }

    fn args(&self) -> Vec<Arg> {
        vec![Arg::text(&self.0)]
    }

    /// One that stays is taken away by a later reader.
    async fn remove(&self, primary: &Database) {
        let Ok(mut connection) = primary.connection().await else { return };
        let sql = "DELETE FROM foretaste_control WHERE name = ?";
        let _ = run(primary.dialect, &mut connection, sql, self.args()).await;
    }
}

/// A connection that one read takes place on.
pub(super) struct Reading<'a> {
    database: &'a Database,
    /// There until it is dropped.
    connection: Option<PoolConnection<Any>>,
    /// Whether rows have been shown, which cannot be taken back.
    has_shown: bool,
    /// Whether the server has failed, not whoever looks at the rows.
    has_failed: bool,
    /// Whether one state is seen, in a transaction.
    is_fixed: bool,
}

impl Database {
    /// Reads on a replica, else on the primary; from the beginning on the primary when the replica
    /// fails before a row was shown.
    ///
    /// # Errors
    /// Those of `read`; `Unavailable` when the replica fails in the middle: repeated, the read
    /// would be the primary's.
    pub(super) fn read<T>(&self, mut read: impl FnMut(&mut Reading<'_>) -> Result<T>) -> Result<T> {
        if let Some(replica) = &self.replica
            && let Some(connection) = self.wait(replica.connection(self))?
        {
            let mut reading = Reading::new(self, connection);
            match read(&mut reading) {
                Err(error) if reading.has_failed => {
                    replica.leave(Left::BrokenOff, &error);
                    if reading.has_shown {
                        return Err(broken_off(error));
                    }
                }
                done => return done,
            }
        }
        self.read_primary(read)
    }

    /// Reads on the primary.
    pub(super) fn read_primary<T>(
        &self,
        mut read: impl FnMut(&mut Reading<'_>) -> Result<T>,
    ) -> Result<T> {
        let connection = self.wait(self.connection())?;
        read(&mut Reading::new(self, connection))
    }
}

fn broken_off(source: Error) -> Error {
    let text = "the store's replica broke off a read; repeated, it takes place on the primary. A \
                standby of PostgreSQL that breaks off long reads needs `hot_standby_feedback = on`";
    Error::new(ErrorKind::Unavailable, text).with_source(source)
}

impl<'a> Reading<'a> {
    fn new(database: &'a Database, connection: PoolConnection<Any>) -> Self {
        let connection = Some(connection);
        Self { database, connection, has_shown: false, has_failed: false, is_fixed: false }
    }

    /// From here on one state of the database is seen; gives the archive as it is in it.
    pub(super) fn fix(&mut self) -> Result<Warm> {
        let dialect = self.database.dialect;
        self.is_fixed = true;
        self.change(async |connection: &mut AnyConnection| {
            snapshot::begin(dialect, connection).await?;
            snapshot::fix(dialect, connection).await?;
            Warm::of(dialect, connection).await
        })
    }

    /// Ends what [`Reading::fix`] has begun.
    pub(super) fn release(&mut self) -> Result<()> {
        self.change(async |connection: &mut AnyConnection| snapshot::end(connection).await)?;
        self.is_fixed = false;
        Ok(())
    }

    fn change<T>(&mut self, work: impl AsyncFnOnce(&mut AnyConnection) -> Result<T>) -> Result<T> {
        let connection = self.connection.as_mut().expect("it is there until the end");
        let done = self.database.wait(work(connection));
        self.has_failed |= done.is_err();
        done
    }

    /// The rows of one statement.
    pub(super) fn rows(&mut self, sql: &str, args: Vec<Arg>) -> Result<Vec<AnyRow>> {
        let mut all = Vec::new();
        let done = self.each_row(sql, args, &mut |row| {
            all.push(row);
            Ok(())
        });
        // Nobody has seen them.
        self.has_shown = false;
        done.map(|()| all)
    }

    /// Shows the rows of one statement to `sink` as they come. `sink` may wait for what it likes.
    pub(super) fn each_row(
        &mut self,
        sql: &str,
        args: Vec<Arg>,
        sink: &mut dyn FnMut(AnyRow) -> Result<()>,
    ) -> Result<()> {
        let Self { database, connection, has_shown, has_failed, .. } = self;
        let connection = connection.as_mut().expect("it is there until the end");
        let mut found = bound(spelled(database.dialect, sql), args).fetch(&mut **connection);
        loop {
            let some = database.wait(async {
                let mut some = Vec::with_capacity(ROWS_AT_ONCE);
                while some.len() < ROWS_AT_ONCE
                    && let Some(row) = found.try_next().await.map_err(failure)?
                {
                    some.push(row);
                }
                Ok(some)
            });
            *has_failed |= some.is_err();
            let some = some?;
            let is_last = some.len() < ROWS_AT_ONCE;
            *has_shown |= !some.is_empty();
            some.into_iter().try_for_each(&mut *sink)?;
            if is_last {
                return Ok(());
            }
        }
    }
}

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        // A connection goes back to its pool by a task of the runtime.
        let _inside = self.database.enter();
        let mut connection = self.connection.take();
        if let Some(connection) = connection.as_mut().filter(|_| self.is_fixed) {
            // It would go on seeing that state.
            connection.close_on_drop();
        }
        drop(connection);
    }
}
