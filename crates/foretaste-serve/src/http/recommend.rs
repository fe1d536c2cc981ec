//! Routes that answer one question: recommend, session, similar, listings, explain.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use foretaste_pipeline::{Listing, TrendWindow, explain};
use hyper::header::{CONTENT_TYPE, HeaderValue};

use super::answering::{alike, listed, recommended};
use super::asked;
use super::computing::{look_up, on_worker, to_json};
use super::ids::{Id, UserAndItem};
use super::params::{CATEGORY, EXCLUDE, K, Param, Params, SCENE, Shape};
use super::problem::Problem;
use super::respond::{Manner, respond, with_bundle};
use crate::answer;
use crate::app::App;
use crate::prepare::Asked;

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
    respond(&app, &manner, recommended(&app, manner.terms, (scene, asked)).await?).await
}

pub(crate) async fn session(State(app): Shared, request: Request) -> Result<Response, Problem> {
    let manner = Manner::of(request.headers());
    let question = asked::session(&app, request).await?;
    respond(&app, &manner, recommended(&app, manner.terms, question).await?).await
}

pub(crate) async fn similar_items(
    State(app): Shared,
    Id(id): Id,
    request: Request,
) -> Result<Response, Problem> {
    let params = Params::parse(request.uri().query(), &SIMILAR)?;
    let manner = Manner::of(request.headers());
    let question = (params.text("scene").map(str::to_owned), asked::by_params(&params));
    respond(&app, &manner, alike(&app, manner.terms, id, question).await?).await
}

pub(crate) async fn trending(State(app): Shared, request: Request) -> Result<Response, Problem> {
    let params = Params::parse(request.uri().query(), &TRENDING)?;
    let window = match params.text("window") {
        Some("1h") => TrendWindow::Hour,
        Some("7d") => TrendWindow::Week,
        _ => TrendWindow::Day,
    };
    list(&app, Listing::Trending(window), &params, &Manner::of(request.headers())).await
}

pub(crate) async fn popular(State(app): Shared, request: Request) -> Result<Response, Problem> {
    let params = Params::parse(request.uri().query(), &LISTING)?;
    list(&app, Listing::Popular, &params, &Manner::of(request.headers())).await
}

pub(crate) async fn latest(State(app): Shared, request: Request) -> Result<Response, Problem> {
    let params = Params::parse(request.uri().query(), &LISTING)?;
    list(&app, Listing::Latest, &params, &Manner::of(request.headers())).await
}

async fn list(
    app: &Arc<App>,
    which: Listing,
    params: &Params,
    manner: &Manner,
) -> Result<Response, Problem> {
    let answer = listed(app, manner.terms, which, asked::by_params(params)).await?;
    respond(app, manner, answer).await
}

pub(crate) async fn explained(
    State(app): Shared,
    UserAndItem(user, item): UserAndItem,
    request: Request,
) -> Result<Response, Problem> {
    let params = Params::parse(request.uri().query(), &EXPLAIN)?;
    let scene = app.scene(params.text("scene"))?;
    let pinned = app.pin()?;
    let index = pinned.snapshot.bundle.items().index_of(&item);
    let index = index.ok_or_else(|| Problem::not_found("this bundle has no item with this id"))?;
    let asked = Asked { user: Some(user.clone()), reasons: true, ..asked::by_params(&params) };
    let (asked, mut known) = look_up(&app, &pinned, asked).await?;
    known.external = app.externals.ask(&pinned, scene, &asked, None).await;
    let bytes = on_worker(&app, &pinned, scene.name(), (asked, known), move |job, scratch| {
        let explanation = explain(&job.pinned.snapshot, job.scene, &job.query, index, scratch)?;
        Ok(to_json(&answer::explained(job.pinned, (job.scene.name(), &user), &explanation)))
    })
    .await?;
    let mut response = bytes.into_response();
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    Ok(with_bundle(&pinned, response))
}
