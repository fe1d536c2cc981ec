//! `foretaste archive` on real servers: killed at any moment it loses and doubles nothing.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use foretaste_core::{Event, EventBatch, Rng};
use foretaste_store::{Columns, ServerOptions, ServerStore, Source, Store};
use serde_json::Value;

use crate::disk::SmallDisk;
use crate::program::Program;
use crate::servers::{Kind, Server};

const DAY_MS: i64 = 86_400_000;
const KILLS: usize = 24;
const USERS: i64 = 50;

fn configuration(rest: &str) -> String {
    format!("[store]\nurl_env = \"FORETASTE_TEST_SHOP\"\n[archive]\ndelete_rows = 100\n{rest}")
}

fn event(days_ago: i64, n: i64) -> Event {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64;
    Event {
        event_id: (n % 4 == 0).then(|| format!("id {n}")),
        user: format!("u{}", n % USERS),
        item: format!("i{n}"),
        kind: "view".to_owned(),
        value: n as f32,
        time_ms: now - days_ago * DAY_MS,
        context: None,
    }
}

/// A store with events of 200 days.
fn filled(url: &str) -> ServerStore {
    let store = ServerStore::open(ServerOptions { url: url.to_owned(), ..Default::default() });
    let store = store.unwrap();
    let mut batch = EventBatch::default();
    (0..3_000).for_each(|n| batch.push(&event(n % 200, n)));
    let source = Source { name: "f".to_owned(), digest: "f".to_owned() };
    let mut bulk = store.bulk(&source).unwrap();
    bulk.write(&batch).unwrap();
    bulk.commit().unwrap();
    store
}

/// Everything, as it is read, by key: time, user and item.
fn all(store: &ServerStore) -> Vec<(u64, i64, String, String)> {
    let mut found = Vec::new();
    let keep = &mut |batch: EventBatch| {
        let row = |i: usize| {
            let event = batch.get(i);
            (batch.key[i], event.time_ms, event.user, event.item)
        };
        found.extend((0..batch.len()).map(row));
        Ok(())
    };
    store.read_events(Columns::All, keep).unwrap();
    found.sort();
    found
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn killed_at_any_moment_on_postgres() {
    Server::start(Kind::Postgres).iter().for_each(killed);
}

#[test]
fn killed_at_any_moment_on_mariadb() {
    Server::start(Kind::MariaDb).iter().for_each(killed);
}

/// Archives and restores by turns, kills most runs, and lets events come and go between them.
fn killed(server: &Server) {
    let program = Program::new(&server.url, &configuration(""));
    let store = filled(&server.url);
    let archive = "archive --older-than 60d --delete";
    let whole = Instant::now();
    program.run(archive);
    let longest = whole.elapsed().as_secs_f64();
    program.run("archive restore");
    let mut expected = all(&store);
    assert_eq!(expected.len(), 3_000);
    let seed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64;
    println!("seed {seed}");
    let mut rng = Rng::new(seed);
    let (mut kills, mut n) = (0, 0);
    while kills < KILLS {
        let line = if rng.f64() < 0.7 { archive } else { "archive restore" };
        let running = program.start(line);
        std::thread::sleep(Duration::from_secs_f64(longest * rng.f64()));
        kills += usize::from(running.kill());
        assert_eq!(all(&store), expected, "after {kills} kills");
        let late = event(61 + n % 130, 10_000 + n);
        store.append_events(std::slice::from_ref(&late)).unwrap();
        expected.push((late.key(), late.time_ms, late.user.clone(), late.item.clone()));
        expected.sort();
        n += 1;
        if kills % 6 == 3 {
            let user = format!("u{}", n % USERS);
            store.delete_user(&user).unwrap();
            expected.retain(|(_, _, of, _)| *of != user);
        }
        assert_eq!(all(&store), expected, "after {kills} kills and what came then");
    }
    let report = json(&program.run(&format!("--json {archive}")));
    assert_eq!(all(&store), expected);
    let status = json(&program.run("--json archive status --verify"));
    let old = expected.iter().filter(|row| row.1 < report["before_ms"].as_i64().unwrap()).count();
    assert_eq!((&status["moved"], &status["erased"]), (&old.into(), &0.into()), "{status}");
    assert_eq!(status["events"], old, "nothing lies twice in the files: {status}");
    let plan = json(&program.run("--json archive --older-than 60d --dry-run"));
    assert_eq!(plan["events"], 0, "nothing is left in the tables: {plan}");
    program.run("archive restore");
    assert_eq!(all(&store), expected);
}

#[test]
fn a_server_that_goes_away_loses_nothing() {
    let hasty = configuration("").replace("[archive]", "acquire_timeout_s = 2\n[archive]");
    for kind in [Kind::Postgres, Kind::MariaDb] {
        let Some(mut server) = Server::start(kind) else { continue };
        let program = Program::new(&server.url, &hasty);
        let expected = all(&filled(&server.url));
        for moment in [300, 900, 1_500] {
            let running = program.start("archive --older-than 60d --delete");
            std::thread::sleep(Duration::from_millis(moment));
            server.kill();
            running.kill();
            let said = program.fail("archive --older-than 60d --delete");
            assert!(said.contains("the store's database"), "{said}");
            server.restart();
            let store = ServerOptions { url: server.url.clone(), ..Default::default() };
            assert_eq!(all(&ServerStore::open(store).unwrap()), expected, "{kind:?} {moment}");
        }
        program.run("archive --older-than 60d --delete");
        let store = ServerOptions { url: server.url.clone(), ..Default::default() };
        assert_eq!(all(&ServerStore::open(store).unwrap()), expected, "{kind:?}");
    }
}

#[test]
fn a_full_disk_is_named_and_nothing_is_deleted() {
    for kind in [Kind::Postgres, Kind::MariaDb] {
        let Some(server) = Server::start(kind) else { continue };
        let program = Program::new(&server.url, "");
        let Some(disk) = SmallDisk::mount(program.data().join("small"), "48k") else { return };
        let folder = disk.0.display();
        program.configure(&configuration(&format!("folder = \"{folder}\"\n")));
        let store = filled(&server.url);
        let expected = all(&store);
        let line = "archive --older-than 60d --delete";
        let said = program.fail(line);
        assert!(said.contains("small/archive-") && said.contains("No space left"), "{said}");
        assert_eq!(all(&store), expected);
        disk.enlarge();
        program.run(line);
        assert_eq!(all(&store), expected);
        let status = json(&program.run("--json archive status --verify"));
        assert_eq!(status["events"], status["moved"], "{status}");
        drop(disk);
        let said = program.fail("archive --older-than 60d");
        assert!(
            said.contains("archive.folder"),
            "a folder that is not mounted is no empty one: {said}"
        );
    }
}

#[test]
fn files_need_no_archive() {
    let program = Program::new("", "");
    assert!(program.fail("archive").contains("[store]"), "it says what it is for");
    let said = program.fail("archive --older-than soon");
    assert!(said.contains("90d"), "{said}");
}
