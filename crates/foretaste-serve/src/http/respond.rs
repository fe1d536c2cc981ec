//! The one way to an answer: pin a snapshot, look up what is known, find the answer among those
//! that are ready, else compute it on a worker once for all who want it, and send it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use foretaste_cache::{Found, KeyBuf, Loaded, Source as Where};
use foretaste_pipeline::Scene;
use hyper::header::{
    AGE, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG, HeaderName, HeaderValue,
    IF_NONE_MATCH, VARY,
};
use hyper::{HeaderMap, StatusCode};

use super::computing::{Question, kept, look_up, make, renew};
use super::encoding::{Encoding, LEAST_BYTES};
use super::problem::Problem;
use super::told::{self, recall_until};
use crate::app::App;
use crate::prepare::Asked;
use crate::ready::{Wanted, reframed, unframed};
use crate::snapshots::Pinned;
use crate::stages::StageTimes;

/// Names the bundle of an answer.
const BUNDLE: HeaderName = HeaderName::from_static("x-foretaste-bundle");
/// Says where an answer came from.
const X_CACHE: HeaderName = HeaderName::from_static("x-cache");
/// Headers of an answer, those of every response included.
const HEADERS: usize = 12;
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// What a request's head says about how it wants its answer.
#[derive(Clone, Debug)]
pub(crate) struct Manner {
    /// The client does not want what was kept.
    pub(crate) no_cache: bool,
    /// What the client has already.
    if_none_match: Option<HeaderValue>,
    /// The compressed form it likes best.
    encoding: Option<Encoding>,
    /// When it began, and how long it waits, where it says so.
    pub(crate) waits: (Instant, Option<Duration>),
}

impl Manner {
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let refuses = |value: &HeaderValue| {
            let words = value.to_str().unwrap_or_default();
            words.contains("no-cache") || words.contains("no-store")
        };
        Self {
            no_cache: headers.get(CACHE_CONTROL).is_some_and(refuses),
            if_none_match: headers.get(IF_NONE_MATCH).cloned(),
            encoding: Encoding::accepted(headers),
            // What is malformed was refused before.
            waits: (Instant::now(), told::patience(headers).unwrap_or_default()),
        }
    }
}

impl Manner {
    /// The compressed form that this answer is wanted in; short ones are sent as they are.
    fn form_of(&self, kept: &Bytes) -> Option<Encoding> {
        self.encoding.filter(|_| kept.len() >= LEAST_BYTES)
    }
}

/// Where an answer came from, as `X-Cache` says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    Hit,
    Stale,
    Miss,
    Bypass,
}

impl Source {
    fn of(found: &Found) -> Self {
        if found.is_stale { Self::Stale } else { Self::Hit }
    }

    fn name(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Hit => "HIT",
            Self::Stale => "STALE",
            Self::Miss => "MISS",
            Self::Bypass => "BYPASS",
        })
    }
}

/// Answers `wanted` in `scene`.
///
/// # Errors
/// 503 when too many wait or no bundle is live, 500 for a defect.
pub(crate) async fn answer(
    app: &Arc<App>,
    manner: &Manner,
    pinned: Arc<Pinned>,
    scene: &Scene,
    (wanted, asked): (Wanted, Asked),
) -> Result<Response, Problem> {
    let (asked, known) = look_up(app, &pinned, asked).await?;
    let key = match manner.no_cache {
        true => None,
        false => app.ready.key(&pinned, scene, &wanted, (&asked, &known)),
    };
    let found = key.as_ref().and_then(|key| app.ready.find(key));
    if found.is_none() {
        app.last_form.note(scene.name(), &wanted, &asked);
    }
    let until = recall_until(&app.config, manner.waits);
    let question = Question::new(Arc::clone(&pinned), scene, (wanted, asked), known).until(until);
    let times = Arc::clone(&question.times);
    let (source, key, loaded) = match (key, found) {
        (None, _) => {
            let bytes = make(app, question).await?.kept;
            let form = match manner.form_of(&bytes) {
                None => Form { encoding: None, kept: bytes },
                Some(encoding) => compressed(app, encoding, bytes).await?,
            };
            return Ok(timed(out(&pinned, manner, (Source::Bypass, 0), form), times));
        }
        (Some(key), Some(found)) => {
            if found.renew {
                renew(app, key.clone(), question);
            }
            (Source::of(&found), key, found.loaded)
        }
        (Some(key), None) => {
            let share = question.wanted.share();
            let loaded = app.ready.cache().load(&key, share, || kept(app, question)).await?;
            let source = match loaded.source {
                Where::Computed => Source::Miss,
                Where::Process | Where::Replicas => Source::Hit,
            };
            (source, key, loaded)
        }
    };
    let form = match ready_form(app, manner, &key, &loaded) {
        Some(form) => form,
        None => make_form(app, manner, &key, &loaded).await?,
    };
    Ok(timed(out(&pinned, manner, (source, loaded.age_ms / 1_000), form), times))
}

/// Leaves with the response where the time went.
fn timed(mut response: Response, times: Arc<StageTimes>) -> Response {
    response.extensions_mut().insert(times);
    response
}

/// The response to what was found, if it is there in the form that the client wants. Sees to the
/// renewal where that is this request's duty.
pub(crate) fn ready_response(
    app: &Arc<App>,
    manner: &Manner,
    (key, found): (KeyBuf, Found),
    question: Question,
) -> Option<Response> {
    let form = ready_form(app, manner, &key, &found.loaded);
    let pinned = Arc::clone(&question.pinned);
    let (source, age_ms) = (Source::of(&found), found.loaded.age_ms);
    if found.renew {
        renew(app, key, question);
    }
    Some(out(&pinned, manner, (source, age_ms / 1_000), form?))
}

/// An answer as it is kept, as it is or compressed.
struct Form {
    encoding: Option<Encoding>,
    kept: Bytes,
}

/// The form that the client wants, if it is there.
fn ready_form(app: &App, manner: &Manner, key: &KeyBuf, loaded: &Loaded) -> Option<Form> {
    let kept = loaded.value().cloned().unwrap_or_default();
    let Some(encoding) = manner.form_of(&kept) else { return Some(Form { encoding: None, kept }) };
    let found = app.ready.cache().probe(key.clone().number(encoding.number()))?;
    let kept = found.loaded.value()?.clone();
    Some(Form { encoding: Some(encoding), kept })
}

/// Makes the form that the client wants, and keeps it as long as the answer.
async fn make_form(
    app: &Arc<App>,
    manner: &Manner,
    key: &KeyBuf,
    loaded: &Loaded,
) -> Result<Form, Problem> {
    let kept = loaded.value().cloned().unwrap_or_default();
    let Some(encoding) = manner.form_of(&kept) else { return Ok(Form { encoding: None, kept }) };
    let form = compressed(app, encoding, kept).await?;
    let name = key.clone().number(encoding.number()).clone();
    app.ready.cache().keep_variant(key, loaded, (&name, form.kept.clone()));
    Ok(form)
}

async fn compressed(app: &App, encoding: Encoding, kept: Bytes) -> Result<Form, Problem> {
    let kept = app.compute(move |_| reframed(&kept, |body, out| encoding.compress(body, out)));
    let kept = kept.await?.map_err(|_| Problem::internal())?;
    Ok(Form { encoding: Some(encoding), kept: kept.into() })
}

fn out(
    pinned: &Pinned,
    manner: &Manner,
    (source, age_seconds): (Source, u64),
    form: Form,
) -> Response {
    let (fingerprint, body) = unframed(&form.kept);
    let etag = etag(fingerprint);
    let is_known = manner.if_none_match.as_ref().is_some_and(|known| matches(known, &etag));
    let mut response = Response::new(Body::empty());
    let headers = response.headers_mut();
    headers.reserve(HEADERS);
    headers.insert(ETAG, etag);
    headers.insert(VARY, HeaderValue::from_static("accept-encoding"));
    headers.insert(X_CACHE, source.name());
    headers.insert(BUNDLE, pinned.bundle_header.clone());
    if matches!(source, Source::Hit | Source::Stale) {
        headers.insert(AGE, HeaderValue::from(age_seconds));
    }
    if is_known {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        return response;
    }
    headers.insert(CONTENT_TYPE, JSON);
    if let Some(encoding) = form.encoding {
        headers.insert(CONTENT_ENCODING, encoding.name());
    }
    *response.body_mut() = Body::from(body);
    response
}

/// Weak, because compressed forms share it: `W/"` and sixteen hexadecimal digits.
fn etag(fingerprint: u64) -> HeaderValue {
    let mut tag = *b"W/\"0000000000000000\"";
    for (at, digit) in tag[3..19].iter_mut().enumerate() {
        *digit = b"0123456789abcdef"[(fingerprint >> (60 - 4 * at)) as usize & 15];
    }
    HeaderValue::from_bytes(&tag).expect("hexadecimal digits")
}

/// Whether one of the client's tags is ours; `*` is any.
fn matches(known: &HeaderValue, etag: &HeaderValue) -> bool {
    let weak = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    let ours = weak(etag.to_str().unwrap_or_default());
    let known = known.to_str().unwrap_or_default();
    known.trim() == "*" || known.split(',').any(|tag| weak(tag) == ours)
}

/// Names the bundle of a response.
pub(crate) fn with_bundle(pinned: &Pinned, mut response: Response) -> Response {
    response.headers_mut().insert(BUNDLE, pinned.bundle_header.clone());
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(known: &'static str, expected: bool) {
        let etag = HeaderValue::from_static("W/\"0a\"");
        assert_eq!(matches(&HeaderValue::from_static(known), &etag), expected, "{known}");
    }

    #[test]
    fn tags_are_compared_weakly() {
        check("W/\"0a\"", true);
        check("\"0a\"", true);
        check("\"1\", W/\"0a\"", true);
        check("*", true);
        check("\"0b\"", false);
        check("", false);
    }
}
