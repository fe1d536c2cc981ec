//! Looking around in the live bundle: items and users by the beginning of an id or a word of a
//! title. Serves the page and people with curl; it is not a search engine.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use foretaste_bundle::Bundle;
use foretaste_core::ItemIdx;
use serde::{Deserialize, Serialize};

use super::params::{Param, Params, Shape};
use super::problem::Problem;
use crate::answer;
use crate::app::App;
use crate::snapshots::Pinned;

type Shared = State<Arc<App>>;

const PREFIX: Param = Param::new(
    "prefix",
    Shape::Text { most_bytes: 128 },
    "Beginning of the id, or part of the title; without it, a sample",
);
const LIMIT: Param = Param::new("limit", Shape::Count { most: 100 }, "How many; default 20");
/// Parameters of both routes.
pub(crate) const BROWSE: [Param; 2] = [PREFIX, LIMIT];

/// Some items of the live bundle.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ItemList {
    /// Bundle that answered.
    pub bundle: String,
    /// Items in the bundle.
    pub total: usize,
    /// The items found.
    pub items: Vec<ItemCard>,
}

/// An item in short.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ItemCard {
    /// The owner's id.
    pub item_id: String,
    /// Title; empty when not known.
    pub title: String,
    /// Categories, most general first.
    pub categories: Vec<String>,
    /// Price in the catalogue's currency.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<f32>,
    /// Hidden items are in no answer.
    pub hidden: bool,
}

/// Some users of the live bundle.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct UserList {
    /// Bundle that answered.
    pub bundle: String,
    /// Users in the bundle.
    pub total: usize,
    /// The users found.
    pub users: Vec<UserCard>,
}

/// A user in short.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct UserCard {
    /// The owner's id.
    pub user_id: String,
    /// Distinct items in the user's history.
    pub n_items: usize,
}

pub(crate) async fn items(State(app): Shared, request: Request) -> Result<Json<ItemList>, Problem> {
    let params = Params::parse(request.uri().query(), &BROWSE)?;
    let (prefix, limit) = asked(&params);
    let pinned = app.pin()?;
    let list = app.compute(move |_| find_items(&pinned, prefix.as_deref(), limit)).await?;
    Ok(Json(list))
}

pub(crate) async fn users(State(app): Shared, request: Request) -> Result<Json<UserList>, Problem> {
    let params = Params::parse(request.uri().query(), &BROWSE)?;
    let (prefix, limit) = asked(&params);
    let pinned = app.pin()?;
    let list = app.compute(move |_| find_users(&pinned, prefix.as_deref(), limit)).await?;
    Ok(Json(list))
}

fn asked(params: &Params) -> (Option<String>, usize) {
    (params.text("prefix").map(str::to_owned), params.count("limit").unwrap_or(20))
}

fn find_items(pinned: &Pinned, prefix: Option<&str>, limit: usize) -> ItemList {
    let bundle = &pinned.snapshot.bundle;
    let found: Vec<ItemIdx> = match prefix {
        None => sample(bundle.n_items(), limit).collect(),
        Some(prefix) => {
            let word = prefix.to_lowercase();
            let items = bundle.items();
            let fits = |&i: &u32| {
                items.id(i).starts_with(prefix) || items.title(i).to_lowercase().contains(&word)
            };
            (0..bundle.n_items() as u32).filter(fits).take(limit).collect()
        }
    };
    ItemList {
        bundle: pinned.bundle_id.to_string(),
        total: bundle.n_items(),
        items: found.into_iter().map(|item| item_card(pinned, item)).collect(),
    }
}

fn item_card(pinned: &Pinned, item: ItemIdx) -> ItemCard {
    let items = pinned.snapshot.bundle.items();
    let price = items.price(item);
    ItemCard {
        item_id: items.id(item).to_owned(),
        title: items.title(item).to_owned(),
        categories: answer::categories(&pinned.snapshot, item).map(str::to_owned).collect(),
        price: price.is_finite().then_some(price),
        hidden: pinned.snapshot.hidden.contains(item),
    }
}

fn find_users(pinned: &Pinned, prefix: Option<&str>, limit: usize) -> UserList {
    let bundle = &pinned.snapshot.bundle;
    let found: Vec<u32> = match prefix {
        None => sample(bundle.n_users(), limit).collect(),
        Some(prefix) => {
            let fits = |&u: &u32| bundle.users().id(u).starts_with(prefix);
            (0..bundle.n_users() as u32).filter(fits).take(limit).collect()
        }
    };
    UserList {
        bundle: pinned.bundle_id.to_string(),
        total: bundle.n_users(),
        users: found.into_iter().map(|user| user_card(bundle, user)).collect(),
    }
}

fn user_card(bundle: &Bundle, user: u32) -> UserCard {
    UserCard { user_id: bundle.users().id(user).to_owned(), n_items: bundle.history(user).0.len() }
}

/// `limit` indices spread evenly over `0..n`.
fn sample(n: usize, limit: usize) -> impl Iterator<Item = u32> {
    let taken = limit.min(n);
    (0..taken).map(move |i| (i * n / taken.max(1)) as u32)
}

#[cfg(test)]
mod tests {
    use super::sample;

    #[test]
    fn a_sample_is_spread_and_distinct() {
        assert_eq!(sample(10, 5).collect::<Vec<_>>(), [0, 2, 4, 6, 8]);
        assert_eq!(sample(3, 5).collect::<Vec<_>>(), [0, 1, 2]);
        assert_eq!(sample(0, 5).count(), 0);
    }
}
