//! Foretaste store.
