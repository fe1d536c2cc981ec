//! Rows as they were read, all cells in one buffer.

use foretaste_core::{Error, Result};

/// In the end of a cell: there was NULL.
const IS_NULL: u32 = 1 << 31;
/// A page ends at so many bytes, however few its rows are.
const PAGE_BYTES: usize = 16 << 20;

/// Some rows of a table.
#[derive(Clone, Debug, Default)]
pub struct Page {
    bytes: Vec<u8>,
    ends: Vec<u32>,
    columns: usize,
}

/// A row of a page.
#[derive(Clone, Copy, Debug)]
pub struct Row<'p> {
    page: &'p Page,
    first: usize,
}

impl Page {
    /// An empty page of so many columns.
    pub fn new(columns: usize) -> Self {
        Self { columns, ..Self::default() }
    }

    /// An empty page with the columns of this one, and room for as much.
    pub fn next(&self) -> Self {
        Self {
            bytes: Vec::with_capacity(self.bytes.len() + self.bytes.len() / 16),
            ends: Vec::with_capacity(self.ends.len()),
            columns: self.columns,
        }
    }

    /// Empty again, with the room that it has.
    pub fn emptied(mut self) -> Self {
        self.bytes.clear();
        self.ends.clear();
        self
    }

    /// Appends a cell, which `write` puts at the end of the buffer; false makes it NULL.
    pub fn push<E>(
        &mut self,
        write: impl FnOnce(&mut Vec<u8>) -> Result<bool, E>,
    ) -> Result<(), E> {
        let is_there = write(&mut self.bytes)?;
        let end = self.bytes.len() as u32;
        self.ends.push(if is_there { end } else { end | IS_NULL });
        Ok(())
    }

    /// Appends the same cell as an earlier one of the row in hand.
    pub fn push_again(&mut self, cell: usize) {
        let place = self.len() * self.columns + cell;
        let end = self.ends[place];
        if end & IS_NULL == 0 {
            let from = place.checked_sub(1).map_or(0, |before| self.ends[before] & !IS_NULL);
            self.bytes.extend_from_within(from as usize..end as usize);
        }
        self.ends.push(self.bytes.len() as u32 | end & IS_NULL);
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.ends.len() / self.columns.max(1)
    }

    /// Whether another row should go into the next page.
    pub fn is_full(&self, rows: usize) -> bool {
        self.len() >= rows || self.bytes.len() >= PAGE_BYTES
    }

    /// Bytes of its cells.
    pub fn size_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Its rows in order.
    pub fn rows(&self) -> impl DoubleEndedIterator<Item = Row<'_>> + ExactSizeIterator {
        (0..self.len()).map(|at| Row { page: self, first: at * self.columns })
    }
}

impl<'p> Row<'p> {
    /// The bytes of a cell; `None` is NULL.
    pub fn cell(self, at: usize) -> Option<&'p [u8]> {
        let ends = &self.page.ends;
        let (place, end) = (self.first + at, ends[self.first + at]);
        let from = place.checked_sub(1).map_or(0, |before| ends[before] & !IS_NULL);
        (end & IS_NULL == 0).then(|| &self.page.bytes[from as usize..end as usize])
    }

    /// The cells from `first` on.
    pub fn cells(self, first: usize) -> impl Iterator<Item = Option<&'p [u8]>> {
        (first..self.page.columns).map(move |at| self.cell(at))
    }

    /// The text of a cell that we have asked for ourselves; empty for NULL.
    ///
    /// # Errors
    /// `Invalid` when it is not UTF-8.
    pub fn text(self, at: usize) -> Result<&'p str> {
        let text = std::str::from_utf8(self.cell(at).unwrap_or_default());
        text.map_err(|_| Error::invalid("an id or watermark column is not UTF-8"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_what_was_pushed() {
        let mut page = Page::new(2);
        for cell in [Some("a"), None, Some(""), Some("bcd")] {
            let write = |out: &mut Vec<u8>| {
                out.extend_from_slice(cell.unwrap_or_default().as_bytes());
                Ok::<_, Error>(cell.is_some())
            };
            page.push(write).unwrap();
        }
        assert_eq!((page.len(), page.size_bytes()), (2, 4));
        let rows: Vec<Vec<_>> = page.rows().map(|row| row.cells(0).collect()).collect();
        assert_eq!(rows[0], [Some(&b"a"[..]), None]);
        assert_eq!(rows[1], [Some(&b""[..]), Some(&b"bcd"[..])]);
        assert_eq!(page.rows().next_back().unwrap().text(1).unwrap(), "bcd");
        assert!(page.is_full(2) && !page.is_full(3));
        let mut again = Page::new(3);
        for cell in [None, Some("ab")] {
            let write = |out: &mut Vec<u8>| {
                out.extend_from_slice(cell.unwrap_or_default().as_bytes());
                Ok::<_, Error>(cell.is_some())
            };
            again.push(|out| write(out).map(|_| true)).unwrap();
            again.push(write).unwrap();
            again.push_again(1);
        }
        let rows: Vec<Vec<_>> = again.rows().map(|row| row.cells(0).collect()).collect();
        assert_eq!(rows[0], [Some(&b""[..]), None, None]);
        assert_eq!(rows[1], [Some(&b"ab"[..]); 3]);
    }
}
