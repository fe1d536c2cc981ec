//! The generator against real sockets: a server of a few lines whose every answer is known.

mod closed;
mod faults;
mod limits;
mod open;
mod server;
