//! Items, users, what is hidden, and the control state.

use std::collections::BTreeMap;

use foretaste_core::{Error, Item, Result, User};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::sql::{Arg, Changing, Database, marks, number, text};
use super::warm;
use crate::store::Sink;
use crate::validate;

/// Ids that one statement names.
const IDS_AT_ONCE: usize = 5_000;
/// An item's record with its own flag and those of [`put_flag`].
const ITEMS: &str = "SELECT i.record, i.hidden + coalesce(h.hidden, 0) + coalesce(h.deleted, 0) \
                     FROM foretaste_items i LEFT JOIN foretaste_hidden h ON h.item_id = i.item_id";
/// The ids of what is in no answer.
pub(super) const HIDDEN: &str = "SELECT item_id FROM foretaste_items WHERE hidden > 0 UNION \
    SELECT item_id FROM foretaste_hidden WHERE hidden + deleted > 0 ORDER BY item_id";

pub(super) async fn put_items(database: &Database, items: &[Item]) -> Result<()> {
    database.transaction(async |changing| add_items(changing, items.iter()).await).await
}

/// Adds or replaces items; those that were deleted are back.
pub(super) async fn add_items(
    changing: &mut Changing<'_>,
    items: impl Iterator<Item = &Item>,
) -> Result<()> {
    // A statement may name a row once.
    let items: BTreeMap<&str, &Item> = items.map(|item| (item.item_id.as_str(), item)).collect();
    let row = |item: &&Item| -> Result<Vec<Arg>> {
        let hidden = i64::from(item.hidden);
        Ok(vec![Arg::text(&item.item_id), hidden.into(), Arg::Text(Some(json(item)?))])
    };
    let rows = items.values().map(row).collect::<Result<_>>()?;
    let conflict = changing.conflict("items", "item_id", &["hidden", "record"]);
    changing.insert("foretaste_items (item_id, hidden, record)", &conflict, rows).await?;
    let ids: Vec<&str> = items.into_keys().collect();
    for some in ids.chunks(IDS_AT_ONCE) {
        let marks = marks(some.len());
        let sql = format!("UPDATE foretaste_hidden SET deleted = 0 WHERE item_id IN ({marks})");
        changing.run(&sql, some.iter().map(|id| Arg::text(id)).collect()).await?;
    }
    Ok(())
}

pub(super) async fn put_users(database: &Database, users: &[User]) -> Result<()> {
    database.transaction(async |changing| add_users(changing, users.iter()).await).await
}

pub(super) async fn add_users(
    changing: &mut Changing<'_>,
    users: impl Iterator<Item = &User>,
) -> Result<()> {
    let users: BTreeMap<&str, &User> = users.map(|user| (user.user_id.as_str(), user)).collect();
    let row = |user: &&User| Ok(vec![Arg::text(&user.user_id), Arg::Text(Some(json(user)?))]);
    let rows = users.values().map(row).collect::<Result<_>>()?;
    let conflict = changing.conflict("users", "user_id", &["record"]);
    changing.insert("foretaste_users (user_id, record)", &conflict, rows).await
}

pub(super) fn item(database: &Database, id: &str) -> Result<Option<Item>> {
    let rows = database.rows(&format!("{ITEMS} WHERE i.item_id = ?"), vec![Arg::text(id)])?;
    let shown = |row| shown(&text(row, 0)?, number(row, 1)?);
    rows.first().map(shown).transpose()
}

pub(super) fn items(database: &Database, sink: Sink<'_, Item>) -> Result<()> {
    let sql = format!("{ITEMS} ORDER BY i.item_id");
    database.read(|reading| {
        reading
            .each_row(&sql, Vec::new(), &mut |row| sink(shown(&text(&row, 0)?, number(&row, 1)?)?))
    })
}

/// The record with the flag that counts.
fn shown(record: &str, flags: i64) -> Result<Item> {
    Ok(Item { hidden: flags > 0, ..of_json(record)? })
}

pub(super) fn user(database: &Database, id: &str) -> Result<Option<User>> {
    let sql = "SELECT record FROM foretaste_users WHERE user_id = ?";
    let rows = database.rows(sql, vec![Arg::text(id)])?;
    rows.first().map(|row| of_json(&text(row, 0)?)).transpose()
}

pub(super) fn users(database: &Database, sink: Sink<'_, User>) -> Result<()> {
    let sql = "SELECT record FROM foretaste_users ORDER BY user_id";
    database.read(|reading| {
        reading.each_row(sql, Vec::new(), &mut |row| sink(of_json(&text(&row, 0)?)?))
    })
}

pub(super) fn hidden(database: &Database) -> Result<Vec<String>> {
    database.rows(HIDDEN, Vec::new())?.iter().map(|row| text(row, 0)).collect()
}

pub(super) async fn delete_item(database: &Database, id: &str) -> Result<bool> {
    let delete = async |changing: &mut Changing<'_>| {
        let sql = "DELETE FROM foretaste_items WHERE item_id = ?";
        let found = changing.run(sql, vec![Arg::text(id)]).await? > 0;
        if found {
            put_flag(changing, "deleted", &[id]).await?;
        }
        Ok(found)
    };
    database.transaction(delete).await
}

/// Marks ids as `hidden` or `deleted`.
pub(super) async fn put_flag(changing: &mut Changing<'_>, flag: &str, ids: &[&str]) -> Result<()> {
    let (hidden, deleted) = (i64::from(flag == "hidden"), i64::from(flag == "deleted"));
    let rows = ids.iter().map(|id| vec![Arg::text(id), hidden.into(), deleted.into()]).collect();
    let conflict = changing.conflict("hidden", "item_id", &[flag]);
    changing.insert("foretaste_hidden (item_id, hidden, deleted)", &conflict, rows).await
}

pub(super) async fn set_hidden(database: &Database, id: &str, hidden: bool) -> Result<bool> {
    let set = async |changing: &mut Changing<'_>| {
        let flags = "SELECT hidden, deleted FROM foretaste_hidden WHERE item_id = ?";
        let flags = changing.rows(flags, vec![Arg::text(id)]).await?;
        let flag = |at| flags.first().map_or(Ok(0), |row| number(row, at));
        let (was_hidden, was_deleted) = (flag(0)? > 0, flag(1)? > 0);
        if hidden {
            put_flag(changing, "hidden", &[id]).await?;
            return Ok(!was_hidden);
        }
        let sql = "DELETE FROM foretaste_hidden WHERE item_id = ?";
        changing.run(sql, vec![Arg::text(id)]).await?;
        let sql = "UPDATE foretaste_items SET hidden = 0 WHERE item_id = ? AND hidden > 0";
        let own = changing.run(sql, vec![Arg::text(id)]).await? > 0;
        Ok(was_hidden || was_deleted || own)
    };
    database.transaction(set).await
}

pub(super) async fn delete_user(database: &Database, id: &str) -> Result<bool> {
    let delete = async |changing: &mut Changing<'_>| {
        // An event that is sent once more after this counts again.
        let keys = "DELETE FROM foretaste_keys WHERE event_key IN \
                    (SELECT event_key FROM foretaste_events WHERE user_id = ?)";
        changing.run(keys, vec![Arg::text(id)]).await?;
        let events = "DELETE FROM foretaste_events WHERE user_id = ?";
        changing.run(events, vec![Arg::text(id)]).await?;
        warm::erase(changing, id).await?;
        let record = "DELETE FROM foretaste_users WHERE user_id = ?";
        Ok(changing.run(record, vec![Arg::text(id)]).await? > 0)
    };
    database.transaction(delete).await
}

pub(super) async fn set_control(database: &Database, key: &str, value: Option<&str>) -> Result<()> {
    validate::name("control key", key)?;
    let set = async |changing: &mut Changing<'_>| {
        let Some(value) = value else {
            let sql = "DELETE FROM foretaste_control WHERE name = ?";
            return changing.run(sql, vec![Arg::text(key)]).await.map(|_| ());
        };
        let conflict = changing.conflict("control", "name", &["value"]);
        let row = vec![Arg::text(key), Arg::text(value)];
        changing.insert("foretaste_control (name, value)", &conflict, vec![row]).await
    };
    database.transaction(set).await
}

pub(super) fn json<T: Serialize>(record: &T) -> Result<String> {
    serde_json::to_string(record)
        .map_err(|e| Error::internal("a record has no JSON").with_source(e))
}

pub(super) fn of_json<T: DeserializeOwned>(text: &str) -> Result<T> {
    serde_json::from_str(text)
        .map_err(|e| Error::corrupt("a record of the store cannot be read").with_source(e))
}
