//! Compressed sparse rows: the form of every interaction and similarity matrix.

use crate::{Error, Result};

/// An owned CSR matrix. Column indices are ascending and unique within a row, unless a function
/// that returns one says otherwise (similarity rows are ordered by descending value).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Csr {
    /// Number of columns.
    pub n_cols: usize,
    /// `n_rows + 1` offsets into `indices` and `values`.
    pub indptr: Vec<u64>,
    /// Column index of each entry.
    pub indices: Vec<u32>,
    /// Value of each entry.
    pub values: Vec<f32>,
}

/// A borrowed CSR matrix, so that the same code runs on owned and on memory-mapped data.
#[derive(Clone, Copy, Debug)]
pub struct CsrView<'a> {
    /// Number of columns.
    pub n_cols: usize,
    /// `n_rows + 1` offsets.
    pub indptr: &'a [u64],
    /// Column index of each entry.
    pub indices: &'a [u32],
    /// Value of each entry.
    pub values: &'a [f32],
}

impl<'a> CsrView<'a> {
    /// Number of rows.
    pub fn n_rows(&self) -> usize {
        self.indptr.len().saturating_sub(1)
    }

    /// Number of stored entries.
    pub fn nnz(&self) -> usize {
        self.indices.len()
    }

    /// Columns and values of row `i`.
    #[inline]
    pub fn row(&self, i: usize) -> (&'a [u32], &'a [f32]) {
        let range = self.indptr[i] as usize..self.indptr[i + 1] as usize;
        (&self.indices[range.clone()], &self.values[range])
    }

    /// Checks offsets, lengths, index ranges and finiteness.
    ///
    /// # Errors
    /// `Corrupt`, naming the first thing that is wrong.
    pub fn check(&self, name: &str) -> Result<()> {
        let bad = |what: &str| Err(Error::corrupt(format!("{name}: {what}")));
        if self.indptr.first() != Some(&0) || self.indptr.windows(2).any(|w| w[0] > w[1]) {
            return bad("row offsets do not ascend from 0");
        }
        let nnz = self.indptr[self.indptr.len() - 1];
        if nnz != self.indices.len() as u64 || self.indices.len() != self.values.len() {
            return bad("offsets, indices and values disagree on the number of entries");
        }
        if self.indices.iter().any(|&c| c as usize >= self.n_cols) {
            return bad("a column index is out of range");
        }
        if self.values.iter().any(|v| !v.is_finite()) {
            return bad("a value is not finite");
        }
        Ok(())
    }
}

impl Csr {
    /// The empty matrix of `n_rows` x `n_cols`.
    pub fn empty(n_rows: usize, n_cols: usize) -> Self {
        Self { n_cols, indptr: vec![0; n_rows + 1], ..Self::default() }
    }

    /// A borrowed view.
    pub fn view(&self) -> CsrView<'_> {
        CsrView {
            n_cols: self.n_cols,
            indptr: &self.indptr,
            indices: &self.indices,
            values: &self.values,
        }
    }

    /// Number of rows.
    pub fn n_rows(&self) -> usize {
        self.indptr.len().saturating_sub(1)
    }

    /// Number of stored entries.
    pub fn nnz(&self) -> usize {
        self.indices.len()
    }

    /// Columns and values of row `i`.
    #[inline]
    pub fn row(&self, i: usize) -> (&[u32], &[f32]) {
        let range = self.indptr[i] as usize..self.indptr[i + 1] as usize;
        (&self.indices[range.clone()], &self.values[range])
    }

    /// Builds from rows of (column, value); duplicates within a row are summed, columns sorted.
    pub fn from_rows(n_cols: usize, rows: impl IntoIterator<Item = Vec<(u32, f32)>>) -> Self {
        let mut csr = Self { n_cols, indptr: vec![0], ..Self::default() };
        for mut row in rows {
            row.sort_by_key(|&(c, _)| c);
            csr.push_row_merged(&row);
        }
        csr
    }

    fn push_row_merged(&mut self, sorted: &[(u32, f32)]) {
        let start = self.indices.len();
        for &(c, v) in sorted {
            if self.indices.len() > start && self.indices.last() == Some(&c) {
                *self.values.last_mut().expect("same length as indices") += v;
            } else {
                self.indices.push(c);
                self.values.push(v);
            }
        }
        self.indptr.push(self.indices.len() as u64);
    }

    /// Appends a row as given (no sorting, no merging).
    pub fn push_row(&mut self, row: impl IntoIterator<Item = (u32, f32)>) {
        if self.indptr.is_empty() {
            self.indptr.push(0);
        }
        for (c, v) in row {
            self.indices.push(c);
            self.values.push(v);
        }
        self.indptr.push(self.indices.len() as u64);
    }

    /// The transpose; columns of each of its rows ascend.
    ///
    /// # Cost
    /// O(nnz + rows + columns) by counting sort.
    pub fn transpose(&self) -> Self {
        let mut indptr = vec![0u64; self.n_cols + 1];
        for &c in &self.indices {
            indptr[c as usize + 1] += 1;
        }
        for c in 0..self.n_cols {
            indptr[c + 1] += indptr[c];
        }
        let mut next = indptr.clone();
        let mut indices = vec![0u32; self.nnz()];
        let mut values = vec![0f32; self.nnz()];
        for r in 0..self.n_rows() {
            let (cols, vals) = self.row(r);
            for (&c, &v) in cols.iter().zip(vals) {
                let at = next[c as usize] as usize;
                next[c as usize] += 1;
                indices[at] = r as u32;
                values[at] = v;
            }
        }
        Self { n_cols: self.n_rows(), indptr, indices, values }
    }

    /// Number of entries of each row.
    pub fn row_counts(&self) -> Vec<u32> {
        self.indptr.windows(2).map(|w| (w[1] - w[0]) as u32).collect()
    }

    /// Number of entries of each column.
    pub fn col_counts(&self) -> Vec<u32> {
        let mut counts = vec![0u32; self.n_cols];
        self.indices.iter().for_each(|&c| counts[c as usize] += 1);
        counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_sorted_and_duplicates_summed() {
        let m = Csr::from_rows(4, [vec![(2, 1.0), (0, 2.0), (2, 0.5)], vec![]]);
        assert_eq!(m.row(0), (&[0u32, 2][..], &[2.0f32, 1.5][..]));
        assert_eq!(m.row(1), (&[][..], &[][..]));
        m.view().check("m").unwrap();
    }

    #[test]
    fn transposing_twice_gives_the_same_matrix() {
        let m = Csr::from_rows(5, [vec![(4, 1.0), (1, 2.0)], vec![(0, 3.0)], vec![(1, 4.0)]]);
        let t = m.transpose();
        assert_eq!(t.row(1), (&[0u32, 2][..], &[2.0f32, 4.0][..]));
        assert_eq!(t.transpose(), m);
        assert_eq!(m.col_counts(), t.row_counts());
    }

    #[test]
    fn check_finds_each_kind_of_damage() {
        let good = Csr::from_rows(3, [vec![(0, 1.0)], vec![(2, 1.0)]]);
        let damage: [fn(&mut Csr); 4] = [
            |m| m.indptr[1] = 9,
            |m| m.indices[0] = 3,
            |m| m.values[1] = f32::NAN,
            |m| m.values.truncate(1),
        ];
        for spoil in damage {
            let mut bad = good.clone();
            spoil(&mut bad);
            assert!(bad.view().check("bad").is_err());
        }
    }
}
