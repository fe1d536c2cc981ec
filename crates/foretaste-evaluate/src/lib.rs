//! Offline evaluation of recommendations, learning of channel weights and search of
//! hyper-parameters.
//!
//! Held-out behaviour is replayed through the pipeline that serves; there is no second
//! implementation of ranking here. The crate reads no clock and no environment: budgets come in as
//! functions.

pub mod blend;
pub mod facts;
pub mod held_out;
pub mod measure;
pub mod quality;
pub mod report;
pub mod split;
pub mod tune;
