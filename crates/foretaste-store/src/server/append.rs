//! Storing events one by one: threads that wait at the same time share a transaction.

use std::collections::{HashMap, HashSet};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};

use foretaste_core::{Error, Event, IdTable, Result};

use super::ServerStore;
use super::schema::EVENT_COLUMNS;
use super::sql::{Arg, Changing, Database, marks, number, text};
use super::warm;
use crate::store::AppendOutcome;
use crate::validate;

/// Keys that one statement asks for.
const KEYS_AT_ONCE: usize = 5_000;
/// Keys are forgotten when so many sequence numbers have been given.
const FORGET_EVERY: i64 = 1 << 16;

/// Calls that wait to be written.
#[derive(Default)]
pub(super) struct Queue(Mutex<Vec<Waiting>>);

struct Waiting {
    events: Vec<Event>,
    done: SyncSender<Result<AppendOutcome>>,
}

impl ServerStore {
    /// Stores the events together with those of all other threads that wait.
    pub(super) fn append(&self, events: &[Event]) -> Result<AppendOutcome> {
        let (done, mine) = sync_channel(1);
        lock(&self.waiting.0).push(Waiting { events: events.to_vec(), done });
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        if let Ok(outcome) = mine.try_recv() {
            return outcome;
        }
        let all = std::mem::take(&mut *lock(&self.waiting.0));
        let calls: Vec<&[Event]> = all.iter().map(|waiting| &*waiting.events).collect();
        let outcomes = self.database.wait(self.store(&calls));
        match outcomes {
            Ok(outcomes) => all.iter().zip(outcomes).for_each(|(waiting, outcome)| {
                // The receiver waits for it or has panicked.
                let _ = waiting.done.send(outcome);
            }),
            Err(error) => all.iter().for_each(|waiting| {
                let _ = waiting.done.send(Err(Error::new(error.kind(), error.to_string())));
            }),
        }
        mine.recv().map_err(|_| Error::internal("an append was not answered"))?
    }

    async fn store(&self, calls: &[&[Event]]) -> Result<Vec<Result<AppendOutcome>>> {
        let remembered = self.options.remembered_keys as i64;
        let store = async |changing: &mut Changing<'_>| {
            let before = changing.seq;
            let outcomes = store(changing, calls).await?;
            if changing.seq / FORGET_EVERY != before / FORGET_EVERY {
                let sql = "DELETE FROM foretaste_keys WHERE seq < ?";
                changing.run(sql, vec![(changing.seq - remembered).into()]).await?;
            }
            Ok(outcomes)
        };
        self.database.transaction(store).await
    }
}

async fn store(
    changing: &mut Changing<'_>,
    calls: &[&[Event]],
) -> Result<Vec<Result<AppendOutcome>>> {
    let mut kinds = known_kinds(changing).await?;
    let old_kinds = kinds.len();
    let mut stored = known_keys(changing, calls).await?;
    let (mut keys, mut rows) = (Vec::new(), Vec::new());
    let mut outcomes = Vec::with_capacity(calls.len());
    for events in calls {
        let mut with = kinds.clone();
        if let Err(e) = events.iter().try_for_each(|e| validate::kind(&mut with, &e.kind)) {
            outcomes.push(Err(e));
            continue;
        }
        kinds = with;
        let mut outcome = AppendOutcome::default();
        for event in *events {
            if !stored.insert(event.key()) {
                outcome.duplicates += 1;
                continue;
            }
            outcome.accepted += 1;
            changing.seq += 1;
            keys.push(vec![(event.key() as i64).into(), changing.seq.into()]);
            rows.push(row(event, Some(changing.seq)));
        }
        outcome.last_seq = changing.seq as u64;
        outcomes.push(Ok(outcome));
    }
    add_kinds(changing, &kinds, old_kinds).await?;
    changing.insert("foretaste_keys (event_key, seq)", "", keys).await?;
    insert(changing, rows).await?;
    changing.keep_seq().await?;
    Ok(outcomes)
}

/// All kinds of events there are.
pub(super) async fn known_kinds(changing: &mut Changing<'_>) -> Result<IdTable> {
    let rows = changing.rows("SELECT kind FROM foretaste_kinds ORDER BY kind", Vec::new()).await?;
    let mut kinds = IdTable::new();
    for row in &rows {
        kinds.intern(&text(row, 0)?);
    }
    Ok(kinds)
}

/// Stores the kinds beyond the first `old` ones.
pub(super) async fn add_kinds(
    changing: &mut Changing<'_>,
    kinds: &IdTable,
    old: usize,
) -> Result<()> {
    let rows = kinds.iter().skip(old).map(|kind| vec![Arg::text(kind)]).collect();
    changing.insert("foretaste_kinds (kind)", "", rows).await
}

/// Keys of those of the events that are stored. Where events have been archived, some may be known
/// that were erased since: they are forgotten here.
async fn known_keys(changing: &mut Changing<'_>, calls: &[&[Event]]) -> Result<HashSet<u64>> {
    let all: Vec<u64> = calls.iter().copied().flatten().map(Event::key).collect();
    let mut stored = stored_keys(changing, &all).await?;
    if !stored.is_empty() && warm::edge(changing).await?.is_some() {
        let events = || calls.iter().copied().flatten().map(|event| (event.key(), &event.user));
        let users = events().filter(|(key, _)| stored.contains_key(key)).map(|(_, user)| &**user);
        let erased = warm::erased(changing, &users.collect()).await?;
        let is_erased = |(key, user): &(u64, &String)| {
            stored.get(key).zip(erased.get(*user)).is_some_and(|(stored, erased)| stored < erased)
        };
        let keys: Vec<u64> = events().filter(is_erased).map(|(key, _)| key).collect();
        forget_keys(changing, &keys).await?;
        stored.retain(|key, _| !keys.contains(key));
    }
    Ok(stored.into_keys().collect())
}

/// The keys that are stored, with the numbers of their events.
async fn stored_keys(changing: &mut Changing<'_>, keys: &[u64]) -> Result<HashMap<u64, i64>> {
    let mut stored = HashMap::new();
    for some in keys.chunks(KEYS_AT_ONCE) {
        let marks = marks(some.len());
        let sql = format!("SELECT event_key, seq FROM foretaste_keys WHERE event_key IN ({marks})");
        let args = some.iter().map(|&key| Arg::from(key as i64)).collect();
        for row in changing.rows(&sql, args).await? {
            stored.insert(number(&row, 0)? as u64, number(&row, 1)?);
        }
    }
    Ok(stored)
}

/// Forgets keys, so that their events count when they are sent once more.
pub(super) async fn forget_keys(changing: &mut Changing<'_>, keys: &[u64]) -> Result<()> {
    for some in keys.chunks(KEYS_AT_ONCE) {
        let sql = format!("DELETE FROM foretaste_keys WHERE event_key IN ({})", marks(some.len()));
        let args = some.iter().map(|&key| Arg::from(key as i64)).collect();
        changing.run(&sql, args).await?;
    }
    Ok(())
}

/// Adds rows of events; of those that are there nothing changes.
pub(super) async fn insert(changing: &mut Changing<'_>, rows: Vec<Vec<Arg>>) -> Result<()> {
    let target = format!("foretaste_events ({EVENT_COLUMNS})");
    let conflict = changing.conflict("events", "time_ms, event_key", &[]);
    changing.insert(&target, &conflict, rows).await
}

/// The columns of an event, in the order of [`EVENT_COLUMNS`].
pub(super) fn row(event: &Event, seq: Option<i64>) -> Vec<Arg> {
    row_keyed(event, event.key(), seq)
}

/// As [`row`] for an event whose id is no longer known, only its key.
pub(super) fn row_keyed(event: &Event, key: u64, seq: Option<i64>) -> Vec<Arg> {
    let context = event.context.clone().unwrap_or_default();
    vec![
        event.time_ms.into(),
        (key as i64).into(),
        Arg::Number(seq),
        Arg::text(&event.user),
        Arg::text(&event.item),
        Arg::text(&event.kind),
        Arg::Float(event.value.into()),
        Arg::Text(context.session),
        Arg::Text(context.scene),
        Arg::Number(context.position.map(i64::from)),
        Arg::Text(context.request_id),
        Arg::Text(event.event_id.clone()),
    ]
}

/// Ends the time of all events so far in the tail.
pub(super) async fn seal(database: &Database) -> Result<()> {
    let seal = async |changing: &mut Changing<'_>| {
        let sql = "UPDATE foretaste_meta SET value = ? WHERE name = 'sealed'";
        changing.run(sql, vec![changing.seq.into()]).await.map(|_| ())
    };
    database.transaction(seal).await
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
