//! Bad rows: counted by reason, written down with line number and raw text, and limited in share.

use std::collections::BTreeMap;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use foretaste_core::{Error, Result};
use serde_json::json;

use crate::Reason;
use crate::cells::Stop;

/// Rows before the share of bad ones can end an import.
const MIN_ROWS: u64 = 1_000;
/// Bytes of a bad row that are written down.
const RAW_BYTES: usize = 4_096;

/// Watches over the rows of one file.
#[derive(Debug)]
pub struct Quarantine {
    path: PathBuf,
    max_bad_share: f64,
    file: Option<BufWriter<fs_err::File>>,
    rows: u64,
    bad: BTreeMap<Reason, u64>,
    consequence: &'static str,
}

impl Quarantine {
    /// Watches over a file; `path` is made when the first bad row comes.
    pub fn new(path: PathBuf, max_bad_share: f64) -> Self {
        let consequence = "nothing was imported";
        Self { path, max_bad_share, file: None, rows: 0, bad: BTreeMap::new(), consequence }
    }

    /// What people are told when too many rows were bad.
    pub fn consequence(self, consequence: &'static str) -> Self {
        Self { consequence, ..self }
    }

    /// Brings rejected rows to the disk.
    pub fn flush(&mut self) -> Result<()> {
        if let Some(file) = &mut self.file {
            file.flush()?;
        }
        Ok(())
    }

    /// Takes note of what became of a row.
    ///
    /// # Errors
    /// `Invalid` when too many rows are bad; whatever is fatal.
    pub fn settle(&mut self, line: u64, raw: &[u8], outcome: Result<(), Stop>) -> Result<()> {
        self.rows += 1;
        match outcome {
            Ok(()) => Ok(()),
            Err(Stop::Fatal(error)) => Err(error),
            Err(Stop::Row(reason)) => self.reject(line, raw, reason),
        }
    }

    /// Rows that were good without being looked at one by one.
    pub fn settle_good(&mut self, rows: u64) {
        self.rows += rows;
    }

    fn reject(&mut self, line: u64, raw: &[u8], reason: Reason) -> Result<()> {
        *self.bad.entry(reason).or_default() += 1;
        let shown = String::from_utf8_lossy(&raw[..raw.len().min(RAW_BYTES)]);
        let entry = json!({"line": line, "reason": reason.name(), "raw": shown});
        writeln!(self.file()?, "{entry}")?;
        let n_bad = self.n_bad();
        if self.rows >= MIN_ROWS && n_bad as f64 > self.max_bad_share * self.rows as f64 {
            return Err(self.too_many());
        }
        Ok(())
    }

    fn file(&mut self) -> Result<&mut BufWriter<fs_err::File>> {
        if self.file.is_none() {
            fs_err::create_dir_all(self.path.parent().unwrap_or(Path::new(".")))?;
            self.file = Some(BufWriter::new(fs_err::File::create(&self.path)?));
        }
        Ok(self.file.as_mut().expect("made above"))
    }

    /// The file is at its end.
    ///
    /// # Errors
    /// `Invalid` when there were rows and none was good.
    pub fn finish(&mut self) -> Result<()> {
        self.flush()?;
        let all_bad = self.rows > 0 && self.n_bad() == self.rows;
        if all_bad { Err(self.too_many()) } else { Ok(()) }
    }

    fn too_many(&mut self) -> Error {
        // The file is for people; that it could not be completed is not worth another error.
        let _ = self.file.as_mut().map(Write::flush);
        let mut reasons: Vec<_> = self.bad.iter().map(|(r, n)| (*n, r.name())).collect();
        reasons.sort_unstable_by(|a, b| b.cmp(a));
        let top: Vec<_> = reasons.iter().take(3).map(|(n, r)| format!("{r} {n}")).collect();
        Error::invalid(format!(
            "{} of {} rows are bad ({}), more than the limit of {}%; {}. See {} \
             and correct the file, the column mapping or the limit",
            self.n_bad(),
            self.rows,
            top.join(", "),
            self.max_bad_share * 100.0,
            self.consequence,
            self.path.display()
        ))
    }

    /// Rows so far.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Bad rows by reason.
    pub fn bad(&self) -> &BTreeMap<Reason, u64> {
        &self.bad
    }

    /// The file of rejected rows, if there is one.
    pub fn written(&self) -> Option<&Path> {
        self.file.as_ref().map(|_| self.path.as_path())
    }

    /// Rows that were rejected.
    pub fn n_bad(&self) -> u64 {
        self.bad.values().sum()
    }
}
