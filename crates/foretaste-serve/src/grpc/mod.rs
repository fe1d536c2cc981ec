//! The same questions over gRPC, on a listener of its own: messages in, messages out, statuses.
//!
//! What is asked becomes what HTTP asks and is answered by the same functions
//! ([`crate::http::answering`]); here is no second way to an answer. Connections are those of
//! [`crate::net`].

use std::sync::Arc;

use axum::Router;
use axum::middleware::from_fn_with_state;
use foretaste_core::Limits;
use foretaste_proto::v1::foretaste_server::{ForetasteServer, SERVICE_NAME};
use tokio::sync::watch;
use tonic::service::Routes;
use tonic_health::ServingStatus;
use tonic_health::server::{HealthReporter, health_reporter};
use tower_http::catch_panic::CatchPanicLayer;
use tracing::error;

use crate::app::App;
use service::Service;

mod reply;
mod request;
mod service;
mod status;
mod surround;

/// The largest message that is taken: batches of events. Larger ones go over HTTP.
const MOST_MESSAGE_BYTES: usize = 1 << 20;

/// The router of the gRPC listener, and what its health service says.
pub(crate) fn router(app: &Arc<App>) -> (Router, Health) {
    let (reporter, health) = health_reporter();
    let service = ForetasteServer::new(Service::new(Arc::clone(app)))
        .max_decoding_message_size(MOST_MESSAGE_BYTES);
    let panicked = Arc::clone(app);
    let router = Routes::new(service)
        .add_service(health)
        .into_axum_router()
        .layer(CatchPanicLayer::custom(move |_| {
            panicked.metrics.panics.inc();
            error!("a handler panicked");
            status::internal().into_http::<axum::body::Body>()
        }))
        .layer(from_fn_with_state(Arc::clone(app), surround::surround));
    (router, Health { reporter, readiness: app.readiness() })
}

/// The standard health service's answers, for the server as a whole and for the service by name.
pub(crate) struct Health {
    reporter: HealthReporter,
    readiness: watch::Receiver<bool>,
}

impl Health {
    /// Follows readiness until `stopped`; then calls that watch it end, so that connections can.
    pub(crate) async fn follow(mut self, mut stopped: watch::Receiver<bool>) {
        loop {
            let is_ready = *self.readiness.borrow_and_update();
            let status = if is_ready { ServingStatus::Serving } else { ServingStatus::NotServing };
            for name in ["", SERVICE_NAME] {
                self.reporter.set_service_status(name, status).await;
            }
            tokio::select! {
                changed = self.readiness.changed() => if changed.is_err() { break },
                // An error means that the server is gone.
                _ = stopped.wait_for(|stop| *stop) => break,
            }
        }
        for name in ["", SERVICE_NAME] {
            self.reporter.clear_service_status(name).await;
        }
    }
}

/// Bodies of this many bytes are work that can wait.
const BULK_BYTES: usize = Limits::DEFAULT.body_bytes;
