//! Foretaste train.
