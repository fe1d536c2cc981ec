//! The connection of a source, kept from one reading of a table to the next.
//!
//! Tables of a source are read one after another, so one connection is enough: two would halve
//! waits for the network, which are a few round trips a table, and wait for each other at the
//! store.

use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use foretaste_core::Result;

use super::config::SourceConfig;
use super::connection::Connection;
use super::slow::{StatementFigures, Statements, Watch};

/// How long the end of a transaction may take; a connection that takes longer is closed.
const END: Duration = Duration::from_secs(2);

/// What became of the connections of a source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeptFigures {
    /// Connections now: one, or none.
    pub open: u64,
    /// Readings that used one.
    pub used: u64,
    /// Connections that were made.
    pub made: u64,
    /// Those closed because they did not answer, were `max_lifetime_s` old, or would have been idle
    /// for longer than `idle_timeout_s`.
    pub closed: [(&'static str, u64); 3],
}

/// Keeps the connection of one source while nobody reads.
#[derive(Default)]
pub struct Kept {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    idle: Option<Idle>,
    open: u64,
    used: u64,
    made: u64,
    broken: u64,
    old: u64,
    idled: u64,
    /// What the statements of each table have cost.
    statements: BTreeMap<String, Statements>,
}

struct Idle {
    connection: Connection,
    made: Instant,
    since: Instant,
}

/// Why a connection is closed.
#[derive(Clone, Copy)]
enum Why {
    Broken,
    Old,
    Idle,
}

impl State {
    fn closed(&mut self, why: Why) {
        self.open = self.open.saturating_sub(1);
        match why {
            Why::Broken => self.broken += 1,
            Why::Old => self.old += 1,
            Why::Idle => self.idled += 1,
        }
    }
}

impl Kept {
    /// What became of its connections so far.
    pub fn figures(&self) -> KeptFigures {
        let state = self.state();
        let State { open, used, made, broken, old, idled, .. } = *state;
        let closed = [("broken", broken), ("old", old), ("idle", idled)];
        KeptFigures { open, used, made, closed }
    }

    /// The `n` statements of a table (`source/table`) that took most time so far.
    pub fn dearest(&self, table: &str, n: usize) -> Vec<StatementFigures> {
        self.state().statements.get(table).map(|all| all.top(n)).unwrap_or_default()
    }

    /// Closes the connection if it would be idle for longer than the source allows: until it is
    /// needed, `pause` goes by.
    pub fn rest(&self, source: &SourceConfig, pause: Duration) {
        if pause > seconds(source.idle_timeout_s) {
            let mut state = self.state();
            if let Some(idle) = state.idle.take() {
                state.closed(Why::Idle);
                idle.connection.close();
            }
        }
    }

    /// The connection that was kept, if it may still be used, with a new transaction.
    fn take(&self, source: &SourceConfig) -> Option<(Connection, Instant)> {
        let mut state = self.state();
        let Idle { mut connection, made, since } = state.idle.take()?;
        let why = if made.elapsed() > seconds(source.max_lifetime_s) {
            Why::Old
        } else if since.elapsed() > seconds(source.idle_timeout_s) {
            Why::Idle
        } else {
            // Beginning the transaction tells whether the server is there.
            match connection.begin(seconds(source.connect_timeout_s)) {
                Ok(()) => return Some((connection, made)),
                Err(_) => Why::Broken,
            }
        };
        state.closed(why);
        connection.close();
        None
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        if let Some(idle) = self.state().idle.take() {
            idle.connection.close();
        }
    }
}

impl std::fmt::Debug for Kept {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Kept").field(&self.figures()).finish()
    }
}

/// A connection in a read-only transaction that sees the database at one moment. When it is dropped
/// the transaction ends, and the connection goes back to where it is kept.
pub(super) struct Snapshot<'a> {
    kept: Option<&'a Kept>,
    made: Instant,
    /// There until it is dropped.
    connection: Option<Connection>,
}

impl<'a> Snapshot<'a> {
    /// Begins one, on the connection that was kept or on a new one.
    ///
    /// # Errors
    /// As [`Connection::snapshot`].
    pub(super) fn begin(source: &SourceConfig, url: &str, kept: Option<&'a Kept>) -> Result<Self> {
        let taken = kept.and_then(|kept| kept.take(source));
        let is_new = taken.is_none();
        let (connection, made) = match taken {
            Some(taken) => taken,
            None => (Connection::snapshot(url, source.patience())?, Instant::now()),
        };
        if let Some(mut state) = kept.map(Kept::state) {
            state.used += 1;
            state.made += u64::from(is_new);
            state.open += u64::from(is_new);
        }
        Ok(Self { kept, made, connection: Some(connection) })
    }
}

impl Deref for Snapshot<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.connection.as_ref().expect("it is there until the end")
    }
}

impl DerefMut for Snapshot<'_> {
    fn deref_mut(&mut self) -> &mut Connection {
        self.connection.as_mut().expect("it is there until the end")
    }
}

impl Drop for Snapshot<'_> {
    fn drop(&mut self) {
        let (Some(mut connection), Some(kept)) = (self.connection.take(), self.kept) else {
            return;
        };
        let Watch { table, seen, .. } = std::mem::take(&mut connection.watch);
        // After a panic, nobody knows what was under way.
        let is_well = !std::thread::panicking() && connection.end(END).is_ok();
        let mut state = kept.state();
        state.statements.entry(table).or_default().merge(seen);
        if is_well && state.idle.is_none() {
            state.idle = Some(Idle { connection, made: self.made, since: Instant::now() });
        } else {
            state.closed(Why::Broken);
        }
    }
}

fn seconds(n: u32) -> Duration {
    Duration::from_secs(n.into())
}
