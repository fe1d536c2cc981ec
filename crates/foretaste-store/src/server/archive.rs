//! `foretaste archive`: old events from the tables into Parquet segments of the warm tier.
//!
//! A month of a run is announced, written from one state of the database, read back and compared,
//! put into the archive, and listed; only then, and if that is wanted, its events are deleted, some
//! at a time. A run that is cut off leaves at most a file that nobody lists, which the next one
//! removes. Of two runs the later one wins: each transaction asks whose turn it is.
//! `docs/decisions/0014-archive.md` says why it is as it is.

mod copy;
mod drain;
mod restore;
mod rewrite;

use std::hash::{BuildHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::time::Duration;

use foretaste_core::time::DAY_MS;
use foretaste_core::{Error, ErrorKind, EventBatch, Progress, Result, TimeMs};
use foretaste_lake::{OpenSegment, SegmentMeta, Shelf};
use sqlx::pool::PoolConnection;
use sqlx_core::any::Any;

use super::ServerStore;
use super::partitions::{self, Work, month_of, start_of};
use super::schema;
use super::snapshot::Snapshot;
use super::sql::{Arg, Changing, Database, number};
use super::warm::{Gone, Seat, Segment, Stage, Warm, all_segments, overtaken, place, segments_of};

/// Connections that a run has at once: its right, what it reads, and what it changes.
const CONNECTIONS: u32 = 3;

/// What a run does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArchiveOptions {
    /// Events of whole days (UTC) that are older are archived.
    pub older_than_days: u32,
    /// Delete from the tables what is in the archive.
    pub delete: bool,
    /// Events that one transaction deletes.
    pub delete_rows: usize,
    /// Where the first run makes the archive, unless [`super::ServerOptions::archive`] says it.
    pub folder: PathBuf,
}

impl ArchiveOptions {
    /// Those of the program: 90 days, nothing is deleted.
    pub fn new(folder: &Path) -> Self {
        Self { older_than_days: 90, delete: false, delete_rows: 1_000, folder: folder.to_owned() }
    }
}

/// What a run has done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ArchiveReport {
    /// Events before this moment were looked at.
    pub before_ms: TimeMs,
    /// Events that were written to new segments.
    pub copied: u64,
    /// Size of those segments.
    pub bytes: u64,
    /// Events that were deleted from the tables, because they are in the archive.
    pub deleted: u64,
    /// Events of the archive that were left out when segments were written anew: they had been
    /// erased or taken back.
    pub purged: u64,
    /// Segments that were written anew.
    pub rewritten: u64,
    /// Months of the table of events that were dropped, because they had become empty.
    pub months_dropped: u64,
}

/// A month that a run would look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArchiveMonth {
    /// Its first day.
    pub start_ms: TimeMs,
    /// Events in the table that are old enough.
    pub events: u64,
}

/// What lies in the archive.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ArchiveStatus {
    /// Its name; none when nothing has been archived.
    pub id: Option<String>,
    /// Where its files were when it was written last.
    pub folder: Option<PathBuf>,
    /// Files.
    pub segments: u64,
    /// Events in them.
    pub events: u64,
    /// Of these, events that are no longer in the table.
    pub moved: u64,
    /// Size of the files.
    pub bytes: u64,
    /// Smallest and largest time of their events.
    pub time_range: Option<(TimeMs, TimeMs)>,
    /// Users and single events that were erased since; their events go with the next run.
    pub erased: u64,
}

impl ServerStore {
    /// Moves old events to the archive; see `docs/archive.md`.
    ///
    /// # Errors
    /// `Unavailable` when the server or the archive is not there or another run is at work,
    /// `Conflict` when another run has taken over, `Corrupt` naming a file that is damaged, `Io`
    /// when the archive's disk refuses. In all cases each event is where it was or where it
    /// belongs, and the next run goes on.
    pub fn archive(
        &self,
        options: &ArchiveOptions,
        progress: &dyn Progress,
    ) -> Result<ArchiveReport> {
        self.database.wait(async {
            let mut run = Archiving::begin(self, options, progress).await?;
            if options.delete {
                run.drain_all().await?;
            }
            let mut at = 1;
            while let Some(range) = run.next_month(at).await? {
                let repeated = run.copy(range.clone()).await?;
                if options.delete {
                    run.drain_all().await?;
                    run.delete_repeated(&repeated).await?;
                }
                at = range.end;
            }
            run.rewrite_all().await?;
            if options.delete {
                let before = run.report.before_ms;
                let dropped = partitions::drop_empty(&self.database, before).await?;
                run.report.months_dropped = dropped;
            }
            Ok(run.report)
        })
    }

    /// What [`ServerStore::archive`] would look at, month by month; changes nothing. Events that
    /// are in the archive, but not deleted yet, count.
    ///
    /// # Errors
    /// `Unavailable` when the server is not there.
    ///
    /// # Cost
    /// A count of the old events of each month, by the primary key.
    pub fn archive_plan(&self, older_than_days: u32) -> Result<Vec<ArchiveMonth>> {
        self.database.wait(async {
            let before = before(&self.database, older_than_days).await?;
            let mut snapshot = Snapshot::now(&self.database).await?;
            let (mut months, mut at) = (Vec::new(), 1);
            while let Some(range) = next_month(&mut snapshot, at..before).await? {
                let sql = format!("SELECT count(*) {OLD}");
                let rows = snapshot.rows(&sql, old(&range)).await?;
                let events = number(&rows[0], 0)? as u64;
                months.push(ArchiveMonth { start_ms: range.start, events });
                at = range.end;
            }
            Ok(months)
        })
    }

    /// What lies in the archive; `verify` also reads every file.
    ///
    /// # Errors
    /// With `verify`: `Corrupt` naming a file that is damaged, `NotFound` one that is missing,
    /// `Unavailable` when the archive is not there.
    pub fn archive_status(&self, verify: bool) -> Result<ArchiveStatus> {
        let warm = self.database.wait(async {
            let mut snapshot = Snapshot::now(&self.database).await?;
            Warm::of(snapshot.dialect, &mut snapshot.connection).await
        })?;
        let is_listed = |segment: &Segment| segment.meta.is_some();
        if verify {
            let files = warm.open(self.options.archive.as_deref(), is_listed)?;
            files.iter().try_for_each(|(_, file)| file.check())?;
        }
        let metas = || warm.segments.iter().filter_map(|segment| segment.meta.as_ref());
        let ranges = metas().filter_map(|meta| meta.time_range);
        let seat = warm.seat.as_ref();
        Ok(ArchiveStatus {
            id: seat.map(|seat| seat.id.clone()),
            folder: seat.map(|seat| seat.folder.clone()),
            segments: metas().count() as u64,
            events: metas().map(|meta| meta.rows).sum(),
            moved: warm.segments.iter().map(|segment| segment.moved).sum(),
            bytes: metas().map(|meta| meta.bytes).sum(),
            time_range: ranges.reduce(|a, b| (a.0.min(b.0), a.1.max(b.1))),
            erased: warm.gone.len() as u64,
        })
    }
}

/// One run, which holds the right to archive.
struct Archiving<'a> {
    database: &'a Database,
    options: &'a ArchiveOptions,
    progress: &'a dyn Progress,
    shelf: Shelf,
    /// Its number; a later one has taken over when the database knows another.
    run: i64,
    /// Segments that it has begun.
    begun: u32,
    report: ArchiveReport,
    _alone: PoolConnection<Any>,
}

impl<'a> Archiving<'a> {
    async fn begin(
        store: &'a ServerStore,
        options: &'a ArchiveOptions,
        progress: &'a dyn Progress,
    ) -> Result<Self> {
        let database = &*store.database;
        let connections = store.options.connections;
        if connections < CONNECTIONS {
            let text = format!(
                "`store.connections` is {connections}; archiving needs {CONNECTIONS} at a time"
            );
            return Err(Error::new(ErrorKind::Config, text));
        }
        schema::prepare_archive(database).await?;
        let alone = partitions::lock(database, Work::Archive).await?;
        let configured = store.options.archive.as_deref();
        let folder = std::path::absolute(configured.unwrap_or(&options.folder))?;
        let start = async |changing: &mut Changing<'_>| start(changing, &folder).await;
        let (run, seat, is_new) = database.transaction(start).await?;
        let shelf = if is_new {
            Shelf::create(&seat.folder.join(&seat.id), &seat.id)?
        } else {
            seat.shelf(configured)?
        };
        let before_ms = before(database, options.older_than_days).await?;
        let report = ArchiveReport { before_ms, ..ArchiveReport::default() };
        let run = Self { database, options, progress, shelf, run, begun: 0, report, _alone: alone };
        if let Some(folder) = configured {
            run.move_seat(&std::path::absolute(folder)?).await?;
        }
        run.clear().await?;
        Ok(run)
    }

    /// Notes where the files are now.
    async fn move_seat(&self, folder: &Path) -> Result<()> {
        let note = async |changing: &mut Changing<'_>| {
            self.own(changing).await?;
            let sql = "UPDATE foretaste_archive SET value = ? WHERE name = 'folder'";
            changing.run(sql, vec![Arg::text(&folder.to_string_lossy())]).await.map(drop)
        };
        self.database.transaction(note).await
    }

    /// Removes files that no segment has.
    async fn clear(&self) -> Result<()> {
        let segments = self.segments().await?;
        let metas: Vec<&SegmentMeta> = segments.iter().filter_map(|s| s.meta.as_ref()).collect();
        let listed = |file: &str| metas.iter().any(|meta| meta.file == file);
        self.shelf.clear(&listed).map(drop)
    }

    /// Fails when another run has begun.
    async fn own(&self, changing: &mut Changing<'_>) -> Result<()> {
        let sql = "SELECT value FROM foretaste_meta WHERE name = 'archive' AND value = ?";
        let rows = changing.rows(sql, vec![self.run.into()]).await?;
        if rows.is_empty() { Err(overtaken()) } else { Ok(()) }
    }

    async fn segments(&self) -> Result<Vec<Segment>> {
        let mut snapshot = Snapshot::now(self.database).await?;
        segments_of(&snapshot.rows(&all_segments(), Vec::new()).await?)
    }

    async fn next_month(&self, from: TimeMs) -> Result<Option<std::ops::Range<TimeMs>>> {
        let mut snapshot = Snapshot::now(self.database).await?;
        next_month(&mut snapshot, from..self.report.before_ms).await
    }

    /// A segment that is about to be written.
    fn announce(&mut self, range: std::ops::Range<TimeMs>) -> Segment {
        self.begun += 1;
        let name = format!("{:06}-{:04}", self.run, self.begun);
        let (stage, clean_seq, through, moved) = (Stage::Announced, 0, None, 0);
        Segment { name, stage, range, clean_seq, through, moved, meta: None }
    }

    /// The file of a listed segment.
    fn file(&self, segment: &Segment) -> Result<OpenSegment> {
        let early = || Error::internal("a segment that is being written was opened");
        self.shelf.segment(segment.meta.as_ref().ok_or_else(early)?)
    }
}

/// Begins a run: what earlier ones have announced and not finished will not come. Says the run's
/// number, where the archive is, and whether there is nothing in it yet.
async fn start(changing: &mut Changing<'_>, folder: &Path) -> Result<(i64, Seat, bool)> {
    changing
        .run("UPDATE foretaste_meta SET value = value + 1 WHERE name = 'archive'", Vec::new())
        .await?;
    let sql = "SELECT value FROM foretaste_meta WHERE name = 'archive'";
    let run = number(&changing.rows(sql, Vec::new()).await?[0], 0)?;
    let sql = "DELETE FROM foretaste_segments WHERE stage = ?";
    changing.run(sql, vec![Stage::Announced.number().into()]).await?;
    let is_new = changing.rows(&all_segments(), Vec::new()).await?.is_empty();
    let seat = match Seat::of(&changing.rows(Seat::ALL, Vec::new()).await?)? {
        Some(seat) if !is_new => seat,
        known => {
            changing.run("DELETE FROM foretaste_archive", Vec::new()).await?;
            let id = known.map_or_else(new_id, |seat| seat.id);
            let place = folder.to_string_lossy();
            let rows = [("id", &*id), ("folder", &*place)];
            let rows = rows.map(|(name, value)| vec![Arg::text(name), Arg::text(value)]).to_vec();
            changing.insert("foretaste_archive (name, value)", "", rows).await?;
            Seat { id, folder: folder.to_owned() }
        }
    };
    Ok((run, seat, is_new))
}

fn new_id() -> String {
    let random = || std::collections::hash_map::RandomState::new().hash_one("archive");
    format!("archive-{:016x}", random())
}

/// Moves the place up to which `segment` counts. Gives those events of a batch of it, among
/// `range`, that have not been erased since it was written; `None` when there is no such segment
/// any more.
async fn moved(
    changing: &mut Changing<'_>,
    segment: &Segment,
    (batch, range): (&EventBatch, std::ops::Range<usize>),
) -> Result<Option<Vec<usize>>> {
    if !segment.moves(changing).await? {
        return Ok(None);
    }
    let gone = Gone::since(changing, segment.clean_seq).await?;
    let lives = |&i: &usize| {
        let user = batch.users.get(batch.user[i]);
        gone.spares(user, place(batch, i), segment.clean_seq)
    };
    Ok(Some(range.filter(lives).collect()))
}

/// Events that may be archived: their time is known.
const OLD: &str = "FROM foretaste_events WHERE time_ms >= ? AND time_ms < ?";

/// The parameters of [`OLD`].
fn old(range: &std::ops::Range<TimeMs>) -> Vec<Arg> {
    vec![range.start.into(), range.end.into()]
}

/// The part of `range` that lies in the first month with such events.
async fn next_month(
    snapshot: &mut Snapshot,
    range: std::ops::Range<TimeMs>,
) -> Result<Option<std::ops::Range<TimeMs>>> {
    let sql = format!("SELECT time_ms {OLD} ORDER BY time_ms LIMIT 1");
    let rows = snapshot.rows(&sql, old(&range)).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    let month = month_of(number(row, 0)?);
    let start = start_of(month).max(range.start);
    Ok(Some(start..start_of(month + 1).min(range.end)))
}

/// The first moment that is too young to be archived.
async fn before(database: &Database, days: u32) -> Result<TimeMs> {
    let today = partitions::now_ms(database).await?.div_euclid(DAY_MS);
    Ok((today - i64::from(days)) * DAY_MS)
}

/// Count and digest of events in their order.
#[derive(Clone, Debug, Default)]
struct Checksum {
    events: u64,
    digest: std::collections::hash_map::DefaultHasher,
}

impl Checksum {
    fn add(&mut self, batch: &EventBatch) {
        for i in 0..batch.len() {
            let event = batch.get(i);
            let what = (event.user, event.item, event.kind, event.value.to_bits());
            (what, event.time_ms, event.context, batch.key[i]).hash(&mut self.digest);
        }
        self.events += batch.len() as u64;
    }

    fn sum(&self) -> (u64, u64) {
        (self.events, self.digest.finish())
    }
}

/// Whether a transaction that failed may be tried again.
fn is_passing(error: &Error) -> bool {
    error.kind() == ErrorKind::Unavailable
}

/// How long to leave the server to others after `work`.
fn pause(work: Duration) -> Duration {
    work.clamp(Duration::from_millis(1), Duration::from_secs(1))
}
