//! Searches of many users at once, with the very answers of one search each: the products of bytes
//! are the same integers, and what follows them is the same code.

use foretaste_core::topk::TopK;
use foretaste_core::{BitSet, ItemIdx};

use super::vectors::{VectorIndex, by_bytes, quantise};
use crate::kernels::pack::{PackedRows, QUERIES, Wanted};
use crate::kernels::select::BLOCK;

/// A channel of vectors with its bytes packed for many queries.
#[derive(Debug)]
pub struct PackedChannel<'a> {
    vectors: &'a VectorIndex,
    rows: &'a PackedRows,
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
                let query = |q: usize| {
                    let (u, sum) = four[q.min(four.len() - 1)];
                    let user = &users[u];
                    Wanted { bytes: &user.bytes, sum, at_least: at_least(&user.top) }
                };
                let queries = std::array::from_fn(query);
                let words = self.rows.products(block, queries, &mut products);
                for (&(u, _), (products, word)) in four.iter().zip(products.iter().zip(words)) {
                    let mut rest = word & allowed[u].words()[block];
                    while rest != 0 {
                        let bit = rest.trailing_zeros() as usize;
                        rest &= rest - 1;
                        users[u].top.push((block * BLOCK + bit) as u32, products[bit] as f32);
                    }
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

/// Products below this cannot enter `top`, however they are rounded.
fn at_least(top: &TopK) -> i32 {
    let threshold = top.threshold();
    (threshold - threshold.abs() * f32::EPSILON).floor() as i32
}
