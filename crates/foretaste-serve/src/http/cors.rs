//! Pages of other origins: which may read answers and write, by `serve.cors_origins`. None may by
//! default; none may reach the routes of operators; cookies are never involved.

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use foretaste_core::{Error, ErrorKind, Result};
use hyper::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD,
    HeaderValue, ORIGIN, VARY,
};
use hyper::{HeaderMap, Method, StatusCode};

const OPERATORS: &str = "/v1/admin/";
const METHODS: HeaderValue = HeaderValue::from_static("GET, POST, PATCH, DELETE");
const SENT: HeaderValue = HeaderValue::from_static(
    "content-type, cache-control, if-none-match, traceparent, x-request-id, \
     x-request-timeout-ms, x-request-class, x-foretaste-debug",
);
const SHOWN: HeaderValue = HeaderValue::from_static(
    "age, etag, retry-after, server-timing, x-cache, x-foretaste-bundle, x-request-id",
);
const KEPT_SECONDS: HeaderValue = HeaderValue::from_static("600");

/// Checks the origins of a configuration.
///
/// # Errors
/// `Config` for one that no browser would send.
pub(crate) fn check(origins: &[String]) -> Result<()> {
    let is_origin = |origin: &String| {
        let rest = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-.:[]".contains(&b);
        origin == "*" || rest.is_some_and(|host| !host.is_empty() && host.bytes().all(plain))
    };
    match origins.iter().position(|origin| !is_origin(origin)) {
        None => Ok(()),
        Some(at) => Err(Error::new(
            ErrorKind::Config,
            format!(
                "serve.cors_origins[{at}]: write \"https://host\", with a port if it has one, \
                 or \"*\""
            ),
        )),
    }
}

/// The origin of a request, if its page may be here.
pub(crate) fn allowed(origins: &[String], path: &str, headers: &HeaderMap) -> Option<HeaderValue> {
    if origins.is_empty() || path.starts_with(OPERATORS) {
        return None;
    }
    let origin = headers.get(ORIGIN)?;
    let is_listed =
        origins.iter().any(|known| known == "*" || known.as_bytes() == origin.as_bytes());
    is_listed.then(|| origin.clone())
}

/// The answer to a browser that asks beforehand, where it may.
pub(crate) fn preflight(origin: Option<&HeaderValue>, request: &Request) -> Option<Response> {
    let asks = request.method() == Method::OPTIONS
        && request.headers().contains_key(ACCESS_CONTROL_REQUEST_METHOD);
    origin.filter(|_| asks)?;
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, METHODS);
    headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, SENT);
    headers.insert(ACCESS_CONTROL_MAX_AGE, KEPT_SECONDS);
    Some(response)
}

/// Tells the browser that the page may read this answer. Caches learn that answers differ by
/// origin even from those that had none.
pub(crate) fn finish(headers: &mut HeaderMap, origins: &[String], origin: Option<&HeaderValue>) {
    if origins.is_empty() {
        return;
    }
    headers.append(VARY, HeaderValue::from_static("origin"));
    if let Some(origin) = origin {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, SHOWN);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_allowed(origins: &[&str], path: &str, origin: &'static str, expected: bool) {
        let origins: Vec<String> = origins.iter().map(|&o| o.to_owned()).collect();
        let headers = HeaderMap::from_iter([(ORIGIN, HeaderValue::from_static(origin))]);
        assert_eq!(allowed(&origins, path, &headers).is_some(), expected, "{origins:?} {path}");
    }

    #[test]
    fn only_listed_origins_and_no_operators() {
        let shop = "https://shop.example";
        check_allowed(&[shop], "/v1/popular", shop, true);
        check_allowed(&["*"], "/v1/popular", shop, true);
        check_allowed(&[shop], "/v1/popular", "https://shop.example.evil", false);
        check_allowed(&[shop], "/v1/popular", "null", false);
        check_allowed(&[], "/v1/popular", shop, false);
        check_allowed(&["*"], "/v1/admin/bundles", shop, false);
    }

    #[test]
    fn origins_that_no_browser_sends_are_named() {
        let of = |origin: &str| check(&["*".to_owned(), origin.to_owned()]);
        for good in ["*", "http://localhost:3000", "https://shop.example", "http://[::1]:80"] {
            of(good).expect(good);
        }
        for bad in ["", "shop.example", "https://shop.example/", "https://Shop.example", "https://"]
        {
            let error = of(bad).expect_err(bad).to_string();
            assert!(error.contains("serve.cors_origins[1]"), "{error}");
        }
    }
}
