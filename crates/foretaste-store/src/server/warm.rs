//! The warm tier: events that `foretaste archive` has moved from the tables into Parquet segments.
//!
//! A row of `foretaste_segments` says up to which place (time and key) the events of a segment have
//! left the table of events. Moving that place and deleting the events is one transaction, so in
//! every state of the database each event is here or there, and a reader of one state sees each
//! once. What is erased or taken back later is noted beside the segments until they are written
//! anew.

mod merge;

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::path::{Path, PathBuf};

use foretaste_core::{Error, ErrorKind, EventBatch, Result, TimeMs};
use foretaste_lake::{OpenSegment, SegmentMeta, Shelf};
use sqlx::Row;
use sqlx_core::any::{AnyConnection, AnyRow};

use super::catalogue::of_json;
use super::failure::failure;
use super::sql::{Arg, Changing, Dialect, marks, maybe_text, number, rows, text};
pub(super) use merge::{Cursor, Merge, View};

/// The version of the tables once there is a warm tier; before that they are of version 1.
pub(super) const VERSION: i64 = 2;

/// Gives a row where there is a warm tier.
pub(super) const HAS_ARCHIVE: &str =
    "SELECT value FROM foretaste_meta WHERE name = 'version' AND value > 1";

/// Users that one statement names.
const USERS_AT_ONCE: usize = 5_000;

/// Time and key of an event, as the database compares them.
pub(super) type Place = (TimeMs, i64);

/// How far a segment is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Being written: only what happens to its events from now on is noted.
    Announced,
    /// Complete; its events are being moved, or wait for it.
    Copied,
    /// All its events have been moved.
    Moved,
}

impl Stage {
    pub(super) fn number(self) -> i64 {
        match self {
            Self::Announced => 0,
            Self::Copied => 1,
            Self::Moved => 2,
        }
    }
}

/// A row of `foretaste_segments`.
#[derive(Clone, Debug)]
pub(super) struct Segment {
    pub(super) name: String,
    pub(super) stage: Stage,
    /// Times of its events.
    pub(super) range: Range<TimeMs>,
    /// What was erased or taken back with a higher number concerns its events.
    pub(super) clean_seq: i64,
    /// Up to here its events have left the table; `None`: none has.
    pub(super) through: Option<Place>,
    /// How many those are.
    pub(super) moved: u64,
    /// The file; none while it is announced.
    pub(super) meta: Option<SegmentMeta>,
}

impl Segment {
    const COLUMNS: &str = "name, stage, first_ms, end_ms, clean_seq, through_ms, through_key, \
                           moved, record";

    fn of(row: &AnyRow) -> Result<Self> {
        let stage = match number(row, 1)? {
            0 => Stage::Announced,
            1 => Stage::Copied,
            _ => Stage::Moved,
        };
        let maybe = |at| -> Result<Option<i64>> { row.try_get(at).map_err(failure) };
        let record = maybe_text(row, 8)?;
        Ok(Self {
            name: text(row, 0)?,
            stage,
            range: number(row, 2)?..number(row, 3)?,
            clean_seq: number(row, 4)?,
            through: maybe(5)?.zip(maybe(6)?),
            moved: number(row, 7)? as u64,
            meta: record.map(|record| of_json(&record)).transpose()?,
        })
    }

    /// The values of [`Segment::COLUMNS`].
    pub(super) fn row(&self) -> Result<Vec<Arg>> {
        let record = self.meta.as_ref().map(super::catalogue::json).transpose()?;
        Ok(vec![
            Arg::text(&self.name),
            self.stage.number().into(),
            self.range.start.into(),
            self.range.end.into(),
            self.clean_seq.into(),
            Arg::Number(self.through.map(|(time, _)| time)),
            Arg::Number(self.through.map(|(_, key)| key)),
            (self.moved as i64).into(),
            Arg::Text(record),
        ])
    }

    /// Adds the row.
    pub(super) async fn list(&self, changing: &mut Changing<'_>) -> Result<()> {
        let target = format!("foretaste_segments ({})", Self::COLUMNS);
        changing.insert(&target, "", vec![self.row()?]).await
    }
}

impl Segment {
    /// Stores how far it is; false when there is no such segment that is being moved.
    pub(super) async fn moves(&self, changing: &mut Changing<'_>) -> Result<bool> {
        let (time, key) = self.through.unzip();
        let sql = "UPDATE foretaste_segments SET stage = ?, through_ms = ?, through_key = ?, \
                   moved = ? WHERE name = ? AND stage > 0";
        let stage = self.stage.number();
        let args = vec![
            stage.into(),
            Arg::Number(time),
            Arg::Number(key),
            (self.moved as i64).into(),
            Arg::text(&self.name),
        ];
        Ok(changing.run(sql, args).await? == 1)
    }
}

/// All segments, oldest events first.
pub(super) fn segments_of(rows: &[AnyRow]) -> Result<Vec<Segment>> {
    rows.iter().map(Segment::of).collect()
}

/// The statement that gives them.
pub(super) fn all_segments() -> String {
    let columns = Segment::COLUMNS;
    format!("SELECT {columns} FROM foretaste_segments ORDER BY first_ms, name")
}

/// What has been erased or taken back since segments were written.
#[derive(Debug, Default)]
pub(super) struct Gone {
    users: HashMap<String, i64>,
    events: HashMap<Place, i64>,
}

impl Gone {
    pub(super) const USERS: &str = "SELECT user_id, seq FROM foretaste_erased WHERE seq > ?";
    pub(super) const EVENTS: &str =
        "SELECT time_ms, event_key, seq FROM foretaste_retracted WHERE seq > ?";

    pub(super) fn of(users: &[AnyRow], events: &[AnyRow]) -> Result<Self> {
        let user = |row| Ok((text(row, 0)?, number(row, 1)?));
        let event = |row| Ok(((number(row, 0)?, number(row, 1)?), number(row, 2)?));
        let users = users.iter().map(user).collect::<Result<_>>()?;
        Ok(Self { users, events: events.iter().map(event).collect::<Result<_>>()? })
    }

    /// As a transaction sees it, of numbers above `seq`.
    pub(super) async fn since(changing: &mut Changing<'_>, seq: i64) -> Result<Self> {
        let users = changing.rows(Self::USERS, vec![seq.into()]).await?;
        Self::of(&users, &changing.rows(Self::EVENTS, vec![seq.into()]).await?)
    }

    /// For each event of a segment, whether it still counts.
    pub(super) fn alive(&self, batch: &EventBatch, clean_seq: i64) -> Vec<bool> {
        if self.is_empty() {
            return vec![true; batch.len()];
        }
        let erased = |user| self.erased(user).is_some_and(|seq| seq > clean_seq);
        let users: Vec<bool> = batch.users.iter().map(erased).collect();
        let retracted = |i| self.retracted(place(batch, i), clean_seq);
        (0..batch.len()).map(|i| !users[batch.user[i] as usize] && !retracted(i)).collect()
    }

    /// Whether one event of a segment still counts.
    pub(super) fn spares(&self, user: &str, place: Place, clean_seq: i64) -> bool {
        let erased = self.erased(user).is_some_and(|seq| seq > clean_seq);
        !erased && !self.retracted(place, clean_seq)
    }

    /// The number under which a user was erased last.
    pub(super) fn erased(&self, user: &str) -> Option<i64> {
        self.users.get(user).copied()
    }

    fn retracted(&self, place: Place, clean_seq: i64) -> bool {
        self.events.get(&place).is_some_and(|&seq| seq > clean_seq)
    }

    /// Users and single events.
    pub(super) fn len(&self) -> usize {
        self.users.len() + self.events.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.users.is_empty() && self.events.is_empty()
    }
}

/// The place of event `i`.
pub(super) fn place(batch: &EventBatch, i: usize) -> Place {
    (batch.time_ms[i], batch.key[i] as i64)
}

/// The warm tier in one state of the database.
pub(super) struct Warm {
    pub(super) segments: Vec<Segment>,
    pub(super) gone: Gone,
    /// Where the files were when the archive was last written; none before that.
    pub(super) seat: Option<Seat>,
}

/// Which archive it is, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seat {
    pub(super) id: String,
    pub(super) folder: PathBuf,
}

impl Seat {
    pub(super) const ALL: &str = "SELECT name, value FROM foretaste_archive";

    pub(super) fn of(rows: &[AnyRow]) -> Result<Option<Self>> {
        let (mut id, mut folder) = (None, None);
        for row in rows {
            match text(row, 0)?.as_str() {
                "id" => id = Some(text(row, 1)?),
                _ => folder = Some(PathBuf::from(text(row, 1)?)),
            }
        }
        Ok(id.zip(folder).map(|(id, folder)| Self { id, folder }))
    }

    /// Its files; `configured` tells where this process finds them.
    pub(super) fn shelf(&self, configured: Option<&Path>) -> Result<Shelf> {
        let folder = configured.unwrap_or(&self.folder);
        Shelf::open(&folder.join(&self.id), &self.id).map_err(|e| {
            e.context(format!(
                "older events lie in the archive {} (last written in {}), which is not to be had \
                 here; mount its folder or say in `archive.folder` where it is",
                self.id,
                self.folder.display()
            ))
        })
    }
}

impl Warm {
    /// The warm tier as a transaction sees it.
    pub(super) async fn of(dialect: Dialect, connection: &mut AnyConnection) -> Result<Self> {
        let mut look = async |sql: &str, args| rows(dialect, connection, sql, args).await;
        if look(HAS_ARCHIVE, Vec::new()).await?.is_empty() {
            return Ok(Self { segments: Vec::new(), gone: Gone::default(), seat: None });
        }
        let segments = segments_of(&look(&all_segments(), Vec::new()).await?)?;
        let users = look(Gone::USERS, vec![i64::MIN.into()]).await?;
        let events = look(Gone::EVENTS, vec![i64::MIN.into()]).await?;
        let seat = Seat::of(&look(Seat::ALL, Vec::new()).await?)?;
        Ok(Self { segments, gone: Gone::of(&users, &events)?, seat })
    }

    /// Opens the files of those segments.
    ///
    /// # Errors
    /// `Unavailable` when the archive is not there, `NotFound` when one of its files is not.
    pub(super) fn open(
        &self,
        configured: Option<&Path>,
        wanted: impl Fn(&Segment) -> bool,
    ) -> Result<Vec<(Segment, OpenSegment)>> {
        let wanted: Vec<&Segment> = self.segments.iter().filter(|s| wanted(s)).collect();
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        let lost =
            || Error::corrupt("the table foretaste_archive does not say where the archive is");
        let shelf = self.seat.as_ref().ok_or_else(lost)?.shelf(configured)?;
        let open = |segment: &Segment| {
            let meta = segment.meta.as_ref();
            let meta = meta.ok_or_else(|| Error::internal("a segment was opened too early"))?;
            Ok((segment.clone(), shelf.segment(meta)?))
        };
        wanted.into_iter().map(open).collect()
    }
}

/// The tier's own time up to which an event may lie in a segment; `None` where there is none.
pub(super) async fn edge(changing: &mut Changing<'_>) -> Result<Option<TimeMs>> {
    if changing.rows(HAS_ARCHIVE, Vec::new()).await?.is_empty() {
        return Ok(None);
    }
    let sql = "SELECT end_ms FROM foretaste_segments ORDER BY end_ms DESC LIMIT 1";
    let rows = changing.rows(sql, Vec::new()).await?;
    rows.first().map(|row| number(row, 0)).transpose()
}

/// The numbers under which those of the users were erased who were.
pub(super) async fn erased(
    changing: &mut Changing<'_>,
    users: &HashSet<&str>,
) -> Result<HashMap<String, i64>> {
    let users: Vec<&str> = users.iter().copied().collect();
    let mut erased = HashMap::new();
    for some in users.chunks(USERS_AT_ONCE) {
        let marks = marks(some.len());
        let sql = format!("SELECT user_id, seq FROM foretaste_erased WHERE user_id IN ({marks})");
        for row in changing.rows(&sql, some.iter().map(|user| Arg::text(user)).collect()).await? {
            erased.insert(text(&row, 0)?, number(&row, 1)?);
        }
    }
    Ok(erased)
}

/// Notes that all events of a user up to now are gone.
pub(super) async fn erase(changing: &mut Changing<'_>, user: &str) -> Result<()> {
    if edge(changing).await?.is_none() {
        return Ok(());
    }
    changing.seq += 1;
    let row = vec![Arg::text(user), changing.seq.into()];
    let conflict = changing.conflict("erased", "user_id", &["seq"]);
    changing.insert("foretaste_erased (user_id, seq)", &conflict, vec![row]).await?;
    changing.keep_seq().await
}

/// Notes that events have been taken back. The caller keeps the counter.
pub(super) async fn retract(changing: &mut Changing<'_>, events: &[Place]) -> Result<()> {
    let Some(edge) = edge(changing).await? else { return Ok(()) };
    let old: Vec<&Place> = events.iter().filter(|(time, _)| *time < edge).collect();
    if old.is_empty() {
        return Ok(());
    }
    changing.seq += 1;
    let seq = changing.seq;
    let rows = old.iter().map(|&&(time, key)| vec![time.into(), key.into(), seq.into()]).collect();
    let conflict = changing.conflict("retracted", "time_ms, event_key", &["seq"]);
    changing.insert("foretaste_retracted (time_ms, event_key, seq)", &conflict, rows).await
}

/// Drops the segments whose events are all older than `bound`; their files go with the next run.
pub(super) async fn forget(changing: &mut Changing<'_>, bound: TimeMs) -> Result<()> {
    if edge(changing).await?.is_none() {
        return Ok(());
    }
    let sql = "DELETE FROM foretaste_segments WHERE end_ms <= ? AND stage > 0";
    changing.run(sql, vec![bound.into()]).await.map(drop)
}

/// The error of a run that another one has overtaken.
pub(super) fn overtaken() -> Error {
    Error::new(ErrorKind::Conflict, "another run of the archive has begun; this one has ended")
}
