//! The proof: writers with transactions of random length that insert, update, delete, backdate
//! and roll back; an extractor that is killed with SIGKILL again and again; and in the end, after
//! a reconciliation, a store that holds exactly what the table holds. Without lookback and
//! reconciliation the same harness must find rows missing, else it would prove nothing.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use foretaste_core::Rng;
use foretaste_ingest::tables::{Reader, SourceConfig};
use foretaste_store::EmbeddedStore;

use crate::servers::{Client, Kind};
use crate::{EV, Server, events, open, source};

const DIR: &str = "FORETASTE_TEST_EXTRACT_DIR";
const URL: &str = "FORETASTE_TEST_EXTRACT_URL";
/// How many seeds; the default keeps within the time of a test run.
const SEEDS: &str = "FORETASTE_TEST_EXTRACT_SEEDS";
const DEFAULT_SEEDS: u64 = 2;
pub(crate) const WRITERS: u64 = 4;
/// Rows that are there before them.
const FILLED: usize = 2_000;
/// What each of them does at least.
const TRANSACTIONS: u32 = 16;

#[test]
fn postgres_in_the_end_both_are_equal() {
    Server::start(Kind::Postgres).iter().for_each(equal);
}

#[test]
fn mariadb_in_the_end_both_are_equal() {
    Server::start(Kind::MariaDb).iter().for_each(equal);
}

#[test]
fn postgres_without_lookback_rows_are_missing() {
    Server::start(Kind::Postgres).iter().for_each(canary);
}

#[test]
fn mariadb_without_lookback_rows_are_missing() {
    Server::start(Kind::MariaDb).iter().for_each(canary);
}

/// The extractor that is killed: passes without end, and now and then a reconciliation.
#[test]
fn child() {
    let (Ok(dir), Ok(url)) = (std::env::var(DIR), std::env::var(URL)) else { return };
    let source = small();
    for n in 1.. {
        let store = open(Path::new(&dir));
        pass(&store, &source, &url, n % 5 == 0);
    }
}

pub(crate) fn small() -> SourceConfig {
    source(&format!("{EV}lookback_s = 1\nbatch_rows = 7\n"))
}

fn pass(store: &EmbeddedStore, source: &SourceConfig, url: &str, reconcile: bool) {
    let reader = Reader {
        store,
        source,
        url,
        kept: None,
        archive: None,
        quarantine: std::env::temp_dir().join("foretaste-none"),
        max_bad_share: 0.01,
        accept_schema: false,
        stop: &|| false,
        changed: None,
    };
    reader.pass(&source.tables[0]).unwrap();
    if reconcile {
        reader.reconcile(&source.tables[0]).unwrap();
    }
}

pub(crate) fn seeds() -> u64 {
    std::env::var(SEEDS).ok().and_then(|n| n.parse().ok()).unwrap_or(DEFAULT_SEEDS)
}

fn equal(server: &Server) {
    for seed in 1..=seeds() {
        server.create_ev();
        // Of these, the first pass loads the most.
        server.fill_ev(FILLED);
        let dir = tempfile::tempdir().unwrap();
        let done = AtomicBool::new(false);
        let kills = std::thread::scope(|scope| {
            let writers: Vec<_> = (0..WRITERS)
                .map(|n| scope.spawn(move || write(server, Rng::new(seed * 100 + n), true)))
                .collect();
            let killer = scope.spawn(|| kill_again_and_again(server, dir.path(), seed, &done));
            writers.into_iter().for_each(|writer| writer.join().unwrap());
            done.store(true, Ordering::Release);
            killer.join().unwrap()
        });
        let store = open(dir.path());
        let before = ours(&store).len();
        pass(&store, &small(), &server.url, true);
        let (ours, theirs) = (ours(&store), theirs(server));
        println!(
            "{:?} seed {seed}: {kills} kills, {before} rows before the reconciliation, {} after it",
            server.kind,
            ours.len()
        );
        assert!(theirs.len() > 20, "seed {seed}: the writers wrote {} rows", theirs.len());
        assert_eq!(ours, theirs, "seed {seed}");
    }
}

/// The same writers, a reader that trusts the watermark alone, and nobody who is killed.
fn canary(server: &Server) {
    let trusting = source(&format!("{EV}lookback_s = 0\nbatch_rows = 7\n"));
    let missing = (1..=5).any(|seed| {
        server.create_ev();
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let writers: Vec<_> = (0..WRITERS)
                .map(|n| scope.spawn(move || write(server, Rng::new(seed * 100 + n), true)))
                .collect();
            scope.spawn(|| {
                while !done.load(Ordering::Acquire) {
                    pass(&store, &trusting, &server.url, false);
                }
            });
            writers.into_iter().for_each(|writer| writer.join().unwrap());
            done.store(true, Ordering::Release);
        });
        pass(&store, &trusting, &server.url, false);
        let (ours, theirs) = (ours(&store), theirs(server));
        theirs.iter().any(|row| !ours.contains(row))
    });
    assert!(missing, "nothing was lost, so the proof would not notice a loss either");
}

fn kill_again_and_again(server: &Server, dir: &Path, seed: u64, done: &AtomicBool) -> u32 {
    let mut rng = Rng::new(seed);
    let mut kills = 0;
    while !done.load(Ordering::Acquire) {
        kill_soon(server, dir, Duration::from_millis(100 + rng.below(400) as u64));
        kills += 1;
    }
    kills
}

/// Lets an extractor run for a while.
pub(crate) fn kill_soon(server: &Server, dir: &Path, after: Duration) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "proof::child", "--nocapture"])
        .env(DIR, dir)
        .env(URL, &server.url)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    std::thread::sleep(after);
    assert!(child.try_wait().unwrap().is_none(), "the extractor gave up");
    child.kill().unwrap();
    child.wait().unwrap();
}

/// A bit over a second of transactions.
pub(crate) fn write(server: &Server, mut rng: Rng, deletes: bool) {
    let mut client = server.client();
    let end = Instant::now() + Duration::from_millis(1_200);
    let mut n = 0;
    // On a busy machine the time alone would leave nothing to prove.
    while Instant::now() < end || n < TRANSACTIONS {
        n += 1;
        // A deadlock or a lock that another one holds ends a transaction, as in real life.
        if transaction(server, &mut client, (&mut rng, deletes)).is_err() {
            let _ = client.run("ROLLBACK");
        }
    }
}

fn transaction(
    server: &Server,
    client: &mut Client,
    (rng, deletes): (&mut Rng, bool),
) -> Result<(), sqlx::Error> {
    client.run("BEGIN")?;
    for _ in 0..1 + rng.below(4) {
        client.run(&statement(server, rng, deletes))?;
        std::thread::sleep(Duration::from_millis(rng.below(60) as u64));
    }
    client.run(if rng.below(7) == 0 { "ROLLBACK" } else { "COMMIT" })
}

fn statement(server: &Server, rng: &mut Rng, deletes: bool) -> String {
    let now = server.now(0);
    // Some of the rows that were loaded, and some that came later.
    let id = 1 + rng.below(60) + if rng.below(2) == 0 { 0 } else { FILLED };
    match rng.below(if deletes { 10 } else { 9 }) {
        0..=4 => {
            let back = if rng.below(5) == 0 { -(rng.below(200_000) as i64) } else { 0 };
            let (at, who, sku) = (server.now(back), rng.below(9), rng.below(9));
            format!("INSERT INTO ev (ts, who, sku) VALUES ({at}, 'u{who}', 'i{sku}')")
        }
        5 => format!("UPDATE ev SET qty = qty + 1, ts = {now} WHERE id = {id}"),
        6 => format!("UPDATE ev SET sku = 'x{id}' WHERE id = {id}"),
        7 => format!("UPDATE ev SET gone = 1 - gone, ts = {now} WHERE id = {id}"),
        8 => format!("UPDATE ev SET who = 'v{id}' WHERE id = {}", id - id % 3),
        _ => format!("DELETE FROM ev WHERE id = {id}"),
    }
}

/// The rows of the store: every event, as often as it is there.
pub(crate) fn ours(store: &EmbeddedStore) -> Vec<[String; 4]> {
    let row = |e: foretaste_core::Event| {
        [e.user, e.item, (e.value as i64).to_string(), e.time_ms.to_string()]
    };
    let mut all: Vec<_> = events(store).into_iter().map(row).collect();
    all.sort();
    all
}

pub(crate) fn theirs(server: &Server) -> Vec<[String; 4]> {
    let ms = match server.kind {
        Kind::Postgres => "CAST(floor(extract(epoch FROM ts) * 1000) AS bigint)",
        Kind::MariaDb => "FLOOR(TIMESTAMPDIFF(MICROSECOND, '1970-01-01', ts) / 1000)",
    };
    let text = if server.kind == Kind::Postgres { "text" } else { "CHAR" };
    let sql = format!(
        "SELECT who, sku, CAST(qty AS {text}), CAST({ms} AS {text}) FROM ev WHERE gone = 0"
    );
    let rows = server.client().texts(&sql).into_iter();
    let mut all: Vec<[String; 4]> = rows.map(|row| row.try_into().unwrap()).collect();
    all.sort();
    all
}
