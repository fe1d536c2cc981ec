//! The methods: each turns its message into a question, has it answered, and makes a message.

use std::sync::Arc;
use std::time::Instant;

use foretaste_pipeline::{Listing, TrendWindow};
use foretaste_proto::v1 as api;
use foretaste_proto::v1::foretaste_server::Foretaste;
use foretaste_proto::v1::trending_request::Window;
use prost::Message;
use tonic::{Request, Response, Status};

use super::{BULK_BYTES, reply, request, status::status};
use crate::app::{App, now_ms};
use crate::http::answering::{Terms, alike, listed, recommended};
use crate::http::batch;
use crate::http::problem::Problem;
use crate::http::records;
use crate::pressure::Urgency;

/// All methods of the service.
pub(super) struct Service {
    app: Arc<App>,
}

impl Service {
    pub(super) fn new(app: Arc<App>) -> Self {
        Self { app }
    }

    async fn list(
        &self,
        terms: Terms,
        which: Listing,
        list: api::ListRequest,
    ) -> Result<Response<api::Slate>, Problem> {
        let answer = listed(&self.app, terms, which, request::of_list(list)?).await?;
        reply::slate(&self.app, answer).await
    }
}

/// What the call's metadata say; the surroundings have read them.
fn terms<T>(request: &Request<T>) -> Terms {
    let unsaid =
        || Terms { no_cache: false, waits: (Instant::now(), None), urgency: Urgency::Interactive };
    request.extensions().get().copied().unwrap_or_else(unsaid)
}

/// A list as its method was called.
fn listing(window: Window) -> Listing {
    Listing::Trending(match window {
        Window::Hour => TrendWindow::Hour,
        Window::Week => TrendWindow::Week,
        Window::Day | Window::Unspecified => TrendWindow::Day,
    })
}

#[tonic::async_trait]
impl Foretaste for Service {
    async fn recommend(
        &self,
        call: Request<api::RecommendRequest>,
    ) -> Result<Response<api::Slate>, Status> {
        let (app, terms) = (&self.app, terms(&call));
        let question = request::of_user(call.into_inner()).map_err(status)?;
        let answer = recommended(app, terms, question).await.map_err(status)?;
        reply::slate(app, answer).await.map_err(status)
    }

    async fn recommend_batch(
        &self,
        call: Request<api::RecommendBatchRequest>,
    ) -> Result<Response<api::RecommendBatchResponse>, Status> {
        let (app, terms) = (&self.app, terms(&call));
        app.admit(terms.urgency.min(Urgency::Batch)).map_err(status)?;
        let (users, in_scene) = request::of_users(call.into_inner()).map_err(status)?;
        let (pinned, parts) =
            batch::answers(app, terms, (&users, in_scene)).await.map_err(status)?;
        let bundle = pinned.bundle_id.to_string();
        let results = move || users.into_iter().zip(parts).map(|(u, p)| reply::part(u, p));
        let results = app.compute(move |_| results().collect()).await.map_err(status)?;
        Ok(Response::new(api::RecommendBatchResponse { bundle, results }))
    }

    async fn recommend_session(
        &self,
        call: Request<api::RecommendSessionRequest>,
    ) -> Result<Response<api::Slate>, Status> {
        let (app, terms) = (&self.app, terms(&call));
        let question = request::of_session(call.into_inner()).map_err(status)?;
        let answer = recommended(app, terms, question).await.map_err(status)?;
        reply::slate(app, answer).await.map_err(status)
    }

    async fn similar(
        &self,
        call: Request<api::SimilarRequest>,
    ) -> Result<Response<api::Slate>, Status> {
        let (app, terms) = (&self.app, terms(&call));
        let (item, in_scene) = request::of_item(call.into_inner()).map_err(status)?;
        let answer = alike(app, terms, item, in_scene).await.map_err(status)?;
        reply::slate(app, answer).await.map_err(status)
    }

    async fn trending(
        &self,
        call: Request<api::TrendingRequest>,
    ) -> Result<Response<api::Slate>, Status> {
        let (terms, call) = (terms(&call), call.into_inner());
        let which = listing(call.window());
        self.list(terms, which, call.list.unwrap_or_default()).await.map_err(status)
    }

    async fn popular(
        &self,
        call: Request<api::ListRequest>,
    ) -> Result<Response<api::Slate>, Status> {
        self.list(terms(&call), Listing::Popular, call.into_inner()).await.map_err(status)
    }

    async fn latest(
        &self,
        call: Request<api::ListRequest>,
    ) -> Result<Response<api::Slate>, Status> {
        self.list(terms(&call), Listing::Latest, call.into_inner()).await.map_err(status)
    }

    async fn write_events(
        &self,
        call: Request<api::WriteEventsRequest>,
    ) -> Result<Response<api::Written>, Status> {
        let (terms, message) = (terms(&call), call.into_inner());
        let most = match message.encoded_len() > BULK_BYTES {
            true => Urgency::Bulk,
            false => Urgency::Interactive,
        };
        let urgency = terms.urgency.min(most);
        if urgency < Urgency::Interactive {
            self.app.admit(urgency).map_err(status)?;
        }
        let written = write(&self.app, message.events).await.map_err(status)?;
        Ok(Response::new(written))
    }
}

async fn write(app: &Arc<App>, events: Vec<api::Event>) -> Result<api::Written, Problem> {
    records::expect_few(events.len())?;
    let events = records::events(request::events(events)?, now_ms())?;
    let outcome = app.write_events(events).await?;
    let (accepted, duplicates) = (outcome.accepted as u64, outcome.duplicates as u64);
    Ok(api::Written { accepted, duplicates })
}
