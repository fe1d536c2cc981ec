//! The tables.

use foretaste_core::{Error, ErrorKind, Result};

use sqlx_core::any::AnyConnection;

use super::failure::failure;
use super::sql::{Database, Dialect, number, run};
use super::warm;

/// Raised with every change of the tables: those of this version are complete.
const VERSION: i64 = 1;

/// Names of ids, words and documents as column types: bytes on MySQL, where texts that differ in
/// case or trailing spaces may be equal.
struct Types {
    id: &'static str,
    word: &'static str,
    long: &'static str,
    float: &'static str,
}

const POSTGRES: Types = Types {
    id: "text COLLATE \"C\"",
    word: "text COLLATE \"C\"",
    long: "text",
    float: "double precision",
};

const MYSQL: Types =
    Types { id: "varbinary(512)", word: "varbinary(256)", long: "mediumblob", float: "double" };

/// Columns of events, of those under way, too.
pub(super) const EVENT_COLUMNS: &str = "time_ms, event_key, seq, user_id, item_id, kind, value, \
                                        session, scene, position, request_id, \
                                        event_id";

/// Makes the tables where there are none. Where there are, they are left alone: making an index
/// that is there would wait for everybody who writes.
pub(super) async fn prepare(database: &Database) -> Result<()> {
    let dialect = database.dialect;
    let mut connection = database.connection().await?;
    match version(&mut connection).await {
        Ok(Some(VERSION | warm::VERSION)) => return Ok(()),
        Ok(Some(other)) => {
            let known = warm::VERSION;
            return Err(Error::new(
                ErrorKind::Unsupported,
                format!("the store's tables are of version {other}, this program knows {known}"),
            ));
        }
        // There is no such table yet.
        Err(e) if e.kind() != ErrorKind::Io => return Err(e),
        Ok(None) | Err(_) => {}
    }
    make(dialect, &mut connection, statements(dialect)).await
}

/// Makes the tables of the archive where there are none. Programs that do not know them refuse the
/// store from then on: they would answer with a part of the events.
pub(super) async fn prepare_archive(database: &Database) -> Result<()> {
    let dialect = database.dialect;
    let mut connection = database.connection().await?;
    if version(&mut connection).await? == Some(warm::VERSION) {
        return Ok(());
    }
    let tables = archive_tables(types(dialect));
    let mut all: Vec<String> = tables.iter().flat_map(|table| table.statements(dialect)).collect();
    let version = warm::VERSION;
    all.push(first("archive", 0));
    all.push(format!("UPDATE foretaste_meta SET value = {version} WHERE name = 'version'"));
    make(dialect, &mut connection, all).await
}

async fn make(
    dialect: Dialect,
    connection: &mut AnyConnection,
    statements: Vec<String>,
) -> Result<()> {
    for statement in statements {
        // Of two processes that make a table at once, one may be told that it is there.
        if let Err(first) = run(dialect, connection, &statement, Vec::new()).await {
            let again = run(dialect, connection, &statement, Vec::new()).await;
            again.map_err(|_| first)?;
        }
    }
    Ok(())
}

async fn version(connection: &mut AnyConnection) -> Result<Option<i64>> {
    let sql = "SELECT value FROM foretaste_meta WHERE name = 'version'";
    let row = sqlx::query(sql).fetch_optional(connection).await.map_err(failure)?;
    row.map(|row| number(&row, 0)).transpose()
}

/// A table: its name, its columns, and the columns of its indexes.
struct Table<'a>(&'a str, String, &'a [&'a str]);

fn types(dialect: Dialect) -> &'static Types {
    match dialect {
        Dialect::Postgres => &POSTGRES,
        Dialect::MySql => &MYSQL,
    }
}

fn statements(dialect: Dialect) -> Vec<String> {
    let mut all: Vec<String> =
        tables(types(dialect)).iter().flat_map(|table| table.statements(dialect)).collect();
    if dialect == Dialect::Postgres {
        all.push(
            "CREATE TABLE IF NOT EXISTS foretaste_events_other \
             PARTITION OF foretaste_events DEFAULT"
                .to_owned(),
        );
    }
    // The version comes last: where it stands, all else is there.
    all.extend([first("seq", 0), first("sealed", 0), first("version", VERSION)]);
    all
}

/// Gives a value its first one.
fn first(name: &str, value: i64) -> String {
    // Without a FROM, MariaDB takes no WHERE.
    format!(
        "INSERT INTO foretaste_meta (name, value) SELECT '{name}', {value} \
         FROM (SELECT 1 AS one) AS here \
         WHERE NOT EXISTS (SELECT 1 FROM foretaste_meta WHERE name = '{name}')"
    )
}

fn tables(types: &Types) -> Vec<Table<'static>> {
    let Types { id, word, long, float } = types;
    let event = format!(
        "time_ms bigint NOT NULL, event_key bigint NOT NULL, seq bigint, \
         user_id {id} NOT NULL, item_id {id} NOT NULL, kind {word} NOT NULL, \
         value {float} NOT NULL, session {id}, scene {word}, position bigint, request_id {id}, \
         event_id {id}"
    );
    vec![
        Table("meta", format!("name {word} PRIMARY KEY, value bigint NOT NULL"), &[]),
        Table("control", format!("name {id} PRIMARY KEY, value {long} NOT NULL"), &[]),
        Table("kinds", format!("kind {word} PRIMARY KEY"), &[]),
        Table("keys", "event_key bigint PRIMARY KEY, seq bigint NOT NULL".to_owned(), &["seq"]),
        Table("sources", format!("digest {id} PRIMARY KEY, name {long} NOT NULL, n bigint"), &[]),
        Table("imports", format!("import {id} PRIMARY KEY, begun_ms bigint NOT NULL"), &[]),
        Table("staged", format!("import {id} NOT NULL, {event}"), &["import"]),
        Table(
            "items",
            format!("item_id {id} PRIMARY KEY, hidden bigint NOT NULL, record {long} NOT NULL"),
            &[],
        ),
        Table("users", format!("user_id {id} PRIMARY KEY, record {long} NOT NULL"), &[]),
        Table(
            "hidden",
            format!("item_id {id} PRIMARY KEY, hidden bigint NOT NULL, deleted bigint NOT NULL"),
            &[],
        ),
        Table(
            "tables",
            format!("name {id} PRIMARY KEY, step bigint NOT NULL, watermark {long}"),
            &[],
        ),
        Table(
            "rows",
            format!(
                "table_name {word} NOT NULL, h1 bigint NOT NULL, h2 bigint NOT NULL, \
                 row_id {long} NOT NULL, bucket bigint NOT NULL, digest bigint NOT NULL, \
                 record_kind bigint NOT NULL, record_id {id}, event_key bigint, time_ms bigint, \
                 PRIMARY KEY (table_name, h1, h2)"
            ),
            &["table_name, bucket"],
        ),
        // The last index answers "what did this user do" without a look at the table.
        Table(
            "events",
            format!("{event}, PRIMARY KEY (time_ms, event_key)"),
            &["seq", "event_key", "user_id, time_ms, item_id, kind, value"],
        ),
    ]
}

/// Tables that are there once events have been archived.
fn archive_tables(types: &Types) -> Vec<Table<'static>> {
    let Types { id, word, long, .. } = types;
    vec![
        Table("archive", format!("name {word} PRIMARY KEY, value {long} NOT NULL"), &[]),
        Table(
            "segments",
            format!(
                "name {word} PRIMARY KEY, stage bigint NOT NULL, first_ms bigint NOT NULL, \
                 end_ms bigint NOT NULL, clean_seq bigint NOT NULL, through_ms bigint, \
                 through_key bigint, moved bigint NOT NULL, record {long}"
            ),
            &[],
        ),
        Table("erased", format!("user_id {id} PRIMARY KEY, seq bigint NOT NULL"), &[]),
        Table(
            "retracted",
            "time_ms bigint NOT NULL, event_key bigint NOT NULL, seq bigint NOT NULL, \
             PRIMARY KEY (time_ms, event_key)"
                .to_owned(),
            &[],
        ),
    ]
}

impl Table<'_> {
    fn statements(&self, dialect: Dialect) -> Vec<String> {
        let Self(name, columns, indexes) = self;
        let indexes = indexes.iter().zip(1..);
        let create = format!("CREATE TABLE IF NOT EXISTS foretaste_{name} ({columns}");
        let is_events = *name == "events";
        if dialect == Dialect::MySql {
            let keys: String = indexes.map(|(on, n)| format!(", KEY by_{n} ({on})")).collect();
            let parts = if is_events { MYSQL_PARTITIONS } else { "" };
            return vec![format!("{create}{keys}) ENGINE = InnoDB{parts}")];
        }
        let parts = if is_events { " PARTITION BY RANGE (time_ms)" } else { "" };
        let index = |(on, n)| {
            format!("CREATE INDEX IF NOT EXISTS foretaste_{name}_{n} ON foretaste_{name} ({on})")
        };
        [format!("{create}){parts}")].into_iter().chain(indexes.map(index)).collect()
    }
}

/// The first one holds what has no time; it is never dropped.
const MYSQL_PARTITIONS: &str = " PARTITION BY RANGE (time_ms) \
    (PARTITION m1999_12 VALUES LESS THAN (946684800000), \
     PARTITION later VALUES LESS THAN MAXVALUE)";
