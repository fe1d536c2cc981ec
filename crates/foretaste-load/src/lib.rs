//! The load generator: sends requests of a scenario to a server that speaks the HTTP contract and
//! says how long a user would have waited.
//!
//! It knows paths and JSON of `/v1`, and nothing of the engine behind them. Schedules, request
//! bytes, statistics, verdicts and the search for the highest rate are plain functions; sockets,
//! clocks and threads stand in `engine` and `run` only. It does not print: whoever runs it may
//! watch.

pub mod compare;
pub mod engine;
pub mod find_max;
pub mod ids;
pub mod pacing;
pub mod record;
pub mod report;
pub mod requests;
pub mod response;
pub mod result;
pub mod run;
pub mod scenario;
pub mod schedule;
pub mod search;
pub mod stability;
pub mod statistics;
pub mod stress;
pub mod target;
pub mod validity;
pub mod zipf;
