//! The cache as callers meet it, on a clock that only moves when told to.

mod bounds;
mod changes;
mod flights;
mod lifetimes;
mod world;
