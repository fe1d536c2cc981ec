//! Behaviour: one event as a row, and many events as columns.

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use crate::{IdTable, TimeMs};

/// Something a user did to an item. Gorse calls this feedback.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Event {
    /// The caller's id of this event; events with the same id are one event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_id: Option<String>,
    /// Who.
    pub user: String,
    /// What.
    pub item: String,
    /// How: `view`, `click`, `favourite`, `order`, `rating`, ... (any name; weights are config).
    pub kind: String,
    /// How much (a rating, a quantity, seconds watched); 1 when there is nothing to say.
    #[serde(default = "one")]
    pub value: f32,
    /// When; 0 when not known.
    #[serde(default)]
    pub time_ms: TimeMs,
    /// Where and in which situation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<EventContext>,
}

fn one() -> f32 {
    1.0
}

/// The situation of an event, where it is known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventContext {
    /// The visit that the event belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// The scene (homepage, search, ...) in which the item was shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scene: Option<String>,
    /// 1-based position in the slate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<u16>,
    /// The recommendation request that showed the item.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
}

impl Event {
    /// The identity of the event: its id if it has one, else its content. Storing two events of
    /// one key stores one event.
    pub fn key(&self) -> u64 {
        event_key(self.event_id.as_deref(), (&self.user, &self.item, &self.kind), self)
    }
}

fn event_key(id: Option<&str>, (user, item, kind): (&str, &str, &str), event: &Event) -> u64 {
    match id {
        Some(id) => id_key(user, id),
        None => content_key(user, item, kind, event.value, event.time_ms),
    }
}

/// The key of an event that carries an id. The user takes part: ids of two users never collide
/// by design, and duplicates always lie within one user's history.
pub fn id_key(user: &str, id: &str) -> u64 {
    digest(1, &[user.as_bytes(), id.as_bytes()])
}

/// The key of an event without an id: what, by whom, how much and when.
pub fn content_key(user: &str, item: &str, kind: &str, value: f32, time_ms: TimeMs) -> u64 {
    let (value, time) = (value.to_bits().to_le_bytes(), time_ms.to_le_bytes());
    digest(2, &[user.as_bytes(), item.as_bytes(), kind.as_bytes(), &value, &time])
}

/// What is hashed of an event has seldom more bytes; a hasher for any number takes longer to set up
/// than to hash so few.
const SHORT: usize = 240;

fn digest(domain: u8, parts: &[&[u8]]) -> u64 {
    let mut short = [0; SHORT];
    if parts.iter().map(|part| 4 + part.len()).sum::<usize>() < SHORT {
        short[0] = domain;
        let mut at = 1;
        for part in parts {
            short[at..at + 4].copy_from_slice(&(part.len() as u32).to_le_bytes());
            short[at + 4..at + 4 + part.len()].copy_from_slice(part);
            at += 4 + part.len();
        }
        return xxh3_64(&short[..at]);
    }
    streamed_digest(domain, parts)
}

fn streamed_digest(domain: u8, parts: &[&[u8]]) -> u64 {
    let mut hasher = Xxh3::new();
    hasher.update(&[domain]);
    for part in parts {
        hasher.update(&(part.len() as u32).to_le_bytes());
        hasher.update(part);
    }
    hasher.digest()
}

/// Many events as columns over their own id tables: the form in which events are imported,
/// stored, and handed to training.
#[derive(Clone, Debug, Default)]
pub struct EventBatch {
    /// Distinct users of this batch.
    pub users: IdTable,
    /// Distinct items of this batch.
    pub items: IdTable,
    /// Distinct kinds of this batch (at most 256).
    pub kinds: IdTable,
    /// Index into `users`, per event.
    pub user: Vec<u32>,
    /// Index into `items`, per event.
    pub item: Vec<u32>,
    /// Index into `kinds`, per event.
    pub kind: Vec<u8>,
    /// Value, per event.
    pub value: Vec<f32>,
    /// Time in ms, per event.
    pub time_ms: Vec<TimeMs>,
    /// Identity ([`Event::key`]), per event.
    pub key: Vec<u64>,
    /// Context, per event; empty when no event of the batch has one or it was not read.
    pub context: Vec<Option<EventContext>>,
}

impl EventBatch {
    /// Without events; the columns have room for `n`, contexts not counted.
    pub fn with_capacity(n: usize) -> Self {
        Self {
            user: Vec::with_capacity(n),
            item: Vec::with_capacity(n),
            kind: Vec::with_capacity(n),
            value: Vec::with_capacity(n),
            time_ms: Vec::with_capacity(n),
            key: Vec::with_capacity(n),
            ..Self::default()
        }
    }

    /// Without events and ids again, with the room that it has.
    pub fn clear(&mut self) {
        [&mut self.users, &mut self.items, &mut self.kinds].into_iter().for_each(IdTable::clear);
        [&mut self.user, &mut self.item].into_iter().for_each(Vec::clear);
        self.kind.clear();
        self.value.clear();
        self.time_ms.clear();
        self.key.clear();
        self.context.clear();
    }

    /// Number of events.
    pub fn len(&self) -> usize {
        self.user.len()
    }

    /// True when there is no event.
    pub fn is_empty(&self) -> bool {
        self.user.is_empty()
    }

    /// Appends one event.
    ///
    /// # Panics
    /// At the 257th distinct kind; importers and the API refuse it before.
    pub fn push(&mut self, event: &Event) {
        self.user.push(self.users.intern(&event.user));
        self.item.push(self.items.intern(&event.item));
        let kind = self.kinds.intern(&event.kind);
        self.kind.push(u8::try_from(kind).expect("at most 256 kinds of events"));
        self.value.push(event.value);
        self.time_ms.push(event.time_ms);
        self.key.push(event.key());
        if event.context.is_some() && self.context.is_empty() {
            self.context.resize(self.user.len() - 1, None);
        }
        if event.context.is_some() || !self.context.is_empty() {
            self.context.push(event.context.clone());
        }
    }

    /// Event `i` as a row. Its `event_id` is not kept: only the key is.
    pub fn get(&self, i: usize) -> Event {
        Event {
            event_id: None,
            user: self.users.get(self.user[i]).to_owned(),
            item: self.items.get(self.item[i]).to_owned(),
            kind: self.kinds.get(u32::from(self.kind[i])).to_owned(),
            value: self.value[i],
            time_ms: self.time_ms[i],
            context: self.context.get(i).cloned().flatten(),
        }
    }

    /// The smallest and largest known time, if any event has one.
    pub fn time_range(&self) -> Option<(TimeMs, TimeMs)> {
        let known = || self.time_ms.iter().copied().filter(|&t| t != 0);
        Some((known().min()?, known().max()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(id: Option<&str>, item: &str) -> Event {
        Event {
            event_id: id.map(str::to_owned),
            user: "u".into(),
            item: item.into(),
            kind: "view".into(),
            value: 1.0,
            time_ms: 5,
            context: None,
        }
    }

    #[test]
    fn an_event_is_its_id_or_else_its_content() {
        assert_eq!(event(Some("7"), "a").key(), event(Some("7"), "b").key());
        assert_eq!(event(None, "a").key(), event(None, "a").key());
        assert_ne!(event(None, "a").key(), event(None, "b").key());
        assert_ne!(content_key("ab", "c", "k", 1.0, 0), content_key("a", "bc", "k", 1.0, 0));
    }

    #[test]
    fn a_batch_gives_back_what_was_pushed() {
        let mut batch = EventBatch::default();
        let mut with_context = event(None, "b");
        with_context.context = Some(EventContext { position: Some(3), ..Default::default() });
        let events = [event(None, "a"), with_context, event(None, "a")];
        events.iter().for_each(|e| batch.push(e));
        assert_eq!((0..3).map(|i| batch.get(i)).collect::<Vec<_>>(), events);
        assert_eq!(batch.items.len(), 2);
        assert_eq!(batch.time_range(), Some((5, 5)));
        batch.clear();
        assert_eq!((batch.len(), batch.time_range()), (0, None));
        batch.push(&events[0]);
        assert_eq!((batch.get(0), batch.items.len()), (events[0].clone(), 1));
    }

    #[test]
    fn keys_of_short_and_long_parts_are_one_hash() {
        let text: Vec<u8> = (0..=255).collect();
        for length in 0..=text.len() {
            let parts = [&text[..length / 3], &text[length / 3..length]];
            assert_eq!(digest(1, &parts), streamed_digest(1, &parts), "{length} bytes");
        }
    }
}
