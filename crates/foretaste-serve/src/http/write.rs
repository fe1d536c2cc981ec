//! Routes that change what is stored. A 200 is sent only after the store has said that the
//! records are durable; a batch is stored whole or not at all.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use foretaste_core::{Item, Limits, User};
use hyper::body::Body as _;
use serde::de::DeserializeOwned;

use super::body;
use super::class::class;
use super::ids::Id;
use super::problem::Problem;
use super::records::{self, EventRecord, ItemPatch, ItemRecord, UserPatch, UserRecord, Written};
use crate::app::{App, now_ms};
use crate::config::millis;
use crate::pressure::Urgency;
use crate::replicas::News;

const LIMITS: Limits = Limits::DEFAULT;

type Shared = State<Arc<App>>;

/// Large bodies are few at a time, and are parsed where computing belongs.
async fn records_of<T: DeserializeOwned + Send + 'static>(
    app: &App,
    request: Request,
) -> Result<Vec<T>, Problem> {
    body::expect_json(request.headers())?;
    let class = class(request.headers())?;
    if class < Urgency::Bulk {
        app.admit(class)?;
    }
    let patience = millis(app.config.timeouts.body_ms);
    let body = request.into_body();
    if body.size_hint().upper().is_some_and(|bytes| bytes <= LIMITS.body_bytes as u64) {
        return body::one_or_many(&body::read(body, LIMITS.body_bytes, patience).await?);
    }
    app.admit(class.min(Urgency::Bulk))?;
    let _slot = app.large_body()?;
    let bytes = body::read(body, LIMITS.batch_body_bytes, patience).await?;
    app.compute(move |_| body::one_or_many(&bytes)).await?
}

async fn patch_of<T: DeserializeOwned>(app: &App, request: Request) -> Result<T, Problem> {
    body::expect_json(request.headers())?;
    let patience = millis(app.config.timeouts.body_ms);
    body::json(&body::read(request.into_body(), LIMITS.body_bytes, patience).await?)
}

pub(crate) async fn post_events(
    State(app): Shared,
    request: Request,
) -> Result<Json<Written>, Problem> {
    let written: Vec<EventRecord> = records_of(&app, request).await?;
    let outcome = app.write_events(records::events(written, now_ms())?).await?;
    Ok(Json(Written { accepted: outcome.accepted, duplicates: outcome.duplicates }))
}

pub(crate) async fn post_items(
    State(app): Shared,
    request: Request,
) -> Result<Json<Written>, Problem> {
    let written: Vec<ItemRecord> = records_of(&app, request).await?;
    let items: Vec<Item> = written.into_iter().map(Item::from).collect();
    records::items(&items)?;
    let accepted = items.len();
    app.store(move |app, store| {
        store.put_items(&items)?;
        let mut changes = Vec::with_capacity(items.len());
        for item in &items {
            // An item that was hidden by itself stays hidden whatever its record says.
            let hidden = item.hidden
                || app.is_hidden_now(&item.item_id)
                    && store.item(&item.item_id)?.is_some_and(|stored| stored.hidden);
            changes.push((item.item_id.as_str(), hidden));
        }
        app.hide(&changes);
        Ok(())
    })
    .await?;
    Ok(Json(Written { accepted, duplicates: 0 }))
}

pub(crate) async fn post_users(
    State(app): Shared,
    request: Request,
) -> Result<Json<Written>, Problem> {
    let written: Vec<UserRecord> = records_of(&app, request).await?;
    let users: Vec<User> = written.into_iter().map(User::from).collect();
    records::users(&users)?;
    let accepted = users.len();
    app.store(move |app, store| {
        store.put_users(&users)?;
        app.users_changed(users.iter().map(|user| user.user_id.as_str()));
        Ok(())
    })
    .await?;
    Ok(Json(Written { accepted, duplicates: 0 }))
}

pub(crate) async fn get_item(State(app): Shared, Id(id): Id) -> Result<Json<ItemRecord>, Problem> {
    let item = app.store(move |_, store| store.item(&id)).await?;
    item.map(|item| Json(item.into())).ok_or_else(no_item)
}

pub(crate) async fn get_user(State(app): Shared, Id(id): Id) -> Result<Json<UserRecord>, Problem> {
    let user = app.store(move |_, store| store.user(&id)).await?;
    user.map(|user| Json(user.into())).ok_or_else(no_user)
}

pub(crate) async fn patch_item(
    State(app): Shared,
    Id(id): Id,
    request: Request,
) -> Result<Json<ItemRecord>, Problem> {
    let patch: ItemPatch = patch_of(&app, request).await?;
    let key = id.clone();
    let found = app.store(move |_, store| store.item(&key)).await?;
    let only_hidden = patch.is_only_hidden();
    if found.is_none() && (!only_hidden || patch.hidden.is_none()) {
        return Err(no_item());
    }
    let hidden = patch.hidden;
    let mut item = found.clone().unwrap_or_else(|| Item { item_id: id, ..Item::default() });
    patch.apply(&mut item);
    item.hidden = hidden.unwrap_or(item.hidden);
    records::items(std::slice::from_ref(&item))?;
    let stored = item.clone();
    app.store(move |app, store| {
        if !only_hidden {
            store.put_items(std::slice::from_ref(&item))?;
        }
        if let Some(hidden) = hidden {
            store.set_hidden(&item.item_id, hidden)?;
        }
        app.hide(&[(item.item_id.as_str(), item.hidden)]);
        Ok(())
    })
    .await?;
    Ok(Json(stored.into()))
}

pub(crate) async fn patch_user(
    State(app): Shared,
    Id(id): Id,
    request: Request,
) -> Result<Json<UserRecord>, Problem> {
    let patch: UserPatch = patch_of(&app, request).await?;
    let found = app.store(move |_, store| store.user(&id)).await?;
    let mut user = found.ok_or_else(no_user)?;
    patch.apply(&mut user);
    records::users(std::slice::from_ref(&user))?;
    let stored = user.clone();
    app.store(move |app, store| {
        store.put_users(std::slice::from_ref(&user))?;
        app.users_changed([user.user_id.as_str()].into_iter());
        Ok(())
    })
    .await?;
    Ok(Json(stored.into()))
}

pub(crate) async fn delete_item(State(app): Shared, Id(id): Id) -> Result<Json<Written>, Problem> {
    let found = app
        .store(move |app, store| {
            let found = store.delete_item(&id)?;
            if !found && app.knows_item(&id) {
                // Known from events alone: there is no record to delete, but it must be gone.
                store.set_hidden(&id, true)?;
            }
            app.hide(&[(id.as_str(), true)]);
            Ok(found || app.knows_item(&id))
        })
        .await?;
    if found { Ok(Json(Written { accepted: 1, duplicates: 0 })) } else { Err(no_item()) }
}

pub(crate) async fn delete_user(State(app): Shared, Id(id): Id) -> Result<Json<Written>, Problem> {
    app.store(move |app, store| {
        let at_ms = now_ms();
        app.erase(store, &id, at_ms)?;
        app.tell([News::Erased { user: id, at_ms }]);
        Ok(())
    })
    .await?;
    Ok(Json(Written { accepted: 1, duplicates: 0 }))
}

fn no_item() -> Problem {
    Problem::not_found("there is no item with this id")
}

fn no_user() -> Problem {
    Problem::not_found("there is no user with this id")
}

impl App {
    fn knows_item(&self, id: &str) -> bool {
        self.snapshots.pin().is_some_and(|p| p.snapshot.bundle.items().index_of(id).is_some())
    }

    pub(crate) fn is_hidden_now(&self, id: &str) -> bool {
        self.snapshots.pin().is_some_and(|p| {
            let item = p.snapshot.bundle.items().index_of(id);
            item.is_some_and(|item| p.snapshot.hidden.contains(item))
        })
    }
}
