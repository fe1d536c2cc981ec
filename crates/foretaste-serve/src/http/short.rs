//! The short way to recommendations that are ready: they are found before the router is asked.
//! Whatever is not plain (an id that needs decoding, a parameter that needs a message, an answer
//! that has to be computed) goes the long way, which decides about it.

use std::sync::Arc;

use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use foretaste_cache::KeyBuf;
use foretaste_pipeline::Scene;
use hyper::{Method, Version};

use super::asked::{self, RECOMMEND};
use super::class::class;
use super::computing::{Question, known};
use super::envelope::{self, is_word};
use super::params::Params;
use super::respond::{Manner, ready};
use super::told::{self, Told};
use crate::app::App;
use crate::prepare::{Asked, Known};
use crate::pressure::Urgency;
use crate::ready::Wanted;
use crate::snapshots::Pinned;

const PATH: &str = "/v1/recommend/";
const MOST_USER_BYTES: usize = 128;
/// Method and route of what is answered here.
pub(crate) const ROUTE: (&str, &str) = ("GET", "/v1/recommend/{user}");

/// The answer, if it is ready and the request is plain.
pub(crate) fn answer(app: &Arc<App>, request: &Request) -> Option<Response> {
    if request.method() != Method::GET || request.version() < Version::HTTP_11 {
        return None;
    }
    let user = plain_user(request.uri().path())?;
    let told = Told::of(&app.config, request);
    if envelope::refuse(request, &told).is_some() {
        return None;
    }
    told::patience(request.headers()).ok()?;
    class(request.headers()).ok()?;
    let manner = Manner::of(request.headers());
    if manner.terms.no_cache {
        return None;
    }
    let (key, plain) = Plain::of(app, user, request.uri().query())?;
    let urgency = manner.terms.urgency;
    let Some(found) = app.ready.cache().probe(&key) else { return refused(app, &told, urgency) };
    let mut response = ready(app, &manner, (key, found), plain)?.into_response();
    envelope::finish(app, &mut response, &told);
    envelope::account(app, ROUTE, &told, &response);
    Some(response)
}

/// What a plain request asks, and of what.
pub(crate) struct Plain<'a> {
    pub(crate) pinned: Arc<Pinned>,
    scene: &'a Scene,
    asked: Asked,
    known: Known,
}

impl<'a> Plain<'a> {
    /// The key of its answer, and the request.
    pub(crate) fn of(app: &'a App, user: &str, query: Option<&str>) -> Option<(KeyBuf, Self)> {
        if app.is_draining() {
            return None;
        }
        let params = Params::parse(query, &RECOMMEND).ok()?;
        let scene = app.scene(params.text("scene")).ok()?;
        let pinned = app.pin().ok()?;
        let (known, has_taste) = known(app, &pinned, Some(user));
        if !has_taste {
            return None;
        }
        let asked = Asked { user: Some(user.to_owned()), ..asked::by_params(&params) };
        let key = app.ready.key(&pinned, scene, &Wanted::Recommend, (&asked, &known))?;
        Some((key, Self { pinned, scene, asked, known }))
    }

    pub(crate) fn question(self) -> Question {
        Question::new(self.pinned, self.scene, (Wanted::Recommend, self.asked), self.known)
    }
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
    envelope::account(app, ROUTE, told, &response);
    Some(response)
}

/// The user of a path, where the id stands in it as it is.
pub(crate) fn plain_user(path: &str) -> Option<&str> {
    let user = path.strip_prefix(PATH)?;
    let is_plain = (1..=MOST_USER_BYTES).contains(&user.len()) && is_word(user.as_bytes());
    is_plain.then_some(user)
}
