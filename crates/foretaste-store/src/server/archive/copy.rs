//! A month's old events from the table into a segment that is listed once it has been compared.

use std::ops::Range;
use std::rc::Rc;

use foretaste_core::{Error, EventBatch, Result, TimeMs};
use foretaste_lake::{Columns, FinishedSegment, SegmentMeta, SegmentWriter};
use sqlx_core::any::AnyRow;

use super::{Archiving, Checksum, OLD, old};
use crate::server::read::{add, selected};
use crate::server::snapshot::Snapshot;
use crate::server::sql::{Changing, number, text};
use crate::server::warm::{
    Cursor, Gone, Place, Segment, Stage, View, Warm, all_segments, overtaken, place, segments_of,
};

/// Events that are written together.
const BATCH_EVENTS: usize = 1 << 16;
/// Repeated events that one run deletes for each month; the rest is the next run's.
const MOST_REPEATED: usize = 1 << 20;

/// An event of the table that the archive has, too, because it was stored once more.
pub(super) struct Repeated {
    pub(super) place: Place,
    pub(super) user: String,
    /// Of the segment that has it.
    pub(super) clean_seq: i64,
}

/// What is written to a segment, as it was and as it is to be read back.
pub(super) struct Written {
    writer: SegmentWriter,
    sum: Checksum,
}

impl Written {
    pub(super) fn new(writer: SegmentWriter) -> Self {
        Self { writer, sum: Checksum::default() }
    }

    pub(super) fn write(&mut self, batch: &EventBatch) -> Result<()> {
        self.sum.add(batch);
        self.writer.write(batch)
    }

    pub(super) fn rows(&self) -> u64 {
        self.writer.rows()
    }
}

/// What a reading of the table has found.
struct Found {
    written: Written,
    batch: EventBatch,
    known: Vec<Cursor>,
    repeated: Vec<Repeated>,
    /// Count and sum of keys of all that was read.
    rows: i64,
    keys: i128,
}

impl Archiving<'_> {
    /// Copies those events of a month that the archive has not. Gives those that it has, though
    /// they had been deleted here.
    pub(super) async fn copy(&mut self, range: Range<TimeMs>) -> Result<Vec<Repeated>> {
        let mut snapshot = Snapshot::begin(self.database).await?;
        let mut segment = self.announce(range.clone());
        // Nobody erases anything between what the snapshot sees and the announcement.
        let announce = async |changing: &mut Changing<'_>| {
            self.own(changing).await?;
            segment.clean_seq = changing.seq;
            segment.list(changing).await?;
            snapshot.fix().await
        };
        self.database.transaction(announce).await?;
        let expected = totals(&mut snapshot, &range).await?;
        self.progress.start("archiving", Some(expected.0 as u64), "events");
        let known = self.known(&mut snapshot, &range).await?;
        let written = Written::new(self.shelf.writer(&segment.name)?);
        let (batch, repeated) = (EventBatch::default(), Vec::new());
        let mut found = Found { written, batch, known, repeated, rows: 0, keys: 0 };
        let sql = format!("SELECT {} {OLD} ORDER BY time_ms, event_key", selected(Columns::All));
        let each = &mut |row| {
            found.take(&row)?;
            self.progress.advance(1);
            Ok(())
        };
        snapshot.each_row(&sql, old(&range), each).await?;
        drop(snapshot);
        found.flush()?;
        self.progress.finish();
        if (found.rows, found.keys) != expected {
            return Err(Error::corrupt(format!(
                "the server counts {} events to archive, but gave {}; nothing was deleted",
                expected.0, found.rows
            )));
        }
        if found.written.rows() == 0 {
            self.unlist(&segment).await?;
            return Ok(found.repeated);
        }
        let meta = self.prove(found.written)?;
        self.report.copied += meta.rows;
        self.report.bytes += meta.bytes;
        segment.meta = Some(meta);
        segment.stage = Stage::Copied;
        self.list(&segment, &[]).await?;
        Ok(found.repeated)
    }

    /// The events of the range that lie in the archive.
    async fn known(
        &mut self,
        snapshot: &mut Snapshot,
        range: &Range<TimeMs>,
    ) -> Result<Vec<Cursor>> {
        let Warm { segments, gone, .. } =
            Warm::of(snapshot.dialect, &mut snapshot.connection).await?;
        let (view, gone) = (
            View { columns: Columns::NoContext, since_ms: range.start, only_moved: false },
            Rc::new(gone),
        );
        let overlaps = |s: &Segment| s.range.start < range.end && s.range.end > range.start;
        let known = segments.into_iter().filter(|s| s.meta.is_some() && overlaps(s));
        let cursor = |segment: Segment| {
            let file = self.file(&segment)?;
            Ok(Cursor::new((segment, file), view, &gone))
        };
        known.map(cursor).collect()
    }

    /// Ends a segment, reads it back, compares it with what was to be written, and gives it its
    /// name.
    pub(super) fn prove(&self, written: Written) -> Result<SegmentMeta> {
        let finished = written.writer.finish()?;
        let proof = self.read_back(&finished)?;
        if proof.sum() != written.sum.sum() {
            return Err(Error::corrupt(format!(
                "{}: what was read back ({} events) is not what was written ({}); check the disk",
                self.shelf.dir().join(&finished.meta().file).display(),
                proof.events,
                written.sum.events
            )));
        }
        self.shelf.put(finished)
    }

    fn read_back(&self, finished: &FinishedSegment) -> Result<Checksum> {
        let events = self.shelf.proof(finished)?.events()?;
        let mut sum = Checksum::default();
        for group in 0..events.groups() {
            sum.add(&events.group(group, Columns::All)?);
        }
        Ok(sum)
    }

    /// Makes an announced segment count, in the place of `replaced`.
    pub(super) async fn list(&self, segment: &Segment, replaced: &[Segment]) -> Result<()> {
        let list = async |changing: &mut Changing<'_>| {
            self.own(changing).await?;
            let mut gone = unlist(changing, segment).await?;
            for old in replaced {
                gone &= unlist(changing, old).await?;
            }
            if !gone {
                return Err(overtaken());
            }
            if segment.meta.is_some() {
                segment.list(changing).await?;
            }
            Ok(())
        };
        self.database.transaction(list).await
    }

    /// Takes back an announcement.
    async fn unlist(&self, segment: &Segment) -> Result<()> {
        let take_back = async |changing: &mut Changing<'_>| {
            self.own(changing).await?;
            unlist(changing, segment).await.map(drop)
        };
        self.database.transaction(take_back).await
    }

    /// Deletes events that were stored once more from the table.
    pub(super) async fn delete_repeated(&mut self, repeated: &[Repeated]) -> Result<()> {
        for some in repeated.chunks(self.options.delete_rows) {
            let delete = async |changing: &mut Changing<'_>| {
                self.own(changing).await?;
                let listed = changing.rows(&all_segments(), Vec::new()).await?;
                let oldest = segments_of(&listed)?.iter().map(|s| s.clean_seq).min();
                let gone = Gone::since(changing, oldest.unwrap_or(i64::MAX)).await?;
                let stays = |r: &&Repeated| gone.spares(&r.user, r.place, r.clean_seq);
                let places: Vec<Place> = some.iter().filter(stays).map(|r| r.place).collect();
                crate::server::rows::drop_events(changing, &places).await?;
                Ok(places.len() as u64)
            };
            self.report.deleted += self.paced(delete).await?;
        }
        Ok(())
    }
}

/// True when there was such a segment.
async fn unlist(changing: &mut Changing<'_>, segment: &Segment) -> Result<bool> {
    let sql = "DELETE FROM foretaste_segments WHERE name = ?";
    let name = super::Arg::text(&segment.name);
    Ok(changing.run(sql, vec![name]).await? == 1)
}

/// Count and sum of keys of what is to be archived, as the server computes them.
async fn totals(snapshot: &mut Snapshot, range: &Range<TimeMs>) -> Result<(i64, i128)> {
    let as_text = snapshot.dialect.text_type();
    let sql = format!("SELECT count(*), CAST(coalesce(sum(event_key), 0) AS {as_text}) {OLD}");
    let rows = snapshot.rows(&sql, old(range)).await?;
    let keys = text(&rows[0], 1)?;
    let keys = keys.parse().map_err(|_| Error::internal("a sum is no number"))?;
    Ok((number(&rows[0], 0)?, keys))
}

impl Found {
    /// Takes one event of the table.
    fn take(&mut self, row: &AnyRow) -> Result<()> {
        let at = (number(row, 4)?, number(row, 5)?);
        self.rows += 1;
        self.keys += i128::from(at.1);
        let mut is_known = false;
        for cursor in &mut self.known {
            cursor.skip(at)?;
            if cursor.next()? != Some(at) {
                continue;
            }
            is_known = true;
            let segment = cursor.segment();
            let is_moved = segment.through.is_some_and(|through| at <= through);
            if is_moved && self.repeated.len() < MOST_REPEATED {
                let (user, clean_seq) = (text(row, 0)?, segment.clean_seq);
                self.repeated.push(Repeated { place: at, user, clean_seq });
            }
        }
        if is_known {
            return Ok(());
        }
        add(&mut self.batch, row, Columns::All)?;
        debug_assert_eq!(place(&self.batch, self.batch.len() - 1), at);
        if self.batch.len() == BATCH_EVENTS { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<()> {
        let batch = std::mem::take(&mut self.batch);
        if batch.is_empty() { Ok(()) } else { self.written.write(&batch) }
    }
}
