//! `quality` and the gate of `train`: what is refused, what stays, what is said.

use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::program::{Place, lists, text};

/// A place with trained lists.
fn trained() -> Place {
    let place = Place::new();
    place.file("t.txt", &lists(120));
    place.run("import --format lists t.txt");
    let said = place.run("train");
    assert!(said.contains("quality 100 of 100") && said.contains("(current)"), "{said}");
    place
}

/// Imports events of which a tenth are ahead of the clock.
fn break_times(place: &Place) {
    let row = |i: usize| {
        let time = if i.is_multiple_of(10) { 4_000_000_000_000i64 } else { 1_700_000_000_000 };
        format!("v{},i{},{}\n", i % 90, i % 40, time + i as i64)
    };
    let rows: String = (0..900).map(row).collect();
    place.file("e.csv", &format!("user,item,time\n{rows}"));
    place.run("import e.csv");
}

fn current(place: &Place) -> String {
    let listed: Value = serde_json::from_str(&place.run("--json bundle list")).unwrap();
    listed["current"].as_str().unwrap().to_owned()
}

fn accepted(place: &Place) -> usize {
    let names = fs_err::read_dir(place.path("data/quality")).unwrap();
    let name = |entry: std::io::Result<fs_err::DirEntry>| entry.unwrap().file_name();
    names.map(name).filter(|n| n.to_string_lossy().starts_with("accepted-")).count()
}

#[test]
fn data_that_fail_are_not_learned_from_unless_that_is_asked_for() {
    let place = trained();
    let before = current(&place);
    assert_eq!(accepted(&place), 1);
    break_times(&place);
    let refused = place.command("train").output().unwrap();
    assert_eq!(refused.status.code(), Some(6));
    let said = text(&refused.stderr);
    for part in ["future:events", "fails from 1.0%", "--accept-quality", "current one stays"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert_eq!((current(&place), accepted(&place)), (before.clone(), 1));
    let said = place.run("train --no-activate");
    assert!(said.contains("written, not current"), "{said}");
    assert_eq!(current(&place), before);
    place.run("train --accept-quality");
    assert_ne!(current(&place), before);
    assert_eq!(accepted(&place), 2);
}

#[test]
fn the_gate_can_be_opened_for_good() {
    let place = trained();
    break_times(&place);
    place.file("data/foretaste.toml", "[quality]\ngate = false\n");
    place.run("train");
    assert_eq!(accepted(&place), 1, "data that fail are not what later ones are compared with");
}

#[test]
fn the_command_says_what_fails_and_writes_its_reports() {
    let place = trained();
    let said = place.run("quality");
    assert!(said.contains("quality 100 of 100") && said.contains("quality.html"), "{said}");
    break_times(&place);
    let failed = place.command("quality --output out --metrics q.prom").output().unwrap();
    assert_eq!(failed.status.code(), Some(1));
    let (shown, said) = (text(&failed.stdout), text(&failed.stderr));
    assert!(shown.contains("fail  future:events") && shown.contains("limit 1.0%"), "{shown}");
    assert!(said.contains("fail 1 check(s)") && said.contains("--accept"), "{said}");
    let read = |name: &str| fs_err::read_to_string(place.path(name)).unwrap();
    let json: Value = serde_json::from_str(&read("out/quality.json")).unwrap();
    assert_eq!((&json["verdict"], &json["checks"][0]["check"]), (&"fail".into(), &"future".into()));
    assert!(
        read("out/quality.html").contains("<svg")
            && read("q.prom").contains("{check=\"future\"} 2")
    );
    let shown: Value = serde_json::from_str(&place.run("--json quality --accept")).unwrap();
    assert_eq!(shown["events"], json["events"]);
    assert_eq!(accepted(&place), 2);
}

#[test]
fn limits_come_from_the_configuration() {
    let place = trained();
    break_times(&place);
    place.file("data/foretaste.toml", "[quality.limits.future]\nfail = 0.5\n");
    let said = place.run("quality");
    assert!(said.contains("warn  future:events"), "{said}");
    place.file("data/foretaste.toml", "[quality.required]\nitems = [\"title\"]\n");
    place.file("i.jsonl", "{\"item_id\":\"i1\"}\n{\"item_id\":\"i2\",\"title\":\"Two\"}\n");
    place.run("import --entity items i.jsonl");
    let failed = place.command("quality").output().unwrap();
    let said = text(&failed.stderr);
    assert!(said.contains("missing:items.title: 50.0%, fails from 5.0%"), "{said}");
}

#[test]
fn a_folder_that_cannot_be_written_is_named() {
    let place = trained();
    fs_err::remove_dir_all(place.path("data/quality")).unwrap();
    place.file("data/quality", "in the way");
    for command in ["quality", "train"] {
        let said = place.fail(command);
        assert!(said.contains("data/quality"), "{said}");
    }
}

#[test]
fn a_run_killed_at_any_moment_leaves_the_last_good_profile() {
    let place = trained();
    for round in 0..25u64 {
        let mut child = place.command("quality --accept").stdout(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(round * 4));
        child.kill().unwrap();
        child.wait().unwrap();
        let kept = fs_err::read_dir(place.path("data/quality")).unwrap();
        for path in kept.map(|entry| entry.unwrap().path()) {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            let whole = serde_json::from_slice::<Value>(&fs_err::read(&path).unwrap()).is_ok();
            assert!(whole || name.starts_with(".part-"), "{name}");
        }
    }
    let report: Value = serde_json::from_str(&place.run("--json quality")).unwrap();
    assert!(report["compared_with_ms"].as_i64().is_some_and(|at| at > 0), "{report}");
}

#[test]
fn a_full_disk_is_told_and_loses_nothing() {
    let place = trained();
    let (before, kept) = (current(&place), place.path("data/quality"));
    let Some(disk) = place.on_small_disk(&kept, "1m") else { return };
    let report = fs_err::read(kept.join("last.json")).unwrap();
    let filler = disk.0.join("filler");
    // As much as there is: the write ends with an error.
    let _ = fs_err::write(&filler, vec![0; 2 << 20]);
    for command in ["quality", "quality --accept", "train"] {
        place.refuses(command, &["data/quality/last.json cannot be written", "No space left"]);
    }
    assert_eq!((current(&place), accepted(&place)), (before, 1), "the last good ones stay");
    assert_eq!(fs_err::read(kept.join("last.json")).unwrap(), report);
    fs_err::remove_file(&filler).unwrap();
    let report: Value = serde_json::from_str(&place.run("--json quality")).unwrap();
    assert!(report["compared_with_ms"].as_i64().is_some_and(|at| at > 0), "{report}");
    place.run("train");
}

#[test]
fn the_server_shows_the_last_run() {
    let place = trained();
    break_times(&place);
    let server = place.serve();
    let wait_for = |line: &str| {
        let until = Instant::now() + Duration::from_secs(60);
        while !server.ask_text("GET", "/metrics", "").1.contains(line) {
            assert!(
                Instant::now() < until,
                "no {line:?} in {}",
                server.ask_text("GET", "/metrics", "").1
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    };
    wait_for("foretaste_quality_score 100");
    wait_for("foretaste_quality_check{check=\"future\"} 0");
    assert_eq!(place.command("quality").output().unwrap().status.code(), Some(1));
    wait_for("foretaste_quality_check{check=\"future\"} 2");
    wait_for("foretaste_quality_checks{verdict=\"fail\"} 1");
}
