//! The class of a request: what may be given up for it when there is not time for all.

use hyper::HeaderMap;
use hyper::header::HeaderName;

use super::problem::Problem;
use crate::pressure::Urgency;

const CLASS: HeaderName = HeaderName::from_static("x-request-class");

/// The class that the caller says; without a word, somebody waits.
///
/// # Errors
/// 400 naming the classes there are.
pub(crate) fn class(headers: &HeaderMap) -> Result<Urgency, Problem> {
    match headers.get(CLASS).map(|value| value.as_bytes()) {
        None | Some(b"interactive") => Ok(Urgency::Interactive),
        Some(b"batch") => Ok(Urgency::Batch),
        Some(b"shadow") => Ok(Urgency::Shadow),
        Some(_) => Err(Problem::invalid(format!("{CLASS}: expected interactive, batch or shadow"))),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use axum::body::Body;
    use axum::extract::Request;
    use hyper::header::{HeaderValue, RETRY_AFTER};
    use serde_json::json;
    use tower::ServiceExt;

    use super::*;
    use crate::http::testing::app;
    use crate::http::{Front, Listener};

    /// What is given up first stands first: a class, and what it asks for.
    fn requests() -> [Request; 4] {
        let of = |class: &str| {
            let request = Request::get("/v1/recommend/u").header("host", "x");
            request.header(CLASS, class).body(Body::empty()).expect("request")
        };
        let event = json!({ "user": "u", "item": "i1", "kind": "view", "event_id": "e" });
        let events = json!(vec![event; 2_000]).to_string();
        let bulk = Request::post("/v1/events").header("host", "x").body(Body::from(events));
        [of("shadow"), of("batch"), bulk.expect("request"), of("interactive")]
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_may_be_given_up_is_refused_in_order_and_told_when_to_come_back() {
        let folder = tempfile::tempdir().expect("folder");
        let app = app(folder.path(), false);
        let listener = Listener { clients: true, operators: false, metrics: false };
        let router = Front::new(&app, listener).router();
        for (waiting, n_refused) in [(0, 0), (5, 1), (10, 2), (20, 3), (40, 4)] {
            for (at, request) in requests().into_iter().enumerate() {
                app.pretend(waiting, Duration::from_millis(1));
                let response = router.clone().oneshot(request).await.expect("infallible");
                let expected = if at < n_refused { 503 } else { 200 };
                assert_eq!(response.status(), expected, "request {at}, {waiting} waiting");
                let retry = response.headers().get(RETRY_AFTER);
                assert_eq!(retry.is_some(), at < n_refused);
            }
        }
    }

    #[test]
    fn a_class_is_one_of_three_words() {
        let of = |word: &'static str| {
            class(&HeaderMap::from_iter([(CLASS, HeaderValue::from_static(word))]))
        };
        assert_eq!(class(&HeaderMap::new()), Ok(Urgency::Interactive));
        for (word, urgency) in [
            ("interactive", Urgency::Interactive),
            ("batch", Urgency::Batch),
            ("shadow", Urgency::Shadow),
        ] {
            assert_eq!(of(word), Ok(urgency));
        }
        for bad in ["", "Batch", "renewal", "bulk"] {
            assert_eq!(of(bad).expect_err(bad).status, 400);
        }
    }
}
