//! Foretaste ingest.
