//! The trait behind which events, items and users are kept, and the words of its answers.

use foretaste_core::{Event, EventBatch, Item, Result, User};
use foretaste_lake::Columns;

use crate::server::{PoolFigures, ReadFigures};

/// What became of the events of one append.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AppendOutcome {
    /// Events that are now stored durably.
    pub accepted: usize,
    /// Events that had been stored before (or stood twice in the same call).
    pub duplicates: usize,
    /// The highest sequence number that this store has handed out to a stored event.
    pub last_seq: u64,
}

/// How much the store holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Records of items.
    pub items: u64,
    /// Records of users.
    pub users: u64,
    /// Items that are in no answer: hidden, or deleted and not put again.
    pub hidden: u64,
    /// Stored events, including duplicates and erased ones that are not yet dropped.
    pub events: u64,
    /// Of these, events that are still in the log (see [`Store::tail`]).
    pub log_events: u64,
    /// Bytes of the log.
    pub log_bytes: u64,
    /// Bytes of sealed and imported events.
    pub lake_bytes: u64,
    /// The highest sequence number of a stored event; 0 when there was none.
    pub last_seq: u64,
}

/// Where a bulk import comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// What people call it (a file name).
    pub name: String,
    /// Digest of its bytes and of the settings it is read with; the identity of an import.
    pub digest: String,
}

/// What a committed bulk import holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BulkOutcome {
    /// Events written.
    pub events: u64,
    /// Bytes they take in the store.
    pub bytes: u64,
}

/// A bulk import under way. Nothing of it is visible before `commit`; dropping it leaves nothing.
pub trait BulkWriter: Send {
    /// Adds events; memory stays bounded however many follow.
    ///
    /// # Errors
    /// `Exhausted` at the 257th kind of event, `Io` when the disk refuses.
    fn write(&mut self, batch: &EventBatch) -> Result<()>;

    /// Makes everything written visible and durable in one step.
    ///
    /// # Errors
    /// `Conflict` when the source has been imported before, `Io` when the disk refuses; in both
    /// cases nothing has become visible.
    fn commit(self: Box<Self>) -> Result<BulkOutcome>;
}

/// Receives records one by one; its error stops the reading and is passed on.
pub type Sink<'a, T> = &'a mut dyn FnMut(T) -> Result<()>;

/// The durable store of events, items and users. Synchronous: the rim calls it on a thread that
/// may block. One process writes; any number may read.
///
/// Every implementation passes the same conformance suite.
pub trait Store: Send + Sync {
    /// Stores events; when it returns `Ok` they survive a crash. All events of the call are
    /// stored, or none. An event whose key ([`Event::key`]) was stored lately is counted as a
    /// duplicate; older duplicates are removed when events are loaded.
    ///
    /// # Errors
    /// `Invalid` when an event breaks a limit (none is stored), `Exhausted` or `Io` when the disk
    /// refuses (none is acknowledged; the same call may be repeated), `Exhausted` also at the
    /// 257th kind of event.
    ///
    /// # Cost
    /// One fdatasync, shared by all calls that wait for one at the same time.
    fn append_events(&self, events: &[Event]) -> Result<AppendOutcome>;

    /// Starts a bulk import of `source`: the fast path for files, beside the log.
    ///
    /// # Errors
    /// `Conflict` when the source has been imported before.
    fn bulk(&self, source: &Source) -> Result<Box<dyn BulkWriter + '_>>;

    /// True when a source of this digest has been imported.
    fn has_source(&self, digest: &str) -> Result<bool>;

    /// All events that are not erased, in batches over their own id tables; the same event may
    /// come more than once (same key). The loader gives them sorted and without duplicates.
    fn read_events(&self, columns: Columns, sink: Sink<'_, EventBatch>) -> Result<()>;

    /// As [`Store::read_events`], but only events that happened at `since_ms` or later. Reads
    /// little when little is that young.
    fn read_events_since(
        &self,
        since_ms: i64,
        columns: Columns,
        sink: Sink<'_, EventBatch>,
    ) -> Result<()>;

    /// The events of the log with a sequence number above `after_seq`, in ascending order, and
    /// the last sequence number of the store. Events leave the log when it is sealed or they are
    /// archived.
    fn tail(&self, after_seq: u64, sink: &mut dyn FnMut(u64, Event) -> Result<()>) -> Result<u64>;

    /// As [`Store::tail`], but with the events that have been sealed, for a process that wants to
    /// hear of what others store; `None` where no other process can.
    fn news(
        &self,
        after_seq: u64,
        sink: &mut dyn FnMut(u64, Event) -> Result<()>,
    ) -> Result<Option<u64>> {
        let _ = (after_seq, sink);
        Ok(None)
    }

    /// Adds or replaces items, all or none. An item that was deleted is back; one that was hidden
    /// by [`Store::set_hidden`] stays hidden.
    ///
    /// # Errors
    /// `Invalid` when a record breaks a limit.
    fn put_items(&self, items: &[Item]) -> Result<()>;

    /// Adds or replaces users, all or none.
    ///
    /// # Errors
    /// `Invalid` when a record breaks a limit.
    fn put_users(&self, users: &[User]) -> Result<()>;

    /// The item of this id; `hidden` says whether it is in no answer.
    fn item(&self, id: &str) -> Result<Option<Item>>;

    /// The user of this id.
    fn user(&self, id: &str) -> Result<Option<User>>;

    /// Removes the record of an item and hides its id until it is put again. False when there is
    /// no record.
    fn delete_item(&self, id: &str) -> Result<bool>;

    /// Removes a user: the record and every event up to now, in all later reads. Events that
    /// come later count again. False when there was no record (events are erased all the same).
    fn delete_user(&self, id: &str) -> Result<bool>;

    /// Hides an item or shows it again; works for ids that have no record, too. True when that
    /// changed something.
    fn set_hidden(&self, id: &str, hidden: bool) -> Result<bool>;

    /// The ids of all items that are in no answer, ascending.
    fn hidden(&self) -> Result<Vec<String>>;

    /// All items, ascending by id.
    fn items(&self, sink: Sink<'_, Item>) -> Result<()>;

    /// All users, ascending by id.
    fn users(&self, sink: Sink<'_, User>) -> Result<()>;

    /// A value of the control state (which bundle is current, when something last ran, ...).
    fn control(&self, key: &str) -> Result<Option<String>>;

    /// Sets a value of the control state; `None` removes it.
    fn set_control(&self, key: &str, value: Option<&str>) -> Result<()>;

    /// How much is stored.
    fn counts(&self) -> Result<Counts>;

    /// How many events are in the log, or were and have been taken back since it was sealed: what
    /// tells when to seal. Where events are written this looks at none of them.
    fn log_events(&self) -> Result<u64>;

    /// Moves the events of the log to long-term storage, and drops erased ones for good. They
    /// leave [`Store::tail`], never [`Store::read_events`].
    fn seal(&self) -> Result<()>;

    /// The connections to servers that it keeps, where it is on a server; asks none.
    fn pools(&self) -> Vec<PoolFigures> {
        Vec::new()
    }

    /// Where long reads took place, where it has a replica to read from.
    fn reads(&self) -> Option<ReadFigures> {
        None
    }
}
