//! Foretaste pipeline.
