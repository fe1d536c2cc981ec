//! The list of segments that make up the lake: one small file, replaced as a whole.
//!
//! Line one is JSON, line two its BLAKE3 digest. A lake always has a manifest: segments without
//! one are damage, never an empty lake.

use std::path::Path;

use foretaste_core::{Error, ErrorKind, Result, TimeMs};
use serde::{Deserialize, Serialize};

use crate::durable;

/// Name of the manifest in the folder of the lake.
pub(crate) const FILE: &str = "MANIFEST";

const FORMAT: u32 = 1;

/// One immutable segment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentMeta {
    /// Name in the folder of the lake.
    pub file: String,
    /// Events in it.
    pub rows: u64,
    /// Its size.
    pub bytes: u64,
    /// BLAKE3 of its bytes, hexadecimal.
    pub blake3: String,
    /// Smallest and largest known time of its events.
    pub time_range: Option<(TimeMs, TimeMs)>,
    /// Kinds of its events.
    pub kinds: Vec<String>,
    /// Erasures up to this number are done in it, or do not concern it.
    pub erased_through: u64,
}

impl SegmentMeta {
    /// The name of the file without its ending.
    pub fn name(&self) -> &str {
        self.file.split('.').next().unwrap_or_default()
    }

    /// True when the segment may hold an event that happened at `since_ms` or later.
    pub fn reaches(&self, since_ms: TimeMs) -> bool {
        since_ms <= 0 || self.time_range.is_some_and(|(_, last)| last >= since_ms)
    }
}

/// One imported source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceMeta {
    /// What people call it.
    pub name: String,
    /// Its identity.
    pub digest: String,
    /// Events that came from it.
    pub rows: u64,
}

/// Up to where the log of events has been moved into the lake.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sealed {
    /// Number of the last log segment that is in the lake; 0 for none.
    pub log_segment: u64,
    /// Sequence number of the last event that is in the lake; 0 for none.
    pub seq: u64,
}

/// The state of the lake.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Manifest {
    pub(crate) format: u32,
    /// Grows by one with every commit.
    pub(crate) generation: u64,
    pub(crate) sealed: Sealed,
    pub(crate) segments: Vec<SegmentMeta>,
    pub(crate) sources: Vec<SourceMeta>,
}

impl Default for Manifest {
    fn default() -> Self {
        let (segments, sources) = (Vec::new(), Vec::new());
        Self { format: FORMAT, generation: 0, sealed: Sealed::default(), segments, sources }
    }
}

impl Manifest {
    /// The manifest of the lake in `dir`.
    ///
    /// # Errors
    /// `NotFound` when there is none, `Corrupt` when it fails its check, `Unsupported` when a
    /// newer version wrote it.
    pub(crate) fn load(dir: &Path) -> Result<Self> {
        let path = dir.join(FILE);
        let text = fs_err::read_to_string(&path)?;
        let parsed = text.split_once('\n').and_then(|(json, digest)| {
            let intact = blake3::hash(json.as_bytes()).to_hex().as_str() == digest.trim_end();
            intact.then(|| serde_json::from_str::<Self>(json).ok()).flatten()
        });
        let Some(manifest) = parsed else {
            let text = format!("{} is damaged; restore it from a backup", path.display());
            return Err(Error::corrupt(text));
        };
        if manifest.format != FORMAT {
            let (found, path) = (manifest.format, path.display());
            let text = format!("{path} has format {found}, this build reads {FORMAT}; update it");
            return Err(Error::new(ErrorKind::Unsupported, text));
        }
        Ok(manifest)
    }

    /// Makes this the manifest of the lake in `dir`, durably and in one step.
    pub(crate) fn store(&self, dir: &Path) -> Result<()> {
        let json = serde_json::to_string(self)
            .map_err(|e| Error::internal("manifest does not become JSON").with_source(e))?;
        let digest = blake3::hash(json.as_bytes()).to_hex();
        durable::replace(&dir.join(FILE), format!("{json}\n{digest}\n").as_bytes())
    }
}
