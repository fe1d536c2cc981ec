//! From `features build` to a server that reads what it published.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::program::disk::SmallDisk;
use crate::program::{Place, Server};
use crate::{NOON, json, marketplace};

#[track_caller]
fn ask(server: &Server, question: &Value) -> Value {
    let (status, answer) = server.ask("POST", "/v1/features", &question.to_string());
    assert_eq!(status, 200, "{answer}");
    answer
}

/// The first row of a set, as `features show` has it.
fn shown(place: &Place, set: &str) -> Value {
    json(place, &format!("features show {set} --rows 1"))["rows"][0].clone()
}

/// Whether an answer's values are those of a row.
#[track_caller]
fn assert_same(columns: &Value, values: &Value, row: &Value) {
    let columns = columns.as_array().unwrap();
    assert!(columns.len() > 4);
    for (at, column) in columns.iter().enumerate() {
        let expected = row[column.as_str().unwrap()].as_f64().map(|number| number as f32);
        let found = values[at].as_f64().map(|number| number as f32);
        assert_eq!(found, expected, "{column} of {row}");
    }
}

/// The value of a feature of the moment for the first item.
fn of_moment(answer: &Value, name: &str) -> Option<f64> {
    let columns = answer["items"]["columns"].as_array().unwrap();
    let at = columns.iter().position(|column| column == name).unwrap();
    answer["items"]["rows"][0]["values"][at].as_f64()
}

#[test]
fn a_server_reads_what_was_built_and_takes_up_what_is_built_later() {
    let place = marketplace();
    let built = json(&place, &format!("features build --as-of {NOON}"));
    let published = built["published"].as_array().unwrap();
    assert_eq!(published.len(), 11, "10 sets and the last events: {built}");
    assert!(published.iter().all(|set| set["written"] == true), "{built}");
    let (user, item) = (shown(&place, "user_activity"), shown(&place, "item_activity"));
    let pair = shown(&place, "user_item");
    let server = place.serve();
    let list = server.get("/v1/features");
    assert_eq!(list["sets"].as_array().unwrap().len(), 10, "{list}");
    let about = json!({
        "user": user["user_id"], "items": [item["item_id"]],
        "sets": ["user_activity", "item_activity"]
    });
    let answer = ask(&server, &about);
    assert_same(&answer["user"]["columns"], &answer["user"]["values"], &user);
    let row = &answer["items"]["rows"][0]["values"];
    assert_same(&answer["items"]["columns"], row, &item);
    let of_pair = json!({
        "user": pair["user_id"], "items": [pair["item_id"]], "sets": ["user_item"]
    });
    let answer = ask(&server, &of_pair);
    let row = &answer["items"]["rows"][0]["values"];
    assert_same(&answer["items"]["columns"], row, &pair);

    // No bundle was ever trained: what the user did before comes from what was published.
    let now = json!({ "user": pair["user_id"], "items": [pair["item_id"]], "sets": ["now"] });
    let before = of_moment(&ask(&server, &now), "now_item_events").unwrap();
    assert!(before > 0.0);
    let event = json!({ "user": pair["user_id"], "item": pair["item_id"], "kind": "order" });
    assert_eq!(server.ask("POST", "/v1/events", &event.to_string()).0, 200);
    std::thread::sleep(Duration::from_millis(2));
    assert_eq!(of_moment(&ask(&server, &now), "now_item_events"), Some(before + 1.0));

    let words = place.run("features build --as-of latest user_item");
    assert!(
        words.contains("published 2 files to") && words.contains("2 of them written"),
        "{words}"
    );
    let began = Instant::now();
    while server.get("/v1/features")["key"] == list["key"] {
        assert!(began.elapsed() < Duration::from_secs(60), "the new version is taken up");
    }
    let orders = shown(&place, "user_item");
    let answer = ask(&server, &of_pair);
    let row = &answer["items"]["rows"][0]["values"];
    assert_same(&answer["items"]["columns"], row, &orders);
    assert_ne!(pair, orders, "the order is among the values");
    assert_eq!(of_moment(&ask(&server, &now), "now_item_events"), Some(before + 1.0), "once");
}

#[test]
fn sets_are_published_alone_again_and_taken_back() {
    let place = marketplace();
    place.run(&format!("features build --no-publish --as-of {NOON} item_facts user_recency"));
    assert!(!place.path("data/online").exists());
    let words = place.run("features publish");
    assert!(words.contains("not published, as they are not built: item_activity"), "{words}");
    let again = json(&place, "features publish item_facts");
    assert_eq!(again["sets"][0]["written"], false, "{again}");
    place.refuses("features publish user_taste", &["user_taste has no values yet", "build"]);
    place.run("features init mine");
    for name in fs_err::read_dir(place.path("mine")).unwrap() {
        let path = name.unwrap().path();
        if !path.ends_with("item_facts.sql") {
            fs_err::remove_file(path).unwrap();
        }
    }
    let config = place.file("mine.toml", "[features]\nfolder = \"mine\"\n");
    let less = json(&place, &format!("--config {} features publish", config.display()));
    assert_eq!(less["taken_back"], json!(["user_recency"]), "{less}");
    let server = place.serve();
    assert_eq!(server.get("/v1/features")["sets"].as_array().unwrap().len(), 1);
}

#[test]
fn a_full_disk_leaves_what_is_published() {
    let place = marketplace();
    let Some(disk) = SmallDisk::mount(place.path("small"), "2m") else { return };
    let config = place.file("c.toml", "[serve.features]\nfolder = \"small/online\"\n");
    let with = |command: &str| format!("--config {} {command}", config.display());
    place.run(&with(&format!("features build --as-of {NOON} user_activity")));
    let current = || fs_err::read(place.path("small/online/user_activity/CURRENT")).unwrap();
    let before = current();
    // As much as there is: the write ends with an error.
    let _ = fs_err::write(disk.0.join("filler"), vec![0; 4 << 20]);
    let build = with("features build --no-sync --as-of 2026-05-30T12:00:00Z user_activity");
    place.refuses(&build, &["publishing user_activity to small/online", "check free space"]);
    assert_eq!(current(), before, "what was published stays");
    fs_err::remove_file(disk.0.join("filler")).unwrap();
    place.run(&build);
    assert_ne!(current(), before);
}
