//! One state of the database, for statements that must not see what happens between them.
//!
//! A read-only transaction. Months of events are not dropped while it is there: events that have
//! been moved away since are found where it saw them.

use foretaste_core::Result;
use futures_util::TryStreamExt;
use sqlx::pool::PoolConnection;
use sqlx_core::any::{Any, AnyConnection, AnyRow};

use super::failure::failure;
use super::sql::{Arg, Database, Dialect, bound, rows, spelled};

/// Begins a transaction that sees the state of the first look at it, which is [`fix`].
pub(super) async fn begin(dialect: Dialect, connection: &mut AnyConnection) -> Result<()> {
    let statements: &[&'static str] = match dialect {
        // A lock is no look.
        Dialect::Postgres => &[
            "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
            "SET LOCAL idle_in_transaction_session_timeout = 0",
            "LOCK TABLE foretaste_events IN ACCESS SHARE MODE",
        ],
        Dialect::MySql => &["SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"],
    };
    for statement in statements {
        execute(connection, statement).await?;
    }
    Ok(())
}

/// From here on this state is seen.
///
/// # Errors
/// `Unavailable` when a month was made or dropped this very moment.
pub(super) async fn fix(dialect: Dialect, connection: &mut AnyConnection) -> Result<()> {
    if dialect == Dialect::MySql {
        execute(connection, "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY").await?;
    }
    // On MySQL a look keeps the table as it is until the transaction ends.
    let look = "SELECT time_ms FROM foretaste_events WHERE time_ms = ?";
    rows(dialect, connection, look, vec![i64::MIN.into()]).await.map(drop)
}

/// Ends it.
pub(super) async fn end(connection: &mut AnyConnection) -> Result<()> {
    execute(connection, "COMMIT").await
}

async fn execute(connection: &mut AnyConnection, sql: &'static str) -> Result<()> {
    sqlx::raw_sql(sql).execute(connection).await.map(drop).map_err(failure)
}

/// A state on a connection of its own.
pub(super) struct Snapshot {
    pub(super) dialect: Dialect,
    pub(super) connection: PoolConnection<Any>,
}

impl Snapshot {
    /// See [`begin`].
    pub(super) async fn begin(database: &Database) -> Result<Self> {
        let mut connection = database.own_connection().await?;
        begin(database.dialect, &mut connection).await?;
        Ok(Self { dialect: database.dialect, connection })
    }

    /// See [`fix`].
    pub(super) async fn fix(&mut self) -> Result<()> {
        fix(self.dialect, &mut self.connection).await
    }

    /// The state of now.
    pub(super) async fn now(database: &Database) -> Result<Self> {
        let mut snapshot = Self::begin(database).await?;
        snapshot.fix().await?;
        Ok(snapshot)
    }

    pub(super) async fn rows(&mut self, sql: &str, args: Vec<Arg>) -> Result<Vec<AnyRow>> {
        rows(self.dialect, &mut self.connection, sql, args).await
    }

    /// Shows the rows of one statement to `sink` as they come.
    pub(super) async fn each_row(
        &mut self,
        sql: &str,
        args: Vec<Arg>,
        sink: &mut dyn FnMut(AnyRow) -> Result<()>,
    ) -> Result<()> {
        let sql = spelled(self.dialect, sql);
        let mut found = bound(sql, args).fetch(&mut *self.connection);
        while let Some(row) = found.try_next().await.map_err(failure)? {
            sink(row)?;
        }
        Ok(())
    }
}
