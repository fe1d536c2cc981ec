//! Damage, crashes and full disks: the version before stays, and the error says which file.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use foretaste_core::feature::Entity;
use foretaste_online::{FeatureReader, Follower, LastEvent, LastEventsDraft, Publisher};
use tempfile::tempdir;

use crate::world::{NOW, head, looked, numbered, publish, reader};

fn binary(root: &Path, set: &str) -> PathBuf {
    let files = fs_err::read_dir(root.join(set)).unwrap().map(|e| e.unwrap().path());
    files.into_iter().find(|path| path.extension().is_some_and(|e| e == "bin")).unwrap()
}

/// Puts other bytes in the place of a file, as a new file: what is mapped stays as it is.
fn replace(path: &Path, bytes: &[u8]) {
    let beside = path.with_extension("other");
    fs_err::write(&beside, bytes).unwrap();
    fs_err::rename(&beside, path).unwrap();
}

fn last_events(n: i64) -> LastEventsDraft {
    let mut draft = LastEventsDraft::new(vec!["impression".into()]);
    draft.item("i1", Some("c1"), 7).unwrap();
    for at in 0..n {
        let event = LastEvent { item: "i1", kind: "view", value: 1.0, time_ms: NOW + at };
        draft.event("u1", event).unwrap();
    }
    draft
}

#[test]
fn damage_at_any_byte_is_found_and_the_version_before_serves_on() {
    let folder = tempdir().unwrap();
    let root = folder.path();
    publish(root, &head("s", NOW), &numbered(Entity::Item, "x", (5, 0.0)));
    Publisher::open(root, NOW).unwrap().last_events(&head("now", NOW), &last_events(3)).unwrap();
    let present = reader(root);
    assert!(present.last_events().is_some());
    for set in ["s", "now"] {
        for path in [binary(root, set), root.join(set).join("CURRENT")] {
            let whole = fs_err::read(&path).unwrap();
            let every = (whole.len() / 61).max(1);
            // The last byte of a manifest is the end of its line.
            for at in (0..whole.len() - 1).step_by(every) {
                let mut damaged = whole.clone();
                damaged[at] ^= 1;
                replace(&path, &damaged);
                let fresh = Follower::new(root).look(&FeatureReader::default()).unwrap();
                assert_eq!(fresh.failures.len(), 1, "{} byte {at}", path.display());
                assert_eq!(fresh.failures[0].0, set);
                let again = Follower::new(root).look(&present).unwrap();
                assert!(again.next.is_none(), "what is open already stays");
            }
            replace(&path, &whole[..whole.len() - 2]);
            assert_eq!(
                Follower::new(root).look(&FeatureReader::default()).unwrap().failures.len(),
                1
            );
            replace(&path, &whole);
        }
    }
    assert_eq!(reader(root).key(), present.key());
}

#[test]
fn a_version_that_cannot_be_opened_is_told_once_and_the_next_one_heals() {
    let folder = tempdir().unwrap();
    let root = folder.path();
    publish(root, &head("s", NOW), &numbered(Entity::Item, "x", (5, 0.0)));
    publish(root, &head("t", NOW), &numbered(Entity::Item, "y", (5, 0.0)));
    let mut follower = Follower::new(root);
    let present = looked(&mut follower, &FeatureReader::default()).next.unwrap();
    let second = publish(root, &head("s", NOW + 1), &numbered(Entity::Item, "x", (5, 1.0)));
    let manifest = fs_err::read_to_string(root.join("s/CURRENT")).unwrap();
    let at = manifest.find("\"name\":\"").map(|_| manifest.find(".bin").unwrap()).unwrap();
    let path = root.join("s").join(format!("{}.bin", &manifest[at - 16..at]));
    replace(&path, b"nothing of it");
    let looked_at = follower.look(&present).unwrap();
    assert!(looked_at.next.is_none());
    let (set, error) = &looked_at.failures[0];
    assert!(set == "s" && error.to_string().contains("expected"), "{error}");
    assert!(follower.look(&present).unwrap().failures.is_empty(), "once");
    let third = publish(root, &head("s", NOW + 2), &numbered(Entity::Item, "x", (5, 2.0)));
    assert_ne!(third.version, second.version);
    let next = looked(&mut follower, &present).next.unwrap();
    assert_eq!(next.tables().len(), 2);
    assert_eq!(next.tables()[0].manifest().version, third.version);
}

/// Run by the next test in a process of its own: publishes for ever, each time a later version.
#[test]
fn publish_until_killed() {
    let of = |name: &str| std::env::var(format!("FORETASTE_TEST_PUBLISH_{name}")).ok();
    let Some((root, from)) = of("TO").zip(of("FROM")) else { return };
    for n in from.parse::<i64>().unwrap().. {
        let draft = numbered(Entity::Item, "x", (2_000, n as f64));
        publish(Path::new(&root), &head("s", NOW + n), &draft);
    }
}

#[test]
fn killed_at_any_moment_there_is_a_whole_version() {
    let folder = tempdir().unwrap();
    let root = folder.path();
    publish(root, &head("s", NOW), &numbered(Entity::Item, "x", (2_000, 0.0)));
    let as_of = || reader(root).tables()[0].manifest().as_of_ms;
    let mut last = as_of();
    for round in 1..=12 {
        let mut writer = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "damage::publish_until_killed", "--nocapture"])
            .env("FORETASTE_TEST_PUBLISH_TO", root)
            .env("FORETASTE_TEST_PUBLISH_FROM", (round * 1_000_000).to_string())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        // At least one new version, and then a moment that differs from round to round.
        while as_of() == last {}
        std::thread::sleep(Duration::from_micros(700 * round));
        writer.kill().unwrap();
        writer.wait().unwrap();
        let now = as_of();
        assert!(now > last, "{now} after {last}");
        last = now;
    }
    publish(root, &head("s", NOW), &numbered(Entity::Item, "x", (2_000, 0.0)));
    let left = fs_err::read_dir(root.join("s")).unwrap().map(|e| e.unwrap().file_name());
    let left: Vec<String> = left.map(|name| name.to_string_lossy().into_owned()).collect();
    assert!(left.iter().all(|name| !name.starts_with(".tmp-")), "{left:?}");
}

#[test]
fn a_disk_without_room_leaves_the_version_before() {
    let folder = tempdir().unwrap();
    let root = folder.path().join("small");
    fs_err::create_dir(&root).unwrap();
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"])
        .arg(&root)
        .stderr(Stdio::null())
        .status();
    if !mounted.is_ok_and(|status| status.success()) {
        return; // Who may not mount cannot have a full disk.
    }
    publish(&root, &head("s", NOW), &numbered(Entity::Item, "x", (5, 0.0)));
    let before = reader(&root);
    let publisher = Publisher::open(&root, NOW).unwrap();
    let big = numbered(Entity::Item, "x", (60_000, 0.0));
    let error = publisher.values(&head("s", NOW + 1), &big).unwrap_err().to_string();
    let after = reader(&root);
    let leftovers = fs_err::read_dir(root.join("s")).unwrap().count();
    drop(publisher);
    let keys = (before.key(), after.key());
    drop((before, after));
    assert!(Command::new("umount").arg(&root).status().unwrap().success());
    assert!(error.contains("publishing s to") && error.contains("check free space"), "{error}");
    assert_eq!(keys.0, keys.1);
    assert_eq!(leftovers, 2, "nothing is left of the file that did not fit");
}
