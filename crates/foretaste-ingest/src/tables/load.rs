//! Reading what is left of a long range: one thread reads pages, one makes columns of them, and
//! the caller's stores a quarter of a million rows at a time. A pass that is killed goes on from
//! its last load.

use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use foretaste_core::{Error, ErrorKind, Limits, Result};
use foretaste_store::{Record, RowLoad};

use super::config::TableConfig;
use super::judge::Judge;
use super::layout::Layout;
use super::open::{Open, Place, is_later};
use super::page::Page;
use super::pass::Work;
use super::records::{Group, What};
use super::schema::Class;
use super::sql::Range;
use super::state::{Scan, TableState};

/// Batches (`batch_rows`) of one statement: each costs a search for its first row.
const STATEMENT_BATCHES: u32 = 16;
/// Batches of one load, within [`RowLoad::MAX_ROWS`]: what a load costs beyond its rows no longer
/// matters, and its memory stays small.
const LOAD_BATCHES: usize = 50;
/// A load also ends at so many bytes of cells.
const LOAD_BYTES: usize = 128 << 20;
/// Rows of a page: few enough that it is in the processor's cache from its reading to its columns.
const PAGE_ROWS: usize = 1_000;
/// Pages between the thread that reads and the one that makes columns.
const QUEUE: usize = 16;
/// Loads between that one and the one that stores: a wait for the disk need not hold it up.
const LOADS: usize = 1;
/// How often somebody who waits for rows looks whether to stop.
const LOOK: Duration = Duration::from_millis(100);

impl Work<'_> {
    /// Reads all that is left of a range and stores it.
    ///
    /// # Errors
    /// As [`super::Reader::pass`]; what was read well before an error is stored.
    pub(super) fn load(&mut self, open: &mut Open<'_>, range: Range) -> Result<()> {
        let range = open.loading(range)?;
        let class = open.writer().watermark_class()?;
        let layout = open.writer().layout(&mut Default::default())?;
        let batch = open.table.batch_rows as usize;
        let rows = (batch * LOAD_BATCHES).min(RowLoad::MAX_ROWS - batch);
        let (state, load) = (open.state.clone(), RowLoad::with_capacity(rows));
        let table = open.table;
        let clean = state.scan.clone();
        let gathering = Gathering { table, layout, class, state, clean, rows, load, bytes: 0 };
        let (pages, pages_in) = sync_channel(QUEUE);
        let (used, used_in) = sync_channel(QUEUE);
        let (loads, loads_in) = sync_channel(LOADS);
        let (stored, stored_in) = sync_channel(LOADS + 1);
        let (judge, storing) = self.parts();
        let key = open.key.clone();
        let reading = &mut *open;
        let last = std::thread::scope(|scope| {
            let reading = scope.spawn(move || reading.read_into(range, (&pages, &used_in)));
            let gathering =
                scope.spawn(move || gathering.run(judge, (&pages_in, &used), (&loads, &stored_in)));
            let stored = storing.store(&key, (loads_in, &stored));
            let panicked = |_| Err(Error::internal("a thread of the extraction panicked"));
            let read = reading.join().unwrap_or_else(panicked);
            let gathered = gathering.join().unwrap_or_else(panicked);
            stored.and_then(|last| gathered.and(read).map(|()| last))
        })?;
        if let Some(last) = last {
            open.state = TableState::parse(&last)?;
        }
        Ok(())
    }
}

impl Open<'_> {
    /// Reads pages until the range ends or nobody wants more. Those that come back are filled
    /// again, as new memory is given out in pieces that the system clears first.
    fn read_into(
        &mut self,
        mut range: Range,
        (out, used): (&SyncSender<Page>, &Receiver<Page>),
    ) -> Result<()> {
        let (table, batch) = (self.table, self.table.batch_rows);
        let (limit, rows) = (batch * STATEMENT_BATCHES, PAGE_ROWS.min(batch as usize));
        let place = if range.by_id { Place::after_ids } else { Place::after };
        loop {
            let (statement, layout) = self.writer().page(&range, limit)?;
            let (mut n, mut last, mut is_wanted) = (0, Ok(Place::default()), true);
            self.snapshot.pages(&statement, (&layout, rows), &mut |page| {
                n += page.len();
                last = place(table, &page);
                let next = used.try_recv().map_or_else(|_| page.next(), Page::emptied);
                is_wanted = out.send(page).is_ok();
                is_wanted.then_some(next)
            })?;
            if n < limit as usize || !is_wanted {
                return Ok(());
            }
            let place = Some(last?.0);
            *(if range.by_id { &mut range.after_ids } else { &mut range.after }) = place;
        }
    }
}

/// Where full loads go, and where those come from that are stored, to be filled again.
type Loads<'a> = (&'a SyncSender<RowLoad>, &'a Receiver<RowLoad>);

/// Makes columns of pages.
struct Gathering<'a> {
    table: &'a TableConfig,
    layout: Layout,
    class: Class,
    state: TableState,
    /// How far a scan had come before the first bad row of this load: those are perhaps corrected
    /// before it goes on.
    clean: Option<Scan>,
    rows: usize,
    load: RowLoad,
    bytes: usize,
}

impl Gathering<'_> {
    fn run(
        mut self,
        judge: &mut Judge<'_>,
        (pages, used): (&Receiver<Page>, &SyncSender<Page>),
        loads: Loads<'_>,
    ) -> Result<()> {
        let mut n_bad = judge.rejected.n_bad();
        for page in pages {
            let (rows, state) = (self.load.len(), self.state.clone());
            if let Err(error) = self.add(judge, &page) {
                // The pages before the bad one stay.
                self.load.truncate(rows);
                self.state = TableState { scan: self.clean.take(), ..state };
                self.send(judge, loads)?;
                return Err(error);
            }
            // Where nobody waits for it, it goes.
            let _ = used.try_send(page);
            let is_full = self.load.len() >= self.rows || self.bytes >= LOAD_BYTES;
            if is_full && !self.send(judge, loads)? {
                return Ok(());
            }
            if is_full || judge.rejected.n_bad() == n_bad {
                self.clean.clone_from(&self.state.scan);
                n_bad = judge.rejected.n_bad();
            }
        }
        self.send(judge, loads).map(|_| ())
    }

    fn add(&mut self, judge: &mut Judge<'_>, page: &Page) -> Result<()> {
        let (load, mut group) = (&mut self.load, Group::default());
        judge.page(page, &self.layout, &mut |head, what| {
            load.event.push(match what {
                What::Event(parts) => {
                    let at = group.push(parts, &mut load.events);
                    let text = || format!("more than {} kinds of events", Limits::DEFAULT.kinds);
                    Some(at.ok_or_else(|| Error::new(ErrorKind::Exhausted, text()))?)
                }
                What::Record(Record::Nothing) => None,
                What::Record(_) => return Err(Error::internal("only events are loaded")),
            });
            load.names.push(head.name);
            load.bucket.push(head.bucket);
            load.digest.push(head.digest);
            Ok(())
        })?;
        group.flush(&mut load.events);
        self.bytes += page.size_bytes();
        if let Some(scan) = &mut self.state.scan {
            scan.after = Place::after_ids(self.table, page)?.0;
        } else if let Some(last) = page.last() {
            let watermark = last.text(0)?;
            if is_later(self.class, watermark, &self.state.at) {
                watermark.clone_into(&mut self.state.at);
            }
        }
        Ok(())
    }

    /// Hands over what has been gathered. False when whoever stores has ended, who says why.
    fn send(&mut self, judge: &mut Judge<'_>, (out, stored): Loads<'_>) -> Result<bool> {
        self.bytes = 0;
        if self.load.is_empty() {
            return Ok(true);
        }
        let next = stored.try_recv().unwrap_or_else(|_| RowLoad::with_capacity(self.rows));
        let mut load = std::mem::replace(&mut self.load, next);
        load.watermark = Some(self.state.to_text());
        judge.rejected.flush()?;
        Ok(out.send(load).is_ok())
    }
}

impl super::pass::Storing<'_, '_> {
    /// Stores loads until there are no more or somebody asks to stop; gives the last watermark.
    fn store(
        self,
        key: &str,
        (loads, stored): (Receiver<RowLoad>, &SyncSender<RowLoad>),
    ) -> Result<Option<String>> {
        let mut last = None;
        loop {
            if (self.reader.stop)() {
                self.report.stopped = true;
                return Ok(last);
            }
            let mut load = match loads.recv_timeout(LOOK) {
                Ok(load) => load,
                Err(RecvTimeoutError::Timeout) => continue,
                Err(RecvTimeoutError::Disconnected) => return Ok(last),
            };
            let (n, watermark) = (load.len(), load.watermark.clone());
            let outcome = self.reader.store.load_rows(key, &mut load, self.reader.changed)?;
            self.report.count(outcome, n);
            last = watermark;
            load.clear();
            // Where nobody waits for it, it goes.
            let _ = stored.try_send(load);
        }
    }
}
