//! Finds requests whose length is said twice. hyper resolves `Content-Length` beside
//! `Transfer-Encoding` by dropping the former before anybody can see it; a proxy in front may
//! have resolved it the other way (request smuggling), so the head is read along here.

const LONGEST_NAME: usize = b"transfer-encoding:".len();

/// Reads the bytes of one HTTP/1 request head as they arrive.
#[derive(Debug, Default)]
pub(crate) struct HeadScanner {
    line: Vec<u8>,
    line_len: usize,
    has_length: bool,
    has_encoding: bool,
    done: bool,
}

impl HeadScanner {
    /// Forgets the request, keeping the allocation.
    pub(crate) fn reset(&mut self) {
        let line = std::mem::take(&mut self.line);
        *self = Self { line, ..Self::default() };
        self.line.clear();
    }

    /// Takes the next bytes; true once the head has ended and says its length twice.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> bool {
        for &byte in bytes {
            if self.done {
                break;
            }
            if byte == b'\n' { self.end_line() } else { self.push_byte(byte) }
        }
        self.done && self.has_length && self.has_encoding
    }

    fn push_byte(&mut self, byte: u8) {
        self.line_len += usize::from(byte != b'\r');
        if self.line.len() < LONGEST_NAME {
            self.line.push(byte.to_ascii_lowercase());
        }
    }

    fn end_line(&mut self) {
        self.has_length |= self.line.starts_with(b"content-length:");
        self.has_encoding |= self.line.starts_with(b"transfer-encoding:");
        self.done = self.line_len == 0;
        self.line.clear();
        self.line_len = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(head: &str, expected: bool) {
        for step in [1, 7, head.len()] {
            let mut scanner = HeadScanner::default();
            let found = head.as_bytes().chunks(step).fold(false, |_, part| scanner.push(part));
            assert_eq!(found, expected, "in steps of {step}: {head:?}");
        }
    }

    #[test]
    fn both_lengths_are_found_in_any_order_case_and_packet() {
        check("POST / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", true);
        check("POST / HTTP/1.1\r\ntransfer-encoding:chunked\r\nCONTENT-LENGTH:3\r\n\r\n", true);
        check(
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nX: content-length: 3\r\n\r\n",
            false,
        );
        check("POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\ntransfer-encoding: chunked\r\n", false);
        check("POST / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n", false);
    }

    #[test]
    fn a_reset_scanner_knows_nothing() {
        let mut scanner = HeadScanner::default();
        scanner.push(b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\n");
        scanner.reset();
        assert!(!scanner.push(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"));
    }
}
