//! Users whose events were erased while a bundle still holds them. Kept in the store's control
//! state, so that an erasure holds across restarts until a bundle is built without the events.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use foretaste_core::{Error, Result, TimeMs};
use foretaste_store::Store;

const KEY: &str = "erased_users";
/// Erasures kept; the oldest are dropped, long after a bundle without them was built.
const MOST: usize = 10_000;

/// When each user was last erased.
#[derive(Debug, Default)]
pub(crate) struct Erased {
    at_ms: ArcSwap<HashMap<String, TimeMs>>,
    /// Held while the next map is written; readers never wait for it.
    turn: Mutex<()>,
}

impl Erased {
    /// The erasures that the store remembers.
    ///
    /// # Errors
    /// The store's; `Corrupt` when the remembered state is not readable.
    pub(crate) fn open(store: &dyn Store) -> Result<Self> {
        let at_ms = match store.control(KEY)? {
            None => HashMap::new(),
            Some(text) => serde_json::from_str(&text).map_err(|e| {
                Error::corrupt(format!("control state {KEY:?} is not readable")).with_source(e)
            })?,
        };
        Ok(Self { at_ms: ArcSwap::from_pointee(at_ms), turn: Mutex::default() })
    }

    /// Remembers that `user` was erased at `now_ms`.
    ///
    /// # Errors
    /// The store's; then nothing is remembered.
    pub(crate) fn add(&self, store: &dyn Store, user: &str, now_ms: TimeMs) -> Result<()> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let mut next = HashMap::clone(&self.at_ms.load());
        next.insert(user.to_owned(), now_ms);
        while next.len() > MOST {
            let oldest = next.iter().min_by_key(|(_, at)| **at).map(|(user, _)| user.clone());
            next.remove(&oldest.unwrap_or_default());
        }
        let text = serde_json::to_string(&next)
            .map_err(|e| Error::internal("erased users as JSON").with_source(e))?;
        store.set_control(KEY, Some(&text))?;
        self.at_ms.store(Arc::new(next));
        Ok(())
    }

    /// When `user` was last erased.
    pub(crate) fn at_ms(&self, user: &str) -> Option<TimeMs> {
        self.at_ms.load().get(user).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use foretaste_store::MemoryStore;

    #[test]
    fn an_erasure_survives_a_restart() {
        let store = MemoryStore::new();
        Erased::open(&store).expect("empty").add(&store, "u", 5).expect("stored");
        let again = Erased::open(&store).expect("stored");
        assert_eq!((again.at_ms("u"), again.at_ms("v")), (Some(5), None));
    }
}
