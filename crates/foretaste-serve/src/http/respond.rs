//! An answer over HTTP: the form that the client wants it in, and the headers that belong to it.

use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use foretaste_cache::{Found, KeyBuf, Loaded};
use hyper::header::{
    AGE, CONTENT_ENCODING, CONTENT_TYPE, ETAG, HeaderName, HeaderValue, IF_NONE_MATCH, VARY,
};
use hyper::{HeaderMap, StatusCode};

use super::answering::{Answer, Held, Source, Terms};
use super::class::class;
use super::computing::renew;
use super::encoding::{Encoding, LEAST_BYTES};
use super::envelope::hex;
use super::problem::Problem;
use super::short::Plain;
use super::told;
use crate::app::App;
use crate::pressure::Urgency;
use crate::ready::{reframed, unframed};
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
    pub(crate) terms: Terms,
    /// What the client has already.
    if_none_match: Option<HeaderValue>,
    /// The compressed form it likes best.
    encoding: Option<Encoding>,
}

impl Manner {
    /// That of a request which says nothing beyond these headers.
    pub(crate) fn plain(
        began: Instant,
        if_none_match: Option<&[u8]>,
        accept_encoding: Option<&[u8]>,
    ) -> Self {
        let accepts = accept_encoding.and_then(|value| std::str::from_utf8(value).ok());
        Self {
            terms: Terms { no_cache: false, waits: (began, None), urgency: Urgency::Interactive },
            if_none_match: if_none_match.and_then(|value| HeaderValue::from_bytes(value).ok()),
            encoding: accepts.and_then(Encoding::liked),
        }
    }

    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let terms = Terms {
            no_cache: told::wants_fresh(headers),
            // What is malformed was refused before.
            waits: (Instant::now(), told::patience(headers).unwrap_or_default()),
            urgency: class(headers).unwrap_or(Urgency::Interactive),
        };
        Self {
            terms,
            if_none_match: headers.get(IF_NONE_MATCH).cloned(),
            encoding: Encoding::accepted(headers),
        }
    }
}

impl Manner {
    /// The compressed form that this answer is wanted in; short ones are sent as they are.
    fn form_of(&self, kept: &Bytes) -> Option<Encoding> {
        self.encoding.filter(|_| kept.len() >= LEAST_BYTES)
    }
}

/// The response to `wanted` in `scene`, in the form that the client wants.
///
/// # Errors
/// Those of making the answer.
pub(crate) async fn respond(
    app: &Arc<App>,
    manner: &Manner,
    answer: Answer,
) -> Result<Response, Problem> {
    let age_seconds = answer.age_seconds();
    let Answer { pinned, source, held, times } = answer;
    let form = match held {
        Held::Loose(kept) => match manner.form_of(&kept) {
            None => Form { encoding: None, kept },
            Some(encoding) => compressed(app, encoding, kept).await?,
        },
        Held::Cached(key, loaded) => match ready_form(app, manner, &key, &loaded) {
            Some(form) => form,
            None => make_form(app, manner, &key, &loaded).await?,
        },
    };
    let ready = Ready::new(&pinned, manner, (source, age_seconds), form);
    Ok(timed(ready.into_response(), times))
}

/// Leaves with the response where the time went.
fn timed(mut response: Response, times: Arc<StageTimes>) -> Response {
    response.extensions_mut().insert(times);
    response
}

/// What was found, if it is there in the form that the client wants. Sees to the renewal where that
/// is this request's duty.
pub(crate) fn ready(
    app: &Arc<App>,
    manner: &Manner,
    (key, found): (KeyBuf, Found),
    plain: Plain<'_>,
) -> Option<Ready> {
    let form = ready_form(app, manner, &key, &found.loaded);
    let (source, age_ms) = (Source::of(&found), found.loaded.age_ms);
    let pinned = Arc::clone(&plain.pinned);
    if found.renew {
        renew(app, key, plain.question());
    }
    Some(Ready::new(&pinned, manner, (source, age_ms / 1_000), form?))
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

/// An answer in the form that its client wants, and what its head says.
pub(crate) struct Ready {
    pub(crate) status: StatusCode,
    /// Empty where the client has it already.
    pub(crate) body: Bytes,
    etag: HeaderValue,
    bundle: HeaderValue,
    source: Source,
    age_seconds: u64,
    encoding: Option<Encoding>,
}

impl Ready {
    fn new(
        pinned: &Pinned,
        manner: &Manner,
        (source, age_seconds): (Source, u64),
        form: Form,
    ) -> Self {
        let (fingerprint, body) = unframed(&form.kept);
        let etag = etag(fingerprint);
        let is_known = manner.if_none_match.as_ref().is_some_and(|known| matches(known, &etag));
        Self {
            status: if is_known { StatusCode::NOT_MODIFIED } else { StatusCode::OK },
            body: if is_known { Bytes::new() } else { body },
            etag,
            bundle: pinned.bundle_header.clone(),
            source,
            age_seconds,
            encoding: form.encoding,
        }
    }

    /// Calls `each` with every header of its own.
    #[inline]
    pub(crate) fn headers(&self, mut each: impl FnMut(HeaderName, &HeaderValue)) {
        each(ETAG, &self.etag);
        each(VARY, &HeaderValue::from_static("accept-encoding"));
        each(X_CACHE, &HeaderValue::from_static(self.source.name()));
        each(BUNDLE, &self.bundle);
        if matches!(self.source, Source::Hit | Source::Stale) {
            each(AGE, &HeaderValue::from(self.age_seconds));
        }
        if self.status == StatusCode::NOT_MODIFIED {
            return;
        }
        each(CONTENT_TYPE, &JSON);
        if let Some(encoding) = self.encoding {
            each(CONTENT_ENCODING, &encoding.name());
        }
    }

    pub(crate) fn into_response(self) -> Response {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.reserve(HEADERS);
        self.headers(|name, value| {
            headers.insert(name, value.clone());
        });
        if !self.body.is_empty() {
            *response.body_mut() = Body::from(self.body);
        }
        response
    }
}

/// Weak, because compressed forms share it: `W/"` and sixteen hexadecimal digits.
fn etag(fingerprint: u64) -> HeaderValue {
    let mut tag = *b"W/\"0000000000000000\"";
    tag[3..19].copy_from_slice(&hex(fingerprint));
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
