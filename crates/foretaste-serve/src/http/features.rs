//! Features of a user and of many items in one read: published values with their version and age,
//! and features of the moment from what the user has done up to now.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use foretaste_core::feature::Entity;
use foretaste_core::{EventWeights, Limits, TimeMs};
use foretaste_online::{Asking, Block, Catalogue, FeatureReader, FeatureTable, Plan};
use serde::{Deserialize, Serialize};

use super::asked::body_of;
use super::class::class;
use super::problem::Problem;
use super::records;
use crate::app::{App, now_ms};
use crate::features::live_events;
use crate::live::recent::RecentOf;
use crate::snapshots::Pinned;

const LIMITS: Limits = Limits::DEFAULT;
/// How far the time of a moment may be ahead, as for events.
const CLOCK_SKEW_MS: TimeMs = 86_400_000;

/// Whose features, and which. Without `sets` and `columns`: all, and those of the moment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, default)]
pub struct FeaturesBody {
    /// The user; without one, only what is about items.
    pub user: Option<String>,
    /// Item ids, at most 500; without any, only what is about the user.
    pub items: Vec<String>,
    /// Names of feature sets; `now` for features of the moment.
    pub sets: Vec<String>,
    /// Names of single features.
    pub columns: Vec<String>,
    /// The moment of features of the moment, in ms since 1970; default: now.
    pub at_ms: Option<TimeMs>,
}

/// The values that there are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct FeatureAnswer {
    /// Names the versions of all feature sets: another one when any of them has changed.
    pub key: String,
    /// The moment of features of the moment.
    pub at_ms: TimeMs,
    /// The sets that were read.
    pub sets: Vec<FeatureSetCard>,
    /// What is about the user, where one was named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<UserFeatures>,
    /// What is about items, or about the user and an item.
    pub items: ItemFeatures,
}

/// The sets that are published.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct FeatureCatalogue {
    /// Names the versions of all feature sets.
    pub key: String,
    /// The sets, by name.
    pub sets: Vec<FeatureSetCard>,
    /// Version of the published last events of users, which features of the moment begin with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_events: Option<String>,
}

/// A published feature set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct FeatureSetCard {
    /// Its name.
    pub name: String,
    /// What a row is about: `user`, `item` or `user_item`.
    pub entity: String,
    /// `static` or `dynamic`.
    pub class: String,
    /// Names the values: the same ones have the same version in every replica.
    pub version: String,
    /// The time that they are computed for.
    pub as_of_ms: TimeMs,
    /// How old they are, in seconds.
    pub age_s: f64,
    /// How old they may be, in seconds.
    pub ttl_s: u64,
    /// Whether they are older than that.
    pub stale: bool,
    /// Whether they are missing because they are stale, or because what the user did was erased
    /// after they were made.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub withheld: bool,
    /// Rows that were looked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wanted: Option<usize>,
    /// Rows that there are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub found: Option<usize>,
    /// Its features; in the list of all sets only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub columns: Vec<String>,
}

/// A value of a feature.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[serde(untagged)]
pub enum FeatureValue {
    /// A number, in single precision.
    Number(f32),
    /// A text.
    Text(String),
}

/// Values about the user, in the order of the columns; null is a missing one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct UserFeatures {
    /// The user.
    pub user_id: String,
    /// Names of features.
    pub columns: Vec<String>,
    /// Their values.
    pub values: Vec<Option<FeatureValue>>,
}

/// Values about items, in the order of the request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ItemFeatures {
    /// Names of features.
    pub columns: Vec<String>,
    /// One for each item.
    pub rows: Vec<ItemRow>,
}

/// Values about one item, in the order of the columns; null is a missing one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ItemRow {
    /// The item.
    pub item_id: String,
    /// The values.
    pub values: Vec<Option<FeatureValue>>,
}

/// `GET`: what is published.
#[allow(clippy::unused_async, reason = "handlers are async by their type")]
pub(crate) async fn catalogue(State(app): State<Arc<App>>) -> Json<FeatureCatalogue> {
    let (reader, now_ms) = (app.features.pin(), now_ms());
    let card = |table: &FeatureTable| {
        let columns = table.columns().iter().map(|column| column.name.clone()).collect();
        FeatureSetCard { columns, ..card(table, now_ms) }
    };
    Json(FeatureCatalogue {
        key: key(&reader),
        sets: reader.tables().iter().map(card).collect(),
        last_events: reader.last_events().map(|last| last.manifest().version.clone()),
    })
}

/// `POST`: one read.
pub(crate) async fn read(
    State(app): State<Arc<App>>,
    request: Request,
) -> Result<Json<FeatureAnswer>, Problem> {
    app.admit(class(request.headers())?)?;
    let body: FeaturesBody = body_of(&app, request).await?;
    let now_ms = now_ms();
    check(&body, now_ms)?;
    let shared = Arc::clone(&app);
    app.compute(move |_| answer(&shared, &body, now_ms)).await?.map(Json)
}

/// The bounds that types cannot say.
fn check(body: &FeaturesBody, now_ms: TimeMs) -> Result<(), Problem> {
    body.user.as_ref().map_or(Ok(()), |user| records::id("user", user))?;
    records::ids("items", &body.items, LIMITS.feature_items)?;
    for (field, names) in [("sets", &body.sets), ("columns", &body.columns)] {
        let most = LIMITS.feature_names;
        if names.len() > most {
            let n = names.len();
            return Err(Problem::invalid(format!("{field}: {n} entries; at most {most}")));
        }
    }
    if body.user.is_none() && body.items.is_empty() {
        return Err(Problem::invalid("name a user, items, or both"));
    }
    match body.at_ms {
        Some(at) if !(1..=now_ms + CLOCK_SKEW_MS).contains(&at) => {
            Err(Problem::invalid("at_ms: expected ms since 1970, not after tomorrow"))
        }
        _ => Ok(()),
    }
}

fn answer(app: &App, body: &FeaturesBody, now_ms: TimeMs) -> Result<FeatureAnswer, Problem> {
    let (reader, pinned) = (app.features.pin(), app.snapshots.pin());
    let chosen;
    let plan = match body.sets.is_empty() && body.columns.is_empty() {
        true => reader.whole(),
        false => {
            chosen = Plan::new(&reader, &body.sets, &body.columns)?;
            &chosen
        }
    };
    let user = body.user.as_deref();
    let recent = user.map_or_else(RecentOf::default, |user| app.recent.of(user));
    let (default, pinned) = (EventWeights::default(), pinned.as_deref());
    let weights = pinned.map_or(&default, |pinned| &*pinned.weights);
    let items: Vec<&str> = body.items.iter().map(String::as_str).collect();
    let asking = Asking {
        user,
        items: &items,
        now_ms,
        at_ms: body.at_ms,
        erased_ms: user.and_then(|user| app.erased.at_ms(user)),
        stale: app.features.stale(),
        live: &live_events(&reader, weights, recent.events.iter()),
        otherwise: pinned.map(catalogue_of),
    };
    let mut block = Block::default();
    reader.read(plan, &asking, &mut block)?;
    app.metrics.features.read(&reader, block.sets());
    Ok(shown((&reader, plan), (body, now_ms), &block))
}

fn catalogue_of(pinned: &Pinned) -> &dyn Catalogue {
    pinned.snapshot.bundle.items()
}

/// A block with names.
fn shown(
    (reader, plan): (&FeatureReader, &Plan),
    (body, now_ms): (&FeaturesBody, TimeMs),
    block: &Block,
) -> FeatureAnswer {
    let is_of_user = |at: &usize| plan.columns()[*at].entity == Entity::User;
    let (of_user, of_items): (Vec<usize>, Vec<usize>) =
        (0..plan.columns().len()).partition(is_of_user);
    let names = |of: &[usize]| of.iter().map(|&at| plan.columns()[at].name.clone()).collect();
    let values = |row: usize, of: &[usize]| -> Vec<Option<FeatureValue>> {
        let value = |&at: &usize| {
            let number = block.row(row)[at];
            match reader.text(plan, at, number) {
                Some(text) => Some(FeatureValue::Text(text.to_owned())),
                None => (!number.is_nan()).then_some(FeatureValue::Number(number)),
            }
        };
        of.iter().map(value).collect()
    };
    let user = body.user.as_ref().filter(|_| !of_user.is_empty()).map(|user| UserFeatures {
        user_id: user.clone(),
        columns: names(&of_user),
        values: values(0, &of_user),
    });
    let rows = body.items.iter().enumerate();
    let rows =
        rows.map(|(at, item)| ItemRow { item_id: item.clone(), values: values(at, &of_items) });
    let sets = block.sets().iter().map(|read| FeatureSetCard {
        withheld: read.is_withheld,
        wanted: Some(read.wanted),
        found: Some(read.found),
        ..card(&reader.tables()[read.table], now_ms)
    });
    FeatureAnswer {
        key: key(reader),
        at_ms: body.at_ms.unwrap_or(now_ms),
        sets: sets.collect(),
        user,
        items: ItemFeatures { columns: names(&of_items), rows: rows.collect() },
    }
}

fn key(reader: &FeatureReader) -> String {
    format!("{:016x}", reader.key())
}

fn card(table: &FeatureTable, now_ms: TimeMs) -> FeatureSetCard {
    let manifest = table.manifest();
    FeatureSetCard {
        name: manifest.set.clone(),
        entity: table.entity().name().to_owned(),
        class: table.class().name().to_owned(),
        version: manifest.version.clone(),
        as_of_ms: manifest.as_of_ms,
        age_s: table.age_ms(now_ms) as f64 / 1e3,
        ttl_s: manifest.ttl_s,
        stale: table.is_stale(now_ms),
        withheld: false,
        wanted: None,
        found: None,
        columns: Vec::new(),
    }
}
