//! Foretaste lake.
