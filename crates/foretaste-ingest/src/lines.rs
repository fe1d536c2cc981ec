//! Lines of bounded length, whatever the file contains.

use std::io::Read;

use foretaste_core::{Error, ErrorKind, Result};

const BUFFER_BYTES: usize = 1 << 18;

/// Reads lines one by one; `\n` and `\r\n` end a line.
pub struct Lines {
    input: Box<dyn Read + Send>,
    name: String,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    max_bytes: usize,
    number: u64,
}

/// One line.
#[derive(Debug)]
pub struct Line<'a> {
    /// 1-based number.
    pub number: u64,
    /// Its bytes without the line end; of a huge line the first ones.
    pub bytes: &'a [u8],
    /// The line exceeds the limit and its end is missing from `bytes`.
    pub huge: bool,
}

impl Lines {
    /// Lines of `input`, which errors call `name`.
    pub fn new(input: Box<dyn Read + Send>, name: &str, max_bytes: usize) -> Self {
        let buffer = vec![0; BUFFER_BYTES];
        Self { input, name: name.to_owned(), buffer, start: 0, end: 0, max_bytes, number: 0 }
    }

    /// The next line.
    ///
    /// # Errors
    /// `Io` or `Corrupt` (broken compression), naming the file and line.
    pub fn next(&mut self) -> Result<Option<Line<'_>>> {
        let mut searched = self.start;
        loop {
            if let Some(at) = memchr::memchr(b'\n', &self.buffer[searched..self.end]) {
                let line = self.start..searched + at;
                self.start = line.end + 1;
                let huge = line.len() > self.max_bytes;
                let end = if huge { line.start + self.kept_bytes() } else { line.end };
                return Ok(Some(self.line(line.start..end, huge)));
            }
            if self.end - self.start > self.max_bytes {
                return self.skip_huge().map(Some);
            }
            searched = self.fill()?;
            if searched == self.end {
                let line = self.start..self.end;
                self.start = self.end;
                return Ok((!line.is_empty()).then(|| self.line(line, false)));
            }
        }
    }

    fn line(&mut self, range: std::ops::Range<usize>, huge: bool) -> Line<'_> {
        self.number += 1;
        let bytes = &self.buffer[range];
        let mut bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes);
        if self.number == 1 {
            bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        }
        Line { number: self.number, bytes, huge }
    }

    /// Reads more and returns where the new bytes begin; at the end of the file there are none.
    fn fill(&mut self) -> Result<usize> {
        self.buffer.copy_within(self.start..self.end, 0);
        (self.start, self.end) = (0, self.end - self.start);
        if self.end == self.buffer.len() {
            self.buffer.resize(2 * self.buffer.len(), 0);
        }
        let before = self.end;
        self.end += self.read_at(before)?;
        Ok(before)
    }

    fn read_at(&mut self, at: usize) -> Result<usize> {
        loop {
            match self.input.read(&mut self.buffer[at..]) {
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(e) => return Err(self.failed(e)),
                Ok(n) => return Ok(n),
            }
        }
    }

    fn failed(&self, error: std::io::Error) -> Error {
        let kind = match error.kind() {
            std::io::ErrorKind::InvalidInput
            | std::io::ErrorKind::InvalidData
            | std::io::ErrorKind::UnexpectedEof => ErrorKind::Corrupt,
            _ => ErrorKind::Io,
        };
        let text = format!("{} cannot be read after line {}", self.name, self.number);
        Error::new(kind, text).with_source(error)
    }

    fn kept_bytes(&self) -> usize {
        self.max_bytes.min(4_096)
    }

    /// Keeps the beginning of a line that is too long and goes on behind its end.
    fn skip_huge(&mut self) -> Result<Line<'_>> {
        let kept = self.kept_bytes();
        self.buffer.copy_within(self.start..self.start + kept, 0);
        loop {
            let n = self.read_at(kept)?;
            let found = memchr::memchr(b'\n', &self.buffer[kept..kept + n]);
            if n == 0 || found.is_some() {
                self.start = kept + found.map_or(n, |at| at + 1);
                self.end = kept + n;
                return Ok(self.line(0..kept, true));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &[u8], max: usize) -> Vec<(u64, Vec<u8>, bool)> {
        let mut lines = Lines::new(Box::new(std::io::Cursor::new(text.to_vec())), "x", max);
        let mut out = Vec::new();
        while let Some(line) = lines.next().unwrap() {
            out.push((line.number, line.bytes.to_vec(), line.huge));
        }
        out
    }

    #[test]
    fn line_ends_of_every_kind() {
        let expected = [b"a".to_vec(), b"".to_vec(), b"b".to_vec(), b"c".to_vec()];
        let lines = all(b"\xef\xbb\xbfa\r\n\nb\nc", 100);
        assert_eq!(lines.iter().map(|l| l.1.clone()).collect::<Vec<_>>(), expected);
        assert!(all(b"", 100).is_empty() && all(b"a\n", 100).len() == 1);
    }

    #[test]
    fn a_huge_line_is_cut_and_the_next_is_whole() {
        let mut text = vec![b'x'; 3 << 20];
        text.extend_from_slice(b"\nnext\n");
        let lines = all(&text, 1 << 20);
        assert_eq!((lines[0].2, lines[0].1.len()), (true, 4_096));
        assert_eq!(lines[1], (2, b"next".to_vec(), false));
        assert_eq!(lines.len(), 2);
    }

    #[test]
    fn lines_longer_than_the_buffer_are_whole_below_the_limit() {
        let mut text = vec![b'y'; BUFFER_BYTES + 10];
        text.extend_from_slice(b"\nz");
        let lines = all(&text, 1 << 20);
        assert_eq!((lines[0].1.len(), lines[0].2, lines.len()), (BUFFER_BYTES + 10, false, 2));
    }
}
