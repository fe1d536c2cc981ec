//! Liveness, readiness, metrics, the API's description and the page.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use hyper::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue};
use serde::{Deserialize, Serialize};

use super::envelope::random_hex;
use super::problem::Problem;
use crate::app::{App, now_ms};

type Shared = State<Arc<App>>;

const PAGE: &str = include_str!("../page/index.html");
/// Metrics in the text format that Prometheus reads.
pub(crate) const METRICS_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Whether the process runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Alive {
    /// Always `alive`.
    pub status: String,
    /// Version of the server.
    pub version: String,
}

/// Whether requests are welcome.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Ready {
    /// Always `ready`; a server that is not ready answers 503.
    pub status: String,
    /// The bundle that answers.
    pub bundle: String,
}

#[allow(clippy::unused_async, reason = "handlers are async by their type")]
pub(crate) async fn live() -> Json<Alive> {
    let version = env!("CARGO_PKG_VERSION").to_owned();
    Json(Alive { status: "alive".to_owned(), version })
}

#[allow(clippy::unused_async, reason = "handlers are async by their type")]
pub(crate) async fn ready(State(app): Shared) -> Result<Json<Ready>, Problem> {
    let pinned = app.pin()?;
    if app.is_draining() {
        return Err(Problem::unavailable("stopping", "the server is shutting down"));
    }
    Ok(Json(Ready { status: "ready".to_owned(), bundle: pinned.bundle_id.to_string() }))
}

pub(crate) async fn metrics(State(app): Shared) -> Result<Response, Problem> {
    // Reads /proc, so it goes where blocking is allowed; not as one of the store's callers, who are
    // refused when there are too many, which is when these figures are wanted most.
    let exposed = app.on_store_thread(|app, store| {
        app.metrics.cache.take_over(&app.ready.cache().stats());
        app.features.show(now_ms());
        app.metrics.store.show(store.pools(), store.reads());
        app.metrics.expose()
    });
    let panicked = |_| {
        app.metrics.panics.inc();
        Problem::internal()
    };
    let text = exposed.await.map_err(panicked)??;
    Ok(([(CONTENT_TYPE, METRICS_TYPE)], text).into_response())
}

#[allow(clippy::unused_async, reason = "handlers are async by their type")]
pub(crate) async fn openapi() -> Response {
    ([(CONTENT_TYPE, "application/json")], include_str!("../../openapi.json")).into_response()
}

/// The page, with a fresh nonce so that only its own script and style run.
#[allow(clippy::unused_async, reason = "handlers are async by their type")]
pub(crate) async fn page() -> Response {
    let nonce = random_hex();
    let policy = format!(
        "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; \
         connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; \
         frame-ancestors 'none'"
    );
    let html = PAGE.replace("{{nonce}}", &nonce);
    let mut response = ([(CONTENT_TYPE, "text/html; charset=utf-8")], html).into_response();
    if let Ok(value) = HeaderValue::from_str(&policy) {
        response.headers_mut().insert(CONTENT_SECURITY_POLICY, value);
    }
    response
}
