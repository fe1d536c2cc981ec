//! Working memory of one channel on one worker, reused between requests.

use foretaste_core::topk::TopK;

use super::accumulator::Accumulator;

/// Buffers that hold the prepared user and all intermediate values; nothing is allocated once they
/// have grown to the size of the catalogue.
#[derive(Debug, Default)]
pub struct ChannelScratch {
    /// Sparse scores by item.
    pub(crate) scores: Accumulator,
    /// Similarities by user.
    pub(crate) users: Accumulator,
    /// History items in the order in which they are looked at.
    pub(crate) order: Vec<(u32, f32)>,
    /// The best users with their votes.
    pub(crate) neighbours: Vec<(u32, f32)>,
    /// The user's vector.
    pub(crate) query: Vec<f32>,
    /// The user's vector in bytes.
    pub(crate) query_i8: Vec<i8>,
    /// Integer products of one block of rows.
    pub(crate) products: Vec<i32>,
    /// Selection of the best.
    pub(crate) top: TopK,
    /// The system of a fold-in, or its Cholesky factor.
    pub(crate) system: Vec<f32>,
    /// Vectors of the conjugate gradient and right-hand sides.
    pub(crate) vectors: [Vec<f32>; 4],
    /// Confidence of each history item.
    pub(crate) factors: Vec<f32>,
}
