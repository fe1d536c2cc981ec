//! Routes that answer one question: recommend, session, similar, listings, explain.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use foretaste_pipeline::{Listing, TrendWindow, explain};
use hyper::header::{CONTENT_TYPE, HeaderValue};

use super::asked;
use super::computing::{look_up, on_worker, to_json};
use super::ids::{Id, UserAndItem};
use super::params::{CATEGORY, EXCLUDE, K, Param, Params, SCENE, Shape};
use super::problem::Problem;
use super::respond::{Manner, answer, with_bundle};
use crate::answer;
use crate::app::App;
use crate::prepare::Asked;
use crate::ready::Wanted;

type Shared = State<Arc<App>>;

/// Parameters of similar items.
pub(crate) const SIMILAR: [Param; 4] = [K, SCENE, EXCLUDE, CATEGORY];
/// Parameters of listings.
pub(crate) const LISTING: [Param; 3] = [K, EXCLUDE, CATEGORY];
/// Parameters of trends.
pub(crate) const TRENDING: [Param; 4] = [K, EXCLUDE, CATEGORY, WINDOW];
/// Parameters of explanations.
pub(crate) const EXPLAIN: [Param; 4] = [K, SCENE, EXCLUDE, CATEGORY];

const WINDOW: Param = Param::new(
    "window",
    Shape::Word(&["1h", "24h", "7d"]),
    "How fast activity fades; default: 24h",
);

/// `GET` and `POST`: they differ only in where they say what they ask.
pub(crate) async fn recommend(
    State(app): Shared,
    Id(user): Id,
    request: Request,
) -> Result<Response, Problem> {
    let manner = Manner::of(request.headers());
    let (scene, asked) = asked::recommendations(&app, request).await?;
    let asked = Asked { user: Some(user), ..asked };
    let scene = app.scene(scene.as_deref())?;
    answer(&app, &manner, app.pin()?, scene, (Wanted::Recommend, asked)).await
}

pub(crate) async fn session(State(app): Shared, request: Request) -> Result<Response, Problem> {
    let manner = Manner::of(request.headers());
    let (scene, asked) = asked::session(&app, request).await?;
    let scene = app.scene(scene.as_deref())?;
    answer(&app, &manner, app.pin()?, scene, (Wanted::Recommend, asked)).await
}

pub(crate) async fn similar_items(
    State(app): Shared,
    Id(id): Id,
    request: Request,
) -> Result<Response, Problem> {
    let params = Params::parse(request.uri().query(), &SIMILAR)?;
    let scene = app.scene(Some(params.text("scene").unwrap_or("similar")))?;
    let pinned = app.pin()?;
    let item = pinned.snapshot.bundle.items().index_of(&id);
    let item = item.ok_or_else(|| Problem::not_found("this bundle has no item with this id"))?;
    let wanted = Wanted::Similar { id, item };
    let manner = Manner::of(request.headers());
    answer(&app, &manner, pinned, scene, (wanted, asked::by_params(&params))).await
}

pub(crate) async fn trending(State(app): Shared, request: Request) -> Result<Response, Problem> {
    let params = Params::parse(request.uri().query(), &TRENDING)?;
    let window = match params.text("window") {
        Some("1h") => TrendWindow::Hour,
        Some("7d") => TrendWindow::Week,
        _ => TrendWindow::Day,
    };
    listed(&app, Listing::Trending(window), &params, Manner::of(request.headers())).await
}

pub(crate) async fn popular(State(app): Shared, request: Request) -> Result<Response, Problem> {
    let params = Params::parse(request.uri().query(), &LISTING)?;
    listed(&app, Listing::Popular, &params, Manner::of(request.headers())).await
}

pub(crate) async fn latest(State(app): Shared, request: Request) -> Result<Response, Problem> {
    let params = Params::parse(request.uri().query(), &LISTING)?;
    listed(&app, Listing::Latest, &params, Manner::of(request.headers())).await
}

async fn listed(
    app: &Arc<App>,
    which: Listing,
    params: &Params,
    manner: Manner,
) -> Result<Response, Problem> {
    let asked = asked::by_params(params);
    answer(app, &manner, app.pin()?, app.scene(None)?, (Wanted::List(which), asked)).await
}

pub(crate) async fn explained(
    State(app): Shared,
    UserAndItem(user, item): UserAndItem,
    request: Request,
) -> Result<Response, Problem> {
    let params = Params::parse(request.uri().query(), &EXPLAIN)?;
    let scene = app.scene(params.text("scene"))?.name();
    let pinned = app.pin()?;
    let index = pinned.snapshot.bundle.items().index_of(&item);
    let index = index.ok_or_else(|| Problem::not_found("this bundle has no item with this id"))?;
    let asked = Asked { user: Some(user.clone()), reasons: true, ..asked::by_params(&params) };
    let known = look_up(&app, &pinned, asked).await?;
    let bytes = on_worker(&app, &pinned, scene, known, move |job, scratch| {
        let explanation = explain(&job.pinned.snapshot, job.scene, &job.query, index, scratch)?;
        Ok(to_json(&answer::explained(job.pinned, job.scene.name(), &user, &explanation)))
    })
    .await?;
    let mut response = bytes.into_response();
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    Ok(with_bundle(&pinned, response))
}
