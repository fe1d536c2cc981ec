//! From a plan (which file, which layout) to rows in a collector.

use std::path::PathBuf;

use foretaste_core::{Progress, Result};

use crate::cells::Collector;
use crate::delimited::Delimited;
use crate::input::Meter;
use crate::quarantine::Quarantine;
use crate::{Entity, columnar, delimited, jsonl};

/// One file to import.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Where it is.
    pub path: PathBuf,
    /// What it holds.
    pub entity: Entity,
    /// How it is laid out.
    pub layout: Layout,
    /// A file of tags for its items.
    pub tags: Option<PathBuf>,
}

/// How to read a file, with everything found out.
#[derive(Clone, Debug)]
pub enum Layout {
    /// Cells between separators.
    Delimited(Delimited),
    /// Objects with (at least) these keys.
    Jsonl(Vec<String>),
    /// Columns of Parquet.
    Parquet,
    /// Parquet as Foretaste writes it.
    Native,
    /// `user item item ...`.
    Lists,
}

/// What accompanies the reading of a file.
pub struct Journey<'a> {
    /// The file.
    pub plan: &'a Plan,
    /// Counts and limits bad rows.
    pub quarantine: &'a mut Quarantine,
    /// Bytes read.
    pub meter: &'a Meter,
    /// Who looks.
    pub progress: &'a dyn Progress,
}

impl Plan {
    /// Name for people.
    pub fn name(&self) -> String {
        let name = self.path.file_name().unwrap_or(self.path.as_os_str());
        name.to_string_lossy().into_owned()
    }

    /// What beside the bytes decides about the rows.
    pub fn settings(&self) -> String {
        format!("{:?} {:?}", self.entity, self.layout)
    }
}

impl Journey<'_> {
    /// Reads the rows of every layout that has named columns.
    pub fn rows(&mut self, collector: &mut dyn Collector) -> Result<()> {
        match &self.plan.layout {
            Layout::Delimited(how) => delimited::read(how, self, collector),
            Layout::Jsonl(names) => jsonl::read(names, self, collector),
            Layout::Parquet | Layout::Native | Layout::Lists => columnar::read(self, collector),
        }
    }
}
