//! The limits that every store keeps, checked before anything is written.

use std::collections::BTreeMap;

use foretaste_core::{
    Error, ErrorKind, Event, EventBatch, EventContext, IdTable, Item, Limits, Result, User,
};

use crate::rows::{Record, RowStep};

const LIMITS: Limits = Limits::DEFAULT;

/// Checks every event of one append.
pub(crate) fn events(events: &[Event]) -> Result<()> {
    batch_size(events.len())?;
    events.iter().enumerate().try_for_each(|(at, e)| {
        event(e).map_err(|error| error.context(format!("event {at} of {}", events.len())))
    })
}

/// Checks every item of one put.
pub(crate) fn items(items: &[Item]) -> Result<()> {
    items.iter().try_for_each(|i| item(i).map_err(|e| e.context(format!("item {:?}", i.item_id))))
}

/// Checks every user of one put.
pub(crate) fn users(users: &[User]) -> Result<()> {
    users.iter().try_for_each(|u| {
        let checked = id("user_id", &u.user_id).and_then(|()| attributes(&u.attributes));
        checked.map_err(|e| e.context(format!("user {:?}", u.user_id)))
    })
}

/// Gives the events of a step their ids and checks every record of it.
pub(crate) fn step(table: &str, batch: u64, step: &mut RowStep) -> Result<()> {
    step.name_events(table, batch);
    step.rows.iter().try_for_each(|row| {
        let checked = match &row.record {
            Record::Event(e) => event(e),
            Record::Item(i) => items(std::slice::from_ref(i)),
            Record::User(u) => users(std::slice::from_ref(u)),
            Record::Nothing => Ok(()),
        };
        checked.map_err(|e| e.context(format!("row {:?} of {table}", row.row)))
    })
}

/// Checks the events of a load, each id once, and adds their kinds to the known ones.
pub(crate) fn load(events: &EventBatch, known: &mut IdTable) -> Result<()> {
    events.users.iter().try_for_each(|user| id("user", user))?;
    events.items.iter().try_for_each(|item| id("item", item))?;
    for own in events.kinds.iter() {
        name("kind", own)?;
        kind(known, own)?;
    }
    if let Some(value) = events.value.iter().find(|value| !value.is_finite()) {
        return Err(Error::invalid(format!("value is {value}; it must be finite")));
    }
    events.context.iter().flatten().try_for_each(context)
}

/// Checks a name: not empty, within its limit, no control characters.
pub(crate) fn name(what: &str, value: &str) -> Result<()> {
    text(what, value, LIMITS.name_bytes)
}

/// Adds `kind` to the known kinds.
///
/// # Errors
/// `Exhausted` when that would be one more than the limit.
pub(crate) fn kind(known: &mut IdTable, kind: &str) -> Result<()> {
    if known.index_of(kind).is_some() {
        return Ok(());
    }
    if known.len() >= LIMITS.kinds {
        let text = format!(
            "event kind {kind:?} would be one more than the {} kinds a store may hold; \
             use one of the existing kinds",
            LIMITS.kinds
        );
        return Err(Error::new(ErrorKind::Exhausted, text));
    }
    known.intern(kind);
    Ok(())
}

fn batch_size(len: usize) -> Result<()> {
    if len <= LIMITS.batch_writes {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "{len} events in one call; at most {} are allowed: send several calls",
        LIMITS.batch_writes
    )))
}

fn event(event: &Event) -> Result<()> {
    id("user", &event.user)?;
    id("item", &event.item)?;
    text("kind", &event.kind, LIMITS.name_bytes)?;
    if let Some(event_id) = &event.event_id {
        id("event_id", event_id)?;
    }
    if !event.value.is_finite() {
        return Err(Error::invalid(format!("value is {}; it must be finite", event.value)));
    }
    event.context.as_ref().map_or(Ok(()), context)
}

fn context(context: &EventContext) -> Result<()> {
    let bounded = [
        ("session", &context.session, LIMITS.id_bytes),
        ("scene", &context.scene, LIMITS.name_bytes),
        ("request_id", &context.request_id, LIMITS.id_bytes),
    ];
    bounded.iter().try_for_each(|(name, value, limit)| match value {
        Some(value) => text(name, value, *limit),
        None => Ok(()),
    })
}

fn item(item: &Item) -> Result<()> {
    id("item_id", &item.item_id)?;
    attributes(&item.attributes)?;
    let labels = item.categories.iter().chain(&item.tags);
    labels.chain([&item.title, &item.description]).try_for_each(|t| long_text("text", t))?;
    let finite = item.price.is_none_or(f64::is_finite)
        && item.embedding.as_ref().is_none_or(|e| e.iter().all(|v| v.is_finite()));
    if !finite {
        return Err(Error::invalid("price or embedding is not finite"));
    }
    Ok(())
}

fn attributes(attributes: &BTreeMap<String, String>) -> Result<()> {
    attributes.iter().try_for_each(|(key, value)| {
        text("attribute name", key, LIMITS.name_bytes)?;
        long_text("attribute value", value)
    })
}

/// Checks an id: not empty, within its limit, no control characters.
pub(crate) fn id(name: &str, value: &str) -> Result<()> {
    text(name, value, LIMITS.id_bytes)
}

fn text(name: &str, value: &str, limit: usize) -> Result<()> {
    if value.is_empty() {
        return Err(Error::invalid(format!("{name} is empty")));
    }
    if value.len() > limit {
        let len = value.len();
        return Err(Error::invalid(format!("{name} has {len} bytes; at most {limit} are allowed")));
    }
    if value.chars().any(char::is_control) {
        return Err(Error::invalid(format!("{name} contains a control character")));
    }
    Ok(())
}

fn long_text(name: &str, value: &str) -> Result<()> {
    if value.len() <= LIMITS.text_bytes {
        return Ok(());
    }
    let (len, limit) = (value.len(), LIMITS.text_bytes);
    Err(Error::invalid(format!("{name} has {len} bytes; at most {limit} are allowed")))
}
