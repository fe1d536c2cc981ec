//! Foretaste bundle.
