//! The cache as callers meet it: in process on a clock that only moves when told to, and with
//! others around a real Redis.

mod bounds;
mod changes;
mod cluster;
mod faults;
mod flights;
mod hit_rate;
mod lifetimes;
mod log;
mod redis_server;
mod replica;
mod replicas;
mod world;
