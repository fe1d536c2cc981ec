//! The short way to recommendations that are ready: they are found before the router is asked.
//! Whatever is not plain (an id that needs decoding, a parameter that needs a message, an answer
//! that has to be computed) goes the long way, which decides about it.

use std::sync::Arc;

use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use hyper::{Method, Version};

use super::asked::{self, RECOMMEND};
use super::class::class;
use super::computing::{Question, known};
use super::envelope;
use super::params::Params;
use super::respond::{Manner, ready_response};
use super::told::{self, Told};
use crate::app::App;
use crate::prepare::Asked;
use crate::pressure::Urgency;
use crate::ready::Wanted;

const PATH: &str = "/v1/recommend/";
const ROUTE: &str = "/v1/recommend/{user}";
const MOST_USER_BYTES: usize = 128;

/// The answer, if it is ready and the request is plain.
pub(crate) fn answer(app: &Arc<App>, request: &Request) -> Option<Response> {
    let user = plain_user(request)?;
    let told = Told::of(&app.config, request);
    if app.is_draining() || envelope::refuse(request, &told).is_some() {
        return None;
    }
    told::patience(request.headers()).ok()?;
    class(request.headers()).ok()?;
    let params = Params::parse(request.uri().query(), &RECOMMEND).ok()?;
    let scene = app.scene(params.text("scene")).ok()?;
    let pinned = app.pin().ok()?;
    let (known, has_taste) = known(app, &pinned, Some(user));
    let manner = Manner::of(request.headers());
    if !has_taste || manner.terms.no_cache {
        return None;
    }
    let asked = Asked { user: Some(user.to_owned()), ..asked::by_params(&params) };
    let key = app.ready.key(&pinned, scene, &Wanted::Recommend, (&asked, &known))?;
    let urgency = manner.terms.urgency;
    let Some(found) = app.ready.cache().probe(&key) else { return refused(app, &told, urgency) };
    let question = Question::new(pinned, scene, (Wanted::Recommend, asked), known);
    let mut response = ready_response(app, &manner, (key, found), question)?;
    envelope::finish(app, &mut response, &told);
    envelope::account(app, ("GET", ROUTE), &told, &response);
    Some(response)
}

/// The refusal of an answer that is not ready, where that is all there is time for: the long way
/// would find out the same at many times the cost.
fn refused(app: &App, told: &Told, urgency: Urgency) -> Option<Response> {
    if app.ready.cache().is_shared() {
        return None;
    }
    let problem = app.refusal(urgency)?;
    let mut response = problem.into_response();
    envelope::finish(app, &mut response, told);
    envelope::account(app, ("GET", ROUTE), told, &response);
    Some(response)
}

/// The user of a `GET`, where the id stands in the path as it is.
fn plain_user(request: &Request) -> Option<&str> {
    if request.method() != Method::GET || request.version() < Version::HTTP_11 {
        return None;
    }
    let user = request.uri().path().strip_prefix(PATH)?;
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    ((1..=MOST_USER_BYTES).contains(&user.len()) && user.bytes().all(plain)).then_some(user)
}
