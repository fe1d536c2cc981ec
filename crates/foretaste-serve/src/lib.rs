//! Foretaste serve.
