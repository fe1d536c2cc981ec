//! Foretaste evaluate.
