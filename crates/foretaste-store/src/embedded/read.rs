//! Reading events: segments of the lake, then the log, at one moment, without erased ones.

use foretaste_core::{Error, ErrorKind, Event, EventBatch, Result, TimeMs};
use foretaste_lake::{Columns, LakeSnapshot};
use std::sync::Arc;

use super::{EmbeddedStore, log_dir};
use crate::catalogue::Erasures;
use crate::filter;
use crate::log::{LogView, Place};
use crate::store::{Counts, Sink};

/// Events of the log that make one batch.
const BATCH_EVENTS: usize = 1 << 18;

/// How often a read begins anew because sealing moved events under it.
const ATTEMPTS: usize = 100;

/// All events at one moment.
pub(super) struct Moment {
    erasures: Erasures,
    lake: Arc<LakeSnapshot>,
    log: LogView,
}

impl EmbeddedStore {
    /// Fixes the present state. Erasures are read first: those done meanwhile are then applied
    /// twice, never not at all.
    pub(super) fn moment(&self) -> Result<Moment> {
        for _ in 0..ATTEMPTS {
            let erasures = self.erasures()?;
            let lake = self.lake.snapshot()?;
            let after = lake.sealed().log_segment;
            let log = match &self.writer {
                Some(writer) => writer.log.view(after),
                None => LogView::open(&log_dir(&self.dir), after),
            };
            let unmoved = self.lake.snapshot()?.generation() == lake.generation();
            match log {
                Ok(log) if unmoved => return Ok(Moment { erasures, lake, log }),
                Err(e) if unmoved => return Err(e),
                Ok(_) | Err(_) => {}
            }
        }
        let text = format!("{} changes faster than it can be read", self.dir.display());
        Err(Error::new(ErrorKind::Unavailable, text))
    }

    fn erasures(&self) -> Result<Erasures> {
        match &self.writer {
            Some(writer) => Ok(writer.erasures.read().unwrap_or_else(|e| e.into_inner()).clone()),
            None => self.catalogue.erasures(),
        }
    }

    pub(super) fn read(
        &self,
        since_ms: TimeMs,
        columns: Columns,
        sink: Sink<'_, EventBatch>,
    ) -> Result<()> {
        let moment = self.moment()?;
        let erasures = &moment.erasures;
        let mut young = |batch: EventBatch| {
            let batch = if since_ms == TimeMs::MIN {
                batch
            } else {
                filter::retain(batch, |batch, i| batch.time_ms[i] >= since_ms)
            };
            if batch.is_empty() { Ok(()) } else { sink(batch) }
        };
        moment.lake.read(columns, &|meta| meta.reaches(since_ms), &mut |meta, batch| {
            young(erasures.apply(batch, meta.erased_through))
        })?;
        let mut batch = EventBatch::default();
        moment.log.read(0, &mut |seq, mut event| {
            if erasures.covers(&event, seq) {
                return Ok(());
            }
            if columns == Columns::NoContext {
                event.context = None;
            }
            batch.push(&event);
            if batch.len() < BATCH_EVENTS {
                return Ok(());
            }
            young(std::mem::take(&mut batch))
        })?;
        young(batch)
    }

    pub(super) fn read_tail(
        &self,
        after_seq: u64,
        sink: &mut dyn FnMut(u64, Event) -> Result<()>,
    ) -> Result<u64> {
        let from = match &self.writer {
            Some(writer) if writer.log.stored_seq() <= after_seq => {
                return Ok(writer.log.stored_seq());
            }
            Some(writer) => writer.log.place_of(after_seq),
            None => Place { number: 0, at: 0 },
        };
        let moment = self.moment()?;
        let mut last = moment.lake.sealed().seq;
        moment.log.read_from(from, after_seq, &mut |_, seq, event| {
            last = last.max(seq);
            if moment.erasures.covers(&event, seq) { Ok(()) } else { sink(seq, event) }
        })?;
        Ok(last.max(after_seq))
    }

    pub(super) fn count(&self) -> Result<Counts> {
        let (items, users, hidden) = self.catalogue.counts()?;
        let stats = self.lake.stats()?;
        let (log_events, log_bytes, last_seq) = self.log_size()?;
        Ok(Counts {
            items,
            users,
            hidden,
            events: stats.rows + log_events,
            log_events,
            log_bytes,
            lake_bytes: stats.bytes,
            last_seq: last_seq.max(stats.sealed.seq),
        })
    }

    pub(super) fn log_size(&self) -> Result<(u64, u64, u64)> {
        if let Some(writer) = &self.writer {
            let (events, bytes) = writer.log.size();
            return Ok((events, bytes, writer.log.stored_seq()));
        }
        let log = self.moment()?.log;
        let (mut events, mut last) = (0, 0);
        log.read(0, &mut |seq, _| {
            (events, last) = (events + 1, seq);
            Ok(())
        })?;
        Ok((events, log.bytes(), last))
    }
}
