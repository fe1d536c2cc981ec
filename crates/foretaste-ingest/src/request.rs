//! What the caller asks for: which file, how it is laid out, what to do about bad rows.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use foretaste_core::{Error, Result};

/// How a file is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// Comma-separated, or with the delimiter of the request.
    Csv,
    /// Tab-separated.
    Tsv,
    /// One JSON object a line.
    Jsonl,
    /// Parquet.
    Parquet,
    /// A file or folder of MovieLens (100k, 1M, or the CSV releases).
    MovieLens,
    /// `user item item ...` a line, separated by blanks.
    Lists,
}

/// What the rows of a file are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Entity {
    /// Behaviour.
    Events,
    /// The catalogue of items.
    Items,
    /// The catalogue of users.
    Users,
}

/// Which column holds which field: `user=uid,item=sku,time=ts`. In files without a header, the
/// right side is a 1-based column number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mapping {
    /// Pairs of field and column.
    pub pairs: Vec<(String, String)>,
}

/// One import.
#[derive(Clone, Debug)]
pub struct ImportRequest {
    /// A file, or a folder that a generator or MovieLens wrote.
    pub path: PathBuf,
    /// `None`: found out from name and content.
    pub format: Option<Format>,
    /// `None`: events, unless the columns say otherwise.
    pub entity: Option<Entity>,
    /// Columns that are not named as expected.
    pub mapping: Mapping,
    /// `None`: found out from the first line.
    pub delimiter: Option<u8>,
    /// Whether the first line names the columns; `None`: found out.
    pub header: Option<bool>,
    /// Kind of events without a kind. `None`: `rating` with a rating column, else `interaction`.
    pub kind: Option<String>,
    /// Folder for rejected rows.
    pub quarantine: PathBuf,
    /// The import is given up when more than this share of at least 1,000 rows is bad.
    pub max_bad_share: f64,
    /// Import although the same file was imported before.
    pub again: bool,
}

impl ImportRequest {
    /// A request with everything found out from the file.
    pub fn new(path: impl Into<PathBuf>, quarantine: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            format: None,
            entity: None,
            mapping: Mapping::default(),
            delimiter: None,
            header: None,
            kind: None,
            quarantine: quarantine.into(),
            max_bad_share: 0.01,
            again: false,
        }
    }
}

impl FromStr for Format {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Ok(match text {
            "csv" => Self::Csv,
            "tsv" => Self::Tsv,
            "jsonl" | "ndjson" => Self::Jsonl,
            "parquet" => Self::Parquet,
            "movielens" => Self::MovieLens,
            "lists" => Self::Lists,
            _ => {
                let known = "csv, tsv, jsonl, parquet, movielens or lists";
                return Err(Error::invalid(format!("format {text:?} is unknown; use {known}")));
            }
        })
    }
}

impl FromStr for Entity {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "events" => Ok(Self::Events),
            "items" => Ok(Self::Items),
            "users" => Ok(Self::Users),
            _ => Err(Error::invalid(format!("entity {text:?}: use events, items or users"))),
        }
    }
}

impl fmt::Display for Entity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Events => "events",
            Self::Items => "items",
            Self::Users => "users",
        })
    }
}

impl FromStr for Mapping {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let pair = |part: &str| match part.split_once('=') {
            Some((field, column)) if !field.trim().is_empty() && !column.trim().is_empty() => {
                Ok((field.trim().to_owned(), column.trim().to_owned()))
            }
            _ => Err(Error::invalid(format!("mapping {part:?} must be field=column"))),
        };
        let parts = text.split(',').filter(|p| !p.trim().is_empty());
        Ok(Self { pairs: parts.map(pair).collect::<Result<_>>()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mappings_are_pairs() {
        let mapping: Mapping = "user=uid, item=sku".parse().unwrap();
        let own = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        assert_eq!(mapping.pairs, [own("user", "uid"), own("item", "sku")]);
        for bad in ["user", "user=", "=x"] {
            assert!(bad.parse::<Mapping>().is_err());
        }
        assert!("xml".parse::<Format>().is_err() && "things".parse::<Entity>().is_err());
    }
}
