//! Routes for operators: bundles that go live and back. A bundle is named by its id, never by a
//! path; every action is logged.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use foretaste_bundle::BundleId;
use foretaste_core::{Limits, Result};
use serde::{Deserialize, Serialize};
use tracing::info;

use super::body;
use super::problem::Problem;
use crate::app::App;
use crate::bundles::{BundleSummary, Bundles};
use crate::config::millis;

type Shared = State<Arc<App>>;

/// Which bundle.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct BundleChoice {
    /// Its id, as the list of bundles has it.
    pub id: String,
}

/// A bundle that has passed its checks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct BundleCard {
    /// Its id.
    pub id: String,
    /// Profile it was trained with.
    pub profile: String,
    /// Time its data end, in ms since 1970.
    pub as_of_ms: i64,
    /// Items in it.
    pub n_items: usize,
    /// Users in it.
    pub n_users: usize,
    /// Names of its channels.
    pub channels: Vec<String>,
    /// Whether it answers requests now.
    pub live: bool,
}

/// The folder of bundles.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct BundleShelf {
    /// The bundle that answers requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub live: Option<String>,
    /// All bundles there are.
    pub bundles: Vec<String>,
}

pub(crate) async fn list(State(app): Shared) -> Result<Json<BundleShelf>, Problem> {
    let bundles = app.store(|app, _| app.bundles.list()).await?;
    let live = app.bundles.live_id().map(|id| id.to_string());
    Ok(Json(BundleShelf { live, bundles }))
}

pub(crate) async fn load(
    State(app): Shared,
    request: Request,
) -> Result<Json<BundleCard>, Problem> {
    let id = choice(&app, request).await?;
    act(&app, "load", move |bundles| bundles.load(&id)).await
}

pub(crate) async fn promote(
    State(app): Shared,
    request: Request,
) -> Result<Json<BundleCard>, Problem> {
    let id = choice(&app, request).await?;
    act(&app, "promote", move |bundles| bundles.promote(&id)).await
}

pub(crate) async fn roll_back(State(app): Shared) -> Result<Json<BundleCard>, Problem> {
    act(&app, "rollback", Bundles::roll_back).await
}

async fn choice(app: &App, request: Request) -> Result<BundleId, Problem> {
    body::expect_json(request.headers())?;
    let patience = millis(app.config.timeouts.body_ms);
    let limit = Limits::DEFAULT.body_bytes;
    let bytes = body::read(request.into_body(), limit, patience).await?;
    let choice: BundleChoice = body::json(&bytes)?;
    Ok(BundleId::new(&choice.id)?)
}

async fn act(
    app: &Arc<App>,
    action: &'static str,
    how: impl FnOnce(&Bundles) -> Result<BundleSummary> + Send + 'static,
) -> Result<Json<BundleCard>, Problem> {
    let summary = app.store(move |app, _| how(&app.bundles)).await?;
    info!(action, bundle = summary.id, "bundle action by an operator");
    app.note_readiness();
    let live = app.bundles.live_id().is_some_and(|live| *live == *summary.id);
    Ok(Json(BundleCard {
        id: summary.id,
        profile: summary.profile,
        as_of_ms: summary.as_of_ms,
        n_items: summary.n_items,
        n_users: summary.n_users,
        channels: summary.channels,
        live,
    }))
}
