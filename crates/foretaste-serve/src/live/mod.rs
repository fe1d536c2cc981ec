//! What has happened since the bundle was built: recent events per user, trends, hides, erasures.
//! Rebuilt from the store at start; the store is the truth, this is only near.

pub(crate) mod erased;
pub(crate) mod feed;
pub(crate) mod rebuild;
pub(crate) mod recent;
pub(crate) mod trends;
