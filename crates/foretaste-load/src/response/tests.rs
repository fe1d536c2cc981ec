use super::{Answer, CacheState, Malformed, NOTHING, ResponseReader};

/// Reads `bytes` in pieces of every length; all ways must agree.
#[track_caller]
fn reads(bytes: &[u8]) -> Result<Option<Answer>, Malformed> {
    let mut outcomes = Vec::new();
    for piece in 1..=bytes.len() {
        let mut reader = ResponseReader::new();
        reader.start(true);
        assert!(!reader.has_begun());
        let mut outcome = Ok(None);
        for part in bytes.chunks(piece) {
            assert_eq!(outcome, Ok(None), "complete before its end, in pieces of {piece}");
            outcome = reader.read(part);
            if outcome.is_err() {
                break;
            }
        }
        assert!(reader.has_begun());
        outcomes.push(outcome);
    }
    outcomes.dedup();
    assert_eq!(outcomes.len(), 1, "{outcomes:?}");
    outcomes.pop().expect("at least one piece")
}

#[track_caller]
fn complete(text: &str) -> Answer {
    reads(text.as_bytes()).expect(text).expect("complete")
}

#[track_caller]
fn malformed(text: &str, why: &str) {
    let mut reader = ResponseReader::new();
    reader.start(false);
    let error = reader.read(text.as_bytes()).expect_err(text);
    assert!(error.to_string().contains(why), "{error}");
}

const OK: Answer = Answer { status: 200, ..NOTHING };

#[test]
fn a_body_of_known_length_ends_where_it_says() {
    assert_eq!(complete("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello"), OK);
    assert_eq!(complete("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"), OK);
    let early = reads(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhell");
    assert_eq!(early, Ok(None));
    malformed("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello!", "bytes after its end");
}

#[test]
fn chunks_end_with_an_empty_one() {
    let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    assert_eq!(
        complete(&format!("{head}5\r\nhello\r\n1A;x=y\r\n{}\r\n0\r\n\r\n", "z".repeat(26))),
        OK
    );
    assert_eq!(complete(&format!("{head}0\r\nx-sum: 1\r\n\r\n")), OK);
    assert_eq!(reads(format!("{head}5\r\nhello\r\n0\r\n").as_bytes()), Ok(None));
    malformed(&format!("{head}5\r\nhello!\r\n"), "longer than it says");
    malformed(&format!("{head}x\r\n"), "without a size");
    malformed(&format!("{head}{}\r\n", "f".repeat(17)), "without an end");
}

#[test]
fn statuses_without_a_body_end_with_their_head() {
    assert_eq!(complete("HTTP/1.1 204 No Content\r\n\r\n").status, 204);
    assert_eq!(complete("HTTP/1.1 304 Not Modified\r\ncontent-length: 9\r\n\r\n").status, 304);
}

#[test]
fn a_body_may_end_with_the_connection() {
    let mut reader = ResponseReader::new();
    reader.start(false);
    assert_eq!(reader.read(b"HTTP/1.0 200 OK\r\n\r\nhel"), Ok(None));
    assert_eq!(reader.read(b"lo"), Ok(None));
    assert_eq!(reader.close(), Some(Answer { keeps_alive: false, ..OK }));
    reader.start(false);
    assert_eq!(reader.read(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhel"), Ok(None));
    assert_eq!(reader.close(), None);
}

#[test]
fn what_the_head_says_is_kept() {
    let with = |header: &str| {
        complete(&format!("HTTP/1.1 503 No\r\n{header}\r\ncontent-length: 0\r\n\r\n"))
    };
    assert!(!with("Connection: Close").keeps_alive);
    assert!(with("connection: keep-alive").keeps_alive);
    assert_eq!(with("x-cache: HIT").cache, Some(CacheState::Hit));
    assert_eq!(with("X-Cache: STALE").cache, Some(CacheState::Stale));
    assert_eq!(with("X-Cache: BYPASS").cache, Some(CacheState::Bypass));
    assert_eq!(with("X-Cache: EXPIRED").cache, Some(CacheState::Miss));
    assert_eq!(with("x-other: 1").cache, None);
}

#[test]
fn slates_say_whether_they_fell_back() {
    let with = |body: &str| {
        complete(&format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len()))
    };
    let plain = with(r#"{"items":[{"title":"a \"fallback\":\"x\" story"}],"degraded":[]}"#);
    assert!(!plain.is_fallback && !plain.is_degraded);
    let popular = with(r#"{"items":[],"fallback":"popular","degraded":[]}"#);
    assert!(popular.is_fallback && !popular.is_degraded);
    let late = with(r#"{"items":[],"degraded":["late: item_item"]}"#);
    assert!(!late.is_fallback && late.is_degraded);
}

#[test]
fn what_is_no_response_is_refused() {
    malformed("SSH-2.0-OpenSSH\r\n\r\n", "not HTTP");
    malformed("HTTP/1.1 100 Continue\r\n\r\n", "interim");
    malformed("HTTP/1.1 200 OK\r\ncontent-length: many\r\n\r\n", "not a number");
    malformed("HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\n", "not chunked");
    malformed(&format!("HTTP/1.1 200 OK\r\n{}\r\n", "a: b\r\n".repeat(97)), "too many headers");
    let long = format!("HTTP/1.1 200 OK\r\na: {}", "b".repeat(70_000));
    malformed(&long, "too long");
}

#[test]
fn a_reader_is_used_again() {
    let mut reader = ResponseReader::new();
    for _ in 0..2 {
        reader.start(true);
        let answer = reader.read(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}");
        assert_eq!(answer, Ok(Some(OK)));
    }
}
