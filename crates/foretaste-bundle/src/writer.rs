//! Writing a bundle: files into a temporary folder, all synced, then one rename.
//!
//! The bytes follow from the contents alone (no time of day, no thread order), and so does the
//! id, which ends in a digest of all files: writing the same contents twice is one bundle.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use foretaste_core::{Error, Matrix, NoProgress, Progress, Result};

use crate::channel::{
    Graph, LoadedIals, LoadedItemItem, LoadedLowRank, LoadedUserUser, scaled_rows,
};
use crate::contents::{BundleContents, Channel, ChannelModel};
use crate::format::{FORMAT_VERSION, FileKind, SectionWriter, read_only};
use crate::histories::Histories;
use crate::items::ItemTable;
use crate::kinds::Kinds;
use crate::manifest::{ChannelEntry, Counts, FileEntry, MANIFEST, Manifest, SEAL};
use crate::popularity::{LoadedPopularity, Segments};
use crate::reader::Bundle;
use crate::registry::{BundleId, sync_folder};
use crate::text::IdIndex;

/// Start of the names of folders that are being written; the writer's pid follows.
const TEMPORARY: &str = ".tmp-";

pub(crate) const ITEMS: &str = "items.bin";
pub(crate) const USERS: &str = "users.bin";
pub(crate) const HISTORIES: &str = "histories.bin";
pub(crate) const POPULARITY: &str = "popularity.bin";
pub(crate) const SEGMENTS: &str = "segments.bin";
/// Left out where kinds are not known; readers of earlier builds pass over it.
pub(crate) const KINDS: &str = "kinds.bin";

/// Writes a bundle below `root` and returns its id; it is not made current.
///
/// # Errors
/// `Invalid` when the contents contradict each other (lengths, double ids), `Io` as the system
/// says. On any error nothing is left but a temporary folder, which the next write removes.
pub fn write(root: &Path, contents: &BundleContents) -> Result<BundleId> {
    write_watched(root, contents, &NoProgress)
}

/// As [`write()`]; says how far the building of graphs has come.
///
/// # Errors
/// As [`write()`].
pub fn write_watched(
    root: &Path,
    contents: &BundleContents,
    progress: &dyn Progress,
) -> Result<BundleId> {
    contents.check()?;
    fs_err::create_dir_all(root)?;
    remove_leftovers(root)?;
    let temporary = root.join(temporary_name());
    fs_err::create_dir(&temporary)?;
    let written = write_files(&temporary, contents, progress);
    let outcome = written.and_then(|id| publish(root, &temporary, id));
    if outcome.is_err() {
        // The first error is the one to report.
        let _ = fs_err::remove_dir_all(&temporary);
    }
    outcome
}

/// A name that no other write has, in this process or another.
pub(crate) fn temporary_name() -> String {
    static WRITES: AtomicU64 = AtomicU64::new(0);
    format!("{TEMPORARY}{}-{}", std::process::id(), WRITES.fetch_add(1, Ordering::Relaxed))
}

/// Removes temporary folders and files of processes that no longer run.
pub(crate) fn remove_leftovers(root: &Path) -> Result<()> {
    for entry in fs_err::read_dir(root)? {
        let entry = entry?;
        let name = entry.file_name();
        let pid = name.to_str().and_then(|n| n.strip_prefix(TEMPORARY)?.split('-').next());
        if pid.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            match entry.file_type()?.is_dir() {
                true => fs_err::remove_dir_all(entry.path())?,
                false => fs_err::remove_file(entry.path())?,
            }
        }
    }
    Ok(())
}

fn write_files(
    folder: &Path,
    contents: &BundleContents,
    progress: &dyn Progress,
) -> Result<BundleId> {
    let put = |name: &str, kind, body: &dyn Fn(&mut SectionWriter) -> Result<()>| {
        let mut out = SectionWriter::create(&folder.join(name), kind)?;
        body(&mut out)?;
        out.finish()
    };
    put(ITEMS, FileKind::Items, &|out| ItemTable::write(out, &contents.items))?;
    put(USERS, FileKind::Users, &|out| IdIndex::write(out, &contents.users))?;
    put(HISTORIES, FileKind::Histories, &|out| Histories::write(out, &contents.histories))?;
    put(POPULARITY, FileKind::Popularity, &|out| {
        LoadedPopularity::write(out, &contents.popularity)
    })?;
    put(SEGMENTS, FileKind::Segments, &|out| Segments::write(out, &contents.segments))?;
    let mut names: Vec<String> =
        [ITEMS, USERS, HISTORIES, POPULARITY, SEGMENTS].map(str::to_owned).into();
    let kinds = &contents.histories.kinds;
    if !kinds.names.is_empty() {
        put(KINDS, FileKind::Kinds, &|out| Kinds::write(out, kinds))?;
        names.push(KINDS.to_owned());
    }
    let mut channels = Vec::new();
    for (at, channel) in contents.channels.iter().enumerate() {
        let entry = channel_entry(at, channel);
        let kind = entry.file_kind()?;
        put(&entry.file, kind, &|out| write_channel(out, &channel.model))?;
        names.push(entry.file.clone());
        if let Some(vectors) = output_vectors(&channel.model).filter(|v| contents.graphs.wants(v)) {
            let name = graph_file(&entry.file);
            let settings = (&contents.graphs, progress);
            put(&name, FileKind::Graph, &|out| Graph::write(out, &vectors, settings))?;
            names.push(name);
        }
        channels.push(entry);
    }
    let files = names.iter().map(|n| file_entry(folder, n)).collect::<Result<Vec<_>>>()?;
    write_manifest(folder, contents, (channels, files))
}

fn channel_entry(at: usize, channel: &Channel) -> ChannelEntry {
    let kind = match channel.model {
        ChannelModel::ItemItem(_) => "item_item",
        ChannelModel::Content(_) => "content",
        ChannelModel::LowRank(_) => "low_rank",
        ChannelModel::Ials(_) => "ials",
        ChannelModel::UserUser(_) => "user_user",
    };
    ChannelEntry {
        name: channel.name.clone(),
        kind: kind.to_owned(),
        scale: channel.scale,
        weight: channel.weight,
        file: format!("channel-{at:02}.bin"),
    }
}

/// The file with the graph over the vectors of a channel's file; missing where there is none.
pub(crate) fn graph_file(channel_file: &str) -> String {
    format!("graph-of-{channel_file}")
}

/// The vectors that searches of a model read.
fn output_vectors(model: &ChannelModel) -> Option<Matrix> {
    match model {
        ChannelModel::LowRank(m) => Some(scaled_rows(&m.items, &m.output_scale)),
        ChannelModel::Ials(m) => Some(scaled_rows(&m.items, &m.output_scale)),
        ChannelModel::ItemItem(_) | ChannelModel::Content(_) | ChannelModel::UserUser(_) => None,
    }
}

fn write_channel(out: &mut SectionWriter, model: &ChannelModel) -> Result<()> {
    match model {
        ChannelModel::ItemItem(m) | ChannelModel::Content(m) => LoadedItemItem::write(out, m),
        ChannelModel::LowRank(m) => LoadedLowRank::write(out, m),
        ChannelModel::Ials(m) => LoadedIals::write(out, m),
        ChannelModel::UserUser(m) => LoadedUserUser::write(out, m),
    }
}

fn file_entry(folder: &Path, name: &str) -> Result<FileEntry> {
    let mut file = fs_err::File::open(folder.join(name))?;
    let mut hasher = blake3::Hasher::new();
    let bytes = std::io::copy(&mut file, &mut hasher)?;
    Ok(FileEntry { name: name.to_owned(), bytes, blake3: hasher.finalize().to_hex().to_string() })
}

fn write_manifest(
    folder: &Path,
    contents: &BundleContents,
    (channels, files): (Vec<ChannelEntry>, Vec<FileEntry>),
) -> Result<BundleId> {
    let head = &contents.manifest;
    let mut manifest = Manifest {
        format_version: FORMAT_VERSION,
        id: String::new(),
        profile: head.profile.clone(),
        seed: head.seed,
        as_of_ms: head.as_of_ms,
        window_ms: head.window,
        counts: Counts {
            items: contents.items.len() as u64,
            users: contents.users.len() as u64,
            events: head.n_events,
            interactions: contents.histories.matrix.nnz() as u64,
        },
        config_hash: head.config_hash.clone(),
        config: head.config.clone(),
        quality: head.quality.clone(),
        channels,
        files,
    };
    let text = |m: &Manifest| {
        serde_json::to_vec_pretty(m)
            .map_err(|e| Error::internal("a manifest could not be written as JSON").with_source(e))
    };
    // The digest of the manifest without its id covers all files through their digests.
    let digest = blake3::hash(&text(&manifest)?).to_hex();
    let seconds = head.as_of_ms.max(0) / 1000;
    let id = BundleId::new(&format!("{seconds:011}-{}", &digest[..12]))?;
    manifest.id = id.to_string();
    let text = text(&manifest)?;
    let seal = blake3::hash(&text).to_hex().to_string();
    for (name, bytes) in [(MANIFEST, text.as_slice()), (SEAL, seal.as_bytes())] {
        let path = folder.join(name);
        fs_err::write(&path, bytes)?;
        fs_err::File::open(&path)?.sync_all()?;
        read_only(&path)?;
    }
    sync_folder(folder)?;
    Ok(id)
}

fn publish(root: &Path, temporary: &Path, id: BundleId) -> Result<BundleId> {
    let target: PathBuf = root.join(id.as_str());
    if target.exists() {
        if Bundle::open(root, &id).is_ok() {
            // The same contents were written before.
            fs_err::remove_dir_all(temporary)?;
            return Ok(id);
        }
        // A damaged bundle of the same contents makes room for a whole one.
        let aside = root.join(temporary_name());
        fs_err::rename(&target, &aside)?;
        fs_err::rename(temporary, &target)?;
        fs_err::remove_dir_all(aside)?;
        sync_folder(root)?;
        return Ok(id);
    }
    fs_err::rename(temporary, &target)?;
    sync_folder(root)?;
    Ok(id)
}
