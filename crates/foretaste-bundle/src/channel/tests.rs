//! Channels against naive references.
