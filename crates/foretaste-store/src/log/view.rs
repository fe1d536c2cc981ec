//! Reading the log: a fixed set of open files, so that sealing does not disturb the reader.

use std::io::Read;
use std::path::{Path, PathBuf};

use foretaste_core::{Error, ErrorKind, Event, Result};

use super::format::{self, Frame, HEADER_BYTES, Header, Records, damaged, path_of};
use super::record;

/// The files of the log behind a certain one, opened.
#[derive(Debug)]
pub(crate) struct LogView {
    files: Vec<ViewFile>,
}

#[derive(Debug)]
struct ViewFile {
    number: u64,
    path: PathBuf,
    file: fs_err::File,
    header: Header,
    end: u64,
    /// True when everything before `end` is known to have been stored.
    is_closed: bool,
}

/// Where the readable part of the log ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct LogEnd {
    /// The last file; 0 when there is none.
    pub(crate) number: u64,
    /// Bytes of it that hold records that pass their checks.
    pub(crate) len: u64,
}

/// Where a record stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// Number of the file.
    pub(crate) number: u64,
    /// First byte of the frame.
    pub(crate) at: u64,
}

impl LogView {
    /// Opens all files with a number above `after`.
    ///
    /// # Errors
    /// `NotFound` when a file vanished meanwhile (it has been sealed: ask again), `Corrupt` when
    /// one is missing or has a damaged header.
    pub(crate) fn open(dir: &Path, after: u64) -> Result<Self> {
        let numbers: Vec<u64> = format::numbers(dir)?.into_iter().filter(|&n| n > after).collect();
        let mut files: Vec<ViewFile> = Vec::new();
        for (i, &number) in numbers.iter().enumerate() {
            if number != after + 1 + i as u64 {
                return Err(missing(dir, after + 1 + i as u64));
            }
            match ViewFile::open(dir, number)? {
                Some(file) => {
                    if let Some(previous) = files.last_mut() {
                        previous.end_at(file.header.previous_len)?;
                    }
                    files.push(file);
                }
                None if i + 1 == numbers.len() => {}
                None => return Err(damaged(&path_of(dir, number), 0, "its header is wrong")),
            }
        }
        Ok(Self { files })
    }

    /// Leaves out what lies behind `end`.
    pub(crate) fn limit(&mut self, end: LogEnd) {
        self.files.retain(|file| file.number <= end.number);
        if let Some(last) = self.files.last_mut().filter(|file| file.number == end.number) {
            last.end = end.len;
            last.is_closed = true;
        }
    }

    /// Passes every event with a sequence number above `after_seq` to `visit`, in order, and says
    /// where the log ends. Bytes at the end of the last file that are no record are left alone.
    ///
    /// # Errors
    /// `Corrupt` for a bad record anywhere else; what `visit` returns.
    pub(crate) fn read(
        &self,
        after_seq: u64,
        visit: &mut dyn FnMut(u64, Event) -> Result<()>,
    ) -> Result<LogEnd> {
        let from = Place { number: 0, at: 0 };
        self.read_from(from, after_seq, &mut |_, seq, event| visit(seq, event))
    }

    /// As [`LogView::read`], beginning at the record at `from` and telling where each stands.
    pub(crate) fn read_from(
        &self,
        from: Place,
        after_seq: u64,
        visit: &mut dyn FnMut(Place, u64, Event) -> Result<()>,
    ) -> Result<LogEnd> {
        let mut end = LogEnd::default();
        let next = after_seq.saturating_add(1);
        let first = self.files.partition_point(|file| file.header.first_seq <= next);
        for file in self.files.iter().skip(first.saturating_sub(1)) {
            if file.number < from.number {
                continue;
            }
            let at = if file.number == from.number { from.at } else { HEADER_BYTES };
            end = file.read(at, after_seq, visit)?;
        }
        Ok(end)
    }

    /// Bytes of all files.
    pub(crate) fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.end).sum()
    }
}

impl ViewFile {
    /// Opens a file; `None` when it has no header because its creation was interrupted.
    fn open(dir: &Path, number: u64) -> Result<Option<Self>> {
        let path = path_of(dir, number);
        let mut file = fs_err::File::open(&path)?;
        let end = file.metadata()?.len();
        let mut bytes = [0; HEADER_BYTES as usize];
        let header = match file.read_exact(&mut bytes) {
            Ok(()) => Header::decode(&bytes),
            Err(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(None),
            Err(e) => return Err(e.into()),
        };
        let Some(header) = header else {
            // Header and first record share a disk block: a good record means a damaged header.
            let first = Records::new(file, HEADER_BYTES, end)?.next()?;
            let good = matches!(first, Frame::Record(_));
            return if good { Err(damaged(&path, 0, "its header is wrong")) } else { Ok(None) };
        };
        Ok(Some(Self { number, path, file, header, end, is_closed: false }))
    }

    fn end_at(&mut self, len: u64) -> Result<()> {
        if len > self.end {
            return Err(damaged(&self.path, self.end, "the file is shorter than it was"));
        }
        self.end = len;
        self.is_closed = true;
        Ok(())
    }

    fn read(
        &self,
        from: u64,
        after_seq: u64,
        visit: &mut dyn FnMut(Place, u64, Event) -> Result<()>,
    ) -> Result<LogEnd> {
        let file = fs_err::File::from_parts(self.file.file().try_clone()?, self.path.clone());
        let mut records = Records::new(file, from, self.end)?;
        loop {
            let place = Place { number: self.number, at: records.at() };
            match records.next()? {
                Frame::Record(payload) => {
                    self.visit(place, &payload, after_seq, visit)?;
                }
                Frame::Bad(why) if self.is_closed => {
                    return Err(damaged(&self.path, place.at, why));
                }
                Frame::End | Frame::Bad(_) => {
                    return Ok(LogEnd { number: self.number, len: place.at });
                }
            }
        }
    }

    fn visit(
        &self,
        place: Place,
        payload: &[u8],
        after_seq: u64,
        visit: &mut dyn FnMut(Place, u64, Event) -> Result<()>,
    ) -> Result<()> {
        let named = |e: Error| e.context(format!("{} at byte {}", self.path.display(), place.at));
        if record::last_seq(payload).map_err(named)? <= after_seq {
            return Ok(());
        }
        let (first, events) = record::decode(payload).map_err(named)?;
        let mut numbered = (first..).zip(events).filter(|(seq, _)| *seq > after_seq);
        numbered.try_for_each(|(seq, event)| visit(place, seq, event))
    }
}

fn missing(dir: &Path, number: u64) -> Error {
    let path = path_of(dir, number);
    let text = format!("{} is missing; restore it from a backup", path.display());
    Error::new(ErrorKind::Corrupt, text)
}
