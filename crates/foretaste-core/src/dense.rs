//! A dense row-major matrix of f32.

/// `n_rows` x `n_cols` values, row by row.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Matrix {
    /// Number of rows.
    pub n_rows: usize,
    /// Number of columns (the stride).
    pub n_cols: usize,
    /// Row-major values, `n_rows * n_cols` of them.
    pub data: Vec<f32>,
}

impl Matrix {
    /// All zeros.
    pub fn zeros(n_rows: usize, n_cols: usize) -> Self {
        Self { n_rows, n_cols, data: vec![0.0; n_rows * n_cols] }
    }

    /// Takes `data` as row-major values.
    ///
    /// # Panics
    /// When the length is not `n_rows * n_cols`.
    pub fn from_data(n_rows: usize, n_cols: usize, data: Vec<f32>) -> Self {
        assert_eq!(data.len(), n_rows * n_cols, "data must fill the matrix");
        Self { n_rows, n_cols, data }
    }

    /// Row `i`.
    #[inline]
    pub fn row(&self, i: usize) -> &[f32] {
        &self.data[i * self.n_cols..(i + 1) * self.n_cols]
    }

    /// Row `i`, mutable.
    #[inline]
    pub fn row_mut(&mut self, i: usize) -> &mut [f32] {
        &mut self.data[i * self.n_cols..(i + 1) * self.n_cols]
    }

    /// True when no value is NaN or infinite.
    pub fn is_finite(&self) -> bool {
        self.data.iter().all(|v| v.is_finite())
    }
}
