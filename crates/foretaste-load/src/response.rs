//! Reading a response as its bytes come in: where it ends, what it says about caches and fallbacks.
//! The body is looked at and let go.

use std::fmt;
use std::mem::MaybeUninit;

use memchr::memmem;

#[cfg(test)]
mod tests;

/// Longest head that is read.
const MOST_HEAD_BYTES: usize = 64 << 10;
const MOST_HEADERS: usize = 96;

/// What a cache in front of the answer said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheState {
    /// `X-Cache: HIT`.
    Hit,
    /// `X-Cache: STALE`.
    Stale,
    /// `X-Cache: MISS` or a state that this build does not know.
    Miss,
    /// `X-Cache: BYPASS`.
    Bypass,
}

/// What is known of a response once it is complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Whether the connection may be used again.
    pub keeps_alive: bool,
    /// What `X-Cache` said, where it was there.
    pub cache: Option<CacheState>,
    /// The slate says that something else than the user's past served.
    pub is_fallback: bool,
    /// The slate says that something could not be done as configured.
    pub is_degraded: bool,
}

/// Why bytes are not a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed(pub &'static str);

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not an HTTP/1.1 response: {}", self.0)
    }
}

/// Reads one response after the other from the bytes of a connection.
#[derive(Debug)]
pub struct ResponseReader {
    head: Vec<u8>,
    phase: Phase,
    answer: Answer,
    scan: Scan,
    looks_into_body: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Head,
    /// So many bytes of the body are still to come.
    Sized(u64),
    Chunk(Chunk),
    /// The body ends with the connection.
    UntilClosed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Chunk {
    /// In the line with the size; the number so far, and whether it is over (an extension).
    Size(u64, bool),
    /// So many bytes of the chunk, then its line end.
    Bytes(u64),
    /// Before the line end after a chunk.
    End,
    /// In the trailer; bytes in the present line.
    Trailer(usize),
}

const NOTHING: Answer =
    Answer { status: 0, keeps_alive: true, cache: None, is_fallback: false, is_degraded: false };

impl ResponseReader {
    /// A reader at the beginning of a response.
    pub fn new() -> Self {
        Self {
            head: Vec::new(),
            phase: Phase::Head,
            answer: NOTHING,
            scan: Scan::default(),
            looks_into_body: false,
        }
    }

    /// Makes ready for the next response; `is_slate` says that its body is worth a look.
    pub fn start(&mut self, is_slate: bool) {
        self.head.clear();
        self.phase = Phase::Head;
        self.answer = NOTHING;
        self.scan = Scan::default();
        self.looks_into_body = is_slate;
    }

    /// Whether any byte of the response has come.
    pub fn has_begun(&self) -> bool {
        self.phase != Phase::Head || !self.head.is_empty()
    }

    /// Takes the next bytes; the answer once it is complete.
    ///
    /// # Errors
    /// For bytes that are no response, or more of them than the response has.
    pub fn read(&mut self, mut bytes: &[u8]) -> Result<Option<Answer>, Malformed> {
        if self.phase == Phase::Head {
            let Some(used) = self.read_head(bytes)? else { return Ok(None) };
            bytes = &bytes[used..];
        }
        let rest = match self.phase {
            Phase::Head => unreachable!("the head has been read"),
            Phase::Sized(left) => {
                let taken = left.min(bytes.len() as u64) as usize;
                self.look(&bytes[..taken]);
                self.phase = Phase::Sized(left - taken as u64);
                &bytes[taken..]
            }
            Phase::Chunk(_) => self.read_chunks(bytes)?,
            Phase::UntilClosed => {
                self.look(bytes);
                return Ok(None);
            }
        };
        if self.phase != Phase::Sized(0) {
            return Ok(None);
        }
        if !rest.is_empty() {
            return Err(Malformed("bytes after its end"));
        }
        Ok(Some(self.finished()))
    }

    /// The connection has ended: the answer, if that is where its body ends.
    pub fn close(&mut self) -> Option<Answer> {
        (self.phase == Phase::UntilClosed).then(|| self.finished())
    }

    fn finished(&self) -> Answer {
        let Scan { is_fallback, is_degraded, .. } = self.scan;
        Answer { is_fallback, is_degraded, ..self.answer }
    }

    fn look(&mut self, body: &[u8]) {
        if self.looks_into_body {
            self.scan.look(body);
        }
    }

    /// How many of `bytes` belong to the head, once it is complete.
    fn read_head(&mut self, bytes: &[u8]) -> Result<Option<usize>, Malformed> {
        if self.head.is_empty() {
            // Nearly always the whole head comes at once and needs no copy.
            if let Some(length) = self.parse_head(bytes)? {
                return Ok(Some(length));
            }
        }
        let before = self.head.len();
        self.head.extend(bytes);
        let head = std::mem::take(&mut self.head);
        let parsed = if before > 0 { self.parse_head(&head) } else { Ok(None) };
        self.head = head;
        match parsed? {
            Some(length) if length < before => Err(Malformed("its head ends twice")),
            Some(length) => Ok(Some(length - before)),
            None if self.head.len() > MOST_HEAD_BYTES => Err(Malformed("its head is too long")),
            None => Ok(None),
        }
    }

    /// The length of the head, once it is complete. Interim responses (1xx) are not expected.
    fn parse_head(&mut self, bytes: &[u8]) -> Result<Option<usize>, Malformed> {
        let mut headers = [const { MaybeUninit::uninit() }; MOST_HEADERS];
        let mut response = httparse::Response::new(&mut []);
        let config = httparse::ParserConfig::default();
        let parsed = config.parse_response_with_uninit_headers(&mut response, bytes, &mut headers);
        let length = match parsed {
            Ok(httparse::Status::Complete(length)) => length,
            Ok(httparse::Status::Partial) => return Ok(None),
            Err(httparse::Error::TooManyHeaders) => return Err(Malformed("too many headers")),
            Err(_) => return Err(Malformed("its head is not HTTP")),
        };
        self.answer.status = response.code.unwrap_or(0);
        self.answer.keeps_alive = response.version == Some(1);
        self.phase = Phase::UntilClosed;
        for header in response.headers.iter() {
            self.read_header(header)?;
        }
        if self.answer.status < 200 {
            return Err(Malformed("an interim response that nobody asked for"));
        }
        if matches!(self.answer.status, 204 | 304) {
            self.phase = Phase::Sized(0);
        }
        Ok(Some(length))
    }

    fn read_header(&mut self, header: &httparse::Header<'_>) -> Result<(), Malformed> {
        let value = header.value;
        let is = |name: &str| header.name.eq_ignore_ascii_case(name);
        if is("content-length") {
            let length = std::str::from_utf8(value).ok().and_then(|v| v.parse().ok());
            let length = length.ok_or(Malformed("its content-length is not a number"))?;
            if self.phase == Phase::UntilClosed {
                self.phase = Phase::Sized(length);
            }
        } else if is("transfer-encoding") {
            if !value.eq_ignore_ascii_case(b"chunked") {
                return Err(Malformed("its transfer-encoding is not chunked"));
            }
            self.phase = Phase::Chunk(Chunk::Size(0, false));
        } else if is("connection") {
            if value.eq_ignore_ascii_case(b"close") {
                self.answer.keeps_alive = false;
            }
        } else if is("x-cache") {
            self.answer.cache = Some(match value {
                b"HIT" => CacheState::Hit,
                b"STALE" => CacheState::Stale,
                b"BYPASS" => CacheState::Bypass,
                _ => CacheState::Miss,
            });
        }
        Ok(())
    }

    /// Takes chunks; what is left over is behind the end of the response.
    fn read_chunks<'a>(&mut self, mut bytes: &'a [u8]) -> Result<&'a [u8], Malformed> {
        while let (Phase::Chunk(chunk), Some(&byte)) = (self.phase, bytes.first()) {
            if let Chunk::Bytes(left) = chunk {
                let taken = left.min(bytes.len() as u64) as usize;
                self.look(&bytes[..taken]);
                let left = left - taken as u64;
                let next = if left == 0 { Chunk::End } else { Chunk::Bytes(left) };
                self.phase = Phase::Chunk(next);
                bytes = &bytes[taken..];
                continue;
            }
            self.phase = framing(chunk, byte)?;
            bytes = &bytes[1..];
        }
        Ok(bytes)
    }
}

impl Default for ResponseReader {
    fn default() -> Self {
        Self::new()
    }
}

/// One byte between chunks.
fn framing(chunk: Chunk, byte: u8) -> Result<Phase, Malformed> {
    let next = match (chunk, byte) {
        (Chunk::Size(0, _), b'\n') => Chunk::Trailer(0),
        (Chunk::Size(size, _), b'\n') => Chunk::Bytes(size),
        (Chunk::Size(size, _), b'\r' | b';' | b' ') => Chunk::Size(size, true),
        (Chunk::Size(size, true), _) => Chunk::Size(size, true),
        (Chunk::Size(size, false), digit) => {
            let digit = (digit as char).to_digit(16).ok_or(Malformed("a chunk without a size"))?;
            let size = size.checked_mul(16).and_then(|s| s.checked_add(u64::from(digit)));
            Chunk::Size(size.ok_or(Malformed("a chunk without an end"))?, false)
        }
        (Chunk::End, b'\r') => Chunk::End,
        (Chunk::End, b'\n') => Chunk::Size(0, false),
        (Chunk::End, _) => return Err(Malformed("a chunk longer than it says")),
        (Chunk::Trailer(0), b'\n') => return Ok(Phase::Sized(0)),
        (Chunk::Trailer(_), b'\n') => Chunk::Trailer(0),
        (Chunk::Trailer(n), b'\r') => Chunk::Trailer(n),
        (Chunk::Trailer(n), _) if n < MOST_HEAD_BYTES => Chunk::Trailer(n + 1),
        (Chunk::Trailer(_), _) => return Err(Malformed("its trailer is too long")),
        (Chunk::Bytes(_), _) => unreachable!("bytes of chunks are taken whole"),
    };
    Ok(Phase::Chunk(next))
}

/// Looks for what a slate says about itself, across the borders of reads.
#[derive(Clone, Copy, Debug, Default)]
struct Scan {
    is_fallback: bool,
    is_degraded: bool,
    tail: [u8; Self::TAIL],
    tail_length: usize,
}

impl Scan {
    /// Names as JSON writes them; in texts their quotation marks would be escaped.
    const FALLBACK: &'static [u8] = b"\"fallback\":\"";
    const DEGRADED: &'static [u8] = b"\"degraded\":[\"";
    const TAIL: usize = Self::DEGRADED.len() - 1;

    fn look(&mut self, body: &[u8]) {
        let mut seam = [0; 2 * Self::TAIL];
        let ahead = body.len().min(Self::TAIL);
        seam[..self.tail_length].copy_from_slice(&self.tail[..self.tail_length]);
        seam[self.tail_length..][..ahead].copy_from_slice(&body[..ahead]);
        let seam = &seam[..self.tail_length + ahead];
        if self.tail_length > 0 {
            self.find(seam);
        }
        self.find(body);
        let last = if body.len() >= Self::TAIL { body } else { seam };
        let kept = last.len().min(Self::TAIL);
        self.tail[..kept].copy_from_slice(&last[last.len() - kept..]);
        self.tail_length = kept;
    }

    fn find(&mut self, bytes: &[u8]) {
        self.is_fallback |= memmem::find(bytes, Self::FALLBACK).is_some();
        self.is_degraded |= memmem::find(bytes, Self::DEGRADED).is_some();
    }
}
