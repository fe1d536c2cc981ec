//! The tier that replicas share: Redis or Redis Cluster.
//!
//! It is never waited for longer than the budget of one operation, and while it cannot be reached
//! it is not asked at all: a keeper in the background looks for it, so no request pays for
//! finding out. What comes out of it is checked byte by byte; what is wrong counts as a miss.

pub(crate) mod bus;
pub(crate) mod changes;
pub(crate) mod config;
pub(crate) mod envelope;
pub(crate) mod link;
pub(crate) mod log;
pub(crate) mod tier;
