//! Where requests of an HTTP/1 connection begin and end, read along as the bytes arrive. Two things
//! want to know: a head that says its length twice (hyper resolves `Content-Length` beside
//! `Transfer-Encoding` by dropping the former before anybody can see it; a proxy in front may have
//! resolved it the other way: request smuggling), and whoever answers without hyper.

/// Of a line so much is looked at: a length, its name and some spaces.
const MOST_LINE: usize = 64;

/// Follows the bytes of one connection.
#[derive(Debug, Default)]
pub(crate) struct Framing {
    /// The beginning of a line whose end has not arrived.
    line: Vec<u8>,
    /// A line of the head was read.
    in_head: bool,
    length: Option<u64>,
    has_encoding: bool,
    /// Bytes of a body to come.
    body: u64,
    /// What follows cannot be told from a body.
    is_lost: bool,
    /// It was once so.
    was_lost: bool,
}

impl Framing {
    /// Whether the bytes up to here are whole requests, beyond doubt.
    pub(crate) fn is_between(&self) -> bool {
        !self.was_lost && !self.in_head && self.body == 0 && self.line.is_empty()
    }

    /// Says that the next byte begins a request, where that could not be told.
    pub(crate) fn restart(&mut self) {
        self.is_lost = false;
    }

    /// Takes the next bytes; true where a head ended that says its length twice.
    pub(crate) fn push(&mut self, mut bytes: &[u8]) -> bool {
        let mut says_twice = false;
        while !bytes.is_empty() && !self.is_lost {
            if self.body > 0 {
                let n = bytes.len().min(usize::try_from(self.body).unwrap_or(usize::MAX));
                self.body -= n as u64;
                bytes = &bytes[n..];
                continue;
            }
            let Some(end) = bytes.iter().position(|&byte| byte == b'\n') else {
                self.hold(bytes);
                break;
            };
            if self.line.is_empty() {
                says_twice |= self.end_line(&bytes[..end]);
            } else {
                self.hold(&bytes[..end]);
                let mut line = std::mem::take(&mut self.line);
                says_twice |= self.end_line(&line);
                line.clear();
                self.line = line;
            }
            bytes = &bytes[end + 1..];
        }
        says_twice
    }

    fn hold(&mut self, bytes: &[u8]) {
        let room = MOST_LINE - self.line.len();
        self.line.extend_from_slice(&bytes[..room.min(bytes.len())]);
    }

    fn end_line(&mut self, line: &[u8]) -> bool {
        let end = line.iter().rposition(|&byte| byte != b'\r').map_or(0, |last| last + 1);
        let line = &line[..end.min(MOST_LINE)];
        if line.is_empty() {
            // Empty lines before a request are passed over, as by everybody.
            return self.in_head && self.end_head();
        }
        self.in_head = true;
        if let Some(value) = after(line, b"content-length:") {
            let length = if line.len() < MOST_LINE { number(value) } else { None };
            self.was_lost |= length.is_none() || self.length.is_some();
            self.length = Some(length.unwrap_or(0));
        }
        self.has_encoding |= after(line, b"transfer-encoding:").is_some();
        false
    }

    fn end_head(&mut self) -> bool {
        let says_twice = self.has_encoding && self.length.is_some();
        self.is_lost = self.has_encoding;
        self.was_lost |= self.is_lost;
        self.body = self.length.take().unwrap_or(0);
        (self.in_head, self.has_encoding) = (false, false);
        says_twice
    }
}

/// What follows a header's name, given in small letters with its colon.
fn after<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let (start, rest) = line.split_at_checked(name.len())?;
    start.eq_ignore_ascii_case(name).then_some(rest)
}

fn number(value: &[u8]) -> Option<u64> {
    let digits = value.trim_ascii();
    let is_number = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(digits).ok().filter(|_| is_number)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether a length was said twice, and whether the bytes end between requests.
    #[track_caller]
    fn check(sent: &str, twice: bool, between: bool) {
        for step in [1, 7, sent.len()] {
            let mut framing = Framing::default();
            let said = sent.as_bytes().chunks(step).fold(false, |said, part| {
                let now = framing.push(part);
                said || now
            });
            assert_eq!((said, framing.is_between()), (twice, between), "steps of {step}: {sent:?}");
        }
    }

    #[test]
    fn both_lengths_are_found_in_any_order_case_and_packet() {
        let post = "POST / HTTP/1.1\r\n";
        check(
            &format!("{post}Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n"),
            true,
            false,
        );
        check(&format!("{post}transfer-encoding:chunked\r\nCONTENT-LENGTH:3\r\n\r\n"), true, false);
        let other = "Transfer-Encoding: chunked\r\nX: content-length: 3\r\n\r\n";
        check(&format!("{post}{other}"), false, false);
        check(
            &format!("{post}Content-Length: 3\r\n\r\ntransfer-encoding: chunked\r\n"),
            false,
            false,
        );
        check(&format!("{post}Content-Length: 3\r\nTransfer-Encoding: chunked\r\n"), false, false);
        let second = "POST / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: x\r\n\r\n";
        check(&format!("{post}content-length: 2\r\n\r\nab{second}"), true, false);
    }

    #[test]
    fn what_ends_with_whole_requests_is_known() {
        let get = "GET / HTTP/1.1\r\nhost: x\r\n\r\n";
        check(get, false, true);
        check(&get.repeat(3), false, true);
        check(&format!("\r\n{get}\n{get}"), false, true);
        check("GET / HTTP/1.1\nhost: x\n\n", false, true);
        check("GET / HTTP/1.1\r\nhost: x\r\n", false, false);
        check(&format!("{get}G"), false, false);
        let post = |lines: &str| format!("POST / HTTP/1.1\r\n{lines}\r\n");
        check(&format!("{}abc", post("content-length: 3\r\n")), false, true);
        check(&format!("{}ab", post("content-length: 3\r\n")), false, false);
        check(&format!("{}abc{get}", post("Content-Length:3\r\n")), false, true);
        check(&post("content-length: 0\r\n"), false, true);
        for doubtful in [
            "content-length: +3\r\n",
            "content-length: 3, 3\r\n",
            "content-length: 0\r\ncontent-length: 0\r\n",
            "content-length: 99999999999999999999\r\n",
            "transfer-encoding: chunked\r\n",
        ] {
            check(&post(doubtful), false, false);
        }
        check(&post(&format!("content-length:{}0\r\n", " ".repeat(80))), false, false);
        check(&post(&format!("x: {}\r\n", "y".repeat(5_000))), false, true);
    }

    #[test]
    fn what_was_lost_once_is_in_doubt_for_ever() {
        let mut framing = Framing::default();
        framing.push(b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n");
        framing.restart();
        assert!(!framing.push(b"GET / HTTP/1.1\r\n\r\n") && !framing.is_between());
        let twice = b"POST / HTTP/1.1\r\ncontent-length: 3\r\ntransfer-encoding: x\r\n\r\n";
        assert!(framing.push(twice), "what says its length twice is still found");
    }
}
