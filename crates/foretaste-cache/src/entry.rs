//! What is kept under a key.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

use bytes::Bytes;

use crate::key::Dependency;
use crate::lifetime::Life;

/// Bytes that an entry costs beside its key, value and dependencies: its own fields, counts of
/// references, the slot in the table.
const OVERHEAD_BYTES: usize = 160;
/// A renewal that was claimed so long ago has failed; somebody else may try.
const CLAIM_MS: u64 = 10_000;

/// How long the shared tier keeps an entry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Class {
    /// Asked for often, or by everybody.
    Hot = 0,
    /// What answers are made from.
    Feature = 1,
    /// Everything else; what proves to be asked for often becomes hot.
    #[default]
    Cold = 2,
}

impl Class {
    pub(crate) fn from_byte(byte: u8) -> Option<Self> {
        [Self::Hot, Self::Feature, Self::Cold].into_iter().find(|class| *class as u8 == byte)
    }
}

/// A value to be kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fresh {
    pub(crate) value: Option<Bytes>,
    pub(crate) depends_on: Vec<Dependency>,
    pub(crate) class: Class,
    pub(crate) is_passing: bool,
}

impl Fresh {
    /// These bytes; `None` remembers, for a short time, that there is nothing.
    pub fn new(value: Option<Bytes>) -> Self {
        Self { value, ..Self::default() }
    }

    /// Kept by the shared tier as this class is.
    #[must_use]
    pub fn class(self, class: Class) -> Self {
        Self { class, ..self }
    }

    /// For those who wait for it and nobody after them: it is not stored.
    #[must_use]
    pub fn passing(self) -> Self {
        Self { is_passing: true, ..self }
    }

    /// The bytes.
    pub fn value(&self) -> Option<&Bytes> {
        self.value.as_ref()
    }

    /// The value is outdated when one of these changes.
    #[must_use]
    pub fn depends_on(mut self, things: impl IntoIterator<Item = Dependency>) -> Self {
        self.depends_on.extend(things);
        self
    }

    /// The value was made from another entry's: it is outdated whenever that one is. The other's
    /// dependencies are taken over, so that this holds even when the other has been evicted.
    #[must_use]
    pub fn made_from(self, other: &Loaded) -> Self {
        self.depends_on(other.entry.depends_on.iter().copied())
    }
}

/// A value of the cache, or one that was just computed.
#[derive(Clone, Debug)]
pub struct Loaded {
    pub(crate) entry: Shared,
    /// How old it is.
    pub age_ms: u64,
    /// Where it was.
    pub source: Source,
}

/// Where a value was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// In process.
    Process,
    /// In the tier that replicas share.
    Replicas,
    /// Nowhere: it was computed for this or for another caller who waited.
    Computed,
}

impl Loaded {
    /// The bytes; `None` when it is known that there is nothing.
    pub fn value(&self) -> Option<&Bytes> {
        self.entry.value.as_ref()
    }
}

/// One entry. Its lifetime follows from its age and its hits, so nothing is edited but counters.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) value: Option<Bytes>,
    pub(crate) depends_on: Box<[Dependency]>,
    pub(crate) created_ms: u64,
    pub(crate) hits: AtomicU32,
    pub(crate) class: Class,
    jitter: u8,
    /// When somebody began to renew it; 0 = nobody.
    claimed_ms: AtomicU64,
}

impl Entry {
    pub(crate) fn new(fresh: Fresh, created_ms: u64, hits: u32, jitter: u8) -> Self {
        Self {
            value: fresh.value,
            depends_on: fresh.depends_on.into(),
            created_ms,
            hits: AtomicU32::new(hits),
            class: fresh.class,
            jitter,
            claimed_ms: AtomicU64::new(0),
        }
    }

    pub(crate) fn size_bytes(&self, key_bytes: usize) -> usize {
        let value = self.value.as_ref().map_or(0, Bytes::len);
        OVERHEAD_BYTES + key_bytes + value + std::mem::size_of_val(&*self.depends_on)
    }

    pub(crate) fn age_ms(&self, now_ms: u64) -> u64 {
        now_ms.saturating_sub(self.created_ms)
    }

    pub(crate) fn life(&self, now_ms: u64) -> Life {
        Life {
            age_ms: self.age_ms(now_ms),
            hits: self.hits.load(Relaxed),
            is_negative: self.value.is_none(),
            jitter: self.jitter,
        }
    }

    /// Another form of this entry's value: as old, as often used, outdated with it.
    pub(crate) fn variant(&self, value: Bytes) -> Self {
        let depends_on = self.depends_on.to_vec();
        let fresh = Fresh { value: Some(value), depends_on, class: self.class, is_passing: false };
        Self::new(fresh, self.created_ms, self.hits.load(Relaxed), self.jitter)
    }

    /// Counts a use; says how many there were before.
    pub(crate) fn touch(&self) -> u32 {
        // A count that wraps after four thousand million uses only shortens one lifetime.
        self.hits.fetch_add(1, Relaxed)
    }

    /// True for exactly one caller at a time, who then renews the entry.
    pub(crate) fn claim(&self, now_ms: u64) -> bool {
        let claimed = self.claimed_ms.load(Relaxed);
        (claimed == 0 || now_ms.saturating_sub(claimed) >= CLAIM_MS)
            && self.claimed_ms.compare_exchange(claimed, now_ms, Relaxed, Relaxed).is_ok()
    }

    pub(crate) fn depends_on_any(&self, sorted: &[Dependency]) -> bool {
        self.depends_on.iter().any(|d| sorted.binary_search(d).is_ok())
    }
}

pub(crate) type Shared = Arc<Entry>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_caller_renews_until_it_has_had_its_time() {
        let entry = Entry::new(Fresh::default(), 1, 0, 0);
        assert!(entry.claim(5));
        assert!(!entry.claim(5) && !entry.claim(5 + CLAIM_MS - 1));
        assert!(entry.claim(5 + CLAIM_MS));
        assert!(!entry.claim(6 + CLAIM_MS));
    }
}
