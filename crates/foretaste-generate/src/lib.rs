//! Foretaste generate.
