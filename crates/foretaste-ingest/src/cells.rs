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
    let text = std::str::from_utf8(cell).map_err(|_| Reason::BadUtf8)?.trim();
    Ok(if matches!(text, "NULL" | "null" | "\\N") { "" } else { text })
}

/// An id, or `missing` when there is none.
pub fn id(cell: Cell<'_>, missing: Reason) -> Result<&str, Reason> {
    let id = text(cell)?;
    match id {
        "" => Err(missing),
        _ if id.len() > LIMITS.id_bytes => Err(Reason::IdTooLong),
        _ => no_control(id),
    }
}

/// An optional name of at most `limit` bytes.
pub fn name(cell: Cell<'_>, limit: usize) -> Result<Option<&str>, Reason> {
    let name = text(cell)?;
    match name {
        "" => Ok(None),
        _ if name.len() > limit => Err(Reason::NameTooLong),
        _ => no_control(name).map(Some),
    }
}

/// An optional longer text.
pub fn long_text(cell: Cell<'_>) -> Result<&str, Reason> {
    let text = text(cell)?;
    if text.len() > LIMITS.text_bytes { Err(Reason::TextTooLong) } else { Ok(text) }
}

/// An optional finite number.
pub fn number(cell: Cell<'_>) -> Result<Option<f64>, Reason> {
    let text = text(cell)?;
    if text.is_empty() {
        return Ok(None);
    }
    let number: f64 = text.parse().map_err(|_| Reason::BadNumber)?;
    if number.is_finite() { Ok(Some(number)) } else { Err(Reason::NotFinite) }
}

/// An optional time; 0 when there is none.
pub fn time(cell: Cell<'_>) -> Result<i64, Reason> {
    match text(cell)? {
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
