//! Rows as they were read, all cells in one buffer.

use std::ops::Range;

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
    /// All cells of the page, where they are UTF-8: a look at each of them alone takes longer.
    all: Option<&'p str>,
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
    pub fn rows(&self) -> impl ExactSizeIterator<Item = Row<'_>> + Clone {
        let all = std::str::from_utf8(&self.bytes).ok();
        (0..self.len()).map(move |at| Row { page: self, first: at * self.columns, all })
    }

    /// Its last row.
    pub fn last(&self) -> Option<Row<'_>> {
        let first = self.len().checked_sub(1)? * self.columns;
        Some(Row { page: self, first, all: None })
    }
}

impl<'p> Row<'p> {
    /// The bytes of a cell; `None` is NULL.
    pub fn cell(self, at: usize) -> Option<&'p [u8]> {
        self.range(at).map(|range| &self.page.bytes[range])
    }

    /// The cells from `first` on.
    pub fn cells(self, first: usize) -> impl Iterator<Item = Option<&'p [u8]>> {
        (first..self.page.columns).map(move |at| self.cell(at))
    }

    /// The text of a cell; `None` when it is not UTF-8. Empty for NULL.
    pub fn utf8(self, at: usize) -> Option<&'p str> {
        let Some(range) = self.range(at) else { return Some("") };
        // A cell that begins or ends within a letter is no text, though all cells together are.
        let whole = self.all.and_then(|all| all.get(range.clone()));
        whole.or_else(|| std::str::from_utf8(&self.page.bytes[range]).ok())
    }

    /// The text of a cell that we have asked for ourselves; empty for NULL.
    ///
    /// # Errors
    /// `Invalid` when it is not UTF-8.
    pub fn text(self, at: usize) -> Result<&'p str> {
        self.utf8(at).ok_or_else(|| Error::invalid("an id or watermark column is not UTF-8"))
    }

    /// Where a cell is among the bytes.
    fn range(self, at: usize) -> Option<Range<usize>> {
        let ends = &self.page.ends;
        let (place, end) = (self.first + at, ends[self.first + at]);
        let from = place.checked_sub(1).map_or(0, |before| ends[before] & !IS_NULL);
        (end & IS_NULL == 0).then_some(from as usize..end as usize)
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
        assert_eq!(page.last().unwrap().text(1).unwrap(), "bcd");
        assert!(page.is_full(2) && !page.is_full(3));
        check_texts(&[b"ab", "\u{e9}".as_bytes()], &[Some("ab"), Some("\u{e9}")]);
        // Two halves of a letter.
        check_texts(&[b"a\xc3", b"\xa9b"], &[None, None]);
        check_texts(&[b"ab", b"\xff"], &[Some("ab"), None]);
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

    #[track_caller]
    fn check_texts(cells: &[&[u8]], expected: &[Option<&str>]) {
        let mut page = Page::new(cells.len());
        for cell in cells {
            let write = |out: &mut Vec<u8>| {
                out.extend_from_slice(cell);
                Ok::<_, Error>(true)
            };
            page.push(write).unwrap();
        }
        for row in page.rows().chain(page.last()) {
            let texts: Vec<_> = (0..cells.len()).map(|at| row.utf8(at)).collect();
            assert_eq!(texts, expected);
        }
    }
}
