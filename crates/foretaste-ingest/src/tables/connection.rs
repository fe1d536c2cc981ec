//! One connection to a database, used from threads that may block.

use std::time::{Duration, Instant};

use foretaste_core::{Error, ErrorKind, Result};
use sqlx::Row;
use sqlx::mysql::{MySqlConnectOptions, MySqlConnection};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{
    AssertSqlSafe, ColumnIndex, ConnectOptions, Connection as _, Database, Decode, Executor,
};
use tokio::runtime::Runtime;

use super::cut::{Each, Pages};
use super::failure;
use super::layout::Layout;
use super::page::Page;
use super::slow::Watch;
use super::sql::Statement;

/// A row as bytes of text; `None` is NULL.
pub type Cells = Vec<Option<Vec<u8>>>;

/// How much longer than the server we wait for a statement.
const GRACE: Duration = Duration::from_secs(15);
/// How long saying goodbye may take.
const CLOSE: Duration = Duration::from_secs(1);

/// How long a database may take.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Seconds until a connection is there.
    pub connect_s: u32,
    /// Seconds after which the server ends a statement.
    pub statement_s: u32,
}

/// Which SQL is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// PostgreSQL.
    Postgres,
    /// MySQL or MariaDB.
    MySql,
}

impl Dialect {
    /// A part of a name as it stands in SQL.
    pub fn quoted(self, part: &str) -> String {
        match self {
            Self::Postgres => format!("\"{}\"", part.replace('"', "\"\"")),
            Self::MySql => format!("`{}`", part.replace('`', "``")),
        }
    }

    /// A table's name, perhaps with its schema, as it stands in SQL.
    pub fn quoted_table(self, table: &str) -> String {
        let parts: Vec<_> = table.split('.').map(|part| self.quoted(part)).collect();
        parts.join(".")
    }
}

/// A connection, in a transaction or not.
pub struct Connection {
    runtime: Runtime,
    wire: Wire,
    timeout: Duration,
    /// Rows were on their way when reading ended: nobody knows what comes next.
    is_torn: bool,
    /// Told how long statements with rows took.
    pub(super) watch: Watch,
}

enum Wire {
    Postgres(PgConnection),
    MySql(MySqlConnection),
}

impl Connection {
    /// Connects; answers may take a little longer than statements.
    ///
    /// # Errors
    /// `Config` for a URL or access that is wrong, `Unavailable` when the server cannot be
    /// reached.
    pub fn open(url: &str, patience: Patience) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let connect = Duration::from_secs(patience.connect_s.into());
        let wire = runtime.block_on(limited(connect, Wire::connect(url)))?;
        let timeout = Duration::from_secs(patience.statement_s.into()) + GRACE;
        Ok(Self { runtime, wire, timeout, is_torn: false, watch: Watch::default() })
    }

    /// Connects, and begins a read-only transaction that sees the database at one moment.
    ///
    /// # Errors
    /// As [`Connection::open`].
    pub fn snapshot(url: &str, patience: Patience) -> Result<Self> {
        let mut snapshot = Self::settled(url, patience)?;
        snapshot.begin(snapshot.timeout)?;
        Ok(snapshot)
    }

    /// Connects, with the settings that make texts the same wherever they are read.
    ///
    /// # Errors
    /// As [`Connection::open`].
    pub fn settled(url: &str, patience: Patience) -> Result<Self> {
        let mut connection = Self::open(url, patience)?;
        for statement in connection.opening(patience.statement_s)? {
            connection.execute(&statement)?;
        }
        Ok(connection)
    }

    /// Begins a transaction like that of [`Connection::snapshot`].
    ///
    /// # Errors
    /// As [`Connection::rows`]; `Unavailable` when that takes longer than `limit`.
    pub fn begin(&mut self, limit: Duration) -> Result<()> {
        let begin = match self.dialect() {
            Dialect::Postgres => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
            Dialect::MySql => "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY",
        };
        self.runtime.block_on(limited(limit, self.wire.execute(begin)))
    }

    /// Ends the transaction, and with it what was left unread.
    ///
    /// # Errors
    /// As [`Connection::begin`]; `Unavailable` after a [`Connection::pages`] that broke off.
    pub fn end(&mut self, limit: Duration) -> Result<()> {
        if self.is_torn {
            return Err(Error::new(ErrorKind::Unavailable, "rows that nobody wants are left"));
        }
        self.runtime.block_on(limited(limit, self.wire.execute("ROLLBACK")))
    }

    /// Says goodbye, so that the server need not wonder.
    pub fn close(self) {
        let Self { runtime, wire, .. } = self;
        // Whether it heard it does not matter any more.
        let _ = runtime.block_on(limited(CLOSE, wire.close()));
    }

    /// The dialect of the server.
    pub fn dialect(&self) -> Dialect {
        match self.wire {
            Wire::Postgres(_) => Dialect::Postgres,
            Wire::MySql(_) => Dialect::MySql,
        }
    }

    /// The rows of a query, all of whose columns are texts or bytes.
    ///
    /// # Errors
    /// What the server says, with the kind that callers need.
    pub fn rows(&mut self, sql: &str, parameters: &[String]) -> Result<Vec<Cells>> {
        let Self { runtime, wire, timeout, watch, .. } = self;
        let began = Instant::now();
        let rows = runtime.block_on(limited(*timeout, wire.rows(sql, parameters)));
        let n = rows.as_ref().map(|rows| rows.len() as u64);
        watch.look(sql, began.elapsed(), n);
        rows
    }

    /// The rows of a query in the form of `layout`, in pages of at most `rows`, which `each` takes.
    ///
    /// # Errors
    /// As [`Connection::rows`].
    pub fn pages(
        &mut self,
        statement: &Statement,
        (layout, rows): (&Layout, usize),
        each: &mut Each<'_>,
    ) -> Result<()> {
        let Self { runtime, wire, timeout, is_torn, watch } = self;
        // What becomes of the rows is not the database's time.
        let (mut n, mut away, began) = (0, Duration::ZERO, Instant::now());
        let each = &mut |page: Page| {
            n += page.len() as u64;
            let handed = Instant::now();
            let next = each(page);
            away += handed.elapsed();
            next
        };
        let pages = Pages::new(layout, rows, each);
        *is_torn = true;
        let read = runtime.block_on(limited(*timeout, wire.pages(statement, pages)));
        let is_whole = matches!(read, Ok(true));
        *is_torn = !is_whole && matches!(wire, Wire::Postgres(_));
        let read = read.map(|_| ());
        let took = began.elapsed().saturating_sub(away);
        watch.look(&statement.sql, took, read.as_ref().map(|()| n));
        read
    }

    /// The only row of a query.
    ///
    /// # Errors
    /// As [`Connection::rows`]; `Internal` when there is none.
    pub fn row(&mut self, sql: &str, parameters: &[String]) -> Result<Cells> {
        let row = self.rows(sql, parameters)?.into_iter().next();
        row.ok_or_else(|| Error::internal("a query for one row gave none"))
    }

    /// Name and version of the server.
    ///
    /// # Errors
    /// As [`Connection::rows`].
    pub fn version(&mut self) -> Result<String> {
        let (prefix, sql) = match self.dialect() {
            Dialect::Postgres => ("PostgreSQL ", "SHOW server_version"),
            Dialect::MySql => ("", "SELECT CAST(VERSION() AS CHAR)"),
        };
        let rows = self.plain(sql)?;
        let version = rows.first().map(|row| text(row, 0)).transpose()?.flatten();
        let version = version.unwrap_or("of an unknown version").to_owned();
        let is_mysql = self.dialect() == Dialect::MySql && !version.contains("MariaDB");
        Ok(format!("{}{version}", if is_mysql { "MySQL " } else { prefix }))
    }

    /// Seconds that the server is at most behind its primary; 0 when it is none of a replica's.
    ///
    /// # Errors
    /// `Unavailable` when a replica does not follow its primary at all, or cannot tell.
    pub fn behind_s(&mut self) -> Result<u64> {
        if self.dialect() == Dialect::Postgres {
            let row = self.row(POSTGRES_LAG, &[])?;
            let unknown = || {
                let text = "the standby has replayed nothing since its start and is not up to \
                            date, so nobody knows how far it is behind; try again";
                Error::new(ErrorKind::Unavailable, text)
            };
            return number(&row, 0)?.ok_or_else(unknown);
        }
        // Without the right to see it, or on an older server, it counts as a primary.
        let rows = self.plain("SHOW REPLICA STATUS").unwrap_or_default();
        let Some(row) = rows.first() else { return Ok(0) };
        let stopped = || {
            let text = "the replica does not follow its primary; start its replication";
            Error::new(ErrorKind::Unavailable, text)
        };
        // Whole seconds, rounded down on both sides.
        Ok(number::<u64>(row, SECONDS_BEHIND)?.ok_or_else(stopped)? + 1)
    }

    /// The rows of a statement without parameters, which MySQL gives over the protocol of texts,
    /// whatever their types.
    ///
    /// # Errors
    /// As [`Connection::rows`].
    pub fn plain(&mut self, sql: &str) -> Result<Vec<Cells>> {
        let Self { runtime, wire, timeout, .. } = self;
        runtime.block_on(limited(*timeout, wire.plain(sql)))
    }

    /// Runs a statement that gives no rows.
    ///
    /// # Errors
    /// As [`Connection::rows`].
    pub fn execute(&mut self, sql: &str) -> Result<()> {
        let Self { runtime, wire, timeout, .. } = self;
        runtime.block_on(limited(*timeout, wire.execute(sql)))
    }

    fn opening(&mut self, timeout_s: u32) -> Result<Vec<String>> {
        if self.dialect() == Dialect::Postgres {
            return Ok(vec![
                "SET TIME ZONE 'UTC'".to_owned(),
                "SET DateStyle = 'ISO'".to_owned(),
                format!("SET statement_timeout = '{timeout_s}s'"),
            ]);
        }
        let timeout = if self.version()?.contains("MariaDB") {
            format!("SET SESSION max_statement_time = {timeout_s}")
        } else {
            format!("SET SESSION max_execution_time = {}000", timeout_s)
        };
        Ok(vec![
            timeout,
            // Zero dates are data here, to be read and put into quarantine.
            "SET SESSION sql_mode = ''".to_owned(),
            "SET SESSION time_zone = '+00:00'".to_owned(),
            "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ".to_owned(),
        ])
    }
}

/// A standby that has replayed all it received is up to date, however old its last transaction.
const POSTGRES_LAG: &str = "SELECT CAST(CASE
       WHEN NOT pg_is_in_recovery() THEN 0
       WHEN pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn()
         AND EXISTS (SELECT 1 FROM pg_stat_wal_receiver) THEN 0
       ELSE ceil(extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp()))
     END AS text)";

/// Place of `Seconds_Behind_Master` in the status of a replica, on MySQL and MariaDB.
const SECONDS_BEHIND: usize = 32;

impl Wire {
    async fn connect(url: &str) -> Result<Self, sqlx::Error> {
        if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            let options: PgConnectOptions = url.parse()?;
            let options = options.application_name("foretaste").disable_statement_logging();
            return Ok(Self::Postgres(PgConnection::connect_with(&options).await?));
        }
        if url.starts_with("mysql://") || url.starts_with("mariadb://") {
            let options: MySqlConnectOptions = url.parse()?;
            let options = options.charset("utf8mb4").disable_statement_logging();
            return Ok(Self::MySql(MySqlConnection::connect_with(&options).await?));
        }
        let text = "it must begin with postgres://, mysql:// or mariadb://";
        Err(sqlx::Error::Configuration(text.into()))
    }

    // PostgreSQL's statements are prepared for one use: a connection that is kept would go on with
    // columns that have changed, and with a plan made for other places. MySQL plans each use and
    // sends its columns, and a statement that is given up there costs a delayed answer (40 ms).
    async fn rows(&mut self, sql: &str, values: &[String]) -> Result<Vec<Cells>, sqlx::Error> {
        let sql = AssertSqlSafe(sql.to_owned());
        match self {
            Self::Postgres(connection) => {
                let query = values.iter().fold(sqlx::query(sql), |query, value| query.bind(value));
                let rows = query.persistent(false).fetch_all(connection).await?;
                rows.iter().map(cells).collect()
            }
            Self::MySql(connection) => {
                let query = values.iter().fold(sqlx::query(sql), |query, value| query.bind(value));
                query.fetch_all(connection).await?.iter().map(cells).collect()
            }
        }
    }

    /// Whether all rows of a statement were taken.
    async fn pages(
        &mut self,
        statement: &Statement,
        pages: Pages<'_>,
    ) -> Result<bool, sqlx::Error> {
        match self {
            Self::Postgres(connection) => {
                let copy = statement.copy.as_deref().unwrap_or_default();
                pages.copy(connection.copy_out_raw(copy).await?).await
            }
            Self::MySql(connection) => {
                let query = sqlx::query(AssertSqlSafe(statement.sql.clone()));
                let query = statement.values.iter().fold(query, |query, value| query.bind(value));
                pages.fill(connection.fetch_many(query)).await
            }
        }
    }

    async fn plain(&mut self, sql: &str) -> Result<Vec<Cells>, sqlx::Error> {
        let Self::MySql(connection) = self else { return self.rows(sql, &[]).await };
        let sql = sqlx::raw_sql(AssertSqlSafe(sql.to_owned()));
        sql.fetch_all(connection).await?.iter().map(cells).collect()
    }

    async fn close(self) -> Result<(), sqlx::Error> {
        match self {
            Self::Postgres(connection) => connection.close().await,
            Self::MySql(connection) => connection.close().await,
        }
    }

    async fn execute(&mut self, sql: &str) -> Result<(), sqlx::Error> {
        let sql = sqlx::raw_sql(AssertSqlSafe(sql.to_owned()));
        match self {
            Self::Postgres(connection) => sql.execute(connection).await.map(|_| ()),
            Self::MySql(connection) => sql.execute(connection).await.map(|_| ()),
        }
    }
}

fn cells<R>(row: &R) -> Result<Cells, sqlx::Error>
where
    R: Row,
    usize: ColumnIndex<R>,
    for<'r> Option<Vec<u8>>: Decode<'r, <R as Row>::Database>,
    <R as Row>::Database: Database,
{
    (0..row.len()).map(|at| row.try_get_unchecked::<Option<Vec<u8>>, _>(at)).collect()
}

async fn limited<T>(
    limit: Duration,
    work: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T> {
    match tokio::time::timeout(limit, work).await {
        Ok(done) => done.map_err(failure::of),
        Err(_) => {
            let text = format!("the database did not answer within {} s", limit.as_secs());
            Err(Error::new(ErrorKind::Unavailable, text))
        }
    }
}

/// The text of a cell that we have asked for ourselves.
///
/// # Errors
/// `Invalid` when it is not UTF-8.
pub fn text(cells: &Cells, at: usize) -> Result<Option<&str>> {
    let Some(bytes) = cells.get(at).and_then(Option::as_deref) else { return Ok(None) };
    let text = std::str::from_utf8(bytes);
    text.map(Some).map_err(|_| Error::invalid("an id or watermark column is not UTF-8"))
}

/// As [`text`], as a number.
///
/// # Errors
/// `Internal` when it is none.
pub fn number<T: std::str::FromStr>(cells: &Cells, at: usize) -> Result<Option<T>> {
    let parse = |text: &str| {
        let whole = text.split('.').next().unwrap_or(text);
        whole.parse().map_err(|_| Error::internal(format!("{text:?} should be a number")))
    };
    text(cells, at)?.map(parse).transpose()
}
