//! What a request says about itself, beside what it asks: its id, the trace that it is part of, the
//! page that sent it, how long its caller waits, and whether the caller wants to know where the
//! time went.

use std::time::{Duration, Instant};

use axum::extract::Request;
use hyper::HeaderMap;
use hyper::header::{CACHE_CONTROL, HeaderName, HeaderValue};

use super::problem::Problem;
use super::{cors, envelope};
use crate::config::{ServeConfig, millis};

const TIMEOUT: HeaderName = HeaderName::from_static("x-request-timeout-ms");
const TRACE: HeaderName = HeaderName::from_static("traceparent");
const DEBUG: HeaderName = HeaderName::from_static("x-foretaste-debug");
/// Of its time a request spends so much on recall; the rest is for what follows and the way back.
const RECALL_SHARE: f64 = 0.75;

/// What one request says about itself.
pub(crate) struct Told {
    pub(crate) id: String,
    /// The page that may read the answer.
    pub(crate) origin: Option<HeaderValue>,
    pub(crate) wants_timing: bool,
    pub(crate) started: Instant,
    traceparent: Option<HeaderValue>,
}

impl Told {
    /// What a request says that says no more than an id.
    pub(crate) fn plain(id: String, started: Instant) -> Self {
        Self { id, origin: None, wants_timing: false, started, traceparent: None }
    }

    pub(crate) fn of(config: &ServeConfig, request: &Request) -> Self {
        let headers = request.headers();
        Self {
            id: envelope::request_id(headers),
            origin: cors::allowed(&config.cors_origins, request.uri().path(), headers),
            wants_timing: config.server_timing && headers.contains_key(DEBUG),
            started: Instant::now(),
            traceparent: headers.get(TRACE).cloned(),
        }
    }

    /// The trace and the span that the caller is in.
    pub(crate) fn trace(&self) -> Option<(&str, &str)> {
        trace_of(self.traceparent.as_ref()?.to_str().ok()?)
    }
}

/// Whether the caller refuses answers that were kept.
pub(crate) fn wants_fresh(headers: &HeaderMap) -> bool {
    headers.get(CACHE_CONTROL).is_some_and(|value| {
        let words = value.to_str().unwrap_or_default();
        words.contains("no-cache") || words.contains("no-store")
    })
}

/// Trace and parent of a W3C `traceparent`; what is malformed is as if it were not there.
///
/// # Source
/// W3C Trace Context, "traceparent header field values": versions above 00 may have more parts.
fn trace_of(text: &str) -> Option<(&str, &str)> {
    let mut parts = text.split('-');
    let (version, trace, parent, flags) =
        (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let is_hex = |part: &str, n: usize| {
        part.len() == n && part.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    };
    let is_whole = is_hex(version, 2)
        && version != "ff"
        && is_hex(trace, 32)
        && is_hex(parent, 16)
        && is_hex(flags, 2)
        && (version != "00" || parts.next().is_none());
    let is_zero = |part: &str| part.bytes().all(|b| b == b'0');
    (is_whole && !is_zero(trace) && !is_zero(parent)).then_some((trace, parent))
}

/// How long the caller waits, where it says so.
///
/// # Errors
/// 400 for what is not a number of ms.
pub(crate) fn patience(headers: &HeaderMap) -> Result<Option<Duration>, Problem> {
    let Some(value) = headers.get(TIMEOUT) else { return Ok(None) };
    match value.to_str().ok().and_then(|text| text.parse().ok()) {
        Some(ms) if ms > 0 => Ok(Some(millis(ms))),
        _ => Err(Problem::invalid(format!("{TIMEOUT}: expected milliseconds, 1 or more"))),
    }
}

/// When recall has to be over in a request that began then, of a caller who waits so long.
pub(crate) fn recall_until(
    config: &ServeConfig,
    (began, patience): (Instant, Option<Duration>),
) -> Instant {
    let most = millis(config.timeouts.request_ms);
    let time = patience.unwrap_or(millis(config.deadline_ms)).min(most);
    began + time.mul_f64(RECALL_SHARE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_is_taken_over_only_when_it_is_whole() {
        let (trace, parent) = ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7");
        let good = format!("00-{trace}-{parent}-01");
        assert_eq!(trace_of(&good), Some((trace, parent)));
        assert_eq!(trace_of(&format!("01-{trace}-{parent}-01-later")), Some((trace, parent)));
        for bad in [
            format!("{good}-more"),
            format!("ff-{trace}-{parent}-01"),
            format!("00-{}-{parent}-01", "0".repeat(32)),
            format!("00-{trace}-{}-01", "0".repeat(16)),
            format!("00-{}-{parent}-01", trace.to_uppercase()),
            format!("00-{trace}-{parent}"),
            String::new(),
        ] {
            assert_eq!(trace_of(&bad), None, "{bad}");
        }
    }

    #[test]
    fn patience_is_a_number_of_ms() {
        let of = |text: &'static str| {
            patience(&HeaderMap::from_iter([(TIMEOUT, HeaderValue::from_static(text))]))
        };
        assert_eq!(patience(&HeaderMap::new()), Ok(None));
        assert_eq!(of("250"), Ok(Some(Duration::from_millis(250))));
        for bad in ["0", "-1", "1.5", "soon", "", "99999999999999999999"] {
            assert_eq!(of(bad).expect_err(bad).status, 400);
        }
    }
}
