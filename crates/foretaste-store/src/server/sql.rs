//! Statements in the words of both kinds of servers, and a pool of connections to run them on.

use std::time::Duration;

use foretaste_core::{Error, ErrorKind, Result};
use sqlx::pool::PoolConnection;
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, Column, Connection, Row, Transaction};
use sqlx_core::any::driver::install_drivers;
use sqlx_core::any::{Any, AnyArguments, AnyConnection, AnyRow, AnyTypeInfoKind};
use tokio::runtime::Runtime;

use super::ServerOptions;
use super::failure::failure;
use super::pool::{Pool, PoolFigures};
use super::replica::Replica;

const LOCK: &str = "SELECT value FROM foretaste_meta WHERE name = 'seq' FOR UPDATE";
/// Parameters of one statement; both kinds of servers take 65,535.
const MOST_PARAMETERS: usize = 16_000;
/// Bytes of the texts of one statement with several rows; MySQL takes 16 MB unless told otherwise.
const MOST_BYTES: usize = 4 << 20;

/// Which SQL is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    Postgres,
    MySql,
}

impl Dialect {
    /// The type that numbers of any size are cast to, to be read as texts.
    pub(super) fn text_type(self) -> &'static str {
        match self {
            Self::Postgres => "text",
            Self::MySql => "char",
        }
    }
}

/// A value of a statement.
#[derive(Clone, Debug)]
pub(super) enum Arg {
    Number(Option<i64>),
    Float(f64),
    Text(Option<String>),
}

impl Arg {
    pub(super) fn text(value: &str) -> Self {
        Self::Text(Some(value.to_owned()))
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Text(text) => text.as_ref().map_or(0, String::len),
            Self::Number(_) | Self::Float(_) => 8,
        }
    }
}

impl From<i64> for Arg {
    fn from(value: i64) -> Self {
        Self::Number(Some(value))
    }
}

/// A database and the threads that talk to it.
pub(super) struct Database {
    pub(super) dialect: Dialect,
    /// How long statements wait for what other transactions hold.
    pub(super) lock_timeout: Duration,
    pool: Pool,
    pub(super) replica: Option<Replica>,
    runtime: Option<Runtime>,
}

impl Drop for Database {
    fn drop(&mut self) {
        // Waiting for threads is not allowed everywhere that a store may be dropped.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Database {
    pub(super) fn connect(options: &ServerOptions) -> Result<Self> {
        // Once for the process; it only fails when it has been done.
        let _ = install_drivers(&[sqlx_postgres::any::DRIVER, sqlx_mysql::any::DRIVER]);
        let (dialect, url) = dialect_of(&options.url)?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("store")
            .enable_all()
            .build()?;
        let pool = Pool::connect("primary", options, (dialect, &url));
        let pool = blocking(&runtime, pool)?;
        let replica = {
            let _inside = runtime.enter();
            Replica::of(options, dialect)?
        };
        let lock_timeout = options.lock_timeout;
        Ok(Self { dialect, lock_timeout, pool, replica, runtime: Some(runtime) })
    }

    /// Runs `work` beside all else, until the last one lets go of the database.
    pub(super) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) -> Result<()> {
        self.runtime()?.spawn(work);
        Ok(())
    }

    /// The pools as they are now.
    pub(super) fn pools(&self) -> Vec<PoolFigures> {
        let replica = self.replica.as_ref().map(Replica::pool);
        [self.pool.figures()].into_iter().chain(replica).collect()
    }

    /// Lets tasks be started as long as the guard is there.
    pub(super) fn enter(&self) -> Option<tokio::runtime::EnterGuard<'_>> {
        self.runtime.as_ref().map(Runtime::enter)
    }

    fn runtime(&self) -> Result<&Runtime> {
        self.runtime.as_ref().ok_or_else(|| Error::internal("the store's threads have ended"))
    }

    /// Runs `work` to its end; for threads that may block, in an async runtime or not.
    pub(super) fn wait<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        blocking(self.runtime()?, work)
    }

    /// The rows of one statement.
    pub(super) fn rows(&self, sql: &str, args: Vec<Arg>) -> Result<Vec<AnyRow>> {
        self.wait(async {
            let mut connection = self.pool.acquire().await?;
            rows(self.dialect, &mut connection, sql, args).await
        })
    }

    /// A connection for statements outside of transactions.
    pub(super) async fn connection(&self) -> Result<PoolConnection<Any>> {
        self.pool.acquire().await
    }

    /// A connection that ends with its use, and with it all that its session holds.
    pub(super) async fn own_connection(&self) -> Result<PoolConnection<Any>> {
        self.pool.acquire_own().await
    }

    /// Does `work` in a transaction that begins by locking the counter. All that give numbers or
    /// change records do, so they follow one another and none waits for another one in a circle.
    pub(super) async fn transaction<T>(
        &self,
        work: impl AsyncFnOnce(&mut Changing<'_>) -> Result<T>,
    ) -> Result<T> {
        let mut connection = self.connection().await?;
        let numbered = async |changing: &mut Changing<'_>| {
            let locked = changing.rows(LOCK, Vec::new()).await?;
            let lacks = || Error::corrupt("the store's table foretaste_meta has lost its counter");
            changing.seq = number(locked.first().ok_or_else(lacks)?, 0)?;
            work(changing).await
        };
        change(self.dialect, &mut connection, numbered).await
    }

    /// Does `work` in a transaction that leaves the counter to others, for what takes long: it may
    /// give no numbers. Waits for locks up to `lock_timeout`.
    pub(super) async fn unnumbered<T>(
        &self,
        lock_timeout: Duration,
        work: impl AsyncFnOnce(&mut Changing<'_>) -> Result<T>,
    ) -> Result<T> {
        let mut connection = self.own_connection().await?;
        wait_for_locks(self.dialect, lock_timeout, &mut connection).await.map_err(failure)?;
        change(self.dialect, &mut connection, work).await
    }

    /// As [`Dialect::text_type`].
    pub(super) fn text_type(&self) -> &'static str {
        self.dialect.text_type()
    }
}

fn blocking<T>(runtime: &Runtime, work: impl Future<Output = T>) -> T {
    match tokio::runtime::Handle::try_current() {
        Ok(_) => tokio::task::block_in_place(|| runtime.block_on(work)),
        Err(_) => runtime.block_on(work),
    }
}

async fn change<T>(
    dialect: Dialect,
    connection: &mut AnyConnection,
    work: impl AsyncFnOnce(&mut Changing<'_>) -> Result<T>,
) -> Result<T> {
    let inner = connection.begin().await.map_err(failure)?;
    let mut changing = Changing { dialect, inner, seq: 0 };
    // An error on the way drops the transaction, which rolls it back.
    let value = work(&mut changing).await?;
    changing.inner.commit().await.map_err(failure)?;
    Ok(value)
}

/// A transaction that writes.
pub(super) struct Changing<'a> {
    dialect: Dialect,
    inner: Transaction<'a, Any>,
    /// The last sequence number given to an event.
    pub(super) seq: i64,
}

impl Changing<'_> {
    /// Stores the counter.
    pub(super) async fn keep_seq(&mut self) -> Result<()> {
        let sql = "UPDATE foretaste_meta SET value = ? WHERE name = 'seq'";
        self.run(sql, vec![self.seq.into()]).await.map(|_| ())
    }

    /// What an insertion into `foretaste_{table}` does to rows with the same `key` that are there:
    /// nothing, or it gives them the new values of `columns`.
    pub(super) fn conflict(&self, table: &str, key: &str, columns: &[&str]) -> String {
        let set = |new: &dyn Fn(&str) -> String| {
            let all: Vec<String> = columns.iter().map(|c| format!("{c} = {}", new(c))).collect();
            all.join(", ")
        };
        match self.dialect {
            Dialect::Postgres if columns.is_empty() => format!("ON CONFLICT ({key}) DO NOTHING"),
            Dialect::Postgres => {
                let set = set(&|column| format!("EXCLUDED.{column}"));
                format!("ON CONFLICT ({key}) DO UPDATE SET {set}")
            }
            Dialect::MySql if columns.is_empty() => {
                let same = key.split(',').next().unwrap_or(key);
                let same = format!("foretaste_{table}.{same}");
                format!("ON DUPLICATE KEY UPDATE {same} = {same}")
            }
            Dialect::MySql => {
                format!("ON DUPLICATE KEY UPDATE {}", set(&|column| format!("VALUES({column})")))
            }
        }
    }

    pub(super) async fn rows(&mut self, sql: &str, args: Vec<Arg>) -> Result<Vec<AnyRow>> {
        rows(self.dialect, &mut self.inner, sql, args).await
    }

    /// Runs a statement and says how many rows it touched.
    pub(super) async fn run(&mut self, sql: &str, args: Vec<Arg>) -> Result<u64> {
        run(self.dialect, &mut self.inner, sql, args).await
    }

    /// Inserts `rows` into `target`, a table with its columns; `conflict` says what happens to
    /// those that are there.
    pub(super) async fn insert(
        &mut self,
        target: &str,
        conflict: &str,
        rows: Vec<Vec<Arg>>,
    ) -> Result<()> {
        insert(self.dialect, &mut self.inner, (target, conflict), rows).await
    }
}

/// As [`Changing::insert`], on any connection.
pub(super) async fn insert(
    dialect: Dialect,
    connection: &mut AnyConnection,
    (target, conflict): (&str, &str),
    rows: Vec<Vec<Arg>>,
) -> Result<()> {
    let Some(width) = rows.first().map(Vec::len) else { return Ok(()) };
    let mut rows = rows.into_iter().peekable();
    while rows.peek().is_some() {
        let (mut some, mut bytes) = (Vec::new(), 0);
        while let Some(row) = rows.next_if(|row| {
            bytes += row.iter().map(Arg::bytes).sum::<usize>();
            some.is_empty() || some.len() < MOST_PARAMETERS / width && bytes <= MOST_BYTES
        }) {
            some.push(row);
        }
        let one = format!("({})", marks(width));
        let values = vec![one.as_str(); some.len()].join(",");
        let sql = format!("INSERT INTO {target} VALUES {values} {conflict}");
        run(dialect, connection, &sql, some.into_iter().flatten().collect()).await?;
    }
    Ok(())
}

/// The rows of one statement.
pub(super) async fn rows(
    dialect: Dialect,
    connection: &mut AnyConnection,
    sql: &str,
    args: Vec<Arg>,
) -> Result<Vec<AnyRow>> {
    bound(spelled(dialect, sql), args).fetch_all(connection).await.map_err(failure)
}

/// Runs a statement and says how many rows it touched.
pub(super) async fn run(
    dialect: Dialect,
    connection: &mut AnyConnection,
    sql: &str,
    args: Vec<Arg>,
) -> Result<u64> {
    let done = bound(spelled(dialect, sql), args).execute(connection).await;
    done.map(|done| done.rows_affected()).map_err(failure)
}

/// Marks for `n` parameters.
pub(super) fn marks(n: usize) -> String {
    vec!["?"; n].join(",")
}

/// A column that holds a text.
pub(super) fn text(row: &AnyRow, at: usize) -> Result<String> {
    let lacks = || Error::corrupt("a column of the store that must not be null is null");
    maybe_text(row, at)?.ok_or_else(lacks)
}

/// A column that may hold a text. On MySQL texts of tables are bytes; those of expressions are not.
pub(super) fn maybe_text(row: &AnyRow, at: usize) -> Result<Option<String>> {
    let column = row.try_column(at).map_err(failure)?;
    if column.type_info().kind() != AnyTypeInfoKind::Blob {
        return row.try_get(at).map_err(failure);
    }
    let bytes: Option<Vec<u8>> = row.try_get(at).map_err(failure)?;
    let text = bytes.map(String::from_utf8).transpose();
    text.map_err(|_| Error::corrupt("a text of the store is not UTF-8"))
}

/// A number of a row.
pub(super) fn number(row: &AnyRow, at: usize) -> Result<i64> {
    row.try_get(at).map_err(failure)
}

/// A statement with its parameters.
pub(super) fn bound(sql: String, args: Vec<Arg>) -> Query<'static, Any, AnyArguments> {
    let query = sqlx::query(AssertSqlSafe(sql)).persistent(args.len() < 20);
    args.into_iter().fold(query, |query, arg| match arg {
        Arg::Number(value) => query.bind(value),
        Arg::Float(value) => query.bind(value),
        Arg::Text(value) => query.bind(value),
    })
}

/// `?` as the server wants its parameters; no statement here has one in a text.
pub(super) fn spelled(dialect: Dialect, sql: &str) -> String {
    if dialect == Dialect::MySql {
        return sql.to_owned();
    }
    let mut numbered = String::with_capacity(2 * sql.len());
    for (n, part) in sql.split('?').enumerate() {
        if n > 0 {
            numbered.push('$');
            numbered.push_str(&n.to_string());
        }
        numbered.push_str(part);
    }
    numbered
}

/// The dialect that a URL asks for, and the URL as sqlx wants it.
pub(super) fn dialect_of(url: &str) -> Result<(Dialect, String)> {
    match url.split_once("://") {
        Some(("postgres" | "postgresql", _)) => Ok((Dialect::Postgres, url.to_owned())),
        Some(("mysql" | "mariadb", rest)) => Ok((Dialect::MySql, format!("mysql://{rest}"))),
        _ => Err(Error::new(
            ErrorKind::Config,
            "the URL of the store must begin with postgres://, mysql:// or mariadb://",
        )),
    }
}

/// What a new connection is told first.
pub(super) async fn begin_session(
    dialect: Dialect,
    lock_timeout: Duration,
    connection: &mut AnyConnection,
) -> sqlx::Result<()> {
    let first: &[&str] = match dialect {
        Dialect::Postgres => &["SET statement_timeout = 0"],
        Dialect::MySql => &[
            "SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION'",
            "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
        ],
    };
    for statement in first {
        sqlx::query(*statement).execute(&mut *connection).await?;
    }
    wait_for_locks(dialect, lock_timeout, connection).await
}

/// Statements of this connection wait so long for locks, in whole seconds.
pub(super) async fn wait_for_locks(
    dialect: Dialect,
    timeout: Duration,
    connection: &mut AnyConnection,
) -> sqlx::Result<()> {
    let seconds = whole_seconds(timeout);
    let statements = match dialect {
        Dialect::Postgres => vec![format!("SET lock_timeout = '{seconds}s'")],
        Dialect::MySql => ["innodb_lock_wait_timeout", "lock_wait_timeout"]
            .map(|name| format!("SET SESSION {name} = {seconds}"))
            .to_vec(),
    };
    for statement in statements {
        sqlx::query(AssertSqlSafe(statement)).execute(&mut *connection).await?;
    }
    Ok(())
}

/// MySQL counts in whole seconds, and none would be no wait at all.
pub(super) fn whole_seconds(timeout: Duration) -> u64 {
    timeout.as_millis().div_ceil(1_000).max(1) as u64
}
