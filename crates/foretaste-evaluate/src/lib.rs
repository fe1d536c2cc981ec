//! Offline evaluation of recommendations, learning of channel weights and search of
//! hyper-parameters.
//!
//! Held-out behaviour is replayed through the pipeline that serves; there is no second
//! implementation of ranking here. The crate reads no clock and no environment: budgets come in as
//! functions.

pub mod assemble;
pub mod blend;
pub mod contents;
pub mod facts;
pub mod held_out;
pub mod job;
pub mod learn;
pub mod measure;
pub mod quality;
pub mod recommend;
pub mod replay;
pub mod report;
pub mod settings;
pub mod split;
pub mod tune;
