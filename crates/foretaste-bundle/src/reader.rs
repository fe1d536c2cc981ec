//! Opening a bundle: everything is checked before anything is served from it.

use std::path::Path;
use std::sync::Arc;

use foretaste_core::{Error, ErrorKind, ItemIdx, Result, TimeMs, UserIdx};
use rayon::prelude::{IntoParallelRefIterator, ParallelIterator};

use crate::channel::LoadedChannel;
use crate::format::{FileKind, SectionReader};
use crate::histories::Histories;
use crate::items::ItemTable;
use crate::kinds::Kinds;
use crate::manifest::{FileEntry, MANIFEST, Manifest, SEAL};
use crate::mmap::MappedFile;
use crate::packed::{self, packed_path};
use crate::packing::Form;
use crate::popularity::{LoadedPopularity, PopularityView, Segments};
use crate::registry::BundleId;
use crate::text::IdIndex;
use crate::writer::{HISTORIES, ITEMS, KINDS, POPULARITY, SEGMENTS, USERS, graph_file};

/// An opened bundle: immutable, mapped, checked.
#[derive(Debug)]
pub struct Bundle {
    id: BundleId,
    manifest: Manifest,
    items: ItemTable,
    users: IdIndex,
    histories: Histories,
    kinds: Option<Kinds>,
    popularity: LoadedPopularity,
    segments: Segments,
    channels: Vec<LoadedChannel>,
}

impl Bundle {
    /// Opens and checks the bundle `id` below `root`: sizes, digests, index ranges, floats.
    ///
    /// # Errors
    /// `NotFound` without the bundle, `Unsupported` for another format version, `Corrupt` naming
    /// the file, what was expected and what was found.
    ///
    /// # Cost
    /// One pass over all files, on all threads of the current rayon pool.
    pub fn open(root: &Path, id: &BundleId) -> Result<Self> {
        let folder = root.join(id.as_str());
        let manifest = checked_manifest(&folder, id)?;
        let files = manifest.files.par_iter().map(|f| Ok((f.name.clone(), f.open(&folder)?)));
        let files: Files = Files(files.collect::<Result<Vec<_>>>()?);
        Self::assemble(id.clone(), manifest, &files)
    }

    fn assemble(id: BundleId, manifest: Manifest, files: &Files) -> Result<Self> {
        let mut users_file = files.reader(USERS, FileKind::Users)?;
        let users = IdIndex::read(&mut users_file)?;
        users_file.finish()?;
        let items = ItemTable::read(files.reader(ITEMS, FileKind::Items)?)?;
        let n = items.len();
        let counts = manifest.counts;
        if (counts.items, counts.users) != (n as u64, users.len() as u64) {
            return Err(Error::corrupt(format!("{id}/{MANIFEST}: counts do not match the files")));
        }
        let histories = files.reader(HISTORIES, FileKind::Histories)?;
        let histories = Histories::read(histories, users.len(), n)?;
        let kinds = match files.has(KINDS) {
            true => Some(Kinds::read(files.reader(KINDS, FileKind::Kinds)?, histories.len())?),
            false => None,
        };
        let channels = manifest.channels.par_iter().map(|entry| {
            let input = files.reader(&entry.file, entry.file_kind()?)?;
            let mut channel = LoadedChannel::read(entry, input, &histories)?;
            let graph = graph_file(&entry.file);
            if files.has(&graph) {
                channel.attach(files.reader(&graph, FileKind::Graph)?)?;
            }
            Ok(channel)
        });
        let channels = channels.collect::<Result<Vec<_>>>()?;
        let popularity =
            LoadedPopularity::read(files.reader(POPULARITY, FileKind::Popularity)?, n)?;
        let segments = Segments::read(files.reader(SEGMENTS, FileKind::Segments)?, n)?;
        Ok(Self { id, manifest, items, users, histories, kinds, popularity, segments, channels })
    }

    /// The bundle's id.
    pub fn id(&self) -> &BundleId {
        &self.id
    }

    /// What the bundle is.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Number of items.
    pub fn n_items(&self) -> usize {
        self.items.len()
    }

    /// Number of users.
    pub fn n_users(&self) -> usize {
        self.users.len()
    }

    /// The catalogue.
    pub fn items(&self) -> &ItemTable {
        &self.items
    }

    /// The users' ids.
    pub fn users(&self) -> &IdIndex {
        &self.users
    }

    /// Items, weights and last times of a user, ascending by item.
    pub fn history(&self, user: UserIdx) -> (&[ItemIdx], &[f32], &[TimeMs]) {
        self.histories.of_user(user)
    }

    /// The items with which a user did something of the given kinds ("order"), ascending, and the
    /// last time of anything that the user did with each. None where the bundle does not know
    /// kinds (format 1 before kinds were kept, or histories made by hand).
    pub fn history_of_kinds(
        &self,
        user: UserIdx,
        kinds: &[String],
    ) -> impl Iterator<Item = (ItemIdx, TimeMs)> {
        let (items, _, times) = self.history(user);
        let start = self.histories.start_of(user);
        let mask = self.kinds.as_ref().map_or(0, |known| known.mask(kinds));
        let has = move |at: usize| self.kinds.as_ref().is_some_and(|k| k.has(start + at, mask));
        let some = if mask == 0 { 0..0 } else { 0..items.len() };
        some.filter(move |&at| has(at)).map(|at| (items[at], times[at]))
    }

    /// All histories and their transpose.
    pub fn histories(&self) -> &Histories {
        &self.histories
    }

    /// Activity per item at the bundle's as-of time.
    pub fn popularity(&self) -> PopularityView<'_> {
        self.popularity.view()
    }

    /// Popular items, with strengths, among users with the attribute `key` (`name=value`).
    pub fn segment(&self, key: &str) -> Option<(&[ItemIdx], &[f32])> {
        self.segments.get(key)
    }

    /// The recall channels.
    pub fn channels(&self) -> &[LoadedChannel] {
        &self.channels
    }
}

struct Files(Vec<(String, Arc<MappedFile>)>);

impl Files {
    fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(n, _)| n == name)
    }

    fn reader(&self, name: &str, kind: FileKind) -> Result<SectionReader> {
        let found = self.0.iter().find(|(n, _)| n == name);
        let (_, file) =
            found.ok_or_else(|| Error::corrupt(format!("{MANIFEST}: does not list {name}")))?;
        SectionReader::new(file.clone(), name, kind)
    }
}

/// The manifest of the bundle `id` in `folder`.
///
/// # Errors
/// As [`Bundle::open`], before it comes to the files.
pub(crate) fn checked_manifest(folder: &Path, id: &BundleId) -> Result<Manifest> {
    let missing = || Error::not_found(format!("bundle {id}: {}", folder.display()));
    let is_folder = fs_err::symlink_metadata(folder).map_err(|_| missing())?.is_dir();
    if !is_folder {
        return Err(Error::corrupt(format!("{}: is no folder", folder.display())));
    }
    let file = MappedFile::open(&folder.join(MANIFEST))?;
    check_seal(folder, file.bytes())?;
    Manifest::parse(file.bytes(), id.as_str())
}

fn check_seal(folder: &Path, manifest: &[u8]) -> Result<()> {
    let seal = MappedFile::open(&folder.join(SEAL))?;
    let digest = blake3::hash(manifest).to_hex();
    if seal.bytes() == digest.as_bytes() {
        return Ok(());
    }
    let text = format!("{}: {MANIFEST} does not have the digest in {SEAL}", folder.display());
    Err(Error::corrupt(text))
}

impl FileEntry {
    /// Maps the file in `folder`, or unpacks its packed form into memory, and checks that it is the
    /// one that was written.
    ///
    /// # Errors
    /// `NotFound` or `Io` as the system says, `Corrupt` for another size or digest, `Exhausted`
    /// without memory to unpack into.
    ///
    /// # Cost
    /// One pass over its bytes; for a packed one see decision 0015.
    pub fn open(&self, folder: &Path) -> Result<Arc<MappedFile>> {
        let plain = folder.join(&self.name);
        let is_missing = |e: &Error| e.kind() == ErrorKind::NotFound;
        let file = match self.open_as(Form::Plain, &plain) {
            Err(e) if is_missing(&e) => match self.open_as(Form::Packed, &packed_path(&plain)) {
                // It may just have been unpacked; else the plain one is the one to name.
                Err(e) if is_missing(&e) => self.open_as(Form::Plain, &plain),
                packed => packed,
            },
            plain => plain,
        };
        file.map(Arc::new)
    }

    /// The file at `path`, which has this form.
    pub(crate) fn open_as(&self, form: Form, path: &Path) -> Result<MappedFile> {
        let file = match form {
            Form::Plain => MappedFile::open(path)?,
            Form::Packed => packed::read(path, self.bytes)?,
        };
        let found = file.bytes().len() as u64;
        if found != self.bytes {
            let text = format!("{}: {found} bytes, expected {}", path.display(), self.bytes);
            return Err(Error::corrupt(text));
        }
        let digest = blake3::hash(file.bytes()).to_hex();
        if digest.as_str() != self.blake3 {
            let text = format!("{}: BLAKE3 is {digest}, expected {}", path.display(), self.blake3);
            return Err(Error::corrupt(text));
        }
        Ok(file)
    }
}
