//! `manifest.json`: what a bundle is, and the size and digest of each of its files.

use foretaste_core::{Error, ErrorKind, Result, TimeMs};
use serde::{Deserialize, Serialize};

use crate::format::{FORMAT_VERSION, FileKind};

/// Name of the file with the BLAKE3 of the manifest, hex: the root of all other digests.
pub(crate) const SEAL: &str = "SEAL";
/// Name of the manifest's file.
pub const MANIFEST: &str = "manifest.json";

/// The manifest as it is stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Version of the format of all files.
    pub format_version: u32,
    /// The bundle's id.
    pub id: String,
    /// `fast`, `accurate`, or a name of the operator's own.
    pub profile: String,
    /// Seed of everything random.
    pub seed: u64,
    /// The newest moment that the data speak of, in ms; 0 when events have no times.
    pub as_of_ms: TimeMs,
    /// First and last time of the events used, in ms.
    pub window_ms: (TimeMs, TimeMs),
    /// Counts of what the bundle was built from.
    pub counts: Counts,
    /// Digest of the settings, hex.
    pub config_hash: String,
    /// The settings in force.
    pub config: serde_json::Value,
    /// How the weights were learned and what was measured then.
    pub quality: serde_json::Value,
    /// Channels in their order.
    pub channels: Vec<ChannelEntry>,
    /// All other files.
    pub files: Vec<FileEntry>,
}

/// How much a bundle holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Counts {
    /// Items of the catalogue.
    pub items: u64,
    /// Users with a history.
    pub users: u64,
    /// Events used.
    pub events: u64,
    /// Distinct (user, item) pairs.
    pub interactions: u64,
}

/// One channel.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChannelEntry {
    /// Name, unique in the bundle.
    pub name: String,
    /// `item_item`, `content`, `low_rank`, `ials` or `user_user`.
    pub kind: String,
    /// Root mean square of the raw scores.
    pub scale: f32,
    /// Learned weight.
    pub weight: f32,
    /// Name of its file.
    pub file: String,
}

impl ChannelEntry {
    /// The kind of its file.
    ///
    /// # Errors
    /// `Unsupported` for a kind that this build does not know.
    pub(crate) fn file_kind(&self) -> Result<FileKind> {
        match self.kind.as_str() {
            "item_item" => Ok(FileKind::ItemItem),
            "content" => Ok(FileKind::Content),
            "low_rank" => Ok(FileKind::LowRank),
            "ials" => Ok(FileKind::Ials),
            "user_user" => Ok(FileKind::UserUser),
            other => {
                let text = format!("channel {}: unknown kind `{other}`", self.name);
                Err(Error::new(ErrorKind::Unsupported, text))
            }
        }
    }
}

/// One file, and how to tell that it is whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileEntry {
    /// Name within the folder.
    pub name: String,
    /// Size in bytes.
    pub bytes: u64,
    /// BLAKE3 of the content, hex.
    pub blake3: String,
}

impl Manifest {
    /// Parses and checks what does not need the files.
    ///
    /// # Errors
    /// `Unsupported` for another format version, `Corrupt` for anything else.
    pub(crate) fn parse(text: &[u8], id: &str) -> Result<Self> {
        #[derive(Deserialize)]
        struct Version {
            format_version: u32,
        }
        let corrupt =
            |e: serde_json::Error| Error::corrupt(format!("{id}/{MANIFEST}")).with_source(e);
        let Version { format_version } = serde_json::from_slice(text).map_err(corrupt)?;
        if format_version != FORMAT_VERSION {
            let text = format!(
                "{id}/{MANIFEST}: format version {format_version}, this build reads \
                 {FORMAT_VERSION}; train again with this version or serve with the other one"
            );
            return Err(Error::new(ErrorKind::Unsupported, text));
        }
        let manifest: Self = serde_json::from_slice(text).map_err(corrupt)?;
        manifest.check(id)?;
        Ok(manifest)
    }

    fn check(&self, id: &str) -> Result<()> {
        let bad = |text: String| Err(Error::corrupt(format!("{id}/{MANIFEST}: {text}")));
        if self.id != id {
            return bad(format!("is the manifest of bundle {}", self.id));
        }
        let mut names: Vec<&str> = self.files.iter().map(|f| f.name.as_str()).collect();
        names.sort_unstable();
        let unique = names.windows(2).all(|w| w[0] != w[1]);
        if !unique || names.iter().any(|n| !crate::registry::is_plain_name(n)) {
            return bad("file names are not plain and distinct".to_owned());
        }
        let mut channels: Vec<&str> = self.channels.iter().map(|c| c.name.as_str()).collect();
        channels.sort_unstable();
        if channels.windows(2).any(|w| w[0] == w[1]) {
            return bad("two channels have one name".to_owned());
        }
        for channel in &self.channels {
            let good = channel.scale.is_finite() && channel.scale > 0.0;
            if !good || !channel.weight.is_finite() || channel.weight < 0.0 {
                return bad(format!("channel {} has an impossible scale or weight", channel.name));
            }
        }
        Ok(())
    }
}
