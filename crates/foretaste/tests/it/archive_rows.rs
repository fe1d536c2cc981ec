//! `foretaste archive --source` on real servers, with writers at work: killed at any moment it loses
//! and doubles nothing, and reconciliation never takes what was archived for deleted.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use foretaste_core::Rng;
use serde_json::Value;

use crate::disk::SmallDisk;
use crate::program::Program;
use crate::servers::{Kind, Server};

const KILLS: usize = 24;
const ROWS: usize = 3_000;
const ARCHIVE: &str = "archive --source shop --older-than 60d --delete";
const RESTORE: &str = "archive restore --source shop";
const EXTRACT: &str = "--json extract --once --reconcile";

fn configuration(rest: &str) -> String {
    format!(
        "[archive]\ndelete_rows = 50\n{rest}\n[[source]]\nname = \"shop\"\n\
         url_env = \"FORETASTE_TEST_SHOP\"\nstatement_timeout_s = 20\n[[source.tables]]\n\
         table = \"ev\"\nentity = \"events\"\nkind = \"order\"\nid = [\"id\"]\nwatermark = \"ts\"\n\
         settle_s = 0\nfields = {{ user = \"who\", item = \"sku\", time = \"ts\", value = \"qty\" }}\n"
    )
}

/// 3,000 rows of 200 days, and a table with the same that nobody archives.
fn fill(server: &Server) {
    server.create_ev();
    server.fill_ev(ROWS);
    let day = match server.kind {
        Kind::Postgres => "ts - (id % 200) * interval '1 day'",
        Kind::MariaDb => "ts - INTERVAL id % 200 DAY",
    };
    server.run(&format!("UPDATE ev SET ts = {day}"));
    server.run("DROP TABLE IF EXISTS twin");
    server.run("CREATE TABLE twin AS SELECT * FROM ev");
    server.run("ALTER TABLE twin ADD PRIMARY KEY (id)");
}

/// A table, each row as one text.
fn rows(server: &Server, table: &str) -> Vec<Vec<String>> {
    let text = match server.kind {
        Kind::Postgres => "CAST(t AS text)",
        Kind::MariaDb => "CONCAT_WS(',', id, ts, who, sku, qty, gone)",
    };
    server.client().texts(&format!("SELECT {text} FROM {table} t ORDER BY id"))
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// All reports of an extraction, which are one JSON document a line.
fn removed(reports: &str) -> u64 {
    let lines = reports.lines().map(json);
    lines.map(|report| report["removed"].as_u64().unwrap()).sum()
}

/// Changes rows, old ones too, in both tables at once, where they are there; adds new ones.
fn write(server: &Server, seed: u64, stop: &AtomicBool) {
    let (mut rng, mut client, mut n) = (Rng::new(seed), server.client(), 0);
    while !stop.load(Ordering::Relaxed) {
        n += 1;
        let id = 1 + (rng.f64() * ROWS as f64) as usize;
        let now = server.now(0);
        let statements = if n % 5 == 0 {
            let id = ROWS + n;
            let new = format!("VALUES ({id}, {now}, 'new', 'i{n}')");
            [
                format!("INSERT INTO ev (id, ts, who, sku) {new}"),
                format!(
                    "INSERT INTO twin (id, ts, who, sku, qty, gone) SELECT id, ts, who, sku, qty, gone FROM ev WHERE id = {id}"
                ),
            ]
        } else {
            [
                format!("UPDATE ev SET qty = {} WHERE id = {id}", 10 + n),
                format!(
                    "UPDATE twin SET qty = {0} WHERE id = {id} \
                     AND EXISTS (SELECT 1 FROM ev WHERE id = {id} AND qty = {0})",
                    10 + n
                ),
            ]
        };
        client.run("BEGIN").unwrap();
        // One that had to wait too long, or lost a deadlock, is taken back whole.
        let done = statements.iter().try_for_each(|sql| client.run(sql));
        client.run(if done.is_ok() { "COMMIT" } else { "ROLLBACK" }).unwrap();
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn killed_at_any_moment_on_postgres() {
    Server::start(Kind::Postgres).iter().for_each(killed);
}

#[test]
fn killed_at_any_moment_on_mariadb() {
    Server::start(Kind::MariaDb).iter().for_each(killed);
}

fn killed(server: &Server) {
    let program = Program::new(&server.url, &configuration(""));
    fill(server);
    program.run(EXTRACT);
    let whole = Instant::now();
    program.run(ARCHIVE);
    let longest = whole.elapsed().as_secs_f64();
    program.run(RESTORE);
    assert_eq!(rows(server, "ev"), rows(server, "twin"));
    let seed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64;
    println!("seed {seed}");
    let (mut rng, stop) = (Rng::new(seed), AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| write(server, seed, &stop));
        let (mut kills, mut restoring) = (0, false);
        while kills < KILLS {
            // A restore that was begun has to end before anything else is archived.
            restoring = restoring || rng.f64() < 0.3;
            let running = program.start(if restoring { RESTORE } else { ARCHIVE });
            std::thread::sleep(Duration::from_secs_f64(longest * rng.f64()));
            let is_killed = running.kill();
            kills += usize::from(is_killed);
            restoring &= is_killed;
            if kills % 4 == 0 {
                assert_eq!(removed(&program.run(EXTRACT)), 0, "after {kills} kills");
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
    program.run(RESTORE);
    assert_eq!(rows(server, "ev"), rows(server, "twin"));
    program.run(EXTRACT);
    let report = json(&program.run(&format!("--json {ARCHIVE}")));
    assert_eq!(report["waiting"], 0, "{report}");
    let status = json(&program.run("--json archive status --source shop --verify"));
    // A copy that a killed run left may hold rows that have changed since: they went by another.
    assert_eq!(
        rows(server, "ev").len() as u64 + status["moved"].as_u64().unwrap(),
        rows(server, "twin").len() as u64,
        "nothing is lost, nothing has gone twice: {status}"
    );
    assert_eq!(removed(&program.run(EXTRACT)), 0);
    program.run(RESTORE);
    assert_eq!(rows(server, "ev"), rows(server, "twin"));
    assert_eq!(removed(&program.run(EXTRACT)), 0);
}

#[test]
fn a_server_that_goes_away_loses_nothing() {
    for kind in [Kind::Postgres, Kind::MariaDb] {
        let Some(mut server) = Server::start(kind) else { continue };
        let program = Program::new(&server.url, &configuration(""));
        fill(&server);
        program.run(EXTRACT);
        for moment in [100, 400, 900] {
            let running = program.start(ARCHIVE);
            std::thread::sleep(Duration::from_millis(moment));
            server.kill();
            running.kill();
            let said = program.fail(ARCHIVE);
            assert!(said.contains("the database"), "{said}");
            server.restart();
        }
        program.run(ARCHIVE);
        assert!(rows(&server, "ev").len() < ROWS / 2);
        program.run(RESTORE);
        assert_eq!(rows(&server, "ev"), rows(&server, "twin"), "{kind:?}");
    }
}

#[test]
fn a_full_disk_is_named_and_nothing_is_deleted() {
    for kind in [Kind::Postgres, Kind::MariaDb] {
        let Some(server) = Server::start(kind) else { continue };
        let program = Program::new(&server.url, "");
        let Some(disk) = SmallDisk::mount(program.data().join("small"), "20k") else { return };
        let folder = disk.0.display();
        program.configure(&configuration(&format!("folder = \"{folder}\"\n")));
        fill(&server);
        program.run(EXTRACT);
        let said = program.fail(ARCHIVE);
        assert!(said.contains("small/sources/shop/ev") && said.contains("No space left"), "{said}");
        assert_eq!(rows(&server, "ev"), rows(&server, "twin"));
        disk.enlarge();
        program.run(ARCHIVE);
        drop(disk);
        let said = program.fail(ARCHIVE);
        assert!(said.contains("archive.folder"), "an empty folder is no empty archive: {said}");
    }
}

/// The store is on the same server, and its notes with it.
#[test]
fn a_store_on_a_server_knows_its_archive() {
    for kind in [Kind::Postgres, Kind::MariaDb] {
        let Some(server) = Server::start(kind) else { continue };
        let store = "[store]\nurl_env = \"FORETASTE_TEST_SHOP\"\n";
        let warm = tempfile::tempdir().unwrap();
        let folder = format!("folder = \"{}\"\n", warm.path().display());
        let first = Program::new(&server.url, &format!("{store}{}", configuration(&folder)));
        fill(&server);
        first.run(EXTRACT);
        first.run(ARCHIVE);
        let second = Program::new(&server.url, &format!("{store}{}", configuration(&folder)));
        assert_eq!(removed(&second.run(EXTRACT)), 0);
        second.configure(&format!("{store}{}", configuration("")));
        let said = second.fail("extract --once --reconcile");
        assert!(said.contains("archive.folder"), "{said}");
        first.run(RESTORE);
        assert_eq!(removed(&second.run(EXTRACT)), 0, "none is needed any more");
        assert_eq!(rows(&server, "ev"), rows(&server, "twin"));
    }
}

#[test]
fn what_is_asked_for_has_to_be_there() {
    let program = Program::new("postgres://x@127.0.0.1:1/x", &configuration(""));
    assert!(program.fail("archive --source other").contains("holds no data"));
    let said = program.fail("archive --table ev");
    assert!(said.contains("--source"), "{said}");
}
