//! When things changed last, as far as replicas have told each other. An entry of the shared tier
//! that is older than a change of something it depends on is a miss.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::key::Dependency;

/// Changes remembered; beyond them everything before the last one counts as changed.
const MOST: usize = 100_000;
/// Clocks of replicas may differ by this much: entries that were made so shortly after a change
/// count as made before it.
const SKEW_MS: i64 = 2_000;

#[derive(Debug, Default)]
struct State {
    at_unix_ms: HashMap<Dependency, i64>,
    /// Everything made before this counts as changed.
    floor_unix_ms: Option<i64>,
}

/// The last change of each thing that changed.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    state: Mutex<State>,
}

impl Changes {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn note(&self, changed: &[Dependency], at_unix_ms: i64) {
        let mut state = self.lock();
        if state.at_unix_ms.len() + changed.len() > MOST {
            state.at_unix_ms = HashMap::new();
            state.floor_unix_ms = state.floor_unix_ms.max(Some(at_unix_ms));
            return;
        }
        for thing in changed {
            let at = state.at_unix_ms.entry(*thing).or_insert(at_unix_ms);
            *at = (*at).max(at_unix_ms);
        }
    }

    /// Forgets changes so old that no entry from before them is kept.
    pub(crate) fn forget_before(&self, unix_ms: i64) {
        self.lock().at_unix_ms.retain(|_, at| *at >= unix_ms);
    }

    /// Whether something that an entry depends on changed after the entry was made.
    pub(crate) fn outdate(&self, depends_on: &[Dependency], created_unix_ms: i64) -> bool {
        let state = self.lock();
        let is_before = |at: i64| created_unix_ms <= at.saturating_add(SKEW_MS);
        state.floor_unix_ms.is_some_and(is_before)
            || depends_on.iter().any(|d| state.at_unix_ms.get(d).copied().is_some_and(is_before))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_older_than_a_change_is_outdated() {
        let changes = Changes::default();
        let [a, b] = ["a", "b"].map(|id| Dependency::new("item", id));
        changes.note(&[a], 10_000);
        changes.note(&[a], 5_000);
        assert!(changes.outdate(&[b, a], 12_000));
        assert!(!changes.outdate(&[b, a], 12_001) && !changes.outdate(&[b], 0));
        changes.forget_before(10_001);
        assert!(!changes.outdate(&[a], 0));
    }

    #[test]
    fn too_many_changes_count_as_a_change_of_everything() {
        let changes = Changes::default();
        let many: Vec<_> = (0..MOST).map(|i| Dependency(i as u64)).collect();
        changes.note(&many, 10_000);
        changes.note(&[Dependency(u64::MAX)], 20_000);
        let unrelated = [Dependency(u64::MAX - 1)];
        assert!(changes.outdate(&unrelated, 22_000) && !changes.outdate(&unrelated, 22_001));
    }
}
