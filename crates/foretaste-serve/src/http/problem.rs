//! Errors as RFC 9457 problem details: the one place where an error kind becomes a status.
//!
//! A problem never repeats what the client sent beyond field names, and never shows paths or
//! sources of internal failures: those are logged where the problem is made.

use axum::response::{IntoResponse, Response};
use foretaste_core::{Error, ErrorKind};
use hyper::StatusCode;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use serde::{Deserialize, Serialize};
use tracing::{error, warn};

/// What went wrong with a request (RFC 9457).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct Problem {
    /// A stable name of the kind of problem: `urn:foretaste:problem:...`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The same for people.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What exactly was wrong and what to do.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
    /// Which records and fields were wrong, where the body was understood that far.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
    /// Seconds after which the same request may succeed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<u32>,
}

/// One wrong field of one record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct FieldError {
    /// Position of the record in the request, from 0.
    pub index: usize,
    /// Name of the field.
    pub field: String,
    /// What was expected.
    pub reason: String,
}

impl Problem {
    /// A problem of `status`; `slug` completes its type, `detail` says what to do.
    pub fn new(status: StatusCode, slug: &str, detail: impl Into<String>) -> Self {
        Self {
            kind: format!("urn:foretaste:problem:{slug}"),
            title: status.canonical_reason().unwrap_or("Error").to_owned(),
            status: status.as_u16(),
            detail: detail.into(),
            errors: Vec::new(),
            retry_after: None,
        }
    }

    /// 400: the request is malformed or outside its limits.
    pub fn invalid(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid", detail)
    }

    /// 400 with the wrong fields.
    pub fn fields(errors: Vec<FieldError>) -> Self {
        let detail = match errors.first() {
            Some(e) => format!("record {}, field {}: {}", e.index, e.field, e.reason),
            None => String::new(),
        };
        Self { errors, ..Self::invalid(detail) }
    }

    /// 404: no such thing.
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not-found", detail)
    }

    /// 413: the body is longer than `limit_bytes`.
    pub fn too_large(limit_bytes: usize) -> Self {
        let detail = format!("the body is longer than {limit_bytes} bytes; send less at a time");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", detail)
    }

    /// 503 with `Retry-After`.
    pub fn unavailable(slug: &str, detail: impl Into<String>) -> Self {
        Self { retry_after: Some(1), ..Self::new(StatusCode::SERVICE_UNAVAILABLE, slug, detail) }
    }

    /// 500: a defect; the details are in the log.
    pub fn internal() -> Self {
        let detail = "a defect in the server; its log has the details";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", detail)
    }

    /// The status of this problem.
    pub fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let context = error.to_string();
        let of = |status, slug| Self::new(status, slug, context.clone());
        match error.kind() {
            ErrorKind::Invalid => of(StatusCode::BAD_REQUEST, "invalid"),
            ErrorKind::NotFound => of(StatusCode::NOT_FOUND, "not-found"),
            ErrorKind::Conflict => of(StatusCode::CONFLICT, "conflict"),
            ErrorKind::Corrupt => of(StatusCode::UNPROCESSABLE_ENTITY, "corrupt"),
            ErrorKind::Unsupported => of(StatusCode::UNPROCESSABLE_ENTITY, "unsupported"),
            ErrorKind::Exhausted => Self::unavailable("exhausted", context),
            ErrorKind::Io | ErrorKind::Unavailable => {
                warn!(error = context, "refused; a retry may succeed");
                Self::unavailable("unavailable", "the server cannot do this now; try again")
            }
            ErrorKind::Config | ErrorKind::Internal => {
                error!(error = context, "defect");
                Self::internal()
            }
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = serde_json::to_vec(&self).unwrap_or_default();
        let mut response = (self.status(), body).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(seconds) = self.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_one_status_and_retryable_ones_say_when() {
        let table = [
            (ErrorKind::Invalid, 400),
            (ErrorKind::NotFound, 404),
            (ErrorKind::Conflict, 409),
            (ErrorKind::Corrupt, 422),
            (ErrorKind::Unsupported, 422),
            (ErrorKind::Exhausted, 503),
            (ErrorKind::Io, 503),
            (ErrorKind::Unavailable, 503),
            (ErrorKind::Config, 500),
            (ErrorKind::Internal, 500),
        ];
        for (kind, status) in table {
            let problem = Problem::from(Error::new(kind, "x"));
            assert_eq!(problem.status, status, "{kind:?}");
            assert_eq!(problem.retry_after.is_some(), kind.is_retryable(), "{kind:?}");
        }
    }

    #[test]
    fn inner_failures_do_not_show_their_paths() {
        for kind in [ErrorKind::Io, ErrorKind::Internal, ErrorKind::Config] {
            let problem = Problem::from(Error::new(kind, "/secret/path"));
            assert!(!problem.detail.contains("/secret"), "{problem:?}");
        }
    }
}
