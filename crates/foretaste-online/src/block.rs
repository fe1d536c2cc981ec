//! What a read gives: one row of numbers for each item, and what is to be said of each set.

use foretaste_core::TimeMs;

/// The values of one read.
///
/// # Shapes
/// Row-major, a row for each item in the order of the request and a column for each of the plan;
/// without items a single row, in which only what is about the user has values. A missing value is
/// a NaN. A text is its code in the set's dictionary ([`crate::FeatureReader::text`]).
#[derive(Clone, Debug, Default)]
pub struct Block {
    pub(crate) width: usize,
    pub(crate) values: Vec<f32>,
    pub(crate) sets: Vec<SetRead>,
    /// Places of the items in all indexes, kept between reads for their memory.
    pub(crate) places: Vec<u32>,
}

/// What a read found in one set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetRead {
    /// The set's place among the reader's.
    pub table: usize,
    /// Rows that were looked for: one for the user, or one for each item.
    pub wanted: usize,
    /// Rows that there are.
    pub found: usize,
    /// How old the values are, in ms.
    pub age_ms: TimeMs,
    /// Whether they are older than they may be.
    pub is_stale: bool,
    /// Whether no value was given: they are stale and that is not wanted, or what the user did was
    /// erased after they were made.
    pub is_withheld: bool,
}

impl Block {
    /// Columns of a row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Number of rows.
    pub fn height(&self) -> usize {
        self.values.len().checked_div(self.width).unwrap_or(0)
    }

    /// All rows, one after the other.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// One row.
    ///
    /// # Panics
    /// When there is no such row.
    pub fn row(&self, at: usize) -> &[f32] {
        &self.values[at * self.width..][..self.width]
    }

    /// What was found in each set that the plan names.
    pub fn sets(&self) -> &[SetRead] {
        &self.sets
    }
}
