//! kill -9 at random moments: no acknowledged event is lost, none is doubled.
//!
//! The child is this test binary itself, told by an environment variable to append events from
//! several threads and to print the number of each one that was acknowledged.

use std::collections::HashSet;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};

use foretaste_core::{Event, NoProgress, Rng};
use foretaste_store::{Columns, EmbeddedOptions, EmbeddedStore, Store, load};

const CHILD: &str = "FORETASTE_TEST_CRASH_DIR";
const ROUND: &str = "FORETASTE_TEST_CRASH_ROUND";
const KILLS: u64 = 200;
const THREADS: u64 = 4;

fn options() -> EmbeddedOptions {
    EmbeddedOptions { log_file_bytes: 16 << 10, ..EmbeddedOptions::default() }
}

fn event(id: &str) -> Event {
    Event {
        event_id: Some(id.to_owned()),
        user: format!("u{}", id.len()),
        item: id.to_owned(),
        kind: "view".into(),
        value: 1.0,
        time_ms: 1,
        context: None,
    }
}

/// The child: appends until it is killed. Every few appends it seals.
#[test]
fn child() {
    let (Some(dir), Some(round)) = (std::env::var_os(CHILD), std::env::var_os(ROUND)) else {
        return;
    };
    let round = round.into_string().unwrap();
    let store = EmbeddedStore::open(Path::new(&dir), options()).unwrap();
    let appended = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (store, appended, round) = (&store, &appended, &round);
            scope.spawn(move || append_forever(store, appended, &format!("{round}-{thread}")));
        }
    });
}

fn append_forever(store: &EmbeddedStore, appended: &AtomicU64, prefix: &str) {
    for i in 0.. {
        let ids: Vec<String> = (0..1 + i % 3).map(|j| format!("{prefix}-{i}-{j}")).collect();
        let events: Vec<Event> = ids.iter().map(|id| event(id)).collect();
        store.append_events(&events).unwrap();
        let line = format!("\nACK {}\n", ids.join(" "));
        std::io::stdout().lock().write_all(line.as_bytes()).unwrap();
        if appended.fetch_add(1, Ordering::Relaxed) % 40 == 39 {
            store.seal().unwrap();
        }
    }
}

fn spawn(dir: &Path, round: u64) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["crash::child", "--exact", "--nocapture", "--test-threads=1"])
        .env(CHILD, dir)
        .env(ROUND, round.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Lets the child acknowledge a random number of appends, kills it, and returns what it said.
fn run_and_kill(dir: &Path, round: u64, rng: &mut Rng) -> Vec<String> {
    let mut child = spawn(dir, round);
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let (mut acknowledged, mut left) = (Vec::new(), rng.below(60));
    let read = |lines: &mut dyn Iterator<Item = std::io::Result<String>>| {
        lines.map(Result::unwrap).find(|line| line.starts_with("ACK "))
    };
    while let Some(line) = read(&mut lines) {
        acknowledged.extend(line.split(' ').skip(1).map(str::to_owned));
        if left == 0 {
            break;
        }
        left -= 1;
    }
    (0..rng.below(20_000)).for_each(|_| std::hint::spin_loop());
    child.kill().unwrap();
    // What stands in the pipe was acknowledged before the end; a last line may be cut off.
    while let Some(line) = lines.next().map(Result::unwrap) {
        if line.starts_with("ACK ") && lines.next().is_some() {
            acknowledged.extend(line.split(' ').skip(1).map(str::to_owned));
        }
    }
    child.wait().unwrap();
    assert!(!acknowledged.is_empty(), "round {round}: the child died before its first append");
    acknowledged
}

fn check(dir: &Path, acknowledged: &[String], round: u64) {
    let store = EmbeddedStore::open(dir, options()).unwrap();
    let mut stored = HashSet::new();
    store
        .read_events(Columns::NoContext, &mut |batch| {
            for i in 0..batch.len() {
                let item = batch.get(i).item;
                assert!(stored.insert(item.clone()), "round {round}: {item} is stored twice");
            }
            Ok(())
        })
        .unwrap();
    let lost: Vec<&String> = acknowledged.iter().filter(|id| !stored.contains(*id)).collect();
    assert!(lost.is_empty(), "round {round}: acknowledged and lost: {lost:?}");
    let last = acknowledged.last().map(|id| event(id)).unwrap();
    store.append_events(&[last]).unwrap();
    let loaded = load(&store, Columns::NoContext, &NoProgress).unwrap();
    assert_eq!(loaded.len(), stored.len(), "round {round}: an event sent again is stored once");
}

#[test]
fn two_hundred_kills_lose_nothing_that_was_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let mut rng = Rng::new(20_261_121);
    let mut acknowledged = Vec::new();
    for round in 0..KILLS {
        acknowledged.extend(run_and_kill(dir.path(), round, &mut rng));
        if round % 10 == 9 || round < 10 {
            check(dir.path(), &acknowledged, round);
        }
    }
    assert!(acknowledged.len() as u64 > KILLS * 10);
}
