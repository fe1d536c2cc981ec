//! A file of the log: its name, its header, and the records that follow.
//!
//! ```text
//! header = magic (8 bytes), first sequence number u64, valid bytes of the previous file u64,
//!          zero u32, crc32c u32 of the 28 bytes before; all little-endian
//! ```
//! The header of the next file says where a file ends: what lies behind was never acknowledged.

use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use foretaste_core::{Error, Result};

use super::record::{FRAME_BYTES, MAX_RECORD_BYTES, checksum};

/// Length of the header.
pub(crate) const HEADER_BYTES: u64 = 32;

const MAGIC: [u8; 8] = *b"FTLOG\x01\r\n";

/// What a file says about itself and its predecessor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// Sequence number of the first event, if one follows.
    pub(crate) first_seq: u64,
    /// Where the previous file ends.
    pub(crate) previous_len: u64,
}

impl Header {
    pub(crate) fn encode(self) -> [u8; HEADER_BYTES as usize] {
        let mut bytes = [0; HEADER_BYTES as usize];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..16].copy_from_slice(&self.first_seq.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.previous_len.to_le_bytes());
        let crc = crc32c::crc32c(&bytes[..28]);
        bytes[28..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// The header in `bytes`, if they are one.
    pub(crate) fn decode(bytes: &[u8; HEADER_BYTES as usize]) -> Option<Self> {
        let long = |at: usize| {
            let mut word = [0; 8];
            word.copy_from_slice(&bytes[at..at + 8]);
            u64::from_le_bytes(word)
        };
        let intact =
            bytes[..8] == MAGIC && crc32c::crc32c(&bytes[..28]).to_le_bytes() == bytes[28..];
        intact.then(|| Self { first_seq: long(8), previous_len: long(16) })
    }
}

/// The name of file `number` in `dir`.
pub(crate) fn path_of(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number:08}.log"))
}

/// The numbers of all files in `dir`, ascending.
pub(crate) fn numbers(dir: &Path) -> Result<Vec<u64>> {
    let mut numbers = Vec::new();
    for entry in fs_err::read_dir(dir)? {
        let name = entry?.file_name();
        let stem = name.to_str().and_then(|name| name.strip_suffix(".log"));
        numbers.extend(stem.and_then(|stem| stem.parse::<u64>().ok()));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// What stands at a position of a file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Frame {
    /// A record that passes its check.
    Record(Vec<u8>),
    /// The end.
    End,
    /// Bytes that are no record.
    Bad(&'static str),
}

/// Reads the records of a file one after the other.
pub(crate) struct Records<R> {
    input: R,
    at: u64,
    end: u64,
}

impl Records<BufReader<fs_err::File>> {
    /// The records of `file` from byte `from` (a record's begin) to byte `end`.
    pub(crate) fn new(mut file: fs_err::File, from: u64, end: u64) -> Result<Self> {
        file.seek(SeekFrom::Start(from))?;
        Ok(Self { input: BufReader::with_capacity(1 << 18, file), at: from, end })
    }
}

impl<R: Read> Records<R> {
    /// Where the next frame begins.
    pub(crate) fn at(&self) -> u64 {
        self.at
    }

    /// The next frame. After `End` or `Bad` it stays there.
    pub(crate) fn next(&mut self) -> io::Result<Frame> {
        let left = self.end.saturating_sub(self.at);
        if left == 0 {
            return Ok(Frame::End);
        }
        if left < FRAME_BYTES as u64 {
            return Ok(Frame::Bad("its frame is cut off"));
        }
        let mut frame = [0; FRAME_BYTES];
        self.input.read_exact(&mut frame)?;
        let length = u32::from_le_bytes([frame[0], frame[1], frame[2], frame[3]]);
        let crc = u32::from_le_bytes([frame[4], frame[5], frame[6], frame[7]]);
        if length == 0 || length > MAX_RECORD_BYTES {
            return Ok(self.stop("its length is impossible"));
        }
        if u64::from(length) > left - FRAME_BYTES as u64 {
            return Ok(self.stop("it is cut off"));
        }
        let mut payload = vec![0; length as usize];
        self.input.read_exact(&mut payload)?;
        if checksum(length, &payload) != crc {
            return Ok(self.stop("its checksum is wrong"));
        }
        self.at += (FRAME_BYTES + payload.len()) as u64;
        Ok(Frame::Record(payload))
    }

    fn stop(&mut self, why: &'static str) -> Frame {
        self.end = self.at;
        Frame::Bad(why)
    }
}

/// The error of a bad record where none may be.
pub(crate) fn damaged(path: &Path, at: u64, why: &str) -> Error {
    Error::corrupt(format!(
        "{}: the record at byte {at} is damaged ({why}) although it had been stored safely; \
         restore the file from a backup, or cut it to {at} bytes to give up the events behind",
        path.display()
    ))
}
