//! Appending: group commit without a thread of its own. The first append that finds nobody
//! writing takes everything that waits, writes it and syncs once; the others sleep until then.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};

use foretaste_core::{Error, ErrorKind, Event, Result};

use super::files::{LogFile, LogFiles, OsFiles};
use super::format::{HEADER_BYTES, Header, path_of};
use super::record;
use super::seen::Seen;
use super::view::{LogEnd, LogView, Place};
use crate::store::AppendOutcome;

/// Bytes between two marks of the index of sequence numbers.
const MARK_BYTES: u64 = 256 << 10;

/// Sizes of the log.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LogOptions {
    /// A file that has reached this size is closed and the next one begun.
    pub(crate) file_bytes: u64,
    /// Appends wait while more than this is waiting to be written.
    pub(crate) pending_bytes: usize,
    /// Number of latest events whose keys are remembered.
    pub(crate) remembered: usize,
}

/// The log, open for appending.
pub(crate) struct EventLog {
    dir: PathBuf,
    options: LogOptions,
    files: Box<dyn LogFiles>,
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    next_seq: u64,
    stored_seq: u64,
    seen: Seen,
    pending: Group,
    committing: bool,
    active: Option<Active>,
    end: LogEnd,
    marks: Vec<(u64, Place)>,
    events: u64,
    bytes: u64,
}

/// Appends that share one sync.
#[derive(Default)]
struct Group {
    bytes: Vec<u8>,
    first_seq: u64,
    events: usize,
    tickets: Vec<Arc<Ticket>>,
}

type Ticket = OnceLock<Result<(), Failure>>;

/// Why a group was not stored; every append of the group reports it.
#[derive(Clone, Debug)]
struct Failure {
    kind: ErrorKind,
    text: String,
}

struct Active {
    file: Box<dyn LogFile>,
    end: LogEnd,
}

impl EventLog {
    /// Opens the log in `dir`, of which everything up to `sealed` (file and sequence number) is
    /// in the lake. The torn end of the last file is cut off; `visit` sees every event.
    pub(crate) fn open(
        dir: &Path,
        sealed: (u64, u64),
        options: LogOptions,
        visit: &mut dyn FnMut(&Event) -> Result<()>,
    ) -> Result<Self> {
        Self::open_on(Box::new(OsFiles), dir, sealed, options, visit)
    }

    /// The same on given files.
    pub(crate) fn open_on(
        files: Box<dyn LogFiles>,
        dir: &Path,
        (sealed_file, sealed_seq): (u64, u64),
        options: LogOptions,
        visit: &mut dyn FnMut(&Event) -> Result<()>,
    ) -> Result<Self> {
        let view = LogView::open(dir, sealed_file)?;
        let mut state = State::new(sealed_file, sealed_seq, Seen::new(options.remembered));
        let from = Place { number: 0, at: 0 };
        let end = view.read_from(from, 0, &mut |place, seq, event| {
            state.recovered(place, seq, &event);
            visit(&event)
        })?;
        state.bytes = view.bytes();
        if end.number > 0 {
            state.end = end;
            let file = files.resume(&path_of(dir, end.number), end.len)?;
            state.active = Some(Active { file, end });
        }
        let state = Mutex::new(state);
        Ok(Self { dir: dir.to_owned(), options, files, state, changed: Condvar::new() })
    }

    /// Stores the events durably, all or none; answers those that it remembers as duplicates.
    pub(crate) fn append(&self, events: &[Event]) -> Result<AppendOutcome> {
        let mut state = self.lock();
        while state.pending.bytes.len() > self.options.pending_bytes {
            state = self.wait(state);
        }
        let fresh: Vec<&Event> = events.iter().filter(|e| state.seen.insert(e.key())).collect();
        let mut outcome = AppendOutcome {
            accepted: fresh.len(),
            duplicates: events.len() - fresh.len(),
            last_seq: state.stored_seq,
        };
        let idle = !state.committing && state.pending.tickets.is_empty();
        if fresh.is_empty() && idle {
            return Ok(outcome);
        }
        // A duplicate may be on its way to the disk: it is acknowledged with the next group.
        let ticket = state.enqueue(&fresh);
        loop {
            if let Some(done) = ticket.get() {
                outcome.last_seq = state.stored_seq;
                return done.clone().map(|()| outcome).map_err(Failure::into_error);
            }
            state = if state.committing { self.wait(state) } else { self.commit(state) };
        }
    }

    /// Closes the present file and returns where the log ends: everything up to there is durable
    /// and in files that do not change any more.
    pub(crate) fn rotate(&self) -> LogEnd {
        let mut state = self.lock();
        while state.committing {
            state = self.wait(state);
        }
        state.active = None;
        state.end
    }

    /// Removes the files up to `number`, which are in the lake now and hold `events` events.
    pub(crate) fn remove_through(&self, number: u64, events: u64) -> Result<()> {
        for old in super::format::numbers(&self.dir)?.into_iter().filter(|&n| n <= number) {
            fs_err::remove_file(path_of(&self.dir, old))?;
        }
        self.files.sync_dir(&self.dir)?;
        let mut state = self.lock();
        state.marks.retain(|(_, place)| place.number > number);
        state.events = state.events.saturating_sub(events);
        let has_files = state.end.number > number;
        state.bytes = if has_files { LogView::open(&self.dir, number)?.bytes() } else { 0 };
        Ok(())
    }

    /// The durable part of the log behind file `after`.
    pub(crate) fn view(&self, after: u64) -> Result<LogView> {
        let end = self.lock().end;
        let mut view = LogView::open(&self.dir, after)?;
        view.limit(end);
        Ok(view)
    }

    /// Where to begin reading for the events behind `after_seq`.
    pub(crate) fn place_of(&self, after_seq: u64) -> Place {
        let state = self.lock();
        let behind = state.marks.partition_point(|(seq, _)| *seq <= after_seq.saturating_add(1));
        let mark = behind.checked_sub(1).map(|i| state.marks[i].1);
        mark.unwrap_or(Place { number: 0, at: 0 })
    }

    /// Sequence number of the last event that is stored.
    pub(crate) fn stored_seq(&self) -> u64 {
        self.lock().stored_seq
    }

    /// A sequence number that every event accepted so far is at or below.
    pub(crate) fn given_seq(&self) -> u64 {
        self.lock().next_seq - 1
    }

    /// Events and bytes of the log.
    pub(crate) fn size(&self) -> (u64, u64) {
        let state = self.lock();
        (state.events, state.bytes)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        self.changed.wait(state).unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes everything that waits. The lock is given up meanwhile.
    fn commit<'a>(&'a self, mut state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        let group = std::mem::take(&mut state.pending);
        let (active, end) = (state.active.take(), state.end);
        state.committing = true;
        drop(state);
        let written = self.store(active, end, &group);
        let mut state = self.lock();
        state.committing = false;
        match written {
            Ok((active, at)) => state.stored(active, at, group),
            Err(error) => state.failed(&error, &self.dir, group),
        }
        self.changed.notify_all();
        state
    }

    /// Writes and syncs a group; returns the file and where in it the group begins.
    fn store(
        &self,
        active: Option<Active>,
        end: LogEnd,
        group: &Group,
    ) -> io::Result<(Option<Active>, u64)> {
        if group.bytes.is_empty() {
            return Ok((active, 0));
        }
        match active.filter(|active| active.end.len < self.options.file_bytes) {
            Some(mut active) => {
                let at = active.end.len;
                if let Err(e) = active.write(&group.bytes) {
                    // Best effort: what follows is not valid anyway, the next header says so.
                    let _ = active.file.truncate(at);
                    return Err(e);
                }
                Ok((Some(active), at))
            }
            None => Ok((Some(self.begin_file(end, group)?), HEADER_BYTES)),
        }
    }

    fn begin_file(&self, end: LogEnd, group: &Group) -> io::Result<Active> {
        let number = end.number + 1;
        let header = Header { first_seq: group.first_seq, previous_len: end.len };
        let file = self.files.create(&path_of(&self.dir, number))?;
        let mut active = Active { file, end: LogEnd { number, len: 0 } };
        let mut bytes = header.encode().to_vec();
        bytes.extend_from_slice(&group.bytes);
        active.write(&bytes)?;
        self.files.sync_dir(&self.dir)?;
        Ok(active)
    }
}

impl Active {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.file.sync()?;
        self.end.len += bytes.len() as u64;
        Ok(())
    }
}

impl State {
    fn new(sealed_file: u64, sealed_seq: u64, seen: Seen) -> Self {
        Self {
            next_seq: sealed_seq + 1,
            stored_seq: sealed_seq,
            seen,
            pending: Group::default(),
            committing: false,
            active: None,
            end: LogEnd { number: sealed_file, len: 0 },
            marks: Vec::new(),
            events: 0,
            bytes: 0,
        }
    }

    /// Takes note of an event found at opening.
    fn recovered(&mut self, place: Place, seq: u64, event: &Event) {
        self.seen.insert(event.key());
        self.mark(seq, place);
        self.stored_seq = seq;
        self.next_seq = seq + 1;
        self.events += 1;
    }

    fn mark(&mut self, seq: u64, place: Place) {
        let is_far = self.marks.last().is_none_or(|(_, last)| {
            last.number != place.number || place.at >= last.at + MARK_BYTES
        });
        if is_far {
            self.marks.push((seq, place));
        }
    }

    fn enqueue(&mut self, events: &[&Event]) -> Arc<Ticket> {
        if self.pending.tickets.is_empty() {
            self.pending.first_seq = self.next_seq;
        }
        if !events.is_empty() {
            record::encode(self.next_seq, events.iter().copied(), &mut self.pending.bytes);
            self.next_seq += events.len() as u64;
            self.pending.events += events.len();
        }
        let ticket = Arc::new(Ticket::new());
        self.pending.tickets.push(Arc::clone(&ticket));
        ticket
    }

    fn stored(&mut self, active: Option<Active>, at: u64, group: Group) {
        if let Some(active) = active.as_ref().filter(|_| group.events > 0) {
            let place = Place { number: active.end.number, at };
            self.mark(group.first_seq, place);
            self.end = active.end;
            self.stored_seq = group.first_seq + group.events as u64 - 1;
            self.events += group.events as u64;
            self.bytes += group.bytes.len() as u64;
        }
        self.active = active;
        group.tickets.iter().for_each(|ticket| ticket.set(Ok(())).expect("a ticket is set once"));
    }

    /// Nothing of the group is stored, nor of what has been numbered since: the file it went to
    /// is closed, and the next group begins a new one.
    fn failed(&mut self, error: &io::Error, dir: &Path, group: Group) {
        let failure = Failure::new(error, dir);
        let later = std::mem::take(&mut self.pending);
        self.seen.forget_last(group.events + later.events);
        for ticket in group.tickets.iter().chain(&later.tickets) {
            ticket.set(Err(failure.clone())).expect("a ticket is set once");
        }
    }
}

impl Failure {
    fn new(error: &io::Error, dir: &Path) -> Self {
        let full =
            matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
        let dir = dir.display();
        if full {
            let text = format!(
                "no space left for the event log in {dir}; the events were not stored: \
                 free space and send them again ({error})"
            );
            return Self { kind: ErrorKind::Exhausted, text };
        }
        let text = format!(
            "the event log in {dir} could not be written; the events were not stored: check the \
             disk and send them again ({error})"
        );
        Self { kind: ErrorKind::Io, text }
    }

    fn into_error(self) -> Error {
        Error::new(self.kind, self.text)
    }
}
