//! Rows of a page to records of the store, with the checks that files get, too.

use foretaste_core::{Event, EventBatch, EventContext, Limits, Result, TimeMs};
use foretaste_store::Record;

use super::config::TableConfig;
use super::page::Row;
use crate::catalogue::{ExtraTags, RecordCollector};
use crate::cells::{Cell, Collector, bare, id_of, name_of, number_of};
use crate::times::Times;
use crate::{Entity, Mapping, Reason};

const LIMITS: Limits = Limits::DEFAULT;

/// Makes records of the fields of one table.
pub struct Fields<'a> {
    kind: Option<&'a str>,
    names: Vec<String>,
    maker: Maker<'a>,
    /// Events are not later than this, in ms.
    now_ms: TimeMs,
    times: Times,
}

enum Maker<'a> {
    Events(Places),
    Items(RecordCollector<'a>),
    Users(RecordCollector<'a>),
}

/// Place of each field of an event.
struct Places {
    user: Option<usize>,
    item: Option<usize>,
    kind: Option<usize>,
    value: Option<usize>,
    time: Option<usize>,
    session: Option<usize>,
    scene: Option<usize>,
    position: Option<usize>,
    request_id: Option<usize>,
}

/// An event in the words of its row.
#[derive(Clone, Debug, PartialEq)]
pub struct EventParts<'c> {
    user: &'c str,
    item: &'c str,
    kind: &'c str,
    value: f32,
    time_ms: TimeMs,
    context: Option<EventContext>,
}

/// What a row is here.
pub enum What<'c> {
    /// An event.
    Event(EventParts<'c>),
    /// A record of the catalogue, or nothing.
    Record(Record),
}

/// What every collector of the catalogue wants and no table gives.
pub struct Nothing {
    mapping: Mapping,
    tags: ExtraTags,
}

impl Nothing {
    /// No mapping, no tags.
    pub fn new() -> Self {
        Self { mapping: Mapping::default(), tags: ExtraTags::default() }
    }
}

impl<'a> Fields<'a> {
    /// For the fields of `table`, in the order of their names.
    ///
    /// # Errors
    /// `Invalid` when the fields do not make a record.
    pub fn new(table: &'a TableConfig, nothing: &'a Nothing, now_ms: TimeMs) -> Result<Self> {
        let entity = table.entity()?;
        let names: Vec<String> = table.fields.keys().cloned().collect();
        let collector = || {
            let mut made = RecordCollector::new(entity, &nothing.mapping, &nothing.tags, None);
            made.columns(&names).map(|()| made)
        };
        let maker = match entity {
            Entity::Events => Maker::Events(Places::of(&names)),
            Entity::Items => Maker::Items(collector()?),
            Entity::Users => Maker::Users(collector()?),
        };
        Ok(Self { kind: table.kind.as_deref(), names, maker, now_ms, times: Times::default() })
    }

    /// What a row is whose fields are its cells from `first` on.
    ///
    /// # Errors
    /// The reason why it is nothing.
    pub fn of_row<'c>(&'c self, row: Row<'c>, first: usize) -> Result<What<'c>, Reason> {
        match &self.maker {
            Maker::Events(places) => self.event(places, (row, first)).map(What::Event),
            Maker::Items(items) => {
                Ok(What::Record(Record::Item(items.item(&cells_of(row, first))?)))
            }
            Maker::Users(users) => {
                Ok(What::Record(Record::User(users.user(&cells_of(row, first))?)))
            }
        }
    }

    /// The fields of a row by name, for people.
    pub fn shown(&self, cells: &[Cell<'_>]) -> serde_json::Value {
        let cells = cells.iter().map(|cell| {
            let shown: String = String::from_utf8_lossy(cell).chars().take(200).collect();
            serde_json::Value::from(shown)
        });
        self.names.iter().cloned().zip(cells).collect::<serde_json::Map<_, _>>().into()
    }

    fn event<'c>(
        &'c self,
        places: &Places,
        row: (Row<'c>, usize),
    ) -> Result<EventParts<'c>, Reason> {
        let own = |place| own(row, place);
        let value = number_of(own(places.value)?)?.unwrap_or(1.0) as f32;
        if !value.is_finite() {
            return Err(Reason::NotFinite);
        }
        let time_ms = match own(places.time)? {
            "" => 0,
            text => self.times.parse(text).ok_or(Reason::BadTime)?,
        };
        if time_ms == 0 {
            return Err(Reason::BadTime);
        }
        let kind = name_of(own(places.kind)?, LIMITS.name_bytes)?;
        Ok(EventParts {
            user: id_of(own(places.user)?, Reason::MissingUser)?,
            item: id_of(own(places.item)?, Reason::MissingItem)?,
            kind: kind.or(self.kind).ok_or(Reason::MissingKind)?,
            value,
            time_ms: time_ms.min(self.now_ms),
            context: places.context(row)?,
        })
    }
}

/// The cells of a row from `first` on.
pub fn cells_of(row: Row<'_>, first: usize) -> Vec<Cell<'_>> {
    row.cells(first).map(Option::unwrap_or_default).collect()
}

/// The text of a field that may not exist, of a row whose fields begin somewhere.
fn own((row, first): (Row<'_>, usize), place: Option<usize>) -> Result<&str, Reason> {
    let Some(place) = place else { return Ok("") };
    row.utf8(first + place).map(bare).ok_or(Reason::BadUtf8)
}

impl Places {
    fn of(names: &[String]) -> Self {
        let place = |field| names.iter().position(|name| name == field);
        Self {
            user: place("user"),
            item: place("item"),
            kind: place("kind"),
            value: place("value"),
            time: place("time"),
            session: place("session"),
            scene: place("scene"),
            position: place("position"),
            request_id: place("request_id"),
        }
    }

    fn context(&self, row: (Row<'_>, usize)) -> Result<Option<EventContext>, Reason> {
        let text_places = [self.session, self.scene, self.request_id];
        if self.position.is_none() && text_places == [None; 3] {
            return Ok(None);
        }
        let own = |place| own(row, place);
        let short = |place, limit| name_of(own(place)?, limit).map(|n| n.map(str::to_owned));
        let position = match own(self.position)? {
            "" => None,
            digits => Some(digits.parse().map_err(|_| Reason::BadNumber)?),
        };
        let context = EventContext {
            session: short(self.session, LIMITS.id_bytes)?,
            scene: short(self.scene, LIMITS.name_bytes)?,
            position,
            request_id: short(self.request_id, LIMITS.id_bytes)?,
        };
        Ok((context != EventContext::default()).then_some(context))
    }
}

/// Events on their way into a batch, some at a time: while the processor waits for the memory of
/// one id it finds the next.
#[derive(Debug, Default)]
pub struct Group<'c> {
    parts: Vec<EventParts<'c>>,
}

impl<'c> Group<'c> {
    /// Events of a group.
    const EVENTS: usize = 64;

    /// Adds an event and says at which place of `batch` it will be, whose keys are left alone.
    /// `None` when its kind would be one more than a batch can have.
    pub fn push(&mut self, parts: EventParts<'c>, batch: &mut EventBatch) -> Option<u32> {
        // Most often the kind of the event before.
        let last = batch.kind.last().copied();
        let same = last.filter(|&last| batch.kinds.get(u32::from(last)) == parts.kind);
        let kind = same.or_else(|| u8::try_from(batch.kinds.intern(parts.kind)).ok())?;
        let at = batch.kind.len();
        batch.kind.push(kind);
        batch.value.push(parts.value);
        batch.time_ms.push(parts.time_ms);
        if parts.context.is_some() && batch.context.is_empty() {
            batch.context.resize(at, None);
        }
        self.parts.push(parts);
        let own = self.parts.last_mut();
        if let Some(own) = own.filter(|own| own.context.is_some() || !batch.context.is_empty()) {
            batch.context.push(own.context.take());
        }
        if self.parts.len() == Self::EVENTS {
            self.flush(batch);
        }
        Some(at as u32)
    }

    /// Gives the ids of all events that were added their numbers.
    pub fn flush(&mut self, batch: &mut EventBatch) {
        let EventBatch { users, items, user, item, .. } = batch;
        user.extend(self.parts.iter().map(|own| users.intern(own.user)));
        item.extend(self.parts.iter().map(|own| items.intern(own.item)));
        self.parts.clear();
    }
}

impl What<'_> {
    /// The same as a record that stands alone.
    pub fn into_record(self) -> Record {
        match self {
            Self::Record(record) => record,
            Self::Event(parts) => Record::Event(Event {
                event_id: None,
                user: parts.user.to_owned(),
                item: parts.item.to_owned(),
                kind: parts.kind.to_owned(),
                value: parts.value,
                time_ms: parts.time_ms,
                context: parts.context,
            }),
        }
    }
}
