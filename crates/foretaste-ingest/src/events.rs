//! Rows to events: checks, column batches, and a second thread that encodes and stores them.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use foretaste_core::event::{content_key, id_key};
use foretaste_core::{Error, ErrorKind, EventBatch, EventContext, IdTable, Limits, Result};
use foretaste_store::{BulkWriter, Source, Store};

use crate::cells::{Cell, Collector, Stop, at, find, id, name, number, text, time};
use crate::{Mapping, Reason};

/// Events that are handed over at once.
const BATCH_EVENTS: usize = 1 << 17;
/// Batches between the two threads.
const QUEUE: usize = 2;

const LIMITS: Limits = Limits::DEFAULT;

/// Column of each field.
#[derive(Clone, Copy, Debug, Default)]
struct Places {
    user: Option<usize>,
    item: Option<usize>,
    kind: Option<usize>,
    value: Option<usize>,
    time: Option<usize>,
    event_id: Option<usize>,
    session: Option<usize>,
    scene: Option<usize>,
    position: Option<usize>,
    request_id: Option<usize>,
}

/// Expected names of the user column, in plain form.
pub const USER: &[&str] =
    &["userid", "user", "uid", "visitorid", "customerid", "accountid", "useridx"];
/// Expected names of the item column, in plain form.
pub const ITEM: &[&str] = &[
    "itemid",
    "item",
    "movieid",
    "productid",
    "sku",
    "iid",
    "asin",
    "businessid",
    "bookid",
    "trackid",
];
const TIME: &[&str] = &[
    "timems",
    "timestamp",
    "ts",
    "time",
    "datetime",
    "eventtime",
    "createdat",
    "unixtime",
    "date",
];
const VALUE: &[&str] = &["value", "rating", "score", "weight", "quantity", "rate", "stars"];
const KIND: &[&str] = &[
    "kind",
    "event",
    "eventtype",
    "type",
    "action",
    "behavior",
    "behaviour",
    "eventname",
    "feedbacktype",
];

impl Places {
    fn find(names: &[String], mapping: &Mapping) -> Result<Self> {
        let find = |field, expected| find(field, expected, (names, mapping));
        let places = Self {
            user: find("user", USER)?,
            item: find("item", ITEM)?,
            kind: find("kind", KIND)?,
            value: find("value", VALUE)?,
            time: find("time", TIME)?,
            event_id: find("event_id", &["eventid"])?,
            session: find("session", &["session", "sessionid", "usersession", "visitid"])?,
            scene: find("scene", &["scene", "page"])?,
            position: find("position", &["position", "rank"])?,
            request_id: find("request_id", &["requestid"])?,
        };
        for (field, place) in [("user", places.user), ("item", places.item)] {
            if place.is_none() {
                return Err(Error::invalid(format!(
                    "no column for {field} among: {}. Name it in the mapping, as {field}=COLUMN",
                    names.join(", ")
                )));
            }
        }
        Ok(places)
    }

    fn has_context(&self) -> bool {
        let all = [self.session, self.scene, self.position, self.request_id];
        all.iter().any(Option::is_some)
    }
}

/// Makes events of rows.
#[derive(Debug)]
pub struct EventCollector {
    mapping: Mapping,
    asked_kind: Option<String>,
    default_kind: String,
    places: Places,
    kinds: IdTable,
    batch: EventBatch,
    accepted: u64,
    out: SyncSender<EventBatch>,
}

impl EventCollector {
    fn new(mapping: &Mapping, kind: Option<&str>, out: SyncSender<EventBatch>) -> Self {
        Self {
            mapping: mapping.clone(),
            asked_kind: kind.map(str::to_owned),
            default_kind: kind.unwrap_or("interaction").to_owned(),
            places: Places::default(),
            kinds: IdTable::new(),
            batch: EventBatch::default(),
            accepted: 0,
            out,
        }
    }

    /// Takes a whole batch as it is when everything in it is good.
    ///
    /// # Errors
    /// As [`Collector::take`]; the batch is given back when it has to be looked at row by row.
    pub fn take_batch(&mut self, batch: EventBatch) -> Result<Option<EventBatch>> {
        let good =
            |table: &IdTable| table.iter().all(|i| id(i.as_bytes(), Reason::MissingItem) == Ok(i));
        let kinds =
            batch.kinds.iter().all(|k| k.len() <= LIMITS.name_bytes && self.known(k).is_ok());
        let finite = batch.value.iter().all(|v| v.is_finite());
        let contexts = batch.context.iter().flatten().all(is_within_limits);
        if !(kinds && finite && contexts && good(&batch.users) && good(&batch.items)) {
            return Ok(Some(batch));
        }
        self.accepted += batch.len() as u64;
        self.flush()?;
        self.send(batch)?;
        Ok(None)
    }

    fn known(&mut self, kind: &str) -> Result<(), Reason> {
        if self.kinds.index_of(kind).is_none() {
            if self.kinds.len() >= LIMITS.kinds {
                return Err(Reason::TooManyKinds);
            }
            self.kinds.intern(kind);
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        let batch = std::mem::take(&mut self.batch);
        if batch.is_empty() { Ok(()) } else { self.send(batch) }
    }

    fn send(&self, batch: EventBatch) -> Result<()> {
        let gone = |_| Error::new(ErrorKind::Unavailable, "the writing of events has ended");
        self.out.send(batch).map_err(gone)
    }

    fn context(&self, cells: &[Cell<'_>]) -> Result<Option<EventContext>, Reason> {
        if !self.places.has_context() {
            return Ok(None);
        }
        let places = &self.places;
        let own = |column, limit| Ok(name(at(cells, column), limit)?.map(str::to_owned));
        let position = match text(at(cells, places.position))? {
            "" => None,
            digits => Some(digits.parse().map_err(|_| Reason::BadNumber)?),
        };
        let context = EventContext {
            session: own(places.session, LIMITS.id_bytes)?,
            scene: own(places.scene, LIMITS.name_bytes)?,
            position,
            request_id: own(places.request_id, LIMITS.id_bytes)?,
        };
        Ok((context != EventContext::default()).then_some(context))
    }

    fn push(&mut self, (user, item, kind): (&str, &str, &str), (value, time_ms): (f32, i64)) {
        let batch = &mut self.batch;
        batch.user.push(batch.users.intern(user));
        batch.item.push(batch.items.intern(item));
        // A batch holds no more kinds than `known` has let in.
        batch.kind.push(batch.kinds.intern(kind) as u8);
        batch.value.push(value);
        batch.time_ms.push(time_ms);
    }

    fn push_context(&mut self, context: Option<EventContext>) {
        let batch = &mut self.batch;
        if context.is_some() && batch.context.is_empty() {
            batch.context.resize(batch.user.len() - 1, None);
        }
        if context.is_some() || !batch.context.is_empty() {
            batch.context.push(context);
        }
    }
}

impl Collector for EventCollector {
    fn columns(&mut self, names: &[String]) -> Result<()> {
        self.places = Places::find(names, &self.mapping)?;
        if self.asked_kind.is_none() {
            let value = self.places.value.map(|c| crate::cells::plain(&names[c]));
            let rated = matches!(value.as_deref(), Some("rating" | "stars"));
            self.default_kind = if rated { "rating" } else { "interaction" }.to_owned();
        }
        Ok(())
    }

    fn take(&mut self, cells: &[Cell<'_>]) -> Result<(), Stop> {
        let places = self.places;
        let user = id(at(cells, places.user), Reason::MissingUser)?;
        let item = id(at(cells, places.item), Reason::MissingItem)?;
        let value = number(at(cells, places.value))?.unwrap_or(1.0) as f32;
        if !value.is_finite() {
            return Err(Reason::NotFinite.into());
        }
        let time_ms = time(at(cells, places.time))?;
        let context = self.context(cells)?;
        let event_id = name(at(cells, places.event_id), LIMITS.id_bytes)?;
        let default_kind = std::mem::take(&mut self.default_kind);
        let kind = name(at(cells, places.kind), LIMITS.name_bytes);
        let kind = kind.map(|k| k.unwrap_or(&default_kind));
        let known = kind.and_then(|k| self.known(k).map(|()| k));
        if let Ok(kind) = known {
            let key = match event_id {
                Some(event_id) => id_key(user, event_id),
                None => content_key(user, item, kind, value, time_ms),
            };
            self.push((user, item, kind), (value, time_ms));
            self.batch.key.push(key);
            self.push_context(context);
            self.accepted += 1;
        }
        let outcome = known.map(|_| ());
        self.default_kind = default_kind;
        outcome?;
        if self.batch.len() == BATCH_EVENTS {
            self.flush()?;
        }
        Ok(())
    }
}

fn is_within_limits(context: &EventContext) -> bool {
    let good = |text: &Option<String>, limit| {
        text.as_ref().is_none_or(|t| name(t.as_bytes(), limit) == Ok(Some(t.as_str())))
    };
    good(&context.session, LIMITS.id_bytes)
        && good(&context.scene, LIMITS.name_bytes)
        && good(&context.request_id, LIMITS.id_bytes)
}

/// Runs `produce` with a collector while another thread writes; commits only when everything
/// went well. Returns the number of events.
///
/// # Errors
/// What `produce` or the store returns; nothing has become visible then.
pub fn import_events(
    store: &dyn Store,
    source: &Source,
    (mapping, kind): (&Mapping, Option<&str>),
    produce: impl FnOnce(&mut EventCollector) -> Result<()>,
) -> Result<u64> {
    let bulk = store.bulk(source)?;
    let (sender, receiver) = sync_channel(QUEUE);
    let mut collector = EventCollector::new(mapping, kind, sender);
    let (produced, written) = std::thread::scope(|scope| {
        let writer = scope.spawn(move || write_all(bulk, &receiver));
        let produced = produce(&mut collector).and_then(|()| collector.flush());
        let accepted = collector.accepted;
        drop(collector);
        let crashed = |_| Err(Error::internal("the thread that writes events panicked"));
        (produced.map(|()| accepted), writer.join().unwrap_or_else(crashed))
    });
    // When writing failed, producing failed only because of that.
    let bulk = written?;
    let accepted = produced?;
    bulk.commit()?;
    Ok(accepted)
}

fn write_all<'s>(
    mut bulk: Box<dyn BulkWriter + 's>,
    receiver: &Receiver<EventBatch>,
) -> Result<Box<dyn BulkWriter + 's>> {
    for batch in receiver {
        bulk.write(&batch)?;
    }
    Ok(bulk)
}
