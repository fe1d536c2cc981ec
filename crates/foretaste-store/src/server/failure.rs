//! What a server's error means here. Messages of servers never hold the password.

use foretaste_core::{Error, ErrorKind};
use sqlx::error::DatabaseError;
use sqlx::mysql::MySqlDatabaseError;

/// The error with the kind that callers need.
pub(super) fn failure(source: sqlx::Error) -> Error {
    let (kind, what) = match &source {
        sqlx::Error::PoolTimedOut => {
            (ErrorKind::Unavailable, "no connection to the store's database became free in time")
        }
        sqlx::Error::Configuration(_) => {
            (ErrorKind::Config, "the URL of the store's database is wrong")
        }
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed => {
            (ErrorKind::Unavailable, "the store's database cannot be reached or went away")
        }
        sqlx::Error::Database(error) => said(error.as_ref()),
        _ => (ErrorKind::Corrupt, "the store's tables are not as they should be"),
    };
    Error::new(kind, what).with_source(source)
}

const DENIED: (ErrorKind, &str) =
    (ErrorKind::Config, "the store's database does not exist or denies access");
const FULL: (ErrorKind, &str) = (ErrorKind::Exhausted, "the disk of the store's database is full");
const BUSY: (ErrorKind, &str) =
    (ErrorKind::Unavailable, "the store's database is busy, starting or stopping");
const REFUSED: (ErrorKind, &str) = (ErrorKind::Io, "the store's database refused");

fn said(error: &dyn DatabaseError) -> (ErrorKind, &'static str) {
    if let Some(error) = error.try_downcast_ref::<MySqlDatabaseError>() {
        return match error.number() {
            1044 | 1045 | 1049 | 1142 | 1143 | 1227 | 1698 => DENIED,
            1021 | 1114 | 3675 => FULL,
            1040 | 1053 | 1205 | 1213 | 1290 | 1317 | 1412 | 1927 | 2006 | 2013 | 3024 => BUSY,
            _ => REFUSED,
        };
    }
    match error.code().as_deref().unwrap_or_default() {
        "42501" | "3D000" => DENIED,
        "53100" => FULL,
        code if code.starts_with("28") => DENIED,
        code if ["08", "25", "40", "53", "55", "57"].iter().any(|c| code.starts_with(c)) => BUSY,
        _ => REFUSED,
    }
}
