//! What goes in: events, items and users as clients write them. Each type turns into its core
//! counterpart after a check that names the record and the field.

use std::collections::BTreeMap;

use foretaste_core::event::EventContext;
use foretaste_core::{Event, Item, Limits, TimeMs, User};
use serde::{Deserialize, Serialize};

use super::problem::{FieldError, Problem};

const LIMITS: Limits = Limits::DEFAULT;
/// Wrong fields reported per request.
const MOST_ERRORS: usize = 20;
/// How far clients' clocks may be ahead.
const CLOCK_SKEW_MS: TimeMs = 86_400_000;

/// Something a user did to an item.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct EventRecord {
    /// Your id of this event: sending it again changes nothing. Without it, an event with the
    /// same user, item, kind, value and time is the same event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_id: Option<String>,
    /// Who.
    pub user: String,
    /// What.
    pub item: String,
    /// How: `view`, `click`, `favourite`, `order`, ...
    pub kind: String,
    /// How much; 1 when there is nothing to say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<f32>,
    /// When, in ms since 1970; now when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_ms: Option<TimeMs>,
    /// Where and in which situation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<ContextRecord>,
}

/// The situation of an event.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, default)]
pub struct ContextRecord {
    /// The visit that the event belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// The scene in which the item was shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scene: Option<String>,
    /// 1-based position in the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub position: Option<u16>,
    /// `x-request-id` of the answer that showed the item.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
}

/// An item of the catalogue.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ItemRecord {
    /// Your id.
    pub item_id: String,
    /// What people read first.
    #[serde(default)]
    pub title: String,
    /// Longer text; feeds content similarity.
    #[serde(default)]
    pub description: String,
    /// Categories, most general first.
    #[serde(default)]
    pub categories: Vec<String>,
    /// Free labels.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Price in the catalogue's currency.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<f64>,
    /// Other properties that filters and caps may use.
    #[serde(default)]
    pub attributes: BTreeMap<String, String>,
    /// When it became available, in ms since 1970.
    #[serde(default)]
    pub created_ms: TimeMs,
    /// Hidden items are in no answer.
    #[serde(default)]
    pub hidden: bool,
    /// A vector of yours; all items must agree on its length.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub embedding: Option<Vec<f32>>,
}

/// A user: a person or a software agent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct UserRecord {
    /// Your id.
    pub user_id: String,
    /// Properties; they serve users without behaviour.
    #[serde(default)]
    pub attributes: BTreeMap<String, String>,
    /// When the user was first known, in ms since 1970.
    #[serde(default)]
    pub created_ms: TimeMs,
}

/// Fields of an item to change; absent ones stay. `hidden` works for ids without a record, too.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, default)]
pub struct ItemPatch {
    /// New title.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// New description.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// New categories.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub categories: Option<Vec<String>>,
    /// New tags.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tags: Option<Vec<String>>,
    /// New price.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub price: Option<f64>,
    /// Attributes to set; `null` removes one.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, Option<String>>,
    /// New time of creation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_ms: Option<TimeMs>,
    /// Hides the item in every answer at once, or shows it again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hidden: Option<bool>,
    /// New vector.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub embedding: Option<Vec<f32>>,
}

/// Fields of a user to change; absent ones stay.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, default)]
pub struct UserPatch {
    /// Attributes to set; `null` removes one.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, Option<String>>,
    /// New time of first contact.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_ms: Option<TimeMs>,
}

/// What became of written records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Written {
    /// Records that are now stored and survive a crash.
    pub accepted: usize,
    /// Events that had been stored before.
    pub duplicates: usize,
}

impl ItemPatch {
    /// True when nothing but visibility changes.
    pub(crate) fn is_only_hidden(&self) -> bool {
        Self { hidden: None, ..self.clone() } == Self::default()
    }

    /// Changes a record.
    pub(crate) fn apply(self, item: &mut Item) {
        fn set<T>(field: &mut T, new: Option<T>) {
            if let Some(new) = new {
                *field = new;
            }
        }
        set(&mut item.title, self.title);
        set(&mut item.description, self.description);
        set(&mut item.categories, self.categories);
        set(&mut item.tags, self.tags);
        set(&mut item.created_ms, self.created_ms);
        item.price = self.price.or(item.price);
        item.embedding = self.embedding.or_else(|| item.embedding.take());
        merge(&mut item.attributes, self.attributes);
    }
}

impl UserPatch {
    /// Changes a record.
    pub(crate) fn apply(self, user: &mut User) {
        user.created_ms = self.created_ms.unwrap_or(user.created_ms);
        merge(&mut user.attributes, self.attributes);
    }
}

fn merge(into: &mut BTreeMap<String, String>, changes: BTreeMap<String, Option<String>>) {
    for (key, value) in changes {
        match value {
            Some(value) => into.insert(key, value),
            None => into.remove(&key),
        };
    }
}

impl From<ItemRecord> for Item {
    fn from(r: ItemRecord) -> Self {
        Self {
            item_id: r.item_id,
            title: r.title,
            description: r.description,
            categories: r.categories,
            tags: r.tags,
            price: r.price,
            attributes: r.attributes,
            created_ms: r.created_ms,
            hidden: r.hidden,
            embedding: r.embedding,
        }
    }
}

impl From<Item> for ItemRecord {
    fn from(i: Item) -> Self {
        Self {
            item_id: i.item_id,
            title: i.title,
            description: i.description,
            categories: i.categories,
            tags: i.tags,
            price: i.price,
            attributes: i.attributes,
            created_ms: i.created_ms,
            hidden: i.hidden,
            embedding: i.embedding,
        }
    }
}

impl From<UserRecord> for User {
    fn from(r: UserRecord) -> Self {
        Self { user_id: r.user_id, attributes: r.attributes, created_ms: r.created_ms }
    }
}

impl From<User> for UserRecord {
    fn from(u: User) -> Self {
        Self { user_id: u.user_id, attributes: u.attributes, created_ms: u.created_ms }
    }
}

/// Refuses more records than one request may have.
///
/// # Errors
/// 400 naming how many there are.
pub(crate) fn expect_few(n: usize) -> Result<(), Problem> {
    let most = LIMITS.batch_writes;
    match n > most {
        true => Err(Problem::invalid(format!("{n} records in one request; at most {most}"))),
        false => Ok(()),
    }
}

/// Checked events; those without a time happened at `now_ms`.
///
/// # Errors
/// 400 naming up to 20 wrong fields; then no record is used.
pub(crate) fn events(records: Vec<EventRecord>, now_ms: TimeMs) -> Result<Vec<Event>, Problem> {
    let mut check = Check::default();
    for (index, record) in records.iter().enumerate() {
        check.at(index).event(record, now_ms);
    }
    check.done()?;
    Ok(records.into_iter().map(|record| record.into_event(now_ms)).collect())
}

/// Checked items.
///
/// # Errors
/// As [`events`].
pub(crate) fn items(items: &[Item]) -> Result<(), Problem> {
    let mut check = Check::default();
    items.iter().enumerate().for_each(|(index, item)| check.at(index).item(item));
    check.done()
}

/// Checked users.
///
/// # Errors
/// As [`events`].
pub(crate) fn users(users: &[User]) -> Result<(), Problem> {
    let mut check = Check::default();
    for (index, user) in users.iter().enumerate() {
        let check = check.at(index);
        check.id("user_id", &user.user_id);
        check.attributes(&user.attributes);
    }
    check.done()
}

/// A checked id from a path, query or list.
///
/// # Errors
/// 400 naming `field`.
pub(crate) fn id(field: &str, value: &str) -> Result<(), Problem> {
    let mut check = Check::default();
    check.id(field, value);
    check.done()
}

/// Checked ids of a list of at most `most`.
///
/// # Errors
/// 400 naming the list and the wrong entry.
pub(crate) fn ids(field: &str, values: &[String], most: usize) -> Result<(), Problem> {
    if values.len() > most {
        return Err(Problem::invalid(format!("{field}: {} entries; at most {most}", values.len())));
    }
    let mut check = Check::default();
    values.iter().enumerate().for_each(|(index, value)| check.at(index).id(field, value));
    check.done()
}

impl EventRecord {
    fn into_event(self, now_ms: TimeMs) -> Event {
        let context = self.context.map(|c| EventContext {
            session: c.session,
            scene: c.scene,
            position: c.position,
            request_id: c.request_id,
        });
        Event {
            event_id: self.event_id,
            user: self.user,
            item: self.item,
            kind: self.kind,
            value: self.value.unwrap_or(1.0),
            time_ms: self.time_ms.filter(|&t| t != 0).unwrap_or(now_ms),
            context,
        }
    }
}

/// Collects wrong fields.
#[derive(Default)]
struct Check {
    index: usize,
    errors: Vec<FieldError>,
}

impl Check {
    fn at(&mut self, index: usize) -> &mut Self {
        self.index = index;
        self
    }

    fn done(self) -> Result<(), Problem> {
        if self.errors.is_empty() { Ok(()) } else { Err(Problem::fields(self.errors)) }
    }

    fn fail(&mut self, field: &str, reason: String) {
        if self.errors.len() < MOST_ERRORS {
            let field = field.to_owned();
            self.errors.push(FieldError { index: self.index, field, reason });
        }
    }

    fn text(&mut self, field: &str, value: &str, least: usize, most: usize) {
        if value.len() < least || value.len() > most {
            self.fail(field, format!("expected {least} to {most} bytes, got {}", value.len()));
        }
    }

    fn name(&mut self, field: &str, value: &str, most: usize) {
        self.text(field, value, 1, most);
        if value.chars().any(char::is_control) {
            self.fail(field, "control characters are not allowed".to_owned());
        }
    }

    fn id(&mut self, field: &str, value: &str) {
        self.name(field, value, LIMITS.id_bytes);
    }

    fn attributes(&mut self, attributes: &BTreeMap<String, String>) {
        for (key, value) in attributes {
            self.name("attributes", key, LIMITS.name_bytes);
            self.text("attributes", value, 0, LIMITS.text_bytes);
        }
    }

    fn event(&mut self, event: &EventRecord, now_ms: TimeMs) {
        self.id("user", &event.user);
        self.id("item", &event.item);
        self.name("kind", &event.kind, LIMITS.name_bytes);
        event.event_id.iter().for_each(|id| self.id("event_id", id));
        if event.value.is_some_and(|v| !v.is_finite()) {
            self.fail("value", "expected a finite number".to_owned());
        }
        let time_ms = event.time_ms.unwrap_or(0);
        if time_ms < 0 || time_ms > now_ms + CLOCK_SKEW_MS {
            let reason = "expected ms since 1970, at most a day in the future";
            self.fail("time_ms", reason.to_owned());
        }
        let Some(context) = &event.context else { return };
        context.session.iter().for_each(|v| self.id("context.session", v));
        context.request_id.iter().for_each(|v| self.id("context.request_id", v));
        context.scene.iter().for_each(|v| self.name("context.scene", v, LIMITS.name_bytes));
    }

    fn item(&mut self, item: &Item) {
        self.id("item_id", &item.item_id);
        self.text("title", &item.title, 0, LIMITS.text_bytes);
        self.text("description", &item.description, 0, LIMITS.text_bytes);
        item.categories.iter().for_each(|c| self.text("categories", c, 1, LIMITS.text_bytes));
        item.tags.iter().for_each(|t| self.text("tags", t, 1, LIMITS.text_bytes));
        self.attributes(&item.attributes);
        if item.price.is_some_and(|p| !p.is_finite()) {
            self.fail("price", "expected a finite number".to_owned());
        }
        if item.embedding.iter().flatten().any(|v| !v.is_finite()) {
            self.fail("embedding", "expected finite numbers".to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(user: &str, time_ms: Option<TimeMs>) -> EventRecord {
        let (item, kind) = ("i".to_owned(), "view".to_owned());
        let user = user.to_owned();
        EventRecord { event_id: None, user, item, kind, value: None, time_ms, context: None }
    }

    #[test]
    fn ids_are_checked_at_their_limit() {
        for (n, ok) in [(0, false), (1, true), (127, true), (128, true), (129, false)] {
            let records = vec![event("u", None), event(&"x".repeat(n), None)];
            let result = events(records, 5);
            assert_eq!(result.is_ok(), ok, "{n} bytes");
            if let Err(problem) = result {
                assert_eq!((problem.errors[0].index, &*problem.errors[0].field), (1, "user"));
            }
        }
    }

    #[test]
    fn absent_times_are_now_and_wild_ones_are_refused() {
        let kept = events(vec![event("u", None), event("u", Some(7))], 99).expect("valid");
        assert_eq!((kept[0].time_ms, kept[1].time_ms, kept[0].value), (99, 7, 1.0));
        for time_ms in [-1, 99 + CLOCK_SKEW_MS + 1] {
            let problem = events(vec![event("u", Some(time_ms))], 99).expect_err("wild");
            assert_eq!(problem.errors[0].field, "time_ms");
        }
    }

    #[test]
    fn records_and_core_types_say_the_same() {
        let record = ItemRecord {
            item_id: "i".into(),
            price: Some(1.5),
            hidden: true,
            ..ItemRecord::default()
        };
        let json = serde_json::to_string(&Item::from(record.clone())).expect("json");
        let mut value: serde_json::Value = serde_json::from_str(&json).expect("json");
        value.as_object_mut().expect("object").retain(|_, v| !v.is_null());
        assert_eq!(serde_json::from_value::<ItemRecord>(value).expect("same fields"), record);
    }

    #[test]
    fn a_patch_changes_only_what_it_names() {
        let patch: ItemPatch =
            serde_json::from_str(r#"{"title":"new","attributes":{"a":null,"b":"2"}}"#).expect("ok");
        let attributes = BTreeMap::from([("a".to_owned(), "1".to_owned())]);
        let mut item = Item { price: Some(3.0), attributes, ..Item::default() };
        assert!(!patch.is_only_hidden());
        patch.apply(&mut item);
        assert_eq!((item.title.as_str(), item.price), ("new", Some(3.0)));
        assert_eq!(item.attributes, BTreeMap::from([("b".to_owned(), "2".to_owned())]));
    }
}
