//! Items, users, hides, erasures and control state in one SQLite file.
//!
//! Records are JSON in tables keyed by id, embeddings are blobs beside them. One connection
//! writes, another answers single lookups, and each full scan opens its own.

mod blocks;
mod erasure;
mod rows;
mod schema;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use foretaste_core::{Error, ErrorKind, Item, Result, User};
use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};

pub(crate) use blocks::Block;
pub(crate) use erasure::Erasures;

/// Why an id is in the table of hidden items.
const BY_FLAG: i64 = 1;
const BY_DELETE: i64 = 2;

/// The catalogue file.
#[derive(Debug)]
pub(crate) struct Catalogue {
    path: PathBuf,
    writing: Mutex<Connection>,
    reading: Mutex<Connection>,
}

impl Catalogue {
    /// Opens the catalogue for writing; creates it or brings it to the present version.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let mut writing = schema::connect(path, schema::Mode::Write)?;
        schema::migrate(&mut writing, path)?;
        let reading = schema::connect(path, schema::Mode::Read)?;
        Ok(Self::new(path, writing, reading))
    }

    /// Opens an existing catalogue for reading, beside a process that may be writing.
    pub(crate) fn open_reader(path: &Path) -> Result<Self> {
        let (writing, reading) = (
            schema::connect(path, schema::Mode::Read)?,
            schema::connect(path, schema::Mode::Read)?,
        );
        schema::check(&reading, path)?;
        Ok(Self::new(path, writing, reading))
    }

    fn new(path: &Path, writing: Connection, reading: Connection) -> Self {
        let (writing, reading) = (Mutex::new(writing), Mutex::new(reading));
        Self { path: path.to_owned(), writing, reading }
    }

    pub(crate) fn put_items(&self, items: &[Item]) -> Result<()> {
        self.transaction(|t| put_items_in(t, items.iter()))
    }

    pub(crate) fn put_users(&self, users: &[User]) -> Result<()> {
        self.transaction(|t| put_users_in(t, users.iter()))
    }

    pub(crate) fn item(&self, id: &str) -> Result<Option<Item>> {
        let connection = lock(&self.reading);
        let sql = format!("{ITEMS} WHERE items.id = ?1");
        let found = prepared(&connection, &sql, |s| s.query_row([id], item_parts).optional());
        self.named(found)?.map(item_of).transpose().map_err(|e| self.damaged(e))
    }

    pub(crate) fn user(&self, id: &str) -> Result<Option<User>> {
        let connection = lock(&self.reading);
        let sql = "SELECT record FROM users WHERE id = ?1";
        let found = prepared(&connection, sql, |s| {
            s.query_row([id], |row| row.get::<_, String>(0)).optional()
        });
        self.named(found)?.map(|r| parse(&r)).transpose().map_err(|e| self.damaged(e))
    }

    pub(crate) fn items(&self, sink: &mut dyn FnMut(Item) -> Result<()>) -> Result<()> {
        let sql = format!("{ITEMS} ORDER BY items.id");
        self.scan(&sql, &mut |row| {
            let parts = self.named(item_parts(row))?;
            sink(item_of(parts).map_err(|e| self.damaged(e))?)
        })
    }

    pub(crate) fn users(&self, sink: &mut dyn FnMut(User) -> Result<()>) -> Result<()> {
        self.scan("SELECT record FROM users ORDER BY id", &mut |row| {
            let record: String = self.named(row.get(0))?;
            sink(parse(&record).map_err(|e| self.damaged(e))?)
        })
    }

    pub(crate) fn delete_item(&self, id: &str) -> Result<bool> {
        self.transaction(|t| {
            let existed = t.execute("DELETE FROM items WHERE id = ?1", [id])? > 0;
            if existed {
                let sql = "INSERT OR IGNORE INTO hidden (id, reason) VALUES (?1, ?2)";
                t.execute(sql, params![id, BY_DELETE])?;
            }
            Ok(existed)
        })
    }

    pub(crate) fn set_hidden(&self, id: &str, hidden: bool) -> Result<bool> {
        self.transaction(|t| {
            if hidden {
                let sql = "INSERT INTO hidden (id, reason) VALUES (?1, ?2)
                           ON CONFLICT (id) DO UPDATE SET reason = excluded.reason
                           WHERE reason <> excluded.reason";
                return Ok(t.execute(sql, params![id, BY_FLAG])? > 0);
            }
            let flags = t.execute("DELETE FROM hidden WHERE id = ?1", [id])?;
            let records =
                t.execute("UPDATE items SET hidden = 0 WHERE id = ?1 AND hidden", [id])?;
            Ok(flags + records > 0)
        })
    }

    pub(crate) fn hidden(&self) -> Result<Vec<String>> {
        let mut ids = Vec::new();
        self.scan(HIDDEN, &mut |row| {
            ids.push(self.named(row.get(0))?);
            Ok(())
        })?;
        Ok(ids)
    }

    /// Records of items, records of users, and ids in no answer.
    pub(crate) fn counts(&self) -> Result<(u64, u64, u64)> {
        let sql = format!(
            "SELECT (SELECT count(*) FROM items), (SELECT count(*) FROM users),
                    (SELECT count(*) FROM ({HIDDEN}))"
        );
        let connection = lock(&self.reading);
        let count = |row: &Row<'_>, at| row.get::<_, i64>(at).map(|n| n as u64);
        let counts = connection
            .query_row(&sql, [], |row| Ok((count(row, 0)?, count(row, 1)?, count(row, 2)?)));
        self.named(counts)
    }

    pub(crate) fn control(&self, key: &str) -> Result<Option<String>> {
        let connection = lock(&self.reading);
        let sql = "SELECT value FROM control WHERE key = ?1";
        self.named(prepared(&connection, sql, |s| s.query_row([key], |r| r.get(0)).optional()))
    }

    pub(crate) fn set_control(&self, key: &str, value: Option<&str>) -> Result<()> {
        self.transaction(|t| {
            match value {
                Some(value) => {
                    let sql = "INSERT INTO control (key, value) VALUES (?1, ?2)
                               ON CONFLICT (key) DO UPDATE SET value = excluded.value";
                    t.execute(sql, [key, value])?
                }
                None => t.execute("DELETE FROM control WHERE key = ?1", [key])?,
            };
            Ok(())
        })
    }

    /// Runs `work` in one durable transaction.
    fn transaction<T>(&self, work: impl FnOnce(&Transaction<'_>) -> Result<T, Fault>) -> Result<T> {
        let mut connection = lock(&self.writing);
        let run = || -> Result<T, Fault> {
            let transaction =
                connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
            let done = work(&transaction)?;
            transaction.commit()?;
            Ok(done)
        };
        self.unfaulted(run())
    }

    fn unfaulted<T>(&self, result: Result<T, Fault>) -> Result<T> {
        result.map_err(|fault| match fault {
            Fault::Sql(e) => schema::error(&self.path, e),
            Fault::Own(e) => e,
        })
    }

    fn scan(&self, sql: &str, each: &mut dyn FnMut(&Row<'_>) -> Result<()>) -> Result<()> {
        let connection = schema::connect(&self.path, schema::Mode::Read)?;
        let mut statement = self.named(connection.prepare(sql))?;
        let mut rows = self.named(statement.query([]))?;
        while let Some(row) = self.named(rows.next())? {
            each(row)?;
        }
        Ok(())
    }

    fn named<T>(&self, result: rusqlite::Result<T>) -> Result<T> {
        result.map_err(|e| schema::error(&self.path, e))
    }

    fn damaged(&self, e: serde_json::Error) -> Error {
        let text = format!("{} holds a record that is not valid JSON", self.path.display());
        Error::new(ErrorKind::Corrupt, text).with_source(e)
    }
}

fn put_items_in<'a>(
    t: &Transaction<'_>,
    items: impl Iterator<Item = &'a Item>,
) -> Result<(), Fault> {
    let mut put = t.prepare_cached(
        "INSERT INTO items (id, record, embedding, hidden) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (id) DO UPDATE SET
           record = excluded.record, embedding = excluded.embedding,
           hidden = excluded.hidden",
    )?;
    let mut back = t.prepare_cached("DELETE FROM hidden WHERE id = ?1 AND reason = ?2")?;
    for item in items {
        let embedding = item.embedding.as_deref().map(floats_to_bytes);
        put.execute(params![item.item_id, record_of(item)?, embedding, item.hidden])?;
        back.execute(params![item.item_id, BY_DELETE])?;
    }
    Ok(())
}

fn put_users_in<'a>(
    t: &Transaction<'_>,
    users: impl Iterator<Item = &'a User>,
) -> Result<(), Fault> {
    let mut put = t.prepare_cached(
        "INSERT INTO users (id, record) VALUES (?1, ?2)
         ON CONFLICT (id) DO UPDATE SET record = excluded.record",
    )?;
    for user in users {
        put.execute(params![user.user_id, json(user)?])?;
    }
    Ok(())
}

/// What ends a transaction early.
enum Fault {
    Sql(rusqlite::Error),
    Own(Error),
}

impl From<rusqlite::Error> for Fault {
    fn from(e: rusqlite::Error) -> Self {
        Self::Sql(e)
    }
}

impl From<Error> for Fault {
    fn from(e: Error) -> Self {
        Self::Own(e)
    }
}

const ITEMS: &str = "SELECT items.record, items.embedding, items.hidden OR hidden.id IS NOT NULL
                     FROM items LEFT JOIN hidden ON hidden.id = items.id";

const HIDDEN: &str = "SELECT id FROM hidden UNION SELECT id FROM items WHERE hidden ORDER BY 1";

type ItemParts = (String, Option<Vec<u8>>, bool);

fn item_parts(row: &Row<'_>) -> rusqlite::Result<ItemParts> {
    Ok((row.get(0)?, row.get(1)?, row.get(2)?))
}

fn item_of((record, embedding, hidden): ItemParts) -> serde_json::Result<Item> {
    let item: Item = serde_json::from_str(&record)?;
    Ok(Item { hidden, embedding: embedding.map(|bytes| bytes_to_floats(&bytes)), ..item })
}

/// The JSON of an item without what has a column of its own.
fn record_of(item: &Item) -> Result<String> {
    if item.embedding.is_none() {
        return json(item);
    }
    json(&Item { embedding: None, ..item.clone() })
}

fn json<T: serde::Serialize>(record: &T) -> Result<String> {
    serde_json::to_string(record)
        .map_err(|e| Error::internal("record does not become JSON").with_source(e))
}

fn parse<T: serde::de::DeserializeOwned>(record: &str) -> serde_json::Result<T> {
    serde_json::from_str(record)
}

fn floats_to_bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

fn bytes_to_floats(bytes: &[u8]) -> Vec<f32> {
    bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
}

fn prepared<T>(
    connection: &Connection,
    sql: &str,
    query: impl FnOnce(&mut rusqlite::CachedStatement<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    query(&mut connection.prepare_cached(sql)?)
}

fn lock(connection: &Mutex<Connection>) -> MutexGuard<'_, Connection> {
    connection.lock().unwrap_or_else(PoisonError::into_inner)
}
