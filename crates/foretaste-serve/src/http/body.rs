//! Request bodies: bounded in bytes and in time, then JSON into a declared type. Errors name the
//! record and the field and say what was expected; they never repeat what was sent.

use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use foretaste_core::Limits;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Body as _;
use hyper::{HeaderMap, StatusCode, header};
use serde::de::DeserializeOwned;
use serde_path_to_error::Segment;

use super::problem::{FieldError, Problem};
use super::records::expect_few;

const LIMITS: Limits = Limits::DEFAULT;

/// Reads a whole body of at most `limit_bytes` within `patience`.
///
/// # Errors
/// 408 when it stalls, 413 when it is longer, 400 when the connection breaks.
pub(crate) async fn read(
    body: Body,
    limit_bytes: usize,
    patience: Duration,
) -> Result<Bytes, Problem> {
    if body.size_hint().lower() > limit_bytes as u64 {
        return Err(Problem::too_large(limit_bytes));
    }
    let collected = tokio::time::timeout(patience, Limited::new(body, limit_bytes).collect()).await;
    match collected {
        Ok(Ok(whole)) => Ok(whole.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Problem::too_large(limit_bytes)),
        Ok(Err(_)) => Err(Problem::invalid("the body ended early or is malformed")),
        Err(_) => Err(Problem::new(
            StatusCode::REQUEST_TIMEOUT,
            "body-timeout",
            "the body did not arrive in time",
        )),
    }
}

/// Refuses what declares itself as something other than JSON.
///
/// # Errors
/// 415 naming what is accepted.
pub(crate) fn expect_json(headers: &HeaderMap) -> Result<(), Problem> {
    let Some(value) = headers.get(header::CONTENT_TYPE) else { return Ok(()) };
    let essence = value.to_str().unwrap_or_default().split(';').next().unwrap_or_default();
    let essence = essence.trim().to_ascii_lowercase();
    if essence == "application/json" || essence.ends_with("+json") {
        return Ok(());
    }
    let detail = "send the body as JSON (with curl: -H 'content-type: application/json')";
    Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "media-type", detail))
}

/// One JSON value of a declared type.
///
/// # Errors
/// 400 naming the field.
pub(crate) fn json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    parse(bytes).map_err(|(path, error)| {
        let field = field_of(&path);
        Problem::fields(vec![FieldError { index: 0, field, reason: reason_of(&error) }])
    })
}

/// One record or an array of records.
///
/// # Errors
/// 400 naming record and field, or the count above [`Limits::batch_writes`]; 413 for a single
/// record above [`Limits::body_bytes`].
pub(crate) fn one_or_many<T: DeserializeOwned>(bytes: &[u8]) -> Result<Vec<T>, Problem> {
    let first = bytes.iter().find(|b| !b.is_ascii_whitespace());
    if first != Some(&b'[') {
        if bytes.len() > LIMITS.body_bytes {
            return Err(Problem::too_large(LIMITS.body_bytes));
        }
        return Ok(vec![json(bytes)?]);
    }
    let records: Vec<T> = parse(bytes).map_err(|(path, error)| {
        let (index, rest) = match path.split_first() {
            Some((Step::Index(index), rest)) => (*index, rest),
            _ => (0, &path[..]),
        };
        let field = field_of(rest);
        Problem::fields(vec![FieldError { index, field, reason: reason_of(&error) }])
    })?;
    expect_few(records.len())?;
    Ok(records)
}

/// One step from the document's root to what was wrong.
enum Step {
    Index(usize),
    Key(String),
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, (Vec<Step>, serde_json::Error)> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut reader)
        .map_err(|e| (e.path().iter().filter_map(step).collect(), e.into_inner()))?;
    reader.end().map_err(|e| (Vec::new(), e))?;
    Ok(value)
}

/// Keys that are not plain names are left out: they are the client's text.
fn step(segment: &Segment) -> Option<Step> {
    let is_plain =
        |key: &str| key.len() <= 64 && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    match segment {
        Segment::Seq { index } => Some(Step::Index(*index)),
        Segment::Map { key } if is_plain(key) => Some(Step::Key(key.clone())),
        _ => None,
    }
}

/// The path as `context.position`.
fn field_of(steps: &[Step]) -> String {
    let parts = steps.iter().map(|step| match step {
        Step::Index(index) => index.to_string(),
        Step::Key(key) => key.clone(),
    });
    let path = parts.collect::<Vec<_>>().join(".");
    if path.is_empty() { "body".to_owned() } else { path }
}

/// serde's message without what it quotes of the input.
fn reason_of(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let place = format!("line {} column {}", error.line(), error.column());
    if error.is_data() {
        if let Some(rest) = text.strip_prefix("missing field ") {
            let name = rest.split('`').nth(1).unwrap_or_default();
            return format!("missing field {name}");
        }
        let expected = text.find("expected ").map(|at| text[at..].split(" at line").next());
        let expected = expected.flatten().unwrap_or("not a valid value");
        let unknown = if text.starts_with("unknown field") { "unknown field; " } else { "" };
        return format!("{unknown}{expected} ({place})");
    }
    if error.is_eof() {
        return format!("the JSON ends early ({place})");
    }
    format!("not valid JSON ({place})")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code, reason = "only the errors are looked at")]
    struct Record {
        user: String,
        value: f32,
    }

    #[track_caller]
    fn check(body: &str, index: usize, field: &str, reason: &str) {
        let problem = one_or_many::<Record>(body.as_bytes()).expect_err(body);
        let error = &problem.errors[0];
        assert_eq!((error.index, error.field.as_str()), (index, field), "{problem:?}");
        assert!(error.reason.contains(reason), "{problem:?}");
        assert!(!problem.detail.contains("evil"), "echo: {problem:?}");
    }

    #[test]
    fn errors_name_record_and_field_without_an_echo() {
        let good = r#"{"user":"u","value":1}"#;
        check(&format!(r#"[{good},{{"user":"u","value":"evil"}}]"#), 1, "value", "expected f32");
        check(&format!("[{good},{good},{{\"user\":\"u\"}}]"), 2, "body", "missing field value");
        check(r#"{"user":"u","value":1,"ev il":2}"#, 0, "body", "unknown field");
        check("[", 0, "body", "ends early");
        check("{]", 0, "body", "not valid JSON");
        check(&format!("{good} {good}"), 0, "body", "not valid JSON");
        check("", 0, "body", "ends early");
        check("\u{1}evil", 0, "body", "not valid JSON");
        check(&"[".repeat(200), 0, "0", "expected");
    }
}
