//! Events of segments and of the table in one order, that of their places.

use std::collections::VecDeque;
use std::ops::Range;
use std::rc::Rc;

use foretaste_core::{EventBatch, Result, TimeMs};
use foretaste_lake::{Columns, OpenSegment, SegmentEvents};

use super::{Gone, Place, Segment, place};
use crate::filter::retain;
use crate::server::read::push_keyed;
use crate::store::Sink;

/// Events of one batch.
const BATCH_EVENTS: usize = 1 << 16;

/// What is read of a segment.
#[derive(Clone, Copy, Debug)]
pub(in crate::server) struct View {
    pub(in crate::server) columns: Columns,
    pub(in crate::server) since_ms: TimeMs,
    /// Only what has left the table, or all that is in the file.
    pub(in crate::server) only_moved: bool,
}

/// The living events of one segment, one after another.
pub(in crate::server) struct Cursor {
    segment: Segment,
    file: OpenSegment,
    view: View,
    gone: Rc<Gone>,
    /// Read when the first event is needed.
    events: Option<SegmentEvents>,
    group: usize,
    batch: EventBatch,
    at: usize,
}

impl Cursor {
    pub(in crate::server) fn new(
        (segment, file): (Segment, OpenSegment),
        view: View,
        gone: &Rc<Gone>,
    ) -> Self {
        let (batch, gone) = (EventBatch::default(), Rc::clone(gone));
        Self { segment, file, view, gone, events: None, group: 0, batch, at: 0 }
    }

    pub(in crate::server) fn segment(&self) -> &Segment {
        &self.segment
    }

    /// The place of the next event.
    pub(in crate::server) fn next(&mut self) -> Result<Option<Place>> {
        while self.at == self.batch.len() {
            let Some(batch) = self.group()? else { return Ok(None) };
            (self.batch, self.at) = (batch, 0);
        }
        Ok(Some(place(&self.batch, self.at)))
    }

    /// Steps over all events before `bound`.
    pub(in crate::server) fn skip(&mut self, bound: Place) -> Result<()> {
        while self.next()?.is_some_and(|place| place < bound) {
            self.at = first_from(&self.batch, self.at, bound);
        }
        Ok(())
    }

    fn group(&mut self) -> Result<Option<EventBatch>> {
        let events = match &self.events {
            Some(events) => events,
            None => self.events.insert(self.file.events()?),
        };
        if self.group == events.groups() {
            return Ok(None);
        }
        let batch = events.group(self.group, self.view.columns)?;
        self.group += 1;
        let alive = self.gone.alive(&batch, self.segment.clean_seq);
        let View { since_ms, only_moved, .. } = self.view;
        let through = self.segment.through;
        let kept = |batch: &EventBatch, i: usize| {
            let here = !only_moved || through.is_some_and(|through| place(batch, i) <= through);
            here && alive[i] && batch.time_ms[i] >= since_ms
        };
        Ok(Some(retain(batch, kept)))
    }
}

/// The first event from `from` on that is not before `bound`.
fn first_from(batch: &EventBatch, from: usize, bound: Place) -> usize {
    let (mut low, mut high) = (from, batch.len());
    while low < high {
        let middle = low.midpoint(high);
        if place(batch, middle) < bound { low = middle + 1 } else { high = middle }
    }
    low
}

/// Gives the events of all cursors in the order of their places, each place once.
pub(in crate::server) struct Merge<'a> {
    /// By the first time of their events, not begun yet.
    waiting: VecDeque<Cursor>,
    begun: Vec<Cursor>,
    out: EventBatch,
    last: Option<Place>,
    sink: Sink<'a, EventBatch>,
}

impl<'a> Merge<'a> {
    /// `cursors` come by the first time of their events.
    pub(in crate::server) fn new(cursors: Vec<Cursor>, sink: Sink<'a, EventBatch>) -> Self {
        let (begun, out) = (Vec::new(), EventBatch::default());
        Self { waiting: cursors.into(), begun, out, last: None, sink }
    }

    /// Takes the next events of the table, which ascend, and gives all up to the last of them.
    pub(in crate::server) fn hot(&mut self, batch: EventBatch) -> Result<()> {
        let mut at = 0;
        while at < batch.len() {
            self.up_to(Some(place(&batch, at)))?;
            let end = match self.next()? {
                Some((_, bound)) => first_from(&batch, at, bound).max(at + 1),
                None => batch.len(),
            };
            if (at, end) == (0, batch.len()) && self.last != Some(place(&batch, 0)) {
                self.last = Some(place(&batch, end - 1));
                return self.whole(batch);
            }
            self.push(&batch, at..end)?;
            at = end;
        }
        Ok(())
    }

    /// Gives all that is left.
    pub(in crate::server) fn finish(mut self) -> Result<()> {
        self.up_to(None)?;
        self.flush()
    }

    /// Gives the events of segments before `bound`.
    fn up_to(&mut self, bound: Option<Place>) -> Result<()> {
        while let Some((at, first)) = self.next()? {
            if bound.is_some_and(|bound| first >= bound) {
                break;
            }
            let mut cursor = self.begun.swap_remove(at);
            let others = self.next()?.map(|(_, place)| place);
            let end = match others.into_iter().chain(bound).min() {
                Some(end) => first_from(&cursor.batch, cursor.at, end).max(cursor.at + 1),
                None => cursor.batch.len(),
            };
            let whole = (cursor.at, end) == (0, cursor.batch.len());
            if whole && self.last != Some(first) {
                let batch = std::mem::take(&mut cursor.batch);
                cursor.at = 0;
                self.last = Some(place(&batch, end - 1));
                self.whole(batch)?;
            } else {
                self.push(&cursor.batch, cursor.at..end)?;
                cursor.at = end;
            }
            self.begun.push(cursor);
        }
        Ok(())
    }

    /// The cursor with the first event, and the event's place.
    fn next(&mut self) -> Result<Option<(usize, Place)>> {
        loop {
            let mut first: Option<(usize, Place)> = None;
            let mut at = 0;
            while at < self.begun.len() {
                match self.begun[at].next()? {
                    None => drop(self.begun.swap_remove(at)),
                    Some(place) => {
                        if first.is_none_or(|(_, least)| place < least) {
                            first = Some((at, place));
                        }
                        at += 1;
                    }
                }
            }
            let begins = |cursor: &Cursor| {
                first.is_none_or(|(_, (time, _))| cursor.segment.range.start <= time)
            };
            match self.waiting.front().is_some_and(begins) {
                true => self.begun.extend(self.waiting.pop_front()),
                false => return Ok(first),
            }
        }
    }

    fn push(&mut self, batch: &EventBatch, range: Range<usize>) -> Result<()> {
        for i in range {
            let at = place(batch, i);
            if self.last.replace(at) == Some(at) {
                continue;
            }
            push_keyed(&mut self.out, &batch.get(i), batch.key[i]);
        }
        if self.out.len() >= BATCH_EVENTS { self.flush() } else { Ok(()) }
    }

    fn whole(&mut self, batch: EventBatch) -> Result<()> {
        self.flush()?;
        (self.sink)(batch)
    }

    fn flush(&mut self) -> Result<()> {
        let out = std::mem::take(&mut self.out);
        if out.is_empty() { Ok(()) } else { (self.sink)(out) }
    }
}
