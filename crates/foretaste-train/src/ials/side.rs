//! One half-iteration: every row of one side, the other side fixed.

use foretaste_bundle::kernels::simd::vectorised;
use foretaste_core::{Csr, Matrix};
use rayon::prelude::{IndexedParallelIterator, ParallelIterator, ParallelSliceMut};

use super::Solver;
use super::block::BlockSolve;
use super::gradient::{CgTile, TILE, Work};
use crate::dense;

/// Rows per task; a multiple of the tile.
const ROWS_PER_TASK: usize = 4 * TILE;

/// The systems of one side.
pub(super) struct Side<'a> {
    /// Weights: rows of this side x rows of the other.
    pub x: &'a Csr,
    /// The other side's vectors, padded.
    pub other: &'a Matrix,
    /// Regularisation of each row.
    pub reg: &'a [f32],
}

impl Side<'_> {
    /// Replaces `rows` by the solutions, starting from what it holds.
    pub(super) fn solve(&self, solver: Solver, rows: &mut Matrix) {
        let stride = rows.n_cols;
        let gram = dense::gram(self.other);
        rows.data.par_chunks_mut((ROWS_PER_TASK * stride).max(1)).enumerate().for_each_init(
            || Work::new(stride),
            |work, (task, chunk)| {
                let first = task * ROWS_PER_TASK;
                match solver {
                    Solver::Cg { steps } => self.gradient(first, (chunk, steps), &gram, work),
                    Solver::Block { size } => self.blocks(first, (chunk, size), &gram, work),
                    Solver::Cholesky => self.blocks(first, (chunk, stride), &gram, work),
                }
            },
        );
    }

    fn gradient(
        &self,
        first: usize,
        (chunk, steps): (&mut [f32], usize),
        gram: &Matrix,
        work: &mut Work,
    ) {
        let stride = gram.n_cols;
        for (t, u) in chunk.chunks_mut(TILE * stride).enumerate() {
            vectorised(CgTile { side: self, gram, first: first + t * TILE, steps, u, work });
        }
    }

    fn blocks(
        &self,
        first: usize,
        (chunk, size): (&mut [f32], usize),
        gram: &Matrix,
        work: &mut Work,
    ) {
        for (r, u) in chunk.chunks_mut(gram.n_cols).enumerate() {
            vectorised(BlockSolve { side: self, gram, row: first + r, size, u, work });
        }
    }

    /// The vector of entry `e`'s other end.
    #[inline(always)]
    pub(super) fn vector(&self, index: u32) -> &[f32] {
        self.other.row(index as usize)
    }
}
