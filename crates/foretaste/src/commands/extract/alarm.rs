//! Tables that cannot be read while they are followed, as alerts: at once where somebody has to do
//! something, after a while where it may pass.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use foretaste_alert::{Alert, Severity};
use foretaste_core::{Error, TimeMs};
use foretaste_ingest::tables::KeptFigures;
use foretaste_store::RowChanges;
use tracing::warn;

use super::follow::{Reading, What, Witness};
use super::show::now_ms;
use crate::alerting::Teller;
use crate::run::Run;

const CLOSED: &str = "ForetasteSourceClosed";
const UNREAD: &str = "ForetasteSourceUnread";
/// What receivers know of these rules.
const LEDGERS: &str = "alerts-sources.json";

/// Hears of readings, and tells by a thread of its own: no reading waits for a receiver.
pub struct Alarm {
    teller: Arc<Teller>,
    to_thread: SyncSender<Vec<Alert>>,
    troubles: Mutex<Troubles>,
}

#[derive(Default)]
struct Troubles {
    /// By table and how it was read.
    now: BTreeMap<(String, What), Trouble>,
    /// What the thread was given last; nothing was, before the first.
    given: Option<Vec<Alert>>,
}

/// A table that cannot be read.
struct Trouble {
    since_ms: TimeMs,
    error: String,
    /// Whether it may pass by itself.
    may_pass: bool,
}

impl Alarm {
    /// `None` where there is nobody to tell.
    ///
    /// # Errors
    /// When a receiver's address cannot be read, or no thread can be started.
    pub fn new(run: &Run) -> Result<Option<Self>> {
        let Some(teller) = Teller::new(run, LEDGERS)? else { return Ok(None) };
        let teller = Arc::new(teller);
        let (to_thread, from_readers) = sync_channel(1);
        let telling = Arc::clone(&teller);
        let tell = move || tell(&telling, &from_readers);
        std::thread::Builder::new().name("alerts".into()).spawn(tell)?;
        Ok(Some(Self { teller, to_thread, troubles: Mutex::default() }))
    }

    /// Takes in how a reading went. The thread is given what is on as long as anything is, so that
    /// it repeats itself in time, and once after; while it is at work it is not given more, but
    /// with the next reading.
    fn heard(&self, table: &str, what: What, error: Option<&Error>) {
        let now_ms = now_ms();
        let mut troubles = self.troubles.lock().unwrap_or_else(PoisonError::into_inner);
        let place = (table.to_owned(), what);
        match error {
            None => {
                troubles.now.remove(&place);
            }
            Some(error) => {
                let may_pass = error.kind().is_retryable();
                let error = error.to_string();
                let known = troubles.now.get(&place).map(|known| known.since_ms);
                let since_ms = known.unwrap_or(now_ms);
                troubles.now.insert(place, Trouble { since_ms, error, may_pass });
            }
        }
        let on = alerts(&troubles.now, (&self.teller, now_ms));
        if on.is_empty() && troubles.given.as_ref().is_some_and(Vec::is_empty) {
            return;
        }
        match self.to_thread.try_send(on.clone()) {
            Ok(()) => troubles.given = Some(on),
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {}
        }
    }
}

/// What is told of the tables that cannot be read.
fn alerts(
    troubles: &BTreeMap<(String, What), Trouble>,
    (teller, now_ms): (&Teller, TimeMs),
) -> Vec<Alert> {
    let is_on =
        |trouble: &Trouble| !trouble.may_pass || now_ms - trouble.since_ms >= teller.unread_ms();
    let alert = |((table, what), trouble): (&(String, What), &Trouble)| {
        let mut labels = teller.labels().clone();
        labels.insert("table".to_owned(), table.clone());
        labels.insert("reading".to_owned(), what.name().to_owned());
        let (name, severity, state) = match trouble.may_pass {
            true => (UNREAD, Severity::Warning, "cannot be read"),
            false => (CLOSED, Severity::Critical, "is closed until somebody looks at it"),
        };
        Alert {
            name: name.to_owned(),
            labels,
            severity,
            summary: format!("{table} {state} ({})", what.name()),
            description: trouble.error.clone(),
        }
    };
    troubles.iter().filter(|(_, trouble)| is_on(trouble)).map(alert).collect()
}

/// Tells whatever comes. What could not be told is tried again until it is, with what came since.
fn tell(teller: &Teller, from_readers: &Receiver<Vec<Alert>>) {
    while let Ok(mut on) = from_readers.recv() {
        loop {
            let failures = teller.tell(&on, now_ms());
            if failures.is_empty() {
                break;
            }
            for failure in &failures {
                warn!(failure, "an alert could not be told; it is tried again");
            }
            match from_readers.recv_timeout(teller.pause()) {
                Ok(newer) => on = newer,
                Err(std::sync::mpsc::RecvTimeoutError::Timeout) => {}
                Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => return,
            }
        }
    }
}

/// A witness, with the alarm listening.
pub struct Alarmed<'a> {
    pub witness: &'a dyn Witness,
    pub alarm: Option<&'a Alarm>,
}

impl Witness for Alarmed<'_> {
    fn listens(&self) -> bool {
        self.witness.listens()
    }

    fn changed(&self, changes: &RowChanges) {
        self.witness.changed(changes);
    }

    fn read(&self, reading: &Reading<'_>) {
        if let Some(alarm) = self.alarm {
            alarm.heard(reading.table, reading.what, reading.done.as_ref().err());
        }
        self.witness.read(reading);
    }

    fn connections(&self, source: &str, figures: KeptFigures) {
        self.witness.connections(source, figures);
    }
}
