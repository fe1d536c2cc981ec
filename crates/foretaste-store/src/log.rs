//! The event log: numbered append-only files in which an acknowledged event survives a crash.
//!
//! A file is a header and records; a record is the events of one append, with length and CRC, so
//! that an append is stored as a whole or not at all. Appends that arrive while a group is being
//! written form the next group: one fdatasync serves them all. A file whose write or fsync failed
//! is closed for good (its page cache cannot be trusted any more) and a new one is started.

mod commit;
mod files;
mod format;
mod record;
mod seen;
#[cfg(test)]
mod tests;
mod view;

pub(crate) use commit::{EventLog, LogOptions};
pub(crate) use view::{LogEnd, LogView, Place};
