//! The server as a client meets it: real sockets, port 0, data in, right answer out.

mod answers;
mod bundles;
mod cached;
mod callers;
mod client;
mod contract;
mod deadline;
mod external;
mod features;
mod grpc;
mod limits;
mod memory;
mod page;
mod pressed;
mod redis;
mod redis_faults;
mod replicas;
mod slow;
mod stop;
mod warm;
mod wire;
mod world;
mod writes;
