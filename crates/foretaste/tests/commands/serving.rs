//! A server started from the command line.

use crate::program::{Place, lists};

#[test]
fn what_was_acknowledged_is_there_after_a_kill() {
    let place = Place::new();
    place.file("t.txt", &lists(60));
    place.run("import --format lists t.txt");
    place.run("train");
    let server = place.serve();
    let before = server.get("/v1/recommend/new?k=5");
    assert_eq!(before["fallback"], "popular", "{before}");
    let event = r#"{"user":"new","item":"i3","kind":"view"}"#;
    assert_eq!(server.ask("POST", "/v1/events", event).0, 200);
    let after = server.get("/v1/recommend/new?k=5");
    let first = after["items"][0]["item_id"].as_str().unwrap();
    assert_eq!(first[1..].parse::<usize>().unwrap() % 4, 3, "of the group of i3: {after}");
    let busy = place.fail("import --format lists t.txt");
    assert!(busy.contains("in use by process") && busy.contains("HTTP"), "{busy}");
    drop(server);

    let server = place.serve();
    assert_eq!(server.get("/v1/recommend/new?k=5")["items"], after["items"]);
    assert_eq!(server.get("/v1/explain/new/i3")["removed_by"], "seen");
    assert!(!place.log().contains('\u{1b}'), "a log in a file has no colours");
}

#[test]
fn an_address_that_cannot_be_had_is_named() {
    let place = Place::new();
    place.file("t.txt", &lists(20));
    place.run("import --format lists t.txt");
    place.run("train");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let error = place.command(&format!("serve --listen {address}")).output().unwrap();
    let error = crate::program::text(&error.stderr);
    assert!(error.contains(&address) && error.contains("choose another port"), "{error}");
}
