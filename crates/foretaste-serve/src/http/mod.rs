//! HTTP as the outside sees it: the table of routes, what goes in and out of each, errors.

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::MethodRouter;
use hyper::StatusCode;
use tower_http::catch_panic::CatchPanicLayer;
use tracing::error;

use crate::app::App;
use problem::Problem;
use route::Plane;

pub(crate) mod admin;
pub(crate) mod answering;
pub(crate) mod asked;
pub(crate) mod batch;
pub(crate) mod body;
pub(crate) mod browse;
pub(crate) mod class;
pub(crate) mod computing;
pub(crate) mod cors;
mod encoding;
pub(crate) mod envelope;
pub(crate) mod features;
pub(crate) mod health;
pub(crate) mod ids;
#[cfg(test)]
mod openapi;
pub(crate) mod params;
pub(crate) mod problem;
pub(crate) mod recommend;
pub(crate) mod records;
pub(crate) mod respond;
mod route;
pub(crate) mod short;
mod table;
#[cfg(test)]
mod testing;
pub(crate) mod told;
mod wire;
pub(crate) mod write;

/// Which routes a listener has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Listener {
    /// Routes for clients.
    pub(crate) clients: bool,
    /// Routes for operators.
    pub(crate) operators: bool,
    /// `/metrics`.
    pub(crate) metrics: bool,
}

impl Listener {
    fn has(self, plane: Plane) -> bool {
        match plane {
            Plane::Public => self.clients,
            Plane::Admin => self.operators,
            Plane::Metrics => self.metrics,
            Plane::Both => true,
        }
    }
}

/// What answers on one listener: the router, and before it the short way for clients.
#[derive(Clone)]
pub(crate) struct Front {
    app: Option<Arc<App>>,
    router: Router,
}

impl Front {
    pub(crate) fn new(app: &Arc<App>, listener: Listener) -> Self {
        let short = listener.clients.then(|| Arc::clone(app));
        Self { app: short, router: router(app, listener) }
    }

    /// A front that only routes.
    pub(crate) fn of(router: Router) -> Self {
        Self { app: None, router }
    }

    /// An answer that is ready.
    pub(crate) fn ready(&self, request: &Request) -> Option<Response> {
        short::answer(self.app.as_ref()?, request)
    }

    /// Writes the response to a whole HTTP/1.1 head into `out`, where it is ready.
    pub(crate) fn respond(&self, head: &[u8], out: &mut Vec<u8>) -> bool {
        self.app.as_ref().is_some_and(|app| wire::answer(app, head, out))
    }

    pub(crate) fn router(&self) -> Router {
        self.router.clone()
    }
}

/// The router of one listener.
fn router(app: &Arc<App>, listener: Listener) -> Router {
    let mut router = Router::new();
    for route in table::routes().into_iter().filter(|r| listener.has(r.plane)) {
        let service: MethodRouter<Arc<App>> = route.service;
        router = router.route(route.path, service);
    }
    let panicked = Arc::clone(app);
    router
        .fallback(|| async { Problem::not_found("there is no such route; see /openapi.json") })
        .method_not_allowed_fallback(|| async {
            let detail = "this route has other methods; see /openapi.json";
            Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", detail)
        })
        .layer(CatchPanicLayer::custom(move |_| {
            panicked.metrics.panics.inc();
            error!("a handler panicked");
            Problem::internal().into_response()
        }))
        .layer(from_fn_with_state(Arc::clone(app), envelope::envelope))
        .with_state(Arc::clone(app))
}
