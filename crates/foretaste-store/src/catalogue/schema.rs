//! Connections to the catalogue, its tables, and the steps from one version of them to the next.

use std::path::Path;
use std::time::Duration;

use foretaste_core::{Error, ErrorKind, Result};
use rusqlite::{Connection, ErrorCode, OpenFlags};

/// Step `i` leads from version `i` to version `i + 1`. Steps are never changed, only added.
const STEPS: [&str; 5] = [
    "CREATE TABLE items (
       id TEXT PRIMARY KEY, record TEXT NOT NULL, embedding BLOB,
       hidden INTEGER NOT NULL DEFAULT 0
     ) WITHOUT ROWID;
     CREATE INDEX items_hidden ON items (id) WHERE hidden;
     CREATE TABLE users (id TEXT PRIMARY KEY, record TEXT NOT NULL) WITHOUT ROWID;
     CREATE TABLE hidden (id TEXT PRIMARY KEY, reason INTEGER NOT NULL) WITHOUT ROWID;
     CREATE TABLE erasures (
       user TEXT PRIMARY KEY, number INTEGER NOT NULL, seq INTEGER NOT NULL
     ) WITHOUT ROWID;
     CREATE TABLE control (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;",
    "CREATE TABLE row_tables (
       id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, batch INTEGER NOT NULL DEFAULT 0,
       open INTEGER NOT NULL DEFAULT 0, watermark TEXT
     );
     CREATE TABLE source_rows (
       tab INTEGER NOT NULL, row TEXT NOT NULL, bucket INTEGER NOT NULL, digest INTEGER,
       key INTEGER, kind INTEGER, record_id TEXT, batch INTEGER NOT NULL,
       PRIMARY KEY (tab, row)
     ) WITHOUT ROWID;
     CREATE INDEX source_rows_bucket ON source_rows (tab, bucket);
     CREATE TABLE retractions (
       key INTEGER PRIMARY KEY, number INTEGER NOT NULL, seq INTEGER NOT NULL
     );",
    "CREATE TABLE row_blocks (
       tab INTEGER NOT NULL, batch INTEGER NOT NULL, low TEXT NOT NULL, high TEXT NOT NULL,
       segment TEXT, watermark TEXT, PRIMARY KEY (tab, batch)
     ) WITHOUT ROWID;
     CREATE TABLE row_block_parts (
       tab INTEGER NOT NULL, batch INTEGER NOT NULL, part INTEGER NOT NULL, bytes BLOB NOT NULL,
       PRIMARY KEY (tab, batch, part)
     );
     CREATE TABLE row_block_buckets (
       tab INTEGER NOT NULL, batch INTEGER NOT NULL, bucket INTEGER NOT NULL,
       rows INTEGER NOT NULL, low INTEGER NOT NULL, high INTEGER NOT NULL,
       PRIMARY KEY (tab, batch, bucket)
     ) WITHOUT ROWID;
     CREATE TABLE row_moved (
       tab INTEGER NOT NULL, batch INTEGER NOT NULL, place INTEGER NOT NULL,
       PRIMARY KEY (tab, batch, place)
     ) WITHOUT ROWID;",
    "-- Blocks have a fourth part, without which their rows are not found.",
    "-- Blocks have other parts, without which their rows are not found.",
];

/// How long a statement waits for a lock of another process.
const BUSY: Duration = Duration::from_secs(10);

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// Reads and writes; creates the file.
    Write,
    /// Reads. The file is still opened for writing, as WAL mode shares memory between processes.
    Read,
}

/// Opens a connection in WAL mode. Commits are durable when they return.
///
/// # Errors
/// `NotFound` when there is no file to read, `Io`.
pub(super) fn connect(path: &Path, mode: Mode) -> Result<Connection> {
    let mut flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    if mode == Mode::Write {
        flags |= OpenFlags::SQLITE_OPEN_CREATE;
    } else if !path.exists() {
        return Err(Error::not_found(format!("{} does not exist", path.display())));
    }
    let open = || -> rusqlite::Result<Connection> {
        let connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(BUSY)?;
        if mode == Mode::Write {
            connection.pragma_update(None, "journal_mode", "WAL")?;
            connection.pragma_update(None, "synchronous", "FULL")?;
            // What is deleted is overwritten: an erased user leaves no trace in the file.
            connection.pragma_update(None, "secure_delete", true)?;
        } else {
            connection.pragma_update(None, "query_only", true)?;
        }
        connection.pragma_update(None, "cache_size", -16_384)?;
        Ok(connection)
    };
    open().map_err(|e| error(path, e))
}

/// Brings the tables to the present version, in one transaction.
pub(super) fn migrate(connection: &mut Connection, path: &Path) -> Result<()> {
    let found = version(connection, path)?;
    refuse_newer(found, path)?;
    let steps = &STEPS[found..];
    let mut run = || -> rusqlite::Result<()> {
        let transaction = connection.transaction()?;
        steps.iter().try_for_each(|step| transaction.execute_batch(step))?;
        transaction.pragma_update(None, "user_version", STEPS.len() as i64)?;
        transaction.commit()
    };
    if steps.is_empty() { Ok(()) } else { run().map_err(|e| error(path, e)) }
}

/// Checks that a reader understands the tables.
///
/// # Errors
/// `Unsupported` when another version of Foretaste has to be used.
pub(super) fn check(connection: &Connection, path: &Path) -> Result<()> {
    let found = version(connection, path)?;
    refuse_newer(found, path)?;
    if found == STEPS.len() {
        return Ok(());
    }
    let text = format!(
        "{} has version {found} of the catalogue, this build reads {}; open it once for writing \
         (any import does) to bring it up to date",
        path.display(),
        STEPS.len()
    );
    Err(Error::new(ErrorKind::Unsupported, text))
}

fn version(connection: &Connection, path: &Path) -> Result<usize> {
    let version = connection.pragma_query_value(None, "user_version", |row| row.get::<_, i64>(0));
    let version = version.map_err(|e| error(path, e))?;
    usize::try_from(version).map_err(|_| Error::corrupt(format!("{}: version", path.display())))
}

fn refuse_newer(found: usize, path: &Path) -> Result<()> {
    if found <= STEPS.len() {
        return Ok(());
    }
    let text = format!(
        "{} was written by a newer Foretaste (catalogue version {found}, this build knows {}); \
         update this installation",
        path.display(),
        STEPS.len()
    );
    Err(Error::new(ErrorKind::Unsupported, text))
}

/// An error of SQLite with the kind that callers need.
pub(super) fn error(path: &Path, source: rusqlite::Error) -> Error {
    let (kind, advice) = match source.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => (ErrorKind::Exhausted, "no space left; free some"),
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => {
            (ErrorKind::Corrupt, "damaged; restore it from a backup")
        }
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            (ErrorKind::Unavailable, "another process holds it; try again")
        }
        Some(ErrorCode::ReadOnly) => (ErrorKind::Conflict, "open for reading only"),
        _ => (ErrorKind::Io, "the catalogue refused"),
    };
    Error::new(kind, format!("{}: {advice}", path.display())).with_source(source)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn catalogue() -> (tempfile::TempDir, std::path::PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("catalogue.db");
        (dir, path)
    }

    #[test]
    fn migrating_twice_changes_nothing_and_a_newer_version_is_refused() {
        let (_dir, path) = catalogue();
        let mut connection = connect(&path, Mode::Write).unwrap();
        migrate(&mut connection, &path).unwrap();
        migrate(&mut connection, &path).unwrap();
        check(&connection, &path).unwrap();
        connection.pragma_update(None, "user_version", 99).unwrap();
        let refused = migrate(&mut connection, &path).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Unsupported);
    }

    #[test]
    fn garbage_is_corrupt_and_nothing_is_not_found() {
        let (_dir, path) = catalogue();
        assert_eq!(connect(&path, Mode::Read).unwrap_err().kind(), ErrorKind::NotFound);
        fs_err::write(&path, vec![7u8; 8192]).unwrap();
        let found = connect(&path, Mode::Write).and_then(|mut c| migrate(&mut c, &path));
        assert_eq!(found.unwrap_err().kind(), ErrorKind::Corrupt);
    }
}
