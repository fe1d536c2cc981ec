//! The shortest way to recommendations that are ready: from the bytes of a request to the bytes of
//! its response, before hyper has seen either. It takes a `GET` that says nothing out of the
//! ordinary; the rest goes on to hyper and the long way, which gives the same answer.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use httparse::{EMPTY_HEADER, Header, Status};
use hyper::StatusCode;
use hyper::header::{
    CACHE_CONTROL, CONTENT_LENGTH, DATE, HeaderName, HeaderValue, X_CONTENT_TYPE_OPTIONS,
};

use super::envelope::{self, NOSNIFF, PRIVATE, REQUEST_ID};
use super::respond::{Manner, Ready, ready};
use super::short::{Plain, ROUTE, plain_user};
use super::told::Told;
use crate::app::App;

const BEGINNING: &[u8] = b"GET /v1/recommend/";
const END: &[u8] = b"\r\n\r\n";
const MOST_HEADERS: usize = 32;
/// Headers that change the answer or what follows it, and are not read here.
const NOT_PLAIN: [&str; 12] = [
    "cache-control",
    "content-length",
    "expect",
    "http2-settings",
    "origin",
    "te",
    "traceparent",
    "transfer-encoding",
    "upgrade",
    "x-foretaste-debug",
    "x-request-class",
    "x-request-timeout-ms",
];

/// Writes the response to a whole head into `out`, if its answer is ready and the head is plain.
/// Nothing is written otherwise.
pub(crate) fn answer(app: &Arc<App>, head: &[u8], out: &mut Vec<u8>) -> bool {
    responded(app, head, out).is_some()
}

fn responded(app: &Arc<App>, head: &[u8], out: &mut Vec<u8>) -> Option<()> {
    if !head.starts_with(BEGINNING) || !head.ends_with(END) || !app.config.cors_origins.is_empty() {
        return None;
    }
    let mut headers = [EMPTY_HEADER; MOST_HEADERS];
    let head = Head::parse(head, &mut headers)?;
    let began = Instant::now();
    let (key, plain) = Plain::of(app, head.user, head.query)?;
    let found = app.ready.cache().probe(&key)?;
    let manner = Manner::plain(began, head.if_none_match, head.accept_encoding);
    let ready = ready(app, &manner, (key, found), plain)?;
    let told = Told::plain(envelope::request_id_of(head.request_id), began);
    write(&ready, &told.id, out);
    let (method, route) = ROUTE;
    envelope::account_as(app, (method, route, ready.status.as_u16()), &told, None);
    Some(())
}

/// What is read of a plain head.
#[derive(Debug, Default, PartialEq, Eq)]
struct Head<'a> {
    user: &'a str,
    query: Option<&'a str>,
    accept_encoding: Option<&'a [u8]>,
    if_none_match: Option<&'a [u8]>,
    request_id: Option<&'a [u8]>,
}

impl<'a> Head<'a> {
    /// Reads a whole head and nothing beyond it; `None` where it is not plain.
    fn parse(bytes: &'a [u8], headers: &mut [Header<'a>]) -> Option<Self> {
        let mut request = httparse::Request::new(headers);
        if request.parse(bytes).ok()? != Status::Complete(bytes.len()) || request.version? != 1 {
            return None;
        }
        let path = request.path?;
        let (path, query) = path.split_once('?').map_or((path, None), |(p, q)| (p, Some(q)));
        if query.is_some_and(|query| !query.bytes().all(is_plain_in_query)) {
            return None;
        }
        let mut head = Head { user: plain_user(path)?, query, ..Head::default() };
        let mut hosts = 0;
        for header in request.headers {
            hosts += usize::from(header.name.eq_ignore_ascii_case("host"));
            head.take(header)?;
        }
        (hosts == 1).then_some(head)
    }

    /// Of headers given twice the first counts, as on the long way.
    fn take(&mut self, header: &Header<'a>) -> Option<()> {
        let is = |name: &str| header.name.eq_ignore_ascii_case(name);
        if is("accept-encoding") {
            self.accept_encoding.get_or_insert(header.value);
        } else if is("if-none-match") {
            self.if_none_match.get_or_insert(header.value);
        } else if is("x-request-id") {
            self.request_id.get_or_insert(header.value);
        } else if is("connection") {
            return header.value.eq_ignore_ascii_case(b"keep-alive").then_some(());
        } else if NOT_PLAIN.iter().any(|name| is(name)) {
            return None;
        }
        Some(())
    }
}

fn is_plain_in_query(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'=' | b'&')
}

fn write(ready: &Ready, request_id: &str, out: &mut Vec<u8>) {
    let is_whole = ready.status == StatusCode::OK;
    out.reserve(512 + ready.body.len());
    out.extend_from_slice(if is_whole {
        b"HTTP/1.1 200 OK\r\n"
    } else {
        b"HTTP/1.1 304 Not Modified\r\n"
    });
    let mut line = |name: HeaderName, value: &[u8]| {
        out.extend_from_slice(name.as_str().as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(value);
        out.extend_from_slice(b"\r\n");
    };
    ready.headers(|name, value| line(name, value.as_bytes()));
    line(REQUEST_ID, request_id.as_bytes());
    line(X_CONTENT_TYPE_OPTIONS, NOSNIFF.as_bytes());
    line(CACHE_CONTROL, PRIVATE.as_bytes());
    if is_whole {
        line(CONTENT_LENGTH, HeaderValue::from(ready.body.len()).as_bytes());
    }
    with_date(|date| line(DATE, date));
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(&ready.body);
}

/// Hands the time as HTTP writes it to `use_it`; made anew once a second.
fn with_date(use_it: impl FnOnce(&[u8])) {
    thread_local! {
        static DATE: RefCell<(u64, String)> = const { RefCell::new((0, String::new())) };
    }
    let now = SystemTime::now();
    let second = now.duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
    DATE.with_borrow_mut(|(made, text)| {
        if *made != second || text.is_empty() {
            (*made, *text) = (second, httpdate::fmt_http_date(now));
        }
        use_it(text.as_bytes());
    });
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::extract::Request;
    use tower::ServiceExt;

    use super::*;
    use crate::http::testing::app;
    use crate::http::{Front, Listener};

    #[tokio::test(flavor = "multi_thread")]
    async fn what_is_ready_is_written_and_nothing_else() {
        let folder = tempfile::tempdir().expect("folder");
        let app = app(folder.path(), true);
        let front = Front::new(&app, Listener { clients: true, operators: false, metrics: false });
        let head = b"GET /v1/recommend/u HTTP/1.1\r\nhost: x\r\n\r\n";
        let mut out = Vec::new();
        assert!(!front.respond(head, &mut out), "nothing is ready");
        let request = Request::get("/v1/recommend/u").header("host", "x");
        let request = request.body(Body::empty()).expect("request");
        let response = front.router().oneshot(request).await.expect("infallible");
        assert_eq!(response.status(), StatusCode::OK);
        for not_plain in [
            &head[..head.len() - 2],
            b"GET /v1/recommend/u HTTP/1.1\r\nhost: x\r\norigin: y\r\n\r\n",
            b"PUT /v1/recommend/u HTTP/1.1\r\nhost: x\r\n\r\n",
            b"GET /v1/recommend/v HTTP/1.1\r\nhost: x\r\n\r\n",
            b"GET /v1/recommend/u?k=0 HTTP/1.1\r\nhost: x\r\n\r\n",
            b"",
        ] {
            assert!(!front.respond(not_plain, &mut out), "{not_plain:?}");
        }
        assert!(out.is_empty());
        assert!(front.respond(head, &mut out) && out.starts_with(b"HTTP/1.1 200 OK\r\netag: W/"));
        let operators = Listener { clients: false, operators: true, metrics: false };
        assert!(!Front::new(&app, operators).respond(head, &mut out), "no route of theirs");
    }

    fn user_of(head: &str) -> Option<String> {
        let mut headers = [EMPTY_HEADER; MOST_HEADERS];
        Head::parse(head.as_bytes(), &mut headers).map(|head| head.user.to_owned())
    }

    #[track_caller]
    fn check(path: &str, lines: &str, expected: Option<&str>) {
        let head = format!("GET {path} HTTP/1.1\r\nHost: x\r\n{lines}\r\n");
        assert_eq!(user_of(&head).as_deref(), expected, "{head}");
    }

    #[test]
    fn only_whole_plain_heads_are_taken() {
        let path = "/v1/recommend/u.1-a_B?k=10&scene=home";
        let user = Some("u.1-a_B");
        check(path, "", user);
        check(path, "User-Agent: any\r\nAccept: */*\r\nConnection: Keep-Alive\r\n", user);
        check(path, "Cookie: a=b\r\naccept-encoding: gzip\r\nX-Request-Id: 1\r\n", user);
        check(path, "connection: close\r\n", None);
        check(path, "host: y\r\n", None);
        for name in NOT_PLAIN {
            check(path, &format!("{}: 1\r\n", name.to_ascii_uppercase()), None);
        }
        check("/v1/recommend/a%20b", "", None);
        check("/v1/recommend/", "", None);
        check("/v1/recommend/u/more", "", None);
        check("/v1/recommend/u?exclude=%41", "", None);
        check("/v1/similar/u", "", None);
        check("http://x/v1/recommend/u", "", None);
        assert_eq!(user_of("GET /v1/recommend/u HTTP/1.1\r\n\r\n"), None, "no host");
        assert_eq!(user_of("GET /v1/recommend/u HTTP/1.0\r\nhost: x\r\n\r\n"), None);
        assert_eq!(user_of("GET /v1/recommend/u HTTP/1.1\r\nhost: x\r\n\r\nmore"), None);
        assert_eq!(user_of("GET /v1/recommend/u HTTP/1.1\r\nhost: x\r\n"), None, "not whole");
    }

    #[test]
    fn of_headers_given_twice_the_first_counts() {
        let mut headers = [EMPTY_HEADER; MOST_HEADERS];
        let head = b"GET /v1/recommend/u HTTP/1.1\r\nhost: x\r\nif-none-match: \"1\"\r\n\
            If-None-Match: \"2\"\r\naccept-encoding: br\r\nAccept-Encoding: gzip\r\n\r\n";
        let head = Head::parse(head, &mut headers).expect("plain");
        assert_eq!(head.if_none_match, Some(&b"\"1\""[..]));
        assert_eq!(head.accept_encoding, Some(&b"br"[..]));
    }
}
