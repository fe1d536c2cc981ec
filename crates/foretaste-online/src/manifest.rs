//! `CURRENT`: which file a set has now, and what the values in it are. One small file, replaced by
//! rename; line one is JSON, line two its BLAKE3 digest.

use std::io::Write;
use std::path::Path;

use foretaste_bundle::{FileEntry, sync_folder};
use foretaste_core::feature::{Class, Entity};
use foretaste_core::{Error, ErrorKind, Result, TimeMs};
use serde::{Deserialize, Serialize};

/// Version of the manifest and of the files that it names.
const FORMAT_VERSION: u32 = 1;
/// Name of the file.
pub(crate) const CURRENT: &str = "CURRENT";
/// Most bytes that are read of one: a set has some hundred columns at most.
const MOST_BYTES: u64 = 1 << 20;

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ColumnKind {
    /// Numbers; true and false are 1 and 0.
    Number,
    /// Texts, as codes into a dictionary.
    Text,
}

/// A column of a set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ColumnHead {
    /// Its name.
    pub name: String,
    /// What it holds.
    pub kind: ColumnKind,
}

/// What a file is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Content {
    /// Values of a feature set.
    Values {
        /// What a row is about.
        entity: Entity,
        /// How fast values change.
        class: Class,
        /// Columns without the keys.
        columns: Vec<ColumnHead>,
        /// Number of rows.
        rows: u64,
        /// Values that were no finite number and count as missing.
        not_finite: u64,
    },
    /// The last events of users, and the items that features of the moment look at.
    LastEvents {
        /// Kinds of events that are not things that a user did; they are left out.
        passive_kinds: Vec<String>,
        /// Number of users.
        users: u64,
        /// Number of events.
        events: u64,
    },
}

/// A file that was current until some time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Retired {
    /// Name within the folder of the set.
    pub name: String,
    /// When another one took its place.
    pub at_ms: TimeMs,
}

/// The present version of a set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// 1.
    pub format_version: u32,
    /// Name of the set.
    pub set: String,
    /// Names the values: the same ones of the same time and columns have the same version
    /// everywhere.
    pub version: String,
    /// The time that the values are computed for.
    pub as_of_ms: TimeMs,
    /// When the copy of the events that they are computed from began: what a user did and was
    /// erased before is not among them. 0 when not known.
    pub synced_ms: TimeMs,
    /// When they were published.
    pub published_ms: TimeMs,
    /// How old values may be, in seconds.
    pub ttl_s: u64,
    /// Digest of names and types of keys and columns where they were computed.
    pub schema_hash: String,
    /// Names what the values were made from: the same source gives the same file.
    pub source: String,
    /// What is in the file.
    pub content: Content,
    /// The file.
    pub file: FileEntry,
    /// Earlier files that somebody may still be reading.
    pub retired: Vec<Retired>,
}

impl Manifest {
    /// The format that this build writes.
    pub(crate) const FORMAT: u32 = FORMAT_VERSION;

    /// The version of values of one time with one schema in one file.
    pub(crate) fn version_of(as_of_ms: TimeMs, schema_hash: &str, file_blake3: &str) -> String {
        let digest = blake3::hash(format!("{schema_hash} {file_blake3}").as_bytes()).to_hex();
        format!("{:013}-{}", as_of_ms.max(0), &digest[..12])
    }

    /// The manifest in the folder of a set; `None` where there is none.
    ///
    /// # Errors
    /// `Corrupt` when it is damaged, `Unsupported` when a newer version wrote it, `Io` as the
    /// system says.
    pub fn read(folder: &Path) -> Result<Option<Self>> {
        let path = folder.join(CURRENT);
        let size = match fs_err::metadata(&path) {
            Ok(about) => about.len(),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(e.into()),
        };
        if size > MOST_BYTES {
            return Err(Error::corrupt(format!("{}: {size} bytes", path.display())));
        }
        match fs_err::read(&path) {
            Ok(bytes) => Self::parse(&bytes, &path).map(Some),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e.into()),
        }
    }

    fn parse(bytes: &[u8], path: &Path) -> Result<Self> {
        let damaged = || {
            let text = "is damaged; publish the set anew with `foretaste features publish`";
            Error::corrupt(format!("{}: {text}", path.display()))
        };
        let value = std::str::from_utf8(bytes).ok().and_then(|text| {
            let (json, digest) = text.split_once('\n')?;
            let intact = blake3::hash(json.as_bytes()).to_hex().as_str() == digest.trim_end();
            intact.then(|| serde_json::from_str::<serde_json::Value>(json).ok()).flatten()
        });
        let value = value.ok_or_else(damaged)?;
        let format = value.get("format_version").and_then(serde_json::Value::as_u64);
        if format != Some(u64::from(FORMAT_VERSION)) {
            let text = format!(
                "{}: format version {format:?}, this build reads {FORMAT_VERSION}",
                path.display()
            );
            return Err(Error::new(ErrorKind::Unsupported, text));
        }
        let manifest: Self = serde_json::from_value(value).map_err(|e| damaged().with_source(e))?;
        let is_plain = |name: &str| !name.is_empty() && !name.contains(['/', '\\']);
        let is_here = path.parent().and_then(Path::file_name).is_some_and(|f| *f == *manifest.set);
        if is_here && is_plain(&manifest.file.name) { Ok(manifest) } else { Err(damaged()) }
    }

    /// Makes this the manifest of the set in `folder`: a reader sees the one before or this one.
    pub(crate) fn write(&self, folder: &Path) -> Result<()> {
        let json = serde_json::to_string(self)
            .map_err(|e| Error::internal("a manifest does not become JSON").with_source(e))?;
        let digest = blake3::hash(json.as_bytes()).to_hex();
        let temporary = folder.join(format!("{TEMPORARY}{}", std::process::id()));
        let mut file = fs_err::File::create(&temporary)?;
        file.write_all(format!("{json}\n{digest}\n").as_bytes())?;
        file.sync_all()?;
        fs_err::rename(&temporary, folder.join(CURRENT))?;
        sync_folder(folder)
    }
}

/// Start of the names of files that are being written.
pub(crate) const TEMPORARY: &str = ".tmp-";
