//! Alerts of `quality` and `train` at a receiver.

use crate::program::{Place, lists, text};
use crate::receiver::receiver;

/// A place whose items lack a title that is required, with this configuration besides.
fn faulty(config: &str) -> Place {
    let place = Place::new();
    place.file("t.txt", &lists(120));
    place.run("import --format lists t.txt");
    place.file("i.jsonl", "{\"item_id\":\"i1\"}\n{\"item_id\":\"i2\",\"title\":\"Two\"}\n");
    place.run("import --entity items i.jsonl");
    let required = "[quality.required]\nitems = [\"title\"]\n";
    place.file("data/foretaste.toml", &format!("{required}{config}"));
    place
}

#[test]
fn receivers_are_told_once_and_when_it_is_over() {
    let (address, came) = receiver();
    let place = faulty(&format!(
        "[alerts.labels]\nenv = \"test\"\n[alerts.webhook]\nurl_file = \"hook\"\n\
         [alerts.alertmanager]\nurl = \"http://{address}\"\n"
    ));
    place.file("hook", &format!("http://{address}/hook\n"));
    assert_eq!(place.command("train").output().unwrap().status.code(), Some(6));
    let mut told = [came.recv().unwrap(), came.recv().unwrap()];
    told.sort_by(|a, b| a.0.cmp(&b.0));
    let [(manager, alerts), (hook, message)] = told;
    assert_eq!((manager.as_str(), hook.as_str()), ("/api/v2/alerts", "/hook"));
    let labels = alerts.as_array().unwrap().iter().map(|alert| &alert["labels"]);
    let missing = labels.clone().find(|labels| labels["check"] == "missing").unwrap();
    assert_eq!(missing["subject"], "items.title");
    assert_eq!((&missing["severity"], &missing["env"]), (&"critical".into(), &"test".into()));
    assert!(message["text"].as_str().unwrap().contains("missing:items.title is 50.0%"));
    assert_eq!(place.command("quality").output().unwrap().status.code(), Some(1));
    assert!(came.try_recv().is_err(), "told again within five minutes");
    place.file("i.jsonl", "{\"item_id\":\"i1\",\"title\":\"One\"}\n");
    place.run("import --entity items i.jsonl");
    place.run("quality");
    let over = [came.recv().unwrap(), came.recv().unwrap()];
    let alerts = over.iter().find(|(path, _)| path == "/api/v2/alerts").unwrap();
    let ended = alerts.1.as_array().unwrap().iter().find(|a| a["labels"] == *missing).unwrap();
    assert!(ended["endsAt"].as_str().unwrap() > ended["startsAt"].as_str().unwrap(), "{ended}");
}

#[test]
fn a_receiver_that_is_away_changes_no_verdict() {
    let place = faulty(
        "[alerts]\nattempt_ms = 200\ngive_up_ms = 400\n\
         [alerts.alertmanager]\nurl = \"http://127.0.0.1:1\"\n",
    );
    for (command, code) in [("quality", 1), ("train", 6), ("train --accept-quality", 0)] {
        let output = place.command(command).output().unwrap();
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert!(said.contains("alertmanager cannot be told after"), "{said}");
    }
}

#[test]
fn an_address_that_is_not_there_is_named_before_anything_is_trained() {
    let place = faulty("[alerts.webhook]\nurl_env = \"FORETASTE_TEST_NO_SUCH_HOOK\"\n");
    let said = place.command("quality").output().unwrap();
    assert!(text(&said.stderr).contains("FORETASTE_TEST_NO_SUCH_HOOK; set it"));
    assert_eq!(said.status.code(), Some(2));
}
