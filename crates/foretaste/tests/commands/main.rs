//! The program as its users run it: real processes, real files, real sockets.

mod contract;
mod mistakes;
mod program;
mod serving;
