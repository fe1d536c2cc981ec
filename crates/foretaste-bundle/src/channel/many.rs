//! Searches of many users at once, with the very answers of one search each: the products of bytes
//! are the same integers, and what follows them is the same code.

use foretaste_core::topk::TopK;
use foretaste_core::{BitSet, ItemIdx};

use super::vectors::{VectorIndex, by_bytes, quantise};
use crate::kernels::pack::{PackedRows, QUERIES};
use crate::kernels::select::{BLOCK, offer_block};

/// A channel of vectors with its bytes packed for many queries.
#[derive(Debug)]
pub struct PackedChannel<'a> {
    vectors: &'a VectorIndex,
    rows: PackedRows,
}

/// One user of a search of many.
#[derive(Debug, Default)]
pub struct Asking {
    /// The user's vector, as `prepare` leaves it in a scratch.
    pub vector: Vec<f32>,
    /// Items wanted.
    pub wanted: usize,
    /// The best items by exact score, best first: the output.
    pub found: Vec<(ItemIdx, f32)>,
    bytes: Vec<i8>,
    top: TopK,
}

/// Memory that searches reuse.
#[derive(Debug, Default)]
pub struct ManyScratch {
    picks: Vec<u32>,
    exact: Vec<f32>,
}

impl<'a> PackedChannel<'a> {
    pub(crate) fn new(vectors: &'a VectorIndex) -> Self {
        Self { vectors, rows: vectors.packed() }
    }

    /// Answers every user with the best items of the user's mask, as
    /// [`super::LoadedChannel::search`] does for one.
    ///
    /// # Shapes
    /// `allowed` has one mask per user.
    ///
    /// # Cost
    /// One pass over the bytes for all users, 64 x dims multiply-adds per user and 64 items; then
    /// per user what a search does after its scan.
    pub fn search(&self, users: &mut [Asking], allowed: &[BitSet], scratch: &mut ManyScratch) {
        assert_eq!(users.len(), allowed.len(), "one mask per user");
        let mut active: Vec<(usize, i32)> = Vec::with_capacity(users.len());
        for (u, user) in users.iter_mut().enumerate() {
            user.found.clear();
            user.top.reset(by_bytes(user.wanted));
            if user.wanted > 0 && quantise(&user.vector, &mut user.bytes) {
                active.push((u, user.bytes.iter().map(|&b| i32::from(b)).sum()));
            }
        }
        let mut products = [[0; BLOCK]; QUERIES];
        for block in 0..self.rows.n_blocks() {
            for four in active.chunks(QUERIES) {
                let of = |q: usize| four[q.min(four.len() - 1)];
                let query = |q: usize| (&users[of(q).0].bytes[..], of(q).1);
                self.rows.products(block, std::array::from_fn(query), &mut products);
                for (&(u, _), products) in four.iter().zip(&products) {
                    let word = allowed[u].words()[block];
                    offer_block(products, word, (block * BLOCK) as u32, &mut users[u].top);
                }
            }
        }
        for &(u, _) in &active {
            let Asking { vector, wanted, found, top, .. } = &mut users[u];
            let buffers = (top, &mut scratch.picks, &mut scratch.exact);
            self.vectors.rescore(*wanted, vector, buffers, found);
        }
    }
}
