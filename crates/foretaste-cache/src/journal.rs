//! Which things changed lately, so that a value which was being computed while one of its inputs
//! changed is not stored.
//!
//! A computation notes the journal's number when it begins. Storing holds the journal open for
//! reading; a change is noted by writing to it, and entries are dropped after that. So a value is
//! either stored before the change was noted, and dropped with the others, or refused.

use std::collections::VecDeque;
use std::sync::{PoisonError, RwLock};

use crate::key::Dependency;

/// Changes remembered; computations that outlast more of them are not stored.
const MOST: usize = 1_024;
/// Things remembered per change; a change of more counts as a change of everything.
const MOST_THINGS: usize = 1_024;

#[derive(Debug, Default)]
struct Pages {
    /// Number of the next change.
    next: u64,
    /// The latest changes, each with its things sorted; `None` is a change of everything.
    changes: VecDeque<Option<Box<[Dependency]>>>,
    /// Changes that are noted while what depends on them is still being dropped.
    under_way: usize,
}

/// The latest changes.
#[derive(Debug, Default)]
pub(crate) struct Journal {
    pages: RwLock<Pages>,
}

impl Journal {
    /// The number to note when a computation begins.
    pub(crate) fn now(&self) -> u64 {
        self.pages.read().unwrap_or_else(PoisonError::into_inner).next
    }

    /// Notes a change of these things, sorted; `None` is everything. It is under way until the
    /// guard is dropped.
    pub(crate) fn note(&self, changed: Option<&[Dependency]>) -> Change<'_> {
        let mut pages = self.pages.write().unwrap_or_else(PoisonError::into_inner);
        pages.next += 1;
        pages.under_way += 1;
        let few = changed.filter(|changed| changed.len() <= MOST_THINGS);
        pages.changes.push_back(few.map(Into::into));
        if pages.changes.len() > MOST {
            pages.changes.pop_front();
        }
        Change(self)
    }

    /// Stores by `store` if no change is under way.
    pub(crate) fn when_settled(&self, store: impl FnOnce()) {
        let pages = self.pages.read().unwrap_or_else(PoisonError::into_inner);
        if pages.under_way == 0 {
            store();
        }
    }

    /// Stores by `store` unless one of `depends_on` changed since `began`. Says whether it did.
    pub(crate) fn unless_changed(
        &self,
        began: u64,
        depends_on: &[Dependency],
        store: impl FnOnce(),
    ) -> bool {
        let pages = self.pages.read().unwrap_or_else(PoisonError::into_inner);
        let since = (pages.next - began) as usize;
        let touches = |change: &Option<Box<[Dependency]>>| match change {
            None => true,
            Some(changed) => depends_on.iter().any(|d| changed.binary_search(d).is_ok()),
        };
        let has_changed =
            since > pages.changes.len() || pages.changes.iter().rev().take(since).any(touches);
        if !has_changed {
            store();
        }
        !has_changed
    }
}

/// A change under way.
pub(crate) struct Change<'a>(&'a Journal);

impl Drop for Change<'_> {
    fn drop(&mut self) {
        self.0.pages.write().unwrap_or_else(PoisonError::into_inner).under_way -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stores(journal: &Journal, began: u64, depends_on: &[Dependency]) -> bool {
        let mut stored = false;
        let said = journal.unless_changed(began, depends_on, || stored = true);
        assert_eq!(said, stored);
        stored
    }

    #[test]
    fn only_changes_since_the_beginning_count() {
        let journal = Journal::default();
        let [a, b] = ["a", "b"].map(|id| Dependency::new("item", id));
        let _ = journal.note(Some(&[a]));
        let began = journal.now();
        assert!(stores(&journal, began, &[a, b]));
        let _ = journal.note(Some(&[b]));
        assert!(stores(&journal, began, &[a]) && !stores(&journal, began, &[a, b]));
        assert!(stores(&journal, journal.now(), &[b]));
        let _ = journal.note(None);
        assert!(!stores(&journal, began, &[]) && stores(&journal, journal.now(), &[a]));
    }

    #[test]
    fn nothing_settles_while_a_change_is_under_way() {
        let journal = Journal::default();
        let settled = || {
            let mut stored = false;
            journal.when_settled(|| stored = true);
            stored
        };
        assert!(settled());
        let change = journal.note(None);
        assert!(!settled());
        drop(change);
        assert!(settled());
    }

    #[test]
    fn what_outlasts_the_memory_is_not_stored() {
        let journal = Journal::default();
        let other = Dependency::new("item", "other");
        let began = journal.now();
        (0..MOST).for_each(|_| drop(journal.note(Some(&[other]))));
        assert!(stores(&journal, began, &[]));
        let _ = journal.note(Some(&[other]));
        assert!(!stores(&journal, began, &[]));
    }
}
