//! The state of a table: one small file per generation, created once, never changed.
//!
//! Line one is JSON, line two its BLAKE3 digest.

use std::collections::BTreeMap;

use bytes::Bytes;
use foretaste_core::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};

use super::columns::Columns;

const FORMAT: u32 = 1;
/// Commits that a manifest remembers, so that a committer finds its own among later ones.
const RECENT: usize = 200;

/// How rows are divided over files by time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Grain {
    /// A partition for each day (UTC).
    Day,
    /// A partition for each month (UTC).
    Month,
}

/// The column of times by which a table is divided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Partitioning {
    /// Name of the column; whole numbers, milliseconds since 1970.
    pub column: String,
    /// How long a partition is.
    pub grain: Grain,
}

/// One immutable file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileMeta {
    /// Name below the folder of the table.
    pub path: String,
    /// Rows in it.
    pub rows: u64,
    /// Its size.
    pub bytes: u64,
    /// The partition it belongs to: first day as `YYYY-MM-DD`, or `YYYY-MM`; empty without one.
    pub partition: String,
    /// Smallest and largest time of its rows, where the table is divided by time.
    pub times: Option<(i64, i64)>,
}

/// A state of a table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Manifest {
    pub(crate) format: u32,
    pub(crate) generation: u64,
    /// The commits that led here, latest last.
    pub(crate) recent: Vec<String>,
    pub(crate) columns: Columns,
    pub(crate) partitioning: Option<Partitioning>,
    /// What its writers want to remember together with the rows.
    pub(crate) marks: BTreeMap<String, String>,
    pub(crate) files: Vec<FileMeta>,
}

impl Manifest {
    /// A table before its first commit.
    pub(crate) fn empty(partitioning: Option<Partitioning>) -> Self {
        Self {
            format: FORMAT,
            generation: 0,
            recent: Vec::new(),
            columns: Columns::default(),
            partitioning,
            marks: BTreeMap::new(),
            files: Vec::new(),
        }
    }

    /// The manifest that follows by the commit named `commit`.
    pub(crate) fn next(&self, commit: &str) -> Self {
        let mut next = self.clone();
        next.generation += 1;
        next.recent.push(commit.to_owned());
        next.recent.drain(..next.recent.len().saturating_sub(RECENT));
        next
    }

    /// Name of the manifest of a generation; ascending names are ascending generations.
    pub(crate) fn path(generation: u64) -> String {
        format!("manifest/{generation:020}")
    }

    pub(crate) fn to_bytes(&self) -> Result<Bytes> {
        let json = serde_json::to_string(self)
            .map_err(|e| Error::internal("manifest does not become JSON").with_source(e))?;
        let digest = blake3::hash(json.as_bytes()).to_hex();
        Ok(format!("{json}\n{digest}\n").into())
    }

    /// # Errors
    /// `Corrupt` when the digest differs, `Unsupported` when a newer version wrote it.
    pub(crate) fn from_bytes(bytes: &[u8], shown: &str) -> Result<Self> {
        let parsed = std::str::from_utf8(bytes).ok().and_then(|text| {
            let (json, digest) = text.split_once('\n')?;
            let intact = blake3::hash(json.as_bytes()).to_hex().as_str() == digest.trim_end();
            intact.then(|| serde_json::from_str::<serde_json::Value>(json).ok()).flatten()
        });
        let damaged = || Error::corrupt(format!("{shown} is damaged; restore it from a backup"));
        let value = parsed.ok_or_else(damaged)?;
        let format = value.get("format").and_then(serde_json::Value::as_u64);
        if format != Some(u64::from(FORMAT)) {
            let found = format.map_or_else(|| "none".to_owned(), |f| f.to_string());
            let text = format!("{shown} has format {found}, this build reads {FORMAT}; update it");
            return Err(Error::new(ErrorKind::Unsupported, text));
        }
        serde_json::from_value(value).map_err(|e| damaged().with_source(e))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damage_and_other_formats_are_told_apart() {
        let bytes = Manifest::empty(None).next("a").to_bytes().unwrap();
        let read = |bytes: &[u8]| Manifest::from_bytes(bytes, "m").map_err(|e| e.kind());
        assert_eq!(read(&bytes).unwrap().recent, ["a"]);
        for at in 0..bytes.len() - 1 {
            let mut damaged = bytes.to_vec();
            damaged[at] ^= 1;
            assert_eq!(read(&damaged), Err(ErrorKind::Corrupt), "byte {at}");
        }
        let newer = Manifest { format: 2, ..Manifest::empty(None) };
        assert_eq!(read(&newer.to_bytes().unwrap()), Err(ErrorKind::Unsupported));
    }

    #[test]
    fn a_manifest_remembers_a_bounded_number_of_commits() {
        let many = (0..300).fold(Manifest::empty(None), |m, n| m.next(&n.to_string()));
        assert_eq!((many.generation, many.recent.len()), (300, RECENT));
        assert_eq!(many.recent.last().unwrap(), "299");
    }
}
