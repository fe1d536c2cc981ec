//! Reading events.

use std::rc::Rc;

use foretaste_core::{Error, ErrorKind, Event, EventBatch, EventContext, Result, TimeMs};
use foretaste_lake::{Columns, OpenSegment};
use sqlx::Row;
use sqlx_core::any::AnyRow;

use super::ServerStore;
use super::catalogue::HIDDEN;
use super::replica::Reading;
use super::sql::{Arg, maybe_text, number, text};
use super::warm::{Cursor, Gone, HAS_ARCHIVE, Merge, Segment, View, all_segments, segments_of};
use crate::store::{Counts, Sink};

/// Events that make one batch.
const BATCH_EVENTS: usize = 1 << 16;
const PLAIN: &str = "user_id, item_id, kind, value, time_ms, event_key";
const COUNTERS: &str = "SELECT name, value FROM foretaste_meta WHERE name IN ('seq', 'sealed')";
const CONTEXT: &str = ", session, scene, position, request_id";

impl ServerStore {
    /// Events in the order of their times, so that the same events are always read alike, be they
    /// in the table or in the archive.
    pub(super) fn read(
        &self,
        since_ms: TimeMs,
        columns: Columns,
        sink: Sink<'_, EventBatch>,
    ) -> Result<()> {
        self.database.read(|reading| {
            let (gone, files) = self.open_archive(reading, since_ms)?;
            let (view, gone) = (View { columns, since_ms, only_moved: true }, Rc::new(gone));
            let cursor = |file| Cursor::new(file, view, &gone);
            let mut merge = Merge::new(files.into_iter().map(cursor).collect(), &mut *sink);
            let sql = format!(
                "SELECT {} FROM foretaste_events WHERE time_ms >= ? ORDER BY time_ms, event_key",
                selected(columns)
            );
            let mut batch = EventBatch::default();
            reading.each_row(&sql, vec![since_ms.into()], &mut |row| {
                add(&mut batch, &row, columns)?;
                if batch.len() < BATCH_EVENTS {
                    return Ok(());
                }
                merge.hot(std::mem::take(&mut batch))
            })?;
            reading.release()?;
            merge.hot(batch)?;
            merge.finish()
        })
    }

    /// Fixes a state of the database, and opens the files of the archive that it speaks of. Of
    /// those, the archive removes what it has written anew meanwhile: then a later state is taken.
    fn open_archive(
        &self,
        reading: &mut Reading<'_>,
        since_ms: TimeMs,
    ) -> Result<(Gone, Vec<(Segment, OpenSegment)>)> {
        let reaches = |s: &Segment| s.through.is_some() && s.range.end > since_ms;
        let mut before = Vec::new();
        loop {
            let warm = reading.fix()?;
            match warm.open(self.options.archive.as_deref(), reaches) {
                Ok(files) => return Ok((warm.gone, files)),
                Err(e) if e.kind() != ErrorKind::NotFound => return Err(e),
                Err(e) => {
                    let names: Vec<_> = warm.segments.into_iter().map(|s| s.name).collect();
                    if names == before {
                        let text = "the archive lacks a file; restore it from a backup";
                        return Err(Error::corrupt(text).with_source(e));
                    }
                    before = names;
                    reading.release()?;
                }
            }
        }
    }

    /// The events with sequence numbers above `after` up to `last`, which is returned. Numbers
    /// ascend in the order of commits: of those up to the last one none is missing.
    pub(super) fn read_log(
        &self,
        (after, last): (u64, u64),
        sink: &mut dyn FnMut(u64, Event) -> Result<()>,
    ) -> Result<u64> {
        let after = i64::try_from(after).unwrap_or(i64::MAX);
        let sql = format!(
            "SELECT {PLAIN}{CONTEXT}, seq, event_id FROM foretaste_events \
             WHERE seq > ? AND seq <= ? ORDER BY seq"
        );
        self.database.read_primary(|reading| {
            reading.each_row(&sql, vec![after.into(), (last as i64).into()], &mut |row| {
                let event_id = maybe_text(&row, 11)?;
                let event = Event { event_id, ..event(&row, true)? };
                sink(number(&row, 10)? as u64, event)
            })
        })?;
        Ok(last)
    }

    /// The last sequence number, and the one up to which events have left the tail.
    pub(super) fn counters(&self) -> Result<(u64, u64)> {
        counters(&self.database.rows(COUNTERS, Vec::new())?)
    }

    /// Numbers that were given since the log was sealed. What was taken back since is in it, too.
    pub(super) fn unsealed(&self) -> Result<u64> {
        self.counters().map(|(last, sealed)| last.saturating_sub(sealed))
    }

    pub(super) fn count(&self) -> Result<Counts> {
        self.database.read(count)
    }
}

fn count(reading: &mut Reading<'_>) -> Result<Counts> {
    let (last, sealed) = counters(&reading.rows(COUNTERS, Vec::new())?)?;
    let archived = match reading.rows(HAS_ARCHIVE, Vec::new())?.is_empty() {
        true => Vec::new(),
        false => segments_of(&reading.rows(&all_segments(), Vec::new())?)?,
    };
    let hidden = reading.rows(HIDDEN, Vec::new())?.len() as u64;
    let mut one = |sql: &str, args: Vec<Arg>| -> Result<u64> {
        let rows = reading.rows(sql, args)?;
        rows.first().map_or(Ok(0), |row| number(row, 0)).map(|n| n as u64)
    };
    let mut all = |table: &str| one(&format!("SELECT count(*) FROM foretaste_{table}"), Vec::new());
    let (items, users, events) = (all("items")?, all("users")?, all("events")?);
    let young = "SELECT count(*) FROM foretaste_events WHERE seq > ?";
    Ok(Counts {
        items,
        users,
        hidden,
        events: events + archived.iter().map(|s| s.moved).sum::<u64>(),
        log_events: one(young, vec![(sealed as i64).into()])?,
        log_bytes: 0,
        lake_bytes: archived.iter().filter_map(|s| Some(s.meta.as_ref()?.bytes)).sum(),
        last_seq: last,
    })
}

/// The last sequence number, and the one up to which events have left the tail, of the rows of
/// [`COUNTERS`].
fn counters(rows: &[AnyRow]) -> Result<(u64, u64)> {
    let (mut last, mut sealed) = (0, 0);
    for row in rows {
        let value = number(row, 1)? as u64;
        match text(row, 0)?.as_str() {
            "seq" => last = value,
            _ => sealed = value,
        }
    }
    Ok((last, sealed))
}

/// The columns that [`add`] reads.
pub(super) fn selected(columns: Columns) -> String {
    let context = if columns == Columns::All { CONTEXT } else { "" };
    format!("{PLAIN}{context}")
}

/// Adds an event as it was selected.
pub(super) fn add(batch: &mut EventBatch, row: &AnyRow, columns: Columns) -> Result<()> {
    let key = number(row, 5)? as u64;
    push_keyed(batch, &event(row, columns == Columns::All)?, key);
    Ok(())
}

/// Adds an event whose id is no longer known, only its key.
pub(super) fn push_keyed(batch: &mut EventBatch, event: &Event, key: u64) {
    batch.push(event);
    if let Some(last) = batch.key.last_mut() {
        *last = key;
    }
}

fn event(row: &AnyRow, with_context: bool) -> Result<Event> {
    let context = if with_context { context(row)? } else { None };
    let value: f64 = row.try_get(3).map_err(super::failure::failure)?;
    Ok(Event {
        event_id: None,
        user: text(row, 0)?,
        item: text(row, 1)?,
        kind: text(row, 2)?,
        value: value as f32,
        time_ms: number(row, 4)?,
        context,
    })
}

fn context(row: &AnyRow) -> Result<Option<EventContext>> {
    let position: Option<i64> = row.try_get(8).map_err(super::failure::failure)?;
    let beyond = |_| Error::corrupt("a position of an event is beyond its bounds");
    let context = EventContext {
        session: maybe_text(row, 6)?,
        scene: maybe_text(row, 7)?,
        position: position.map(u16::try_from).transpose().map_err(beyond)?,
        request_id: maybe_text(row, 9)?,
    };
    Ok((context != EventContext::default()).then_some(context))
}
