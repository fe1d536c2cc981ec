//! Routes that answer: recommend, batch, session, similar, listings, explain. Each goes the same
//! way: parse, pin one snapshot, prepare the query, compute on a worker, respond.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use axum::Json;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use foretaste_core::{Limits, Result as CoreResult};
use foretaste_pipeline::{
    FilterExpr, Listing, Outcome, Query, Scene, Scratch, TrendWindow, explain, listing, run,
    similar,
};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::body;
use super::ids::{Id, UserAndItem};
use super::params::{CATEGORY, EXCLUDE, K, Param, Params, REASONS, SCENE, Shape};
use super::problem::Problem;
use super::records;
use crate::answer::{self, Slate};
use crate::app::{App, now_ms};
use crate::config::millis;
use crate::metrics::{Metrics, ReasonLabel};
use crate::prepare::{self, Asked, Known};
use crate::snapshots::Pinned;

const LIMITS: Limits = Limits::DEFAULT;
/// The header that names the bundle of an answer.
const BUNDLE_HEADER: &str = "x-foretaste-bundle";

type Shared = State<Arc<App>>;

/// Parameters of recommendations.
pub(crate) const RECOMMEND: [Param; 5] = [K, SCENE, REASONS, EXCLUDE, CATEGORY];
/// Parameters of similar items.
pub(crate) const SIMILAR: [Param; 4] = [K, SCENE, EXCLUDE, CATEGORY];
/// Parameters of listings.
pub(crate) const LISTING: [Param; 3] = [K, EXCLUDE, CATEGORY];
/// Parameters of trends.
pub(crate) const TRENDING: [Param; 4] = [K, EXCLUDE, CATEGORY, WINDOW];
/// Parameters of explanations.
pub(crate) const EXPLAIN: [Param; 2] = [K, SCENE];

const WINDOW: Param = Param::new(
    "window",
    Shape::Word(&["1h", "24h", "7d"]),
    "How fast activity fades; default: 24h",
);

/// Settings of a request for recommendations; every field is optional.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RecommendBody {
    /// Items wanted; default: the scene's.
    pub k: Option<usize>,
    /// Placement whose settings apply.
    pub scene: Option<String>,
    /// Adds the items of the user's past that led to each item.
    pub reasons: bool,
    /// Item ids to leave out.
    pub exclude: Vec<String>,
    /// Item ids of the running session, oldest first.
    pub session: Vec<String>,
    /// What is known about the user; default: the stored attributes.
    pub attributes: BTreeMap<String, String>,
    /// What the items must be like: `{"and": [..]}`, `{"or": [..]}`, `{"not": ..}`,
    /// `{"category": "x"}`, `{"tag": "x"}`, `{"attribute": {"key": "k", "value": "v"}}`,
    /// `{"price": {"min": 1, "max": 2}}`, `{"created_after_ms": 0}`.
    #[schema(value_type = Option<Object>)]
    pub filter: Option<FilterExpr>,
}

/// Several users, one setting; each user's answer or problem stands alone.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BatchBody {
    /// The users, at most 100.
    pub users: Vec<String>,
    /// Items wanted per user.
    #[serde(default)]
    pub k: Option<usize>,
    /// Placement whose settings apply.
    #[serde(default)]
    pub scene: Option<String>,
    /// Adds the items of each user's past that led to each item.
    #[serde(default)]
    pub reasons: bool,
    /// Item ids to leave out.
    #[serde(default)]
    pub exclude: Vec<String>,
    /// What the items must be like.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    pub filter: Option<FilterExpr>,
}

/// Answers of a batch in the order of the request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BatchAnswer {
    /// Bundle that answered.
    pub bundle: String,
    /// One per user.
    pub results: Vec<BatchResult>,
}

/// One user's part of a batch: an answer or a problem.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BatchResult {
    /// The user.
    pub user: String,
    /// The answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<Slate>,
    /// What went wrong instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
}

/// A session without a user.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SessionBody {
    /// Item ids of the session, oldest first; at most 200.
    pub items: Vec<String>,
    /// Items wanted.
    #[serde(default)]
    pub k: Option<usize>,
    /// Placement whose settings apply.
    #[serde(default)]
    pub scene: Option<String>,
    /// Adds the items of the session that led to each item.
    #[serde(default)]
    pub reasons: bool,
    /// Item ids to leave out.
    #[serde(default)]
    pub exclude: Vec<String>,
    /// What is known about the visitor.
    #[serde(default)]
    pub attributes: BTreeMap<String, String>,
    /// What the items must be like.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    pub filter: Option<FilterExpr>,
}

pub(crate) async fn by_query(
    State(app): Shared,
    Id(user): Id,
    request: Request,
) -> Result<Response, Problem> {
    let params = Params::parse(request.uri().query(), &RECOMMEND)?;
    let asked = Asked { user: Some(user), ..asked_by(&params) };
    answer_one(&app, params.text("scene"), asked).await
}

pub(crate) async fn by_body(
    State(app): Shared,
    Id(user): Id,
    request: Request,
) -> Result<Response, Problem> {
    let body: RecommendBody = body_of(&app, request).await?;
    let scene = body.scene.clone();
    let asked = Asked {
        user: Some(user),
        session: body.session,
        attributes: pairs(&body.attributes),
        exclude: body.exclude,
        filter: body.filter,
        k: body.k.unwrap_or(0),
        reasons: body.reasons,
    };
    check(&asked, body.k)?;
    answer_one(&app, scene.as_deref(), asked).await
}

pub(crate) async fn session(State(app): Shared, request: Request) -> Result<Response, Problem> {
    let body: SessionBody = body_of(&app, request).await?;
    let scene = body.scene.clone();
    let asked = Asked {
        user: None,
        session: body.items,
        attributes: pairs(&body.attributes),
        exclude: body.exclude,
        filter: body.filter,
        k: body.k.unwrap_or(0),
        reasons: body.reasons,
    };
    check(&asked, body.k)?;
    answer_one(&app, scene.as_deref(), asked).await
}

pub(crate) async fn batch(State(app): Shared, request: Request) -> Result<Response, Problem> {
    let body: BatchBody = body_of(&app, request).await?;
    let (n, most) = (body.users.len(), LIMITS.batch_users);
    if n == 0 || n > most {
        return Err(Problem::invalid(format!("users: {n} entries; expected 1 to {most}")));
    }
    let scene = app.scene(body.scene.as_deref())?.name().to_owned();
    let shared = Asked {
        exclude: body.exclude,
        filter: body.filter,
        k: body.k.unwrap_or(0),
        reasons: body.reasons,
        ..Asked::default()
    };
    check(&shared, body.k)?;
    let pinned = app.pin()?;
    let mut answers = Vec::with_capacity(n);
    for user in body.users {
        let asked = Asked { user: Some(user), ..shared.clone() };
        let (app, pinned, scene) = (Arc::clone(&app), Arc::clone(&pinned), scene.clone());
        answers.push(tokio::spawn(async move { batch_one(&app, &pinned, &scene, asked).await }));
    }
    let mut results = Vec::with_capacity(n);
    for answer in answers {
        results.push(answer.await.map_err(|_| Problem::internal())?);
    }
    let body = BatchAnswer { bundle: pinned.bundle_id.to_string(), results };
    Ok(with_bundle(&pinned, Json(body).into_response()))
}

async fn batch_one(app: &Arc<App>, pinned: &Arc<Pinned>, scene: &str, asked: Asked) -> BatchResult {
    let user = asked.user.clone().unwrap_or_default();
    let slate = match records::id("user", &user) {
        Ok(()) => slate_of(app, pinned, scene, asked).await,
        Err(problem) => Err(problem),
    };
    match slate {
        Ok(slate) => BatchResult { user, answer: Some(slate), problem: None },
        Err(problem) => BatchResult { user, answer: None, problem: Some(problem) },
    }
}

pub(crate) async fn similar_items(
    State(app): Shared,
    Id(item): Id,
    request: Request,
) -> Result<Response, Problem> {
    let params = Params::parse(request.uri().query(), &SIMILAR)?;
    let scene = app.scene(Some(params.text("scene").unwrap_or("similar")))?.name().to_owned();
    let asked = asked_by(&params);
    let pinned = app.pin()?;
    let index = pinned.snapshot.bundle.items().index_of(&item);
    let index = index.ok_or_else(|| Problem::not_found("this bundle has no item with this id"))?;
    computed(&app, &pinned, scene.clone(), asked, Known::now(), move |job, scratch| {
        let outcome = similar(&job.pinned.snapshot, job.scene, index, &job.query, scratch);
        Ok(job.respond(Some(job.scene.name()), &outcome))
    })
    .await
}

pub(crate) async fn trending(State(app): Shared, request: Request) -> Result<Response, Problem> {
    let params = Params::parse(request.uri().query(), &TRENDING)?;
    let window = match params.text("window") {
        Some("1h") => TrendWindow::Hour,
        Some("7d") => TrendWindow::Week,
        _ => TrendWindow::Day,
    };
    listed(&app, Listing::Trending(window), &params).await
}

pub(crate) async fn popular(State(app): Shared, request: Request) -> Result<Response, Problem> {
    let params = Params::parse(request.uri().query(), &LISTING)?;
    listed(&app, Listing::Popular, &params).await
}

pub(crate) async fn latest(State(app): Shared, request: Request) -> Result<Response, Problem> {
    let params = Params::parse(request.uri().query(), &LISTING)?;
    listed(&app, Listing::Latest, &params).await
}

async fn listed(app: &Arc<App>, which: Listing, params: &Params) -> Result<Response, Problem> {
    let pinned = app.pin()?;
    let scene = app.scene(None)?.name().to_owned();
    computed(app, &pinned, scene, asked_by(params), Known::now(), move |job, scratch| {
        let outcome = listing(&job.pinned.snapshot, which, &job.query, scratch);
        Ok(job.respond(None, &outcome))
    })
    .await
}

pub(crate) async fn explained(
    State(app): Shared,
    UserAndItem(user, item): UserAndItem,
    request: Request,
) -> Result<Response, Problem> {
    let params = Params::parse(request.uri().query(), &EXPLAIN)?;
    let scene = app.scene(params.text("scene"))?.name().to_owned();
    let pinned = app.pin()?;
    let index = pinned.snapshot.bundle.items().index_of(&item);
    let index = index.ok_or_else(|| Problem::not_found("this bundle has no item with this id"))?;
    let asked = Asked { user: Some(user.clone()), reasons: true, ..asked_by(&params) };
    let (asked, known) = look_up(&app, &pinned, asked).await?;
    computed(&app, &pinned, scene, asked, known, move |job, scratch| {
        let explanation = explain(&job.pinned.snapshot, job.scene, &job.query, index, scratch)?;
        let body = answer::explained(job.pinned, job.scene.name(), &user, &explanation);
        Ok(to_json(&body))
    })
    .await
}

async fn answer_one(
    app: &Arc<App>,
    scene: Option<&str>,
    asked: Asked,
) -> Result<Response, Problem> {
    let scene = app.scene(scene)?.name().to_owned();
    let pinned = app.pin()?;
    let (asked, known) = look_up(app, &pinned, asked).await?;
    computed(app, &pinned, scene, asked, known, |job, scratch| {
        let outcome = run(&job.pinned.snapshot, job.scene, &job.query, scratch);
        Ok(job.respond(Some(job.scene.name()), &outcome))
    })
    .await
}

async fn slate_of(
    app: &Arc<App>,
    pinned: &Arc<Pinned>,
    scene: &str,
    asked: Asked,
) -> Result<Slate, Problem> {
    let (asked, known) = look_up(app, pinned, asked).await?;
    let (shared, pinned, scene) = (Arc::clone(app), Arc::clone(pinned), scene.to_owned());
    app.compute(move |scratch| {
        let scene = shared.scene(Some(&scene))?;
        let query = prepare::query(&pinned, scene, &asked, &known);
        let outcome = run(&pinned.snapshot, scene, &query, scratch);
        count_degraded(&shared.metrics, &outcome);
        Ok(answer::slate(&pinned, Some(scene.name()), &outcome))
    })
    .await?
}

/// What is known about the user beyond the bundle; asks the store only for users without a past.
async fn look_up(
    app: &Arc<App>,
    pinned: &Pinned,
    mut asked: Asked,
) -> Result<(Asked, Known), Problem> {
    let Some(user) = asked.user.clone() else { return Ok((asked, Known::now())) };
    let recent = app.recent.of(&user);
    let known = Known { recent, erased_ms: app.erased.at_ms(&user), ..Known::now() };
    let has_past = !known.recent.events.is_empty()
        || known.erased_ms.is_none() && prepare::has_history(pinned, &user);
    if !has_past && asked.attributes.is_empty() {
        let stored = app.store(move |_, store| store.user(&user)).await?;
        asked.attributes = stored.map_or_else(Vec::new, |user| pairs(&user.attributes));
    }
    Ok((asked, known))
}

impl Known {
    fn now() -> Self {
        Self { now_ms: now_ms(), ..Self::default() }
    }
}

/// One answer being computed on a worker.
struct Job<'a> {
    metrics: &'a Metrics,
    pinned: &'a Pinned,
    scene: &'a Scene,
    query: Query,
    /// When the query was ready.
    prepared: Instant,
}

impl Job<'_> {
    fn respond(&self, scene: Option<&str>, outcome: &Outcome) -> Vec<u8> {
        let ranked = App::stage(self.metrics, "pipeline", self.prepared);
        count_degraded(self.metrics, outcome);
        let bytes = to_json(&answer::slate(self.pinned, scene, outcome));
        App::stage(self.metrics, "respond", ranked);
        bytes
    }
}

/// Prepares the query and computes an answer of JSON bytes, both on a worker.
async fn computed(
    app: &Arc<App>,
    pinned: &Arc<Pinned>,
    scene: String,
    asked: Asked,
    known: Known,
    job: impl FnOnce(&Job<'_>, &mut Scratch) -> CoreResult<Vec<u8>> + Send + 'static,
) -> Result<Response, Problem> {
    let (shared, at) = (Arc::clone(app), Arc::clone(pinned));
    let bytes = app
        .compute(move |scratch| {
            let started = Instant::now();
            let metrics = &shared.metrics;
            let scene = shared.scene(Some(&scene))?;
            let query = prepare::query(&at, scene, &asked, &known);
            let prepared = App::stage(metrics, "prepare", started);
            let job_here = Job { metrics, pinned: &at, scene, query, prepared };
            Ok::<_, Problem>(job(&job_here, scratch)?)
        })
        .await??;
    let mut response = bytes.into_response();
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    Ok(with_bundle(pinned, response))
}

fn with_bundle(pinned: &Pinned, mut response: Response) -> Response {
    if let Ok(value) = HeaderValue::from_str(&pinned.bundle_id) {
        response.headers_mut().insert(BUNDLE_HEADER, value);
    }
    response
}

fn to_json(body: &impl Serialize) -> Vec<u8> {
    // Only maps with keys that are not text can fail, and answers have none.
    serde_json::to_vec(body).unwrap_or_default()
}

fn count_degraded(metrics: &Metrics, outcome: &Outcome) {
    for degraded in &outcome.degraded {
        let reason = answer::degraded_reason(degraded);
        metrics.degraded.get_or_create(&ReasonLabel { reason }).inc();
    }
    if let Some(fallback) = outcome.fallback {
        let reason = fallback.name();
        metrics.fallbacks.get_or_create(&ReasonLabel { reason }).inc();
    }
}

async fn body_of<T: DeserializeOwned + Default>(app: &App, request: Request) -> Result<T, Problem> {
    body::expect_json(request.headers())?;
    let patience = millis(app.config.timeouts.body_ms);
    let bytes = body::read(request.into_body(), LIMITS.body_bytes, patience).await?;
    if bytes.is_empty() { Ok(T::default()) } else { body::json(&bytes) }
}

fn asked_by(params: &Params) -> Asked {
    let categories = params.repeated("category");
    let any = categories.into_iter().map(FilterExpr::Category).collect::<Vec<_>>();
    Asked {
        exclude: params.repeated("exclude"),
        filter: (!any.is_empty()).then_some(FilterExpr::Or(any)),
        k: params.count("k").unwrap_or(0),
        reasons: params.flag("reasons"),
        ..Asked::default()
    }
}

/// The bounds that types cannot say.
fn check(asked: &Asked, k: Option<usize>) -> Result<(), Problem> {
    let most = LIMITS.k;
    if k.is_some_and(|k| k == 0 || k > most) {
        return Err(Problem::invalid(format!("k: expected a whole number from 1 to {most}")));
    }
    records::ids("exclude", &asked.exclude, LIMITS.exclude)?;
    records::ids("session", &asked.session, LIMITS.session_events)?;
    let most = 64;
    if asked.attributes.len() > most {
        return Err(Problem::invalid(format!("attributes: at most {most}")));
    }
    asked.filter.as_ref().map_or(Ok(()), |filter| filter.check().map_err(Problem::from))
}

fn pairs(attributes: &BTreeMap<String, String>) -> Vec<String> {
    attributes.iter().map(|(key, value)| format!("{key}={value}")).collect()
}
