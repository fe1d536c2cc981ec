//! The folder of segments: opening, committing, reading.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use foretaste_core::{Error, ErrorKind, EventBatch, Result, TimeMs};

use crate::columns::Columns;
use crate::durable::sync_dir;
use crate::group::GroupWriter;
use crate::manifest::{self, Manifest, Sealed, SourceMeta};
use crate::segment::{EXTENSION, FinishedSegment, SegmentWriter, TEMPORARY};
use crate::snapshot::LakeSnapshot;

/// How often opening begins anew because a commit has replaced segments under it.
const SNAPSHOT_ATTEMPTS: usize = 100;

/// A lake in a folder. One process opens it for writing; who may is for the caller to arrange.
#[derive(Debug)]
pub struct Lake {
    dir: PathBuf,
    access: Access,
    next_id: AtomicU64,
    commits: Mutex<()>,
    opened: Mutex<Option<Arc<LakeSnapshot>>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Access {
    Write,
    Read,
}

/// What changes together with the segments of a commit.
#[derive(Clone, Debug, Default)]
pub struct CommitNote {
    /// The source that the segments come from; a second commit of it is refused.
    pub source: Option<SourceMeta>,
    /// The log is now contained in the lake up to here.
    pub sealed: Option<Sealed>,
    /// Erasures that are done in the new segments, or do not concern them.
    pub erased_through: u64,
    /// Files of segments that the new ones replace.
    pub replaces: Vec<String>,
    /// Files of segments that stay and in which the same erasures are done, too.
    pub cleared: Vec<String>,
}

/// How much the lake holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LakeStats {
    /// Number of segments.
    pub segments: usize,
    /// Events in them.
    pub rows: u64,
    /// Their size.
    pub bytes: u64,
    /// Smallest and largest known time.
    pub time_range: Option<(TimeMs, TimeMs)>,
    /// All kinds of events, ascending.
    pub kinds: Vec<String>,
    /// Up to where the log is contained.
    pub sealed: Sealed,
    /// What has been imported.
    pub sources: Vec<SourceMeta>,
}

impl Lake {
    /// Opens the lake in `dir` for writing; creates it when there is none, and removes what an
    /// interrupted commit left behind.
    ///
    /// # Errors
    /// `Corrupt` when there are segments but no manifest, or a manifest that fails its check.
    pub fn open(dir: &Path) -> Result<Self> {
        fs_err::create_dir_all(dir)?;
        let found = names(dir)?;
        if !found.iter().any(|name| name == manifest::FILE) {
            if let Some(segment) = found.iter().find(|name| has_extension(name, EXTENSION)) {
                return Err(Error::corrupt(format!(
                    "{} holds {segment} but no {}; restore it from a backup, or move the segments \
                     away to start anew",
                    dir.display(),
                    manifest::FILE
                )));
            }
            Manifest::default().store(dir)?;
        }
        remove_orphans(dir, &Manifest::load(dir)?, &found)?;
        let ids = found.iter().filter_map(|name| name.split('.').next()?.parse::<u64>().ok());
        let next_id = ids.max().map_or(1, |id| id + 1);
        Ok(Self::new(dir, Access::Write, next_id))
    }

    /// Opens the lake in `dir` for reading, beside a process that may be writing.
    ///
    /// # Errors
    /// `NotFound` when there is no lake, `Corrupt` when its manifest fails its check.
    pub fn open_reader(dir: &Path) -> Result<Self> {
        Manifest::load(dir)?;
        Ok(Self::new(dir, Access::Read, 0))
    }

    fn new(dir: &Path, access: Access, next_id: u64) -> Self {
        let (commits, opened) = (Mutex::new(()), Mutex::new(None));
        Self { dir: dir.to_owned(), access, next_id: AtomicU64::new(next_id), commits, opened }
    }

    /// Starts a segment. Several may be written at the same time.
    ///
    /// # Errors
    /// `Conflict` when the lake is open for reading only.
    pub fn writer(&self) -> Result<SegmentWriter> {
        SegmentWriter::create(self.next_path()?)
    }

    /// A segment of the events of `batch`, which becomes one row group.
    ///
    /// # Errors
    /// As [`Lake::writer`], and `Io`.
    ///
    /// # Cost
    /// Half of what a [`SegmentWriter`] takes, which numbers all ids anew, and the memory of the
    /// batch's numbers and of one encoded column.
    pub fn write_at_once(
        &self,
        batch: &EventBatch,
        group: &mut GroupWriter,
    ) -> Result<FinishedSegment> {
        SegmentWriter::at_once(self.next_path()?, batch, group)
    }

    fn next_path(&self) -> Result<PathBuf> {
        self.check_writable()?;
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        Ok(self.dir.join(format!("{id:08}.{EXTENSION}")))
    }

    /// Makes `segments` part of the lake, and `note` part of its state, in one durable step:
    /// after a crash everything of it is there, or nothing.
    ///
    /// # Errors
    /// `Conflict` when the note's source has been committed before; `Io`. Nothing has changed then.
    pub fn commit(&self, segments: Vec<FinishedSegment>, note: CommitNote) -> Result<()> {
        self.check_writable()?;
        let _one_at_a_time = lock(&self.commits);
        let mut manifest = Manifest::load(&self.dir)?;
        if let Some(source) = &note.source {
            refuse_second(&manifest, source)?;
        }
        manifest.segments.retain(|segment| !note.replaces.contains(&segment.file));
        let cleared = manifest.segments.iter_mut().filter(|s| note.cleared.contains(&s.file));
        cleared.for_each(|segment| segment.erased_through = note.erased_through);
        for segment in segments.into_iter().filter(|s| s.meta().rows > 0) {
            manifest.segments.push(segment.publish(note.erased_through)?);
        }
        sync_dir(&self.dir)?;
        manifest.generation += 1;
        manifest.sources.extend(note.source);
        manifest.sealed = note.sealed.unwrap_or(manifest.sealed);
        manifest.store(&self.dir)?;
        lock(&self.opened).take();
        for replaced in &note.replaces {
            // The commit is done; a file that stays is an orphan for the next opening.
            let _ = fs_err::remove_file(self.dir.join(replaced));
        }
        Ok(())
    }

    /// The present state, fixed for as long as it is held.
    ///
    /// # Errors
    /// `Corrupt` when the manifest fails its check or names a segment that is not there.
    pub fn snapshot(&self) -> Result<Arc<LakeSnapshot>> {
        let mut gone = None;
        for _ in 0..SNAPSHOT_ATTEMPTS {
            let manifest = Manifest::load(&self.dir)?;
            let mut opened = lock(&self.opened);
            if let Some(snapshot) = opened.as_ref().filter(|s| is_of(s, &manifest)) {
                return Ok(Arc::clone(snapshot));
            }
            match LakeSnapshot::open(&self.dir, &manifest) {
                Ok(snapshot) => {
                    let snapshot = Arc::new(snapshot);
                    *opened = Some(Arc::clone(&snapshot));
                    return Ok(snapshot);
                }
                Err(e) if e.kind() != ErrorKind::NotFound => return Err(e),
                Err(e) if gone == Some(manifest.generation) => {
                    let text = format!("{} names a segment that is gone", manifest::FILE);
                    return Err(Error::corrupt(text).with_source(e));
                }
                // A commit has replaced it meanwhile, or it is lost: the next look decides.
                Err(_) => gone = Some(manifest.generation),
            }
        }
        let text = format!("{} changes faster than it can be opened", self.dir.display());
        Err(Error::new(ErrorKind::Unavailable, text))
    }

    /// Streams all events; see [`LakeSnapshot::read`].
    pub fn read(
        &self,
        columns: Columns,
        sink: &mut dyn FnMut(EventBatch) -> Result<()>,
    ) -> Result<()> {
        self.snapshot()?.read(columns, &|_| true, &mut |_, batch| sink(batch))
    }

    /// How much the lake holds.
    pub fn stats(&self) -> Result<LakeStats> {
        let manifest = Manifest::load(&self.dir)?;
        let segments = &manifest.segments;
        let times = || segments.iter().filter_map(|s| s.time_range);
        let kinds: HashSet<&String> = segments.iter().flat_map(|s| &s.kinds).collect();
        let mut kinds: Vec<String> = kinds.into_iter().cloned().collect();
        kinds.sort_unstable();
        Ok(LakeStats {
            segments: segments.len(),
            rows: segments.iter().map(|s| s.rows).sum(),
            bytes: segments.iter().map(|s| s.bytes).sum(),
            time_range: times().reduce(|a, b| (a.0.min(b.0), a.1.max(b.1))),
            kinds,
            sealed: manifest.sealed,
            sources: manifest.sources,
        })
    }

    /// True when a source of this digest has been committed.
    pub fn has_source(&self, digest: &str) -> Result<bool> {
        Ok(Manifest::load(&self.dir)?.sources.iter().any(|source| source.digest == digest))
    }

    /// True when the segment in `file` has been committed and not been replaced since.
    pub fn has_segment(&self, file: &str) -> Result<bool> {
        Ok(Manifest::load(&self.dir)?.segments.iter().any(|segment| segment.file == file))
    }

    fn check_writable(&self) -> Result<()> {
        if self.access == Access::Write {
            return Ok(());
        }
        let text = format!("{} is open for reading only", self.dir.display());
        Err(Error::new(ErrorKind::Conflict, text))
    }
}

fn is_of(snapshot: &LakeSnapshot, manifest: &Manifest) -> bool {
    snapshot.generation() == manifest.generation
}

fn refuse_second(manifest: &Manifest, source: &SourceMeta) -> Result<()> {
    if manifest.sources.iter().all(|known| known.digest != source.digest) {
        return Ok(());
    }
    let text = format!("{} has been imported before; nothing to do", source.name);
    Err(Error::new(ErrorKind::Conflict, text))
}

fn names(dir: &Path) -> Result<Vec<String>> {
    let entries = fs_err::read_dir(dir)?;
    entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
}

fn has_extension(name: &str, extension: &str) -> bool {
    Path::new(name).extension().is_some_and(|e| e == extension)
}

fn remove_orphans(dir: &Path, manifest: &Manifest, found: &[String]) -> Result<()> {
    let known: HashSet<&str> = manifest.segments.iter().map(|s| s.file.as_str()).collect();
    let is_orphan = |name: &&String| {
        has_extension(name, TEMPORARY)
            || has_extension(name, EXTENSION) && !known.contains(name.as_str())
    };
    found.iter().filter(is_orphan).try_for_each(|name| Ok(fs_err::remove_file(dir.join(name))?))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
