//! What surrounds every request: refusing malformed HTTP, request ids, the time limit, headers,
//! metrics and the log line.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, LazyLock, OnceLock};
use std::time::Duration;

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use hyper::header::{
    CACHE_CONTROL, CONNECTION, HOST, HeaderName, HeaderValue, ORIGIN, X_CONTENT_TYPE_OPTIONS,
};
use hyper::{HeaderMap, Method, StatusCode, Version};
use tracing::{Level, debug, enabled, error, warn};

use super::class::class;
use super::cors;
use super::problem::Problem;
use super::told::{self, Told};
use crate::app::App;
use crate::config::millis;
use crate::metrics::RequestLabels;
use crate::net::connection::AmbiguousLength;
use crate::stages::StageTimes;

pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");
pub(crate) const NOSNIFF: HeaderValue = HeaderValue::from_static("nosniff");
pub(crate) const PRIVATE: HeaderValue = HeaderValue::from_static("private, no-store");
const MOST_URI_BYTES: usize = 48 << 10;
const MOST_ID_BYTES: usize = 64;

/// The middleware around all routes of a listener.
pub(crate) async fn envelope(
    State(app): State<Arc<App>>,
    request: Request,
    next: Next,
) -> Response {
    let told = Told::of(&app.config, &request);
    let method = method_label(request.method());
    let route = request.extensions().get::<MatchedPath>().map_or("none", |p| label(p.as_str()));
    let is_http1 = request.version() <= Version::HTTP_11;
    let mut response = match accept(&app, &request, &told) {
        Ok(patience) => within(patience, next.run(request)).await,
        Err(response) => *response,
    };
    finish(&app, &mut response, &told);
    if is_http1 && (app.is_draining() || ends_connection(response.status())) {
        response = closing(response);
    }
    account(&app, (method, route), &told, &response);
    response
}

/// How long the request may take, or what it is answered without being routed.
fn accept(app: &App, request: &Request, told: &Told) -> Result<Duration, Box<Response>> {
    if let Some(response) = cors::preflight(told.origin.as_ref(), request) {
        return Err(Box::new(response));
    }
    let timeouts = &app.config.timeouts;
    let most = match request.uri().path().starts_with("/v1/admin/") {
        true => millis(timeouts.admin_ms),
        false => millis(timeouts.request_ms),
    };
    let patience = match refuse(request, told) {
        Some(problem) => Err(problem),
        None => class(request.headers()).and_then(|_| told::patience(request.headers())),
    };
    match patience {
        Ok(patience) => Ok(patience.unwrap_or(most).min(most)),
        Err(problem) => Err(Box::new(closing(problem.into_response()))),
    }
}

/// Counts and logs a request that has its response.
pub(crate) fn account(
    app: &App,
    (method, route): (&'static str, &'static str),
    told: &Told,
    response: &Response,
) {
    let times = response.extensions().get::<Arc<StageTimes>>();
    account_as(app, (method, route, response.status().as_u16()), told, times);
}

/// The same for a response of which this is known.
pub(crate) fn account_as(
    app: &App,
    (method, route, status): (&'static str, &'static str, u16),
    told: &Told,
    times: Option<&Arc<StageTimes>>,
) {
    let elapsed = told.started.elapsed();
    let labels = RequestLabels { method, route, status };
    app.metrics.requests.get_or_create(&labels).observe(elapsed.as_secs_f64());
    log(&labels, told, (elapsed, millis(app.config.slow_ms)), times);
}

async fn within(limit: Duration, response: impl Future<Output = Response>) -> Response {
    match tokio::time::timeout(limit, response).await {
        Ok(response) => response,
        Err(_) => {
            let detail = "the request took too long; try again";
            Problem::unavailable("timeout", detail).into_response()
        }
    }
}

/// What is not HTTP as we accept it, whatever the route.
pub(crate) fn refuse(request: &Request, told: &Told) -> Option<Problem> {
    if request.extensions().get::<AmbiguousLength>().is_some() {
        let detail = "send Content-Length or Transfer-Encoding, not both";
        return Some(Problem::invalid(detail));
    }
    if request.version() == Version::HTTP_11 && !request.headers().contains_key(HOST) {
        return Some(Problem::invalid("HTTP/1.1 requests need a Host header"));
    }
    if told.origin.is_none() && is_cross_origin(request.method(), request.headers()) {
        let detail = "pages of other origins may not write here";
        return Some(Problem::new(StatusCode::FORBIDDEN, "cross-origin", detail));
    }
    let uri = request.uri();
    let uri_bytes = uri.path().len() + uri.query().map_or(0, str::len);
    (uri_bytes > MOST_URI_BYTES).then(|| {
        let detail = format!("the address is longer than {MOST_URI_BYTES} bytes; use POST");
        Problem::new(StatusCode::URI_TOO_LONG, "uri-too-long", detail)
    })
}

/// A browser says where a page that writes comes from; only our own page and listed ones may.
/// Without this, any page could make its visitors' browsers write to a server on their own machine.
fn is_cross_origin(method: &Method, headers: &HeaderMap) -> bool {
    if matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS) {
        return false;
    }
    let Some(origin) = headers.get(ORIGIN) else { return false };
    let host = headers.get(HOST).and_then(|h| h.to_str().ok());
    let authority = origin.to_str().ok().and_then(|o| o.split_once("://")).map(|(_, rest)| rest);
    authority.is_none() || authority != host
}

/// After these the rest of the request is not worth reading.
fn ends_connection(status: StatusCode) -> bool {
    matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::PAYLOAD_TOO_LARGE)
}

fn closing(mut response: Response) -> Response {
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
}

/// Adds what every response has, and what this request may know.
pub(crate) fn finish(app: &App, response: &mut Response, told: &Told) {
    let timing = told.wants_timing.then(|| {
        let times = response.extensions().get::<Arc<StageTimes>>().cloned().unwrap_or_default();
        times.to_header(told.started.elapsed())
    });
    name(response, told);
    let headers = response.headers_mut();
    if let Some(value) = timing.and_then(|text| HeaderValue::try_from(text).ok()) {
        headers.insert(SERVER_TIMING, value);
    }
    headers.insert(X_CONTENT_TYPE_OPTIONS, NOSNIFF);
    headers.entry(CACHE_CONTROL).or_insert(PRIVATE);
    cors::finish(headers, &app.config.cors_origins, told.origin.as_ref());
}

/// Names the request that a response belongs to.
pub(crate) fn name(response: &mut Response, told: &Told) {
    if let Ok(value) = HeaderValue::from_str(&told.id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
}

/// The client's id where it is a plain word, else a new one.
pub(crate) fn request_id(headers: &HeaderMap) -> String {
    request_id_of(headers.get(REQUEST_ID).map(HeaderValue::as_bytes))
}

/// The same for the header's bytes.
pub(crate) fn request_id_of(given: Option<&[u8]>) -> String {
    let given = given.filter(|id| (1..=MOST_ID_BYTES).contains(&id.len()) && is_word(id));
    let given = given.and_then(|id| std::str::from_utf8(id).ok());
    given.map_or_else(random_hex, str::to_owned)
}

/// Letters, digits, `-`, `_` and `.`: what needs no decoding anywhere.
pub(crate) fn is_word(bytes: &[u8]) -> bool {
    bytes.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

/// Sixteen hexadecimal digits that do not repeat and cannot be guessed from outside.
pub(crate) fn random_hex() -> String {
    static KEYS: LazyLock<RandomState> = LazyLock::new(RandomState::new);
    static COUNT: AtomicU64 = AtomicU64::new(0);
    hex(KEYS.hash_one(COUNT.fetch_add(1, Relaxed))).into_iter().map(char::from).collect()
}

/// The digits of `{:016x}`.
pub(crate) fn hex(number: u64) -> [u8; 16] {
    std::array::from_fn(|at| b"0123456789abcdef"[(number >> (60 - 4 * at)) as usize & 15])
}

fn method_label(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "POST" => "POST",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "HEAD" => "HEAD",
        _ => "_OTHER",
    }
}

/// The route's template as a constant, so that labels cost no allocation.
fn label(path: &str) -> &'static str {
    static PATHS: OnceLock<HashMap<&'static str, &'static str>> = OnceLock::new();
    let all = || super::table::routes().into_iter().map(|r| (r.path, r.path)).collect();
    PATHS.get_or_init(all).get(path).copied().unwrap_or("none")
}

fn log(
    labels: &RequestLabels,
    told: &Told,
    (elapsed, slow): (Duration, Duration),
    times: Option<&Arc<StageTimes>>,
) {
    let RequestLabels { method, route, status } = *labels;
    let is_failure = status >= 500 && status != 503;
    let is_loud = is_failure || elapsed >= slow;
    if !is_loud && !enabled!(Level::DEBUG) {
        return;
    }
    let ms = elapsed.as_secs_f64() * 1_000.0;
    let (trace_id, parent_id) = told.trace().unwrap_or_default();
    let stages = times.map_or_else(String::new, |times| times.to_text());
    let request_id = &*told.id;
    if is_failure {
        error!(method, route, status, request_id, trace_id, parent_id, ms, "request failed");
    } else if is_loud {
        warn!(method, route, status, request_id, trace_id, parent_id, ms, stages, "slow request");
    } else {
        debug!(method, route, status, request_id, trace_id, parent_id, ms, stages, "request");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_page_may_write() {
        let from = |method, origin: &'static str| {
            let pairs = [(HOST, "a:1"), (ORIGIN, origin)];
            let pairs = pairs.map(|(k, v)| (k, HeaderValue::from_static(v)));
            is_cross_origin(&method, &HeaderMap::from_iter(pairs))
        };
        assert!(!from(Method::POST, "http://a:1"));
        assert!(from(Method::POST, "http://b:1") && from(Method::DELETE, "null"));
        assert!(!from(Method::GET, "http://b:1"));
        assert!(!is_cross_origin(&Method::POST, &HeaderMap::new()));
    }

    #[test]
    fn only_plain_request_ids_are_taken_over() {
        let with = |id: &'static str| {
            request_id(&HeaderMap::from_iter([(REQUEST_ID, HeaderValue::from_static(id))]))
        };
        assert_eq!(with("abc-1.2_3"), "abc-1.2_3");
        assert_ne!(with("a b"), "a b");
        assert_eq!(with("").len(), 16);
        assert_ne!(random_hex(), random_hex());
    }
}
