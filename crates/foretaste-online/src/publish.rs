//! Publishing: a file under a temporary name, synced, renamed, and then named by the manifest.
//! Until the manifest is renamed readers have the values from before; whatever fails, they keep
//! them.

use std::fs::TryLockError;
use std::path::{Path, PathBuf};
use std::time::Duration;

use foretaste_bundle::{FileEntry, FileKind, Form, SectionWriter, sync_folder};
use foretaste_core::feature::Class;
use foretaste_core::{Error, ErrorKind, Result, TimeMs};

use crate::last_events::LastEventsDraft;
use crate::manifest::{CURRENT, Content, Manifest, Retired, TEMPORARY};
use crate::plan::MOMENT;
use crate::values::ValuesDraft;

const LOCK: &str = "LOCK";
/// For how long a file stays after another one took its place: readers look for a new one more
/// often.
const KEEP_MS: TimeMs = 3_600_000;

/// What values are, beside the rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// Name of the set: `a-z`, `0-9` and `_`.
    pub set: String,
    /// How fast values change.
    pub class: Class,
    /// How old values may be.
    pub ttl: Duration,
    /// The time that they are computed for.
    pub as_of_ms: TimeMs,
    /// When the copy of the events that they are computed from began; 0 when not known.
    pub synced_ms: TimeMs,
    /// Digest of names and types of keys and columns.
    pub schema_hash: String,
    /// Names what the values are made from.
    pub source: String,
}

/// What became of a set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// Its version now.
    pub version: String,
    /// Size of its file.
    pub bytes: u64,
    /// Rows, or events.
    pub rows: u64,
    /// Whether a file was written; else the one before has these values already.
    pub is_new: bool,
}

/// A folder of published sets, held for writing: of several publishers one goes first.
#[derive(Debug)]
pub struct Publisher {
    root: PathBuf,
    now_ms: TimeMs,
    form: Form,
    /// Held until the end.
    lock: fs_err::File,
}

impl Drop for Publisher {
    /// Closing alone would not do: a process that is being started has the open file, too, until it
    /// begins.
    fn drop(&mut self) {
        // What cannot be unlocked is unlocked by the end of the process.
        let _ = self.lock.file().unlock();
    }
}

impl Publisher {
    /// Holds the folder at `root`, which is made where there is none. `now_ms` is the present time.
    ///
    /// # Errors
    /// `Unavailable` while another process publishes there, `Io` as the system says.
    pub fn open(root: &Path, now_ms: TimeMs) -> Result<Self> {
        fs_err::create_dir_all(root)?;
        let options = fs_err::OpenOptions::new().create(true).truncate(false).write(true).clone();
        let lock = options.open(root.join(LOCK))?;
        match lock.file().try_lock() {
            Ok(()) => Ok(Self { root: root.to_owned(), now_ms, form: Form::Plain, lock }),
            Err(TryLockError::WouldBlock) => {
                let text = "is being published to by another process; try again when it is done";
                let text = format!("{}: {text}", root.display());
                Err(Error::new(ErrorKind::Unavailable, text))
            }
            Err(TryLockError::Error(e)) => {
                let text = format!("{}: the file {LOCK} cannot be locked", root.display());
                Err(Error::new(ErrorKind::Io, text).with_source(e))
            }
        }
    }

    /// Files get this form; that of others stays as it is until they are published again.
    #[must_use]
    pub fn with_form(mut self, form: Form) -> Self {
        self.form = form;
        self
    }

    /// The present version of a set; `None` where there is none that can be read.
    pub fn present(&self, set: &str) -> Option<Manifest> {
        Manifest::read(&self.root.join(set)).ok().flatten()
    }

    /// Publishes the values that the set has already as those of `head`, without writing them: they
    /// were made from the same source. `None` when they were not.
    ///
    /// # Errors
    /// As [`Publisher::values`].
    pub fn again(&self, head: &Head) -> Result<Option<Published>> {
        let folder = self.folder(&head.set)?;
        let Some(present) = self.present(&head.set) else { return Ok(None) };
        let is_same = present.source == head.source && present.schema_hash == head.schema_hash;
        if !is_same || !present.file.is_in(&folder) {
            return Ok(None);
        }
        let content = match present.content {
            Content::Values { entity, columns, rows, not_finite, .. } => {
                Content::Values { entity, class: head.class, columns, rows, not_finite }
            }
            content @ Content::LastEvents { .. } => content,
        };
        self.commit(head, (content, present.file), false).map(Some)
    }

    /// Publishes the values of a set.
    ///
    /// # Errors
    /// `Invalid` for a name that no set can have and for two rows of one entity, `Io` as the system
    /// says (a full disk among it). The values from before stay then.
    ///
    /// # Cost
    /// Sorts the rows; writes and reads the file once.
    pub fn values(&self, head: &Head, draft: &ValuesDraft) -> Result<Published> {
        let content = Content::Values {
            entity: draft.entity(),
            class: head.class,
            columns: draft.columns().to_vec(),
            rows: draft.len() as u64,
            not_finite: draft.not_finite(),
        };
        self.publish(head, content, (draft.file_kind(), &|out| draft.write(out)))
    }

    /// Publishes the last events of users under the name that features of the moment have; `head`
    /// says the rest.
    ///
    /// # Errors
    /// As [`Publisher::values`].
    pub fn last_events(&self, head: &Head, draft: &LastEventsDraft) -> Result<Published> {
        let content = draft.content();
        self.publish(head, content, (FileKind::LastEvents, &|out| draft.write(out)))
    }

    /// Takes back all sets but those named, and removes what was taken back an hour ago.
    ///
    /// # Errors
    /// `Io` as the system says.
    pub fn keep_only(&self, names: &[&str]) -> Result<Vec<String>> {
        let mut gone = Vec::new();
        for entry in fs_err::read_dir(&self.root)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if !entry.file_type()?.is_dir() || names.contains(&name.as_str()) || name == MOMENT {
                continue;
            }
            let (folder, current) = (entry.path(), entry.path().join(CURRENT));
            if current.exists() {
                fs_err::remove_file(current)?;
                sync_folder(&folder)?;
                gone.push(name);
            } else if fs_err::metadata(&folder)?
                .modified()?
                .elapsed()
                .is_ok_and(|age| age > Duration::from_millis(KEEP_MS as u64))
            {
                fs_err::remove_dir_all(&folder)?;
            }
        }
        gone.sort();
        Ok(gone)
    }

    fn folder(&self, set: &str) -> Result<PathBuf> {
        let is_fine = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        if set.is_empty() || set.len() > 63 || !set.chars().all(is_fine) {
            let text = format!("{set:?} is no name of a set: use a-z, 0-9 and _, at most 63");
            return Err(Error::invalid(text));
        }
        Ok(self.root.join(set))
    }

    fn publish(&self, head: &Head, content: Content, file: Write<'_>) -> Result<Published> {
        let folder = self.folder(&head.set)?;
        let published = fs_err::create_dir_all(&folder).map_err(Error::from).and_then(|()| {
            remove(&folder, |name| name.starts_with(TEMPORARY))?;
            let (entry, is_new) = written(&folder, file)?;
            self.commit(head, (content, entry), is_new)
        });
        published.map_err(|e| {
            // The error from before is the one to report.
            let _ = remove(&folder, |name| name.starts_with(TEMPORARY));
            let hint = if e.kind() == ErrorKind::Io { "; check free space" } else { "" };
            let set = &head.set;
            e.context(format!("publishing {set} to {} failed{hint}", self.root.display()))
        })
    }

    /// Names a file that is on disk, then removes what nobody reads any more.
    fn commit(
        &self,
        head: &Head,
        (content, file): (Content, FileEntry),
        is_new: bool,
    ) -> Result<Published> {
        let folder = self.root.join(&head.set);
        file.reform(&folder, self.form)?;
        let before = self.present(&head.set);
        let mut retired = before.as_ref().map(|b| b.retired.clone()).unwrap_or_default();
        if let Some(before) = before {
            retired.push(Retired { name: before.file.name, at_ms: self.now_ms });
        }
        retired.retain(|old| old.name != file.name && self.now_ms - old.at_ms < KEEP_MS);
        let rows = match &content {
            Content::Values { rows, .. } => *rows,
            Content::LastEvents { events, .. } => *events,
        };
        let manifest = Manifest {
            format_version: Manifest::FORMAT,
            set: head.set.clone(),
            version: Manifest::version_of(head.as_of_ms, &head.schema_hash, &file.blake3),
            as_of_ms: head.as_of_ms,
            synced_ms: head.synced_ms,
            published_ms: self.now_ms,
            ttl_s: head.ttl.as_secs(),
            schema_hash: head.schema_hash.clone(),
            source: head.source.clone(),
            content,
            file,
            retired,
        };
        manifest.write(&folder)?;
        let is_old = |name: &str| {
            let file = name.strip_suffix(FileEntry::PACKED).unwrap_or(name);
            let is_kept = file == manifest.file.name
                || manifest.retired.iter().any(|retired| retired.name == *file);
            file.ends_with(".bin") && !is_kept
        };
        // What cannot be removed now is removed the next time.
        let _ = remove(&folder, is_old);
        let (version, bytes) = (manifest.version, manifest.file.bytes);
        Ok(Published { version, bytes, rows, is_new })
    }
}

type Write<'a> = (FileKind, &'a dyn Fn(&mut SectionWriter) -> Result<()>);

/// Writes a file under the name of its digest, and says whether it was not there before.
fn written(folder: &Path, (kind, body): Write<'_>) -> Result<(FileEntry, bool)> {
    let temporary = folder.join(format!("{TEMPORARY}{}.bin", std::process::id()));
    let mut out = SectionWriter::create(&temporary, kind)?;
    body(&mut out)?;
    out.finish()?;
    let mut hasher = blake3::Hasher::new();
    let bytes = std::io::copy(&mut fs_err::File::open(&temporary)?, &mut hasher)?;
    let blake3 = hasher.finalize().to_hex().to_string();
    let entry = FileEntry { name: format!("{}.bin", &blake3[..16]), bytes, blake3 };
    let target = folder.join(&entry.name);
    let is_new = !target.exists();
    // One that is there may be damaged: the new one takes its place, and who has mapped the old one
    // keeps it.
    fs_err::rename(&temporary, &target)?;
    sync_folder(folder)?;
    Ok((entry, is_new))
}

/// Removes the files of a folder whose names are meant.
fn remove(folder: &Path, is_meant: impl Fn(&str) -> bool) -> Result<()> {
    for entry in fs_err::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name().to_str().is_some_and(&is_meant) {
            fs_err::remove_file(entry.path())?;
        }
    }
    Ok(())
}
