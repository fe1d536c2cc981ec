//! What surrounds every call: its deadline, its request id, metrics and the log line. The twin of
//! HTTP's envelope, where headers are metadata and a refusal is a status.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use hyper::HeaderMap;
use tonic::{Code, Status};

use super::status::{http_status, out_of_time, status};
use crate::app::App;
use crate::config::millis;
use crate::http::answering::Terms;
use crate::http::class::class;
use crate::http::envelope::{account_as, name};
use crate::http::told::{Told, wants_fresh};
use crate::stages::StageTimes;

const TIMEOUT: &str = "grpc-timeout";
/// As many digits as the protocol allows.
const MOST_DIGITS: usize = 8;

/// The methods as they are counted; others are `none`.
const PATHS: [&str; 10] = [
    "/foretaste.v1.Foretaste/Recommend",
    "/foretaste.v1.Foretaste/RecommendBatch",
    "/foretaste.v1.Foretaste/RecommendSession",
    "/foretaste.v1.Foretaste/Similar",
    "/foretaste.v1.Foretaste/Trending",
    "/foretaste.v1.Foretaste/Popular",
    "/foretaste.v1.Foretaste/Latest",
    "/foretaste.v1.Foretaste/WriteEvents",
    "/grpc.health.v1.Health/Check",
    "/grpc.health.v1.Health/Watch",
];

/// The middleware around all calls.
pub(super) async fn surround(
    State(app): State<Arc<App>>,
    mut request: Request,
    next: Next,
) -> Response {
    let told = Told::of(&app.config, &request);
    let path = request.uri().path();
    let route = PATHS.into_iter().find(|known| *known == path).unwrap_or("none");
    let most = millis(app.config.timeouts.request_ms);
    let asks = patience(request.headers())
        .and_then(|patience| Ok((patience, class(request.headers()).map_err(status)?)));
    let mut response = match asks {
        Ok((patience, urgency)) => {
            let no_cache = wants_fresh(request.headers());
            let waits = (Instant::now(), patience);
            request.extensions_mut().insert(Terms { no_cache, waits, urgency });
            within(patience.unwrap_or(most).min(most), next.run(request)).await
        }
        Err(status) => status.into_http(),
    };
    name(&mut response, &told);
    let code = Status::from_header_map(response.headers()).map_or(Code::Ok, |s| s.code());
    let times = response.extensions().get::<Arc<StageTimes>>();
    account_as(&app, ("GRPC", route, http_status(code)), &told, times);
    response
}

async fn within(limit: Duration, response: impl Future<Output = Response>) -> Response {
    match tokio::time::timeout(limit, response).await {
        Ok(response) => response,
        Err(_) => out_of_time().into_http::<Body>(),
    }
}

/// How long the caller waits, where it says so.
///
/// # Errors
/// `INVALID_ARGUMENT` for what is not a timeout.
///
/// # Source
/// gRPC over HTTP/2, "Timeout": up to eight digits and a unit.
fn patience(headers: &HeaderMap) -> Result<Option<Duration>, Status> {
    let Some(value) = headers.get(TIMEOUT) else { return Ok(None) };
    value.to_str().ok().and_then(timeout).map(Some).ok_or_else(|| {
        Status::invalid_argument(
            "grpc-timeout: expected up to 8 digits and one of H, M, S, m, u, n",
        )
    })
}

fn timeout(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let is_number = digits.len() <= MOST_DIGITS && digits.bytes().all(|b| b.is_ascii_digit());
    let n: u64 = digits.parse().ok().filter(|_| is_number)?;
    Some(match unit {
        "H" => Duration::from_secs(n * 3_600),
        "M" => Duration::from_secs(n * 60),
        "S" => Duration::from_secs(n),
        "m" => Duration::from_millis(n),
        "u" => Duration::from_micros(n),
        "n" => Duration::from_nanos(n),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use foretaste_proto::v1::PROTO;
    use foretaste_proto::v1::foretaste_server::SERVICE_NAME;

    use super::*;

    #[test]
    fn every_method_is_counted_under_its_own_name() {
        let methods = PROTO.lines().filter_map(|line| line.trim().strip_prefix("rpc "));
        let mut n = 0;
        for method in methods.filter_map(|m| m.split('(').next()) {
            assert!(PATHS.contains(&&*format!("/{SERVICE_NAME}/{method}")), "{method}");
            n += 1;
        }
        assert_eq!(n, PATHS.len() - 2);
    }

    #[test]
    fn timeouts_are_a_number_and_a_unit() {
        for (text, expected) in [
            ("1H", Duration::from_secs(3_600)),
            ("2M", Duration::from_secs(120)),
            ("3S", Duration::from_secs(3)),
            ("250m", Duration::from_millis(250)),
            ("99999999u", Duration::from_micros(99_999_999)),
            ("0n", Duration::ZERO),
        ] {
            assert_eq!(timeout(text), Some(expected), "{text}");
        }
        for bad in ["", "S", "1", "1s", "-1S", "+1S", "1.5S", "123456789S", "1é"] {
            assert_eq!(timeout(bad), None, "{bad}");
        }
    }
}
