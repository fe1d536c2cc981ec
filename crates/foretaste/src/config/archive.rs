//! `[archive]`: where old events of a store on a server go.

use std::path::PathBuf;

use foretaste_core::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};

/// `[archive]`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ArchiveSection {
    /// Folder of the files; empty: where they were written last, else DIR/archive.
    pub folder: String,
    /// Age at which events go there.
    pub older_than_days: u32,
    /// Whether they are deleted from the tables then.
    pub delete: bool,
    /// Events that one transaction deletes.
    pub delete_rows: usize,
}

impl ArchiveSection {
    /// Checks that the settings make sense.
    ///
    /// # Errors
    /// `Config` naming the key.
    pub fn check(&self) -> Result<()> {
        let bounds = [
            ("older_than_days", u64::from(self.older_than_days), 1, 36_500),
            ("delete_rows", self.delete_rows as u64, 1, 10_000),
        ];
        match bounds.into_iter().find(|(_, value, least, most)| !(least..=most).contains(&value)) {
            None => Ok(()),
            Some((key, value, least, most)) => {
                let text =
                    format!("`archive.{key}` is {value}; it must be within {least} and {most}");
                Err(Error::new(ErrorKind::Config, text))
            }
        }
    }

    /// Where the files are here, if that is said.
    pub fn folder(&self) -> Option<PathBuf> {
        (!self.folder.is_empty()).then(|| PathBuf::from(&self.folder))
    }
}
