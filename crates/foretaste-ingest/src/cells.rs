//! Rows as named cells, the form in which every layout hands over what it read, and the checks
//! that all rows share.

use foretaste_core::{Error, Limits, Result};

use crate::{Reason, parse_time};

/// The text of a cell; empty means that there is none.
pub type Cell<'a> = &'a [u8];

/// Receives the rows of one file.
pub trait Collector {
    /// The columns are named so from the next row on. Called before the first row, and again when
    /// a format turns out to have more columns (the earlier ones keep their place).
    ///
    /// # Errors
    /// `Invalid` when a column that is needed is not there.
    fn columns(&mut self, names: &[String]) -> Result<()>;

    /// One row, with a cell for each column; missing cells at the end count as empty.
    fn take(&mut self, cells: &[Cell<'_>]) -> Result<(), Stop>;
}

/// Why a row was not taken.
#[derive(Debug)]
pub enum Stop {
    /// The row is bad; the next may be good.
    Row(Reason),
    /// Nothing can be taken any more.
    Fatal(Error),
}

impl From<Reason> for Stop {
    fn from(reason: Reason) -> Self {
        Self::Row(reason)
    }
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Fatal(error)
    }
}

const LIMITS: Limits = Limits::DEFAULT;

/// The cell in a column that may not exist.
pub fn at<'a>(cells: &[Cell<'a>], column: Option<usize>) -> Cell<'a> {
    column.and_then(|c| cells.get(c).copied()).unwrap_or(b"")
}

/// The text of a cell without blanks around it; NULL marks are empty.
pub fn text(cell: Cell<'_>) -> Result<&str, Reason> {
    std::str::from_utf8(cell).map(bare).map_err(|_| Reason::BadUtf8)
}

/// A text without blanks around it; NULL marks are empty.
pub fn bare(text: &str) -> &str {
    let is_plain = |end: Option<&u8>| end.is_some_and(u8::is_ascii_graphic);
    let ends = [text.as_bytes().first(), text.as_bytes().last()];
    let text = if ends.into_iter().all(is_plain) { text } else { text.trim() };
    if matches!(text, "NULL" | "null" | "\\N") { "" } else { text }
}

/// An id, or `missing` when there is none.
pub fn id(cell: Cell<'_>, missing: Reason) -> Result<&str, Reason> {
    id_of(text(cell)?, missing)
}

/// An optional name of at most `limit` bytes.
pub fn name(cell: Cell<'_>, limit: usize) -> Result<Option<&str>, Reason> {
    name_of(text(cell)?, limit)
}

/// An optional finite number.
pub fn number(cell: Cell<'_>) -> Result<Option<f64>, Reason> {
    number_of(text(cell)?)
}

/// An optional time; 0 when there is none.
pub fn time(cell: Cell<'_>) -> Result<i64, Reason> {
    time_of(text(cell)?)
}

/// As [`id`], of a [`bare`] text.
pub fn id_of(text: &str, missing: Reason) -> Result<&str, Reason> {
    match text {
        "" => Err(missing),
        _ if text.len() > LIMITS.id_bytes => Err(Reason::IdTooLong),
        _ => no_control(text),
    }
}

/// As [`name`], of a [`bare`] text.
pub fn name_of(text: &str, limit: usize) -> Result<Option<&str>, Reason> {
    match text {
        "" => Ok(None),
        _ if text.len() > limit => Err(Reason::NameTooLong),
        _ => no_control(text).map(Some),
    }
}

/// An optional longer text.
pub fn long_text(cell: Cell<'_>) -> Result<&str, Reason> {
    let text = text(cell)?;
    if text.len() > LIMITS.text_bytes { Err(Reason::TextTooLong) } else { Ok(text) }
}

/// As [`number`], of a [`bare`] text.
pub fn number_of(text: &str) -> Result<Option<f64>, Reason> {
    if text.is_empty() {
        return Ok(None);
    }
    // Short whole numbers are what most are.
    let digits = text.as_bytes();
    if digits.len() <= 9 && digits.iter().all(u8::is_ascii_digit) {
        let number = digits.iter().fold(0u32, |all, digit| all * 10 + u32::from(digit - b'0'));
        return Ok(Some(number.into()));
    }
    let number: f64 = text.parse().map_err(|_| Reason::BadNumber)?;
    if number.is_finite() { Ok(Some(number)) } else { Err(Reason::NotFinite) }
}

/// As [`time`], of a [`bare`] text.
pub fn time_of(text: &str) -> Result<i64, Reason> {
    match text {
        "" => Ok(0),
        text => parse_time(text).ok_or(Reason::BadTime),
    }
}

fn no_control(text: &str) -> Result<&str, Reason> {
    // Where all is ASCII, as most often, letters need not be put together first.
    let is_plain = text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    if !is_plain && text.chars().any(char::is_control) {
        return Err(Reason::ControlCharacter);
    }
    Ok(text)
}

/// Column names are compared without case and punctuation: `user_id` is `userId` is `User ID`.
pub fn plain(name: &str) -> String {
    name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// Where a field is: the column that the mapping names, else the first column with one of the
/// expected names (given in [`plain`] form, best first).
pub fn find(
    field: &str,
    expected: &[&str],
    (names, mapping): (&[String], &crate::Mapping),
) -> Result<Option<usize>> {
    let asked = mapping.pairs.iter().find(|(f, _)| plain(f) == plain(field));
    let Some((_, column)) = asked else {
        let place = |e: &&str| names.iter().position(|n| plain(n) == **e);
        return Ok(expected.iter().find_map(place));
    };
    let number = column.parse::<usize>().ok().filter(|&n| n >= 1 && n <= names.len());
    let found = names.iter().position(|n| n == column).or(number.map(|n| n - 1));
    let missing = || {
        let text =
            format!("field {field} is mapped to column {column:?}, which is not in the file");
        Error::invalid(format!("{text}; its columns are {}", names.join(", ")))
    };
    found.map(Some).ok_or_else(missing)
}
