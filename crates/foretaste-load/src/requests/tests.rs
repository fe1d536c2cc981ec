use std::path::Path;

use serde_json::Value;

use super::{Requests, Scratch};
use crate::scenario::Scenario;
use crate::target::Target;

fn requests(text: &str) -> Requests {
    let scenario = Scenario::parse(text, "test", Path::new(".")).expect("sound");
    let target = Target::parse("http://127.0.0.1:8080/shop").expect("sound");
    Requests::new(&scenario, &target, "tag").expect("no files")
}

fn written(requests: &Requests, index: u64) -> (String, usize) {
    let mut out = Vec::new();
    let kind = requests.write(index, &mut out, &mut Scratch::default());
    (String::from_utf8(out).expect("text"), kind)
}

/// Head and body of the first request of a scenario, the body's length checked.
#[track_caller]
fn parts(text: &str) -> (String, Value) {
    let (all, _) = written(&requests(text), 0);
    let (head, body) = all.split_once("\r\n\r\n").expect("an empty line");
    let length = head.lines().find_map(|l| l.strip_prefix("content-length: "));
    assert_eq!(length, Some(body.len().to_string().as_str()), "{all}");
    (head.to_owned(), serde_json::from_str(body).expect(body))
}

const ONE_USER: &str = "[users]\nprefix = \"a b\"\ncount = 1\n";
const ONE_ITEM: &str = "[items]\nprefix = \"x/\"\ncount = 1\n";

#[track_caller]
fn asks(request: &str, expected: &str) {
    let text = format!("{ONE_USER}{ONE_ITEM}[[request]]\n{request}");
    let (all, _) = written(&requests(&text), 0);
    assert_eq!(all, format!("GET /shop{expected} HTTP/1.1\r\nhost: 127.0.0.1:8080\r\n\r\n"));
}

#[test]
fn questions_are_written_with_their_options() {
    asks("kind = \"recommend\"", "/v1/recommend/a%20b0");
    asks(
        "kind = \"recommend\"\nk = 5\nscene = \"a&b\"\nreasons = true",
        "/v1/recommend/a%20b0?k=5&scene=a%26b&reasons=true",
    );
    asks("kind = \"similar\"\nk = 3", "/v1/similar/x%2F0?k=3");
    asks("kind = \"explain\"", "/v1/explain/a%20b0/x%2F0");
    asks("kind = \"trending\"\nwindow = \"1h\"", "/v1/trending?window=1h");
    asks("kind = \"popular\"\nk = 2", "/v1/popular?k=2");
    asks("kind = \"latest\"", "/v1/latest");
    asks("kind = \"path\"\npath = \"/health/live?x=1\"", "/health/live?x=1");
}

#[test]
fn bodies_are_json_with_the_right_length() {
    let text =
        format!("{ONE_ITEM}[[request]]\nkind = \"session\"\nitems = 2\nscene = \"c\"\nk = 4");
    let (head, body) = parts(&text);
    assert!(head.starts_with("POST /shop/v1/session/recommend HTTP/1.1\r\n"), "{head}");
    assert_eq!(body, serde_json::json!({"items": ["x/0", "x/0"], "k": 4, "scene": "c"}));

    let text = format!("{ONE_USER}[[request]]\nkind = \"batch\"\nusers = 2\nreasons = true");
    let (_, body) = parts(&text);
    assert_eq!(body, serde_json::json!({"users": ["a b0", "a b0"], "reasons": true}));

    let event = |at| {
        serde_json::json!({"event_id": format!("load-tag-0-{at}"), "user": "a b0", "item": "x/0",
            "kind": "order"})
    };
    let text = |records| {
        format!(
            "{ONE_USER}{ONE_ITEM}[[request]]\nkind = \"events\"\nkinds = [\"order\"]\n\
             records = {records}"
        )
    };
    assert_eq!(parts(&text(1)).1, event(0));
    assert_eq!(parts(&text(2)).1, serde_json::json!([event(0), event(1)]));
}

#[test]
fn headers_of_the_scenario_are_sent() {
    let (all, _) = written(
        &requests("[headers]\nauthorization = \"Bearer x\"\n[[request]]\nkind = \"popular\""),
        0,
    );
    assert!(all.ends_with("\r\nauthorization: Bearer x\r\n\r\n"), "{all}");
}

#[test]
fn kinds_come_as_often_as_they_weigh_and_new_users_as_often_as_wanted() {
    let requests = requests(
        "[users]\nnew_share = 0.25\n[[request]]\nkind = \"recommend\"\nweight = 3\n\
         [[request]]\nkind = \"popular\"\nweight = 1",
    );
    let all: Vec<(String, usize)> = (0..20_000).map(|i| written(&requests, i)).collect();
    let recommend = all.iter().filter(|(_, kind)| *kind == 0).count() as f64;
    let new = all.iter().filter(|(text, _)| text.contains("/new-tag-")).count() as f64;
    assert!((recommend / 20_000.0 - 0.75).abs() < 0.015, "{recommend}");
    assert!((new / recommend - 0.25).abs() < 0.015, "{new}");
}

#[test]
fn the_trace_follows_from_the_seed() {
    let text = "[[request]]\nkind = \"recommend\"";
    let trace = |seed: u64| -> Vec<String> {
        let requests = requests(&format!("seed = {seed}\n{text}"));
        (0..50).map(|i| written(&requests, i).0).collect()
    };
    assert_eq!(trace(1), trace(1));
    assert_ne!(trace(1), trace(2));
    let first = requests(text);
    let warm = first.reseeded(1);
    assert_ne!(written(&first, 3), written(&warm, 3));
}
