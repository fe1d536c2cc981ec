//! Rows of a page to records of the store, with the checks that files get, too.

use foretaste_core::{Event, EventContext, Limits, Result, TimeMs};
use foretaste_store::Record;

use super::config::TableConfig;
use crate::catalogue::{ExtraTags, RecordCollector};
use crate::cells::{Cell, Collector, Stop, id, name, number, text, time};
use crate::{Entity, Mapping, Reason};

const LIMITS: Limits = Limits::DEFAULT;

/// Makes records of the fields of one table.
pub struct Fields<'a> {
    entity: Entity,
    kind: Option<&'a str>,
    names: Vec<String>,
    catalogue: Option<RecordCollector<'a>>,
    /// Events are not later than this, in ms.
    now_ms: TimeMs,
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
        let mut catalogue = None;
        if entity != Entity::Events {
            let mut made = RecordCollector::new(entity, &nothing.mapping, &nothing.tags, None);
            made.columns(&names)?;
            catalogue = Some(made);
        }
        Ok(Self { entity, kind: table.kind.as_deref(), names, catalogue, now_ms })
    }

    /// The record that a row is.
    ///
    /// # Errors
    /// The reason why it is none.
    pub fn record(&self, cells: &[Cell<'_>]) -> Result<Record, Reason> {
        match (&self.catalogue, self.entity) {
            (Some(catalogue), Entity::Items) => Ok(Record::Item(catalogue.item(cells)?)),
            (Some(catalogue), _) => Ok(Record::User(catalogue.user(cells)?)),
            (None, _) => match self.event(cells) {
                Ok(event) => Ok(Record::Event(event)),
                Err(Stop::Row(reason)) => Err(reason),
                Err(Stop::Fatal(_)) => Err(Reason::BadNumber),
            },
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

    fn event(&self, cells: &[Cell<'_>]) -> Result<Event, Stop> {
        let own = |field: &str| {
            let place = self.names.iter().position(|n| n == field);
            crate::cells::at(cells, place)
        };
        let short = |field, limit| name(own(field), limit).map(|n| n.map(str::to_owned));
        let position = match text(own("position"))? {
            "" => None,
            digits => Some(digits.parse().map_err(|_| Reason::BadNumber)?),
        };
        let context = EventContext {
            session: short("session", LIMITS.id_bytes)?,
            scene: short("scene", LIMITS.name_bytes)?,
            position,
            request_id: short("request_id", LIMITS.id_bytes)?,
        };
        let value = number(own("value"))?.unwrap_or(1.0) as f32;
        if !value.is_finite() {
            return Err(Reason::NotFinite.into());
        }
        let time_ms = time(own("time"))?;
        if time_ms == 0 {
            return Err(Reason::BadTime.into());
        }
        let kind = short("kind", LIMITS.name_bytes)?;
        Ok(Event {
            event_id: None,
            user: id(own("user"), Reason::MissingUser)?.to_owned(),
            item: id(own("item"), Reason::MissingItem)?.to_owned(),
            kind: kind.or(self.kind.map(str::to_owned)).ok_or(Reason::MissingKind)?,
            value,
            time_ms: time_ms.min(self.now_ms),
            context: (context != EventContext::default()).then_some(context),
        })
    }
}
