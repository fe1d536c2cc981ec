//! Throughput of the embedded store on this machine: durable appends by one thread, by eight
//! (group commit) and in batches; bulk import; reading and loading.
//!
//! `cargo run --release -p foretaste-store --example store_bench -- [FOLDER] [MILLION EVENTS]`
#![allow(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::path::{Path, PathBuf};
use std::time::Instant;

use foretaste_core::{Event, EventBatch, NoProgress, Result, Rng, User};
use foretaste_store::{Columns, EmbeddedOptions, EmbeddedStore, Source, Store, load};

const USERS: usize = 200_000;
const ITEMS: usize = 40_000;

fn main() -> Result<()> {
    let mut arguments = std::env::args_os().skip(1);
    let dir = arguments.next().map_or_else(|| PathBuf::from("store-bench"), PathBuf::from);
    let millions = arguments.next().and_then(|n| n.into_string().ok()?.parse().ok());
    let store = EmbeddedStore::open(&dir, EmbeddedOptions::default())?;
    appends(&store)?;
    users(&store)?;
    bulk(&store, millions.unwrap_or(10usize) << 20)?;
    reading(&store)?;
    println!("peak memory {} MB", peak_memory_mb(Path::new("/proc/self/status")).unwrap_or(0));
    Ok(())
}

fn event(rng: &mut Rng, time_ms: i64) -> Event {
    let skewed = |rng: &mut Rng, n: usize| (n as f64 * rng.f64().powi(2)) as usize;
    Event {
        event_id: None,
        user: format!("user-{}", skewed(rng, USERS)),
        item: format!("item-{}", skewed(rng, ITEMS)),
        kind: ["view", "click", "order"][rng.below(3)].to_owned(),
        value: 1.0,
        time_ms,
        context: None,
    }
}

fn report(what: &str, events: usize, start: Instant) {
    let seconds = start.elapsed().as_secs_f64();
    println!("{what}: {events} in {seconds:.2} s = {:.0} /s", events as f64 / seconds);
}

fn appends(store: &EmbeddedStore) -> Result<()> {
    for (threads, batch, rounds) in [(1, 1, 2_000), (8, 1, 2_000), (64, 1, 500), (1, 1_000, 200)] {
        let start = Instant::now();
        std::thread::scope(|scope| {
            let work = |thread: u64| {
                let mut rng = Rng::new(thread + 1000 * threads + 100_000 * batch as u64);
                (0..rounds).try_for_each(|i| {
                    let events: Vec<Event> = (0..batch).map(|_| event(&mut rng, i)).collect();
                    store.append_events(&events).map(|_| ())
                })
            };
            let all: Vec<_> = (0..threads).map(|t| scope.spawn(move || work(t))).collect();
            all.into_iter().try_for_each(|t| t.join().expect("a worker does not panic"))
        })?;
        let events = threads as usize * batch * rounds as usize;
        report(&format!("durable appends, {threads} threads, {batch} a call"), events, start);
    }
    let start = Instant::now();
    let events = store.counts()?.log_events as usize;
    store.seal()?;
    report("seal", events, start);
    Ok(())
}

fn users(store: &EmbeddedStore) -> Result<()> {
    let start = Instant::now();
    let user = |i: usize| User {
        user_id: format!("user-{i}"),
        attributes: [("country".to_owned(), "DE".to_owned())].into(),
        created_ms: 1,
    };
    for chunk in 0..100 {
        let users: Vec<User> = (chunk * 10_000..(chunk + 1) * 10_000).map(user).collect();
        store.put_users(&users)?;
    }
    report("put users", 1_000_000, start);
    Ok(())
}

fn bulk(store: &EmbeddedStore, events: usize) -> Result<()> {
    let mut rng = Rng::new(7);
    let name = format!("bench {:?}", store.counts()?.events);
    let mut bulk = store.bulk(&Source { digest: name.clone(), name })?;
    let (mut seconds, mut written) = (0.0, 0);
    while written < events {
        let mut batch = EventBatch::default();
        (0..1 << 18).for_each(|i| batch.push(&event(&mut rng, (written + i) as i64)));
        let start = Instant::now();
        bulk.write(&batch)?;
        seconds += start.elapsed().as_secs_f64();
        written += batch.len();
    }
    let start = Instant::now();
    let outcome = bulk.commit()?;
    seconds += start.elapsed().as_secs_f64();
    let bytes = outcome.bytes as f64 / outcome.events as f64;
    println!(
        "bulk import: {written} in {seconds:.2} s = {:.0} /s, {bytes:.1} bytes an event",
        written as f64 / seconds
    );
    Ok(())
}

fn reading(store: &EmbeddedStore) -> Result<()> {
    let start = Instant::now();
    let mut events = 0;
    store.read_events(Columns::NoContext, &mut |batch| {
        events += batch.len();
        Ok(())
    })?;
    report("read", events, start);
    let start = Instant::now();
    let loaded = load(store, Columns::NoContext, &NoProgress)?;
    report("load (sorted, deduplicated)", loaded.len(), start);
    Ok(())
}

fn peak_memory_mb(status: &Path) -> Option<u64> {
    let text = fs_err::read_to_string(status).ok()?;
    let line = text.lines().find(|line| line.starts_with("VmHWM:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? / 1024)
}
