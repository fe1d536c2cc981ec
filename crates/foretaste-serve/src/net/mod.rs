//! From a listening socket to requests: accepting, patience with clients, and the way out.
//!
//! hyper parses and writes HTTP; this module decides how long it may wait for whom. It knows
//! nothing about routes: it gets a service that answers requests.

pub(crate) mod accept;
pub(crate) mod activity;
pub(crate) mod connection;
mod framing;
mod io;
