//! What an import did.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use crate::Entity;

/// Why a row was rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// No user id (empty or a NULL mark).
    MissingUser,
    /// No item id (empty or a NULL mark).
    MissingItem,
    /// No kind of event where a column should say it.
    MissingKind,
    /// An id is longer than its limit.
    IdTooLong,
    /// An id or name contains a control character.
    ControlCharacter,
    /// A kind, scene or session is longer than its limit.
    NameTooLong,
    /// A text is longer than its limit.
    TextTooLong,
    /// A number cannot be read.
    BadNumber,
    /// A number is NaN or infinite.
    NotFinite,
    /// A time cannot be read (zero dates too).
    BadTime,
    /// The row is not UTF-8.
    BadUtf8,
    /// The row has another number of columns than the header.
    WrongColumns,
    /// A quotation mark opens and does not close.
    OpenQuote,
    /// The row exceeds the size limit.
    HugeRow,
    /// The row is not a JSON object.
    BadJson,
    /// The kind would be one more than the store may hold.
    TooManyKinds,
}

impl Reason {
    /// The name used in quarantine files and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::MissingUser => "missing_user",
            Self::MissingItem => "missing_item",
            Self::MissingKind => "missing_kind",
            Self::IdTooLong => "id_too_long",
            Self::ControlCharacter => "control_character",
            Self::NameTooLong => "name_too_long",
            Self::TextTooLong => "text_too_long",
            Self::BadNumber => "bad_number",
            Self::NotFinite => "not_finite",
            Self::BadTime => "bad_time",
            Self::BadUtf8 => "bad_utf8",
            Self::WrongColumns => "wrong_columns",
            Self::OpenQuote => "open_quote",
            Self::HugeRow => "huge_row",
            Self::BadJson => "bad_json",
            Self::TooManyKinds => "too_many_kinds",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What became of one file.
#[derive(Clone, Debug, PartialEq)]
pub struct SourceReport {
    /// File name.
    pub name: String,
    /// What its rows are.
    pub entity: Entity,
    /// Rows read, good and bad.
    pub rows: u64,
    /// Events or records stored.
    pub accepted: u64,
    /// Rejected rows by reason.
    pub bad: BTreeMap<Reason, u64>,
    /// Where the rejected rows are, if there are any.
    pub quarantine: Option<PathBuf>,
    /// True when the same file had been imported before, so that nothing was done.
    pub skipped: bool,
}

impl SourceReport {
    /// Number of rejected rows.
    pub fn n_bad(&self) -> u64 {
        self.bad.values().sum()
    }
}

/// What an import did, file by file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ImportReport {
    /// The files in the order in which they were stored.
    pub sources: Vec<SourceReport>,
}

impl ImportReport {
    /// Stored events or records of an entity.
    pub fn accepted(&self, entity: Entity) -> u64 {
        self.sources.iter().filter(|s| s.entity == entity).map(|s| s.accepted).sum()
    }

    /// Rejected rows of all files.
    pub fn n_bad(&self) -> u64 {
        self.sources.iter().map(SourceReport::n_bad).sum()
    }
}

impl fmt::Display for ImportReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.sources.iter().try_for_each(|s| writeln!(f, "{s}"))
    }
}

impl fmt::Display for SourceReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, entity, rows, accepted, .. } = self;
        if self.skipped {
            return write!(f, "{name}: skipped, the same file was imported before");
        }
        write!(f, "{name}: {accepted} {entity} from {rows} rows")?;
        if let Some(path) = &self.quarantine {
            write!(f, ", {} rejected (", self.n_bad())?;
            for (at, (reason, n)) in self.bad.iter().enumerate() {
                write!(f, "{}{reason} {n}", if at == 0 { "" } else { ", " })?;
            }
            write!(f, "), see {}", path.display())?;
        }
        Ok(())
    }
}
