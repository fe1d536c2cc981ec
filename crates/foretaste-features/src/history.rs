//! What a query may see: the events before the time that its values are computed for.
//!
//! `history` is made here and nowhere else, and always from events with a time before `as_of`, so
//! no query can look ahead. Ages are whole days (UTC), today being 0: values change with the day
//! and with new events, which is what makes updating them possible.

use datafusion::arrow::datatypes::{DataType, Field};
use datafusion::prelude::SessionContext;
use foretaste_core::Result;

use crate::definition::Definition;
use crate::engine::plan;
use crate::failure;
use crate::lake::EVENTS;
use crate::table::DAY_MS;

/// Name of the table that queries see.
pub(crate) const HISTORY: &str = "history";
/// The column of times that values are computed for.
pub(crate) const AS_OF: &str = "as_of";

/// For whom and when values are computed.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Scope<'a> {
    /// All entities, at one time.
    All { as_of: i64 },
    /// The entities of a registered table, at one time.
    Among { as_of: i64, table: &'a str },
    /// The entities of a registered table, each at the time in its column `as_of`, all of which
    /// lie between the two.
    Each { table: &'a str, from: i64, to: i64 },
}

/// The columns of `history`.
pub(crate) fn fields() -> Vec<Field> {
    let field = |name: &str, data_type, nullable| Field::new(name, data_type, nullable);
    vec![
        field(AS_OF, DataType::Int64, false),
        field("user_id", DataType::Utf8View, false),
        field("item_id", DataType::Utf8View, false),
        field("kind", DataType::Utf8View, false),
        field("value", DataType::Float64, false),
        field("time_ms", DataType::Int64, false),
        field("age_days", DataType::Int64, false),
        field("session", DataType::Utf8View, true),
        field("scene", DataType::Utf8View, true),
        field("position", DataType::Int64, true),
    ]
}

/// Makes `history` in a session that has the table of events.
pub(crate) async fn register(
    session: &SessionContext,
    definition: &Definition,
    scope: Scope<'_>,
) -> Result<()> {
    let view = plan(session, HISTORY, &view(definition, scope)).await?.into_view();
    // What was planned with the one before keeps it.
    let replaced = session.deregister_table(HISTORY);
    let registered = replaced.and_then(|_| session.register_table(HISTORY, view));
    registered.map(|_| ()).map_err(|e| failure::sql(HISTORY, e))
}

fn view(definition: &Definition, scope: Scope<'_>) -> String {
    let keys = definition.entity.keys();
    let same = keys.iter().map(|key| format!("s.{key} = e.{key}")).collect::<Vec<_>>();
    let same = same.join(" AND ");
    let (as_of, source, (from, to)) = match scope {
        Scope::All { as_of } => (as_of.to_string(), format!("{EVENTS} e"), (as_of, as_of)),
        Scope::Among { as_of, table } => {
            let among = format!("{table} s RIGHT SEMI JOIN {EVENTS} e ON {same}");
            (as_of.to_string(), among, (as_of, as_of))
        }
        Scope::Each { table, from, to } => {
            let spine = format!("(SELECT DISTINCT {}, {AS_OF} FROM {table})", keys.join(", "));
            let before = format!("e.time_ms < s.{AS_OF}");
            let each = format!("{spine} s JOIN {EVENTS} e ON {same} AND {before}");
            (format!("s.{AS_OF}"), each, (from, to))
        }
    };
    let age = format!("({as_of} / {DAY_MS} - e.time_ms / {DAY_MS})");
    let mut seen = format!("e.time_ms > 0 AND e.time_ms < {to}");
    if let Some(days) = definition.window_days {
        let first = (from.div_euclid(DAY_MS) + 1 - i64::from(days)) * DAY_MS;
        seen += &format!(" AND e.time_ms >= {first} AND {age} < {days}");
    }
    format!(
        "SELECT CAST({as_of} AS BIGINT) AS {AS_OF}, e.user_id, e.item_id, e.kind, \
         CAST(e.value AS DOUBLE) AS value, e.time_ms, {age} AS age_days, e.session, e.scene, \
         CAST(e.position AS BIGINT) AS position \
         FROM {source} WHERE {seen}"
    )
}
