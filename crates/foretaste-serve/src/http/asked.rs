//! What clients may ask for, in the query or in a body: both become one [`Asked`], checked once.

use std::collections::BTreeMap;

use axum::extract::Request;
use foretaste_core::Limits;
use foretaste_pipeline::FilterExpr;
use hyper::Method;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::body;
use super::params::{CATEGORY, EXCLUDE, K, Param, Params, REASONS, SCENE};
use super::problem::Problem;
use super::records;
use crate::answer::Slate;
use crate::app::App;
use crate::config::millis;
use crate::prepare::Asked;

const LIMITS: Limits = Limits::DEFAULT;
const MOST_ATTRIBUTES: usize = 64;

/// Parameters of recommendations.
pub(crate) const RECOMMEND: [Param; 5] = [K, SCENE, REASONS, EXCLUDE, CATEGORY];

/// Settings of a request for recommendations; every field is optional.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
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
    #[cfg_attr(test, schema(value_type = Option<Object>))]
    pub filter: Option<FilterExpr>,
}

/// Several users, one setting; each user's answer or problem stands alone.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
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
    #[cfg_attr(test, schema(value_type = Option<Object>))]
    pub filter: Option<FilterExpr>,
}

/// Answers of a batch in the order of the request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct BatchAnswer {
    /// Bundle that answered.
    pub bundle: String,
    /// One per user.
    pub results: Vec<BatchResult>,
}

/// One user's part of a batch: an answer or a problem.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct BatchResult {
    /// The user.
    pub user: String,
    /// The answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<Slate<'static>>,
    /// What went wrong instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
}

/// A session without a user.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
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
    #[cfg_attr(test, schema(value_type = Option<Object>))]
    pub filter: Option<FilterExpr>,
}

/// A scene's name, where one was given, and what was asked in it.
pub(crate) type InScene = (Option<String>, Asked);

/// What a request for recommendations asks: `GET` in its query, others in their body.
///
/// # Errors
/// 400, 408, 413 or 415 for what is malformed or beyond its bounds.
pub(crate) async fn recommendations(app: &App, request: Request) -> Result<InScene, Problem> {
    if request.method() == Method::GET {
        let params = Params::parse(request.uri().query(), &RECOMMEND)?;
        return Ok((params.text("scene").map(str::to_owned), by_params(&params)));
    }
    in_scene(body_of(app, request).await?)
}

/// What a request for a session asks.
///
/// # Errors
/// As [`recommendations`].
pub(crate) async fn session(app: &App, request: Request) -> Result<InScene, Problem> {
    let SessionBody { items: session, k, scene, reasons, exclude, attributes, filter } =
        body_of(app, request).await?;
    in_scene(RecommendBody { k, scene, reasons, exclude, session, attributes, filter })
}

/// The users of a batch and what is asked for each of them.
///
/// # Errors
/// As [`recommendations`].
pub(crate) async fn batch(app: &App, request: Request) -> Result<(Vec<String>, InScene), Problem> {
    for_users(body_of(app, request).await?)
}

/// The users of a batch and its settings, checked.
///
/// # Errors
/// 400 for no users or too many, and as [`in_scene`].
pub(crate) fn for_users(body: BatchBody) -> Result<(Vec<String>, InScene), Problem> {
    let (n, most) = (body.users.len(), LIMITS.batch_users);
    if n == 0 || n > most {
        return Err(Problem::invalid(format!("users: {n} entries; expected 1 to {most}")));
    }
    let BatchBody { users, k, scene, reasons, exclude, filter } = body;
    let each = RecommendBody { k, scene, reasons, exclude, filter, ..RecommendBody::default() };
    Ok((users, in_scene(each)?))
}

/// The settings of a body, checked.
///
/// # Errors
/// 400 naming what is outside its limits.
pub(crate) fn in_scene(body: RecommendBody) -> Result<InScene, Problem> {
    let asked = Asked {
        session: body.session,
        attributes: pairs(&body.attributes),
        exclude: body.exclude,
        filter: body.filter,
        reasons: body.reasons,
        ..Asked::default()
    };
    Ok((body.scene, checked(asked, body.k)?))
}

/// What query parameters ask.
pub(crate) fn by_params(params: &Params) -> Asked {
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

/// `key=value` of each attribute.
pub(crate) fn pairs(attributes: &BTreeMap<String, String>) -> Vec<String> {
    attributes.iter().map(|(key, value)| format!("{key}={value}")).collect()
}

/// The body of a request, as JSON; an empty one is the default.
///
/// # Errors
/// 400, 408, 413 or 415 for what is malformed or beyond its bounds.
pub(crate) async fn body_of<T: DeserializeOwned + Default>(
    app: &App,
    request: Request,
) -> Result<T, Problem> {
    body::expect_json(request.headers())?;
    let patience = millis(app.config.timeouts.body_ms);
    let bytes = body::read(request.into_body(), LIMITS.body_bytes, patience).await?;
    if bytes.is_empty() { Ok(T::default()) } else { body::json(&bytes) }
}

/// The bounds that types cannot say.
fn checked(asked: Asked, k: Option<usize>) -> Result<Asked, Problem> {
    let most = LIMITS.k;
    if k.is_some_and(|k| k == 0 || k > most) {
        return Err(Problem::invalid(format!("k: expected a whole number from 1 to {most}")));
    }
    records::ids("exclude", &asked.exclude, LIMITS.exclude)?;
    records::ids("session", &asked.session, LIMITS.session_events)?;
    if asked.attributes.len() > MOST_ATTRIBUTES {
        return Err(Problem::invalid(format!("attributes: at most {MOST_ATTRIBUTES}")));
    }
    asked.filter.as_ref().map_or(Ok(()), |filter| filter.check().map_err(Problem::from))?;
    Ok(Asked { k: k.unwrap_or(0), ..asked })
}
