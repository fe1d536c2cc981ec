//! The columns of events on disk, and which of them a reader wants.

use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema, SchemaRef};

/// What to read of each event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Columns {
    /// Everything, the situation of each event too.
    All,
    /// Everything but the context: what training needs, at a fraction of the cost.
    NoContext,
}

pub(crate) const USER: &str = "user_id";
pub(crate) const ITEM: &str = "item_id";
pub(crate) const KIND: &str = "kind";
pub(crate) const VALUE: &str = "value";
pub(crate) const TIME: &str = "time_ms";
pub(crate) const KEY: &str = "key";
pub(crate) const SESSION: &str = "session";
pub(crate) const SCENE: &str = "scene";
pub(crate) const POSITION: &str = "position";
pub(crate) const REQUEST: &str = "request_id";

/// The columns of [`Columns::All`] that are not in [`Columns::NoContext`].
pub(crate) const CONTEXT: [&str; 4] = [SESSION, SCENE, POSITION, REQUEST];

/// The columns whose values repeat and are stored once per row group.
pub(crate) const DICTIONARIES: [&str; 6] = [USER, ITEM, KIND, SESSION, SCENE, REQUEST];

/// Whether a file carries the key of each event, or leaves it to follow from the content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keys {
    Stored,
    Derived,
}

pub(crate) fn dictionary() -> DataType {
    DataType::Dictionary(Box::new(DataType::UInt32), Box::new(DataType::Utf8))
}

/// The Arrow schema of a file of events.
pub(crate) fn event_schema(keys: Keys) -> SchemaRef {
    let mut fields = vec![
        Field::new(USER, dictionary(), false),
        Field::new(ITEM, dictionary(), false),
        Field::new(KIND, dictionary(), false),
        Field::new(VALUE, DataType::Float32, false),
        Field::new(TIME, DataType::Int64, false),
    ];
    if keys == Keys::Stored {
        fields.push(Field::new(KEY, DataType::UInt64, false));
    }
    fields.extend([
        Field::new(SESSION, dictionary(), true),
        Field::new(SCENE, dictionary(), true),
        Field::new(POSITION, DataType::UInt16, true),
        Field::new(REQUEST, dictionary(), true),
    ]);
    Arc::new(Schema::new(fields))
}
