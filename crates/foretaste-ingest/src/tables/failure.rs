//! What a database's error means here.

use foretaste_core::{Error, ErrorKind};

/// The error with the kind that callers need. Messages of servers name tables and columns, never
/// the password.
pub fn of(source: sqlx::Error) -> Error {
    let (kind, what) = match &source {
        sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::PoolTimedOut => {
            (ErrorKind::Unavailable, "the database cannot be reached or went away; try again")
        }
        sqlx::Error::Protocol(_) | sqlx::Error::WorkerCrashed => {
            (ErrorKind::Unavailable, "the connection to the database broke; try again")
        }
        sqlx::Error::Configuration(_) => (ErrorKind::Config, "the URL of the database is wrong"),
        sqlx::Error::Database(error) => of_code(error.as_ref()),
        _ => (ErrorKind::Io, "the database refused"),
    };
    Error::new(kind, what).with_source(source)
}

fn of_code(error: &dyn sqlx::error::DatabaseError) -> (ErrorKind, &'static str) {
    let number = error
        .try_downcast_ref::<sqlx::mysql::MySqlDatabaseError>()
        .map(sqlx::mysql::MySqlDatabaseError::number);
    if let Some(number) = number {
        return match number {
            1044 | 1045 | 1142 | 1143 | 1227 | 1698 => (ErrorKind::Config, DENIED),
            1969 | 3024 => (ErrorKind::Unavailable, TIMEOUT),
            1040 | 1053 | 1205 | 1213 | 1317 | 1412 | 1927 | 2006 | 2013 => {
                (ErrorKind::Unavailable, "the database is busy or changing; try again")
            }
            1054 | 1146 => (ErrorKind::Conflict, GONE),
            1217 | 1451 => (ErrorKind::Conflict, REFERRED),
            1153 | 1301 => (ErrorKind::Exhausted, "a row exceeds max_allowed_packet; raise it"),
            _ => (ErrorKind::Io, "the database refused"),
        };
    }
    match error.code().as_deref().unwrap_or_default() {
        "57014" => (ErrorKind::Unavailable, TIMEOUT),
        "42501" => (ErrorKind::Config, DENIED),
        "42703" | "42P01" => (ErrorKind::Conflict, GONE),
        "23503" => (ErrorKind::Conflict, REFERRED),
        code if code.starts_with("28") || code == "3D000" => (ErrorKind::Config, DENIED),
        code if ["57", "53", "55", "40", "08", "25"]
            .iter()
            .any(|class| code.starts_with(class)) =>
        {
            (ErrorKind::Unavailable, "the database is busy, starting or stopping; try again")
        }
        _ => (ErrorKind::Io, "the database refused"),
    }
}

const DENIED: &str = "the database denies access; check user, password and grants (SELECT is all \
                      that is needed)";
const TIMEOUT: &str = "a statement ran into its timeout; add the index on (watermark, id) or raise \
                       `statement_timeout_s`";
const REFERRED: &str = "rows of another table refer to these rows (a foreign key)";
const GONE: &str = "a table or column is gone";
