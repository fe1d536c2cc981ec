//! CSV, TSV and their relatives: cells between separators, quoted or not, one record a line
//! (or several lines, inside quotation marks).

use std::borrow::Cow;
use std::collections::VecDeque;

use foretaste_core::Result;

use crate::Reason;
use crate::cells::{Cell, Collector, Stop};
use crate::driver::Journey;
use crate::input::open;
use crate::lines::Lines;

/// Bytes of a row; longer ones are bad.
pub const MAX_ROW_BYTES: usize = 1 << 20;
/// Bytes of a record in quotation marks that spans lines.
const MAX_OPEN_BYTES: usize = 64 << 10;
/// Rows between two reports of progress.
const REPORT_ROWS: u64 = 1 << 14;

/// How cells are separated and named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delimited {
    /// One byte, or `::`.
    pub separator: Vec<u8>,
    /// Whether `"` quotes cells.
    pub quotes: bool,
    /// Names of the columns.
    pub names: Vec<String>,
    /// Whether the first record is the header.
    pub skip_first: bool,
    /// ISO 8859-1 instead of UTF-8.
    pub latin1: bool,
    /// Records may have fewer or more cells than there are names.
    pub ragged: bool,
}

impl Delimited {
    /// Comma- or otherwise separated text with these columns and nothing special.
    pub fn new(separator: &[u8], names: Vec<String>) -> Self {
        let quotes = separator.len() == 1 && separator != b"\t";
        let separator = separator.to_vec();
        Self { separator, quotes, names, skip_first: false, latin1: false, ragged: false }
    }
}

/// Reads the rows of a file.
pub fn read(how: &Delimited, journey: &mut Journey<'_>, to: &mut dyn Collector) -> Result<()> {
    let input = open(&journey.plan.path, journey.meter)?;
    let mut records = Records::new(Lines::new(input, &journey.plan.name(), MAX_ROW_BYTES), how);
    to.columns(&how.names)?;
    let mut record = Record::default();
    let mut splitter = Splitter::default();
    let mut to_skip = how.skip_first;
    while records.next(&mut record)? {
        if std::mem::take(&mut to_skip) || record.bytes.is_empty() {
            continue;
        }
        let outcome = take(how, &record, &mut splitter, to);
        journey.quarantine.settle(record.number, &record.bytes, outcome)?;
        if record.number.is_multiple_of(REPORT_ROWS) {
            journey.meter.report(journey.progress);
        }
    }
    Ok(())
}

fn take(
    how: &Delimited,
    record: &Record,
    splitter: &mut Splitter,
    to: &mut dyn Collector,
) -> Result<(), Stop> {
    if let Some(reason) = record.problem {
        return Err(reason.into());
    }
    let bytes = if how.latin1 { from_latin1(&record.bytes) } else { Cow::from(&record.bytes) };
    splitter.split(&bytes, how);
    let n = splitter.ends.len();
    let fits = n == how.names.len() || how.ragged && n >= 2;
    if !fits {
        return Err(Reason::WrongColumns.into());
    }
    splitter.with_cells(|cells| to.take(cells))
}

fn from_latin1(bytes: &[u8]) -> Cow<'_, [u8]> {
    if bytes.is_ascii() {
        return Cow::Borrowed(bytes);
    }
    let text: String = bytes.iter().map(|&b| char::from(b)).collect();
    Cow::Owned(text.into_bytes())
}

/// The cells of a text, for finding out about a file.
pub fn split_text(text: &[u8], how: &Delimited) -> Vec<String> {
    let mut splitter = Splitter::default();
    splitter.split(text, how);
    let own = |c: &Cell<'_>| String::from_utf8_lossy(c).trim().to_owned();
    splitter.with_cells(|cells| cells.iter().map(own).collect())
}

/// Cells of one record: their text one after another, and where each ends.
#[derive(Debug, Default)]
struct Splitter {
    text: Vec<u8>,
    ends: Vec<usize>,
    /// Kept for its allocation.
    spare: Vec<Cell<'static>>,
}

impl Splitter {
    fn split(&mut self, record: &[u8], how: &Delimited) {
        self.text.clear();
        self.ends.clear();
        if let &[separator] = how.separator.as_slice() {
            if how.quotes && memchr::memchr(b'"', record).is_some() {
                return self.split_quoted(record, separator);
            }
            self.split_plain(record, memchr::memchr_iter(separator, record), 1);
        } else {
            let found = memchr::memmem::find_iter(record, &how.separator);
            self.split_plain(record, found, how.separator.len());
        }
    }

    fn split_plain(&mut self, record: &[u8], found: impl Iterator<Item = usize>, width: usize) {
        let mut start = 0;
        for at in found.chain([record.len()]) {
            self.text.extend_from_slice(&record[start..at]);
            self.ends.push(self.text.len());
            start = at + width;
        }
    }

    /// RFC 4180: a cell that begins with `"` ends at the next single `"`; `""` is one `"`.
    fn split_quoted(&mut self, record: &[u8], separator: u8) {
        let (mut at, mut begin, mut inside) = (0, true, false);
        while let Some(&byte) = record.get(at) {
            match byte {
                b'"' if begin => inside = true,
                b'"' if inside && record.get(at + 1) == Some(&b'"') => {
                    self.text.push(b'"');
                    at += 1;
                }
                b'"' if inside => inside = false,
                _ if byte == separator && !inside => self.ends.push(self.text.len()),
                _ => self.text.push(byte),
            }
            begin = byte == separator && !inside;
            at += 1;
        }
        self.ends.push(self.text.len());
    }

    fn with_cells<T>(&mut self, use_them: impl FnOnce(&[Cell<'_>]) -> T) -> T {
        let mut cells: Vec<Cell<'_>> = std::mem::take(&mut self.spare);
        let mut start = 0;
        for &end in &self.ends {
            cells.push(&self.text[start..end]);
            start = end;
        }
        let result = use_them(&cells);
        cells.clear();
        // Collecting an emptied vector in place keeps its allocation and forgets the borrow.
        self.spare = cells.into_iter().map(|_| -> Cell<'static> { b"" }).collect();
        result
    }
}

/// One record: a line, or several inside quotation marks.
#[derive(Debug, Default)]
struct Record {
    number: u64,
    bytes: Vec<u8>,
    problem: Option<Reason>,
}

/// Lines to records. A quotation mark that never closes spoils its own line only.
struct Records<'a> {
    lines: Lines,
    how: &'a Delimited,
    /// Lines that were read in search of the end of a record.
    read_ahead: VecDeque<(u64, Vec<u8>, bool)>,
}

impl<'a> Records<'a> {
    fn new(lines: Lines, how: &'a Delimited) -> Self {
        Self { lines, how, read_ahead: VecDeque::new() }
    }

    fn next(&mut self, record: &mut Record) -> Result<bool> {
        record.problem = None;
        record.bytes.clear();
        let huge = if let Some((number, bytes, huge)) = self.read_ahead.pop_front() {
            record.number = number;
            record.bytes.extend_from_slice(&bytes);
            huge
        } else {
            let Some(line) = self.lines.next()? else { return Ok(false) };
            record.number = line.number;
            record.bytes.extend_from_slice(line.bytes);
            line.huge
        };
        if huge {
            record.problem = Some(Reason::HugeRow);
        } else if self.how.quotes && memchr::memchr(b'"', &record.bytes).is_some() {
            let mut quotation = Quotation::new(self.how.separator[0]);
            quotation.feed(&record.bytes);
            if quotation.inside {
                self.complete(record, quotation)?;
            }
        }
        Ok(true)
    }

    /// Adds lines until the quotation closes; gives them back when it does not.
    fn complete(&mut self, record: &mut Record, mut quotation: Quotation) -> Result<()> {
        let whole = record.bytes.len();
        for used in 0.. {
            if used == self.read_ahead.len() {
                let Some(line) = self.lines.next()? else { break };
                self.read_ahead.push_back((line.number, line.bytes.to_vec(), line.huge));
            }
            let (_, bytes, huge) = &self.read_ahead[used];
            if *huge || record.bytes.len() + bytes.len() > MAX_OPEN_BYTES {
                break;
            }
            record.bytes.push(b'\n');
            record.bytes.extend_from_slice(bytes);
            quotation.feed(b"\n");
            quotation.feed(bytes);
            if !quotation.inside {
                self.read_ahead.drain(..=used);
                return Ok(());
            }
        }
        record.bytes.truncate(whole);
        record.problem = Some(Reason::OpenQuote);
        Ok(())
    }
}

/// Follows the quotation marks of a record, by the rules of [`Splitter::split_quoted`].
#[derive(Clone, Copy, Debug)]
struct Quotation {
    separator: u8,
    begin: bool,
    inside: bool,
    just_closed: bool,
}

impl Quotation {
    fn new(separator: u8) -> Self {
        Self { separator, begin: true, inside: false, just_closed: false }
    }

    fn feed(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            // A doubled mark closes and opens again, which ends in the same state.
            let turns = byte == b'"' && (self.begin || self.inside || self.just_closed);
            self.just_closed = turns && self.inside;
            self.inside ^= turns;
            self.begin = byte == self.separator && !self.inside;
        }
    }
}
