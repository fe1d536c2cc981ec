//! Throughput of the embedded store on this machine: durable appends by one thread, by eight
//! (group commit) and in batches; bulk import; reading and loading.
//!
//! `cargo run --release -p foretaste-store --example store_bench -- [FOLDER] [MILLIONS | read]`
//!
//! `read` only reads what an earlier run has left in the folder.
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
    let size = arguments.next().and_then(|n| n.into_string().ok()).unwrap_or("10".to_owned());
    let millions: Option<usize> = size.parse().ok();
    if let Some(millions) = millions {
        let store = EmbeddedStore::open(&dir, EmbeddedOptions::default())?;
        appends(&store)?;
        users(&store)?;
        bulk(&store, millions << 20)?;
    }
    reading(&EmbeddedStore::open_reader(&dir)?)?;
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

/// Wall time and CPU time since a moment; the latter counts on a busy machine.
struct Watch {
    start: Instant,
    cpu: f64,
}

impl Watch {
    fn start() -> Self {
        Self { start: Instant::now(), cpu: cpu_seconds() }
    }

    fn report(&self, what: &str, events: usize) {
        let (seconds, cpu) = (self.start.elapsed().as_secs_f64(), cpu_seconds() - self.cpu);
        let (wall, busy) = (events as f64 / seconds, events as f64 / cpu);
        println!(
            "{what}: {events} in {seconds:.2} s = {wall:.0} /s; CPU {cpu:.2} s = {busy:.0} /s"
        );
    }
}

/// User and system time of this process, from Linux (in 1/100 s).
fn cpu_seconds() -> f64 {
    let stat = fs_err::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|f| f.parse::<f64>().ok()).unwrap_or(0.0);
    (ticks(13) + ticks(14)) / 100.0
}

fn appends(store: &EmbeddedStore) -> Result<()> {
    for (threads, batch, rounds) in [(1, 1, 2_000), (8, 1, 2_000), (64, 1, 500), (1, 1_000, 200)] {
        let watch = Watch::start();
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
        watch.report(&format!("durable appends, {threads} threads, {batch} a call"), events);
    }
    let watch = Watch::start();
    let events = store.counts()?.log_events as usize;
    store.seal()?;
    watch.report("seal", events);
    Ok(())
}

fn users(store: &EmbeddedStore) -> Result<()> {
    let watch = Watch::start();
    let user = |i: usize| User {
        user_id: format!("user-{i}"),
        attributes: [("country".to_owned(), "DE".to_owned())].into(),
        created_ms: 1,
    };
    for chunk in 0..100 {
        let users: Vec<User> = (chunk * 10_000..(chunk + 1) * 10_000).map(user).collect();
        store.put_users(&users)?;
    }
    watch.report("put users", 1_000_000);
    Ok(())
}

fn bulk(store: &EmbeddedStore, events: usize) -> Result<()> {
    let mut rng = Rng::new(7);
    let name = format!("bench {:?}", store.counts()?.events);
    let mut bulk = store.bulk(&Source { digest: name.clone(), name })?;
    let batches: Vec<EventBatch> = (0..16).map(|at| batch(&mut rng, at)).collect();
    let (watch, mut written) = (Watch::start(), 0);
    for batch in batches.iter().cycle().take(events.div_ceil(1 << 18)) {
        bulk.write(batch)?;
        written += batch.len();
    }
    let outcome = bulk.commit()?;
    watch.report("bulk import", written);
    println!("{:.1} bytes an event", outcome.bytes as f64 / outcome.events as f64);
    Ok(())
}

fn batch(rng: &mut Rng, at: i64) -> EventBatch {
    let mut batch = EventBatch::default();
    (0..1 << 18).for_each(|i| batch.push(&event(rng, (at << 18) + i)));
    batch
}

fn reading(store: &EmbeddedStore) -> Result<()> {
    let watch = Watch::start();
    let mut events = 0;
    store.read_events(Columns::NoContext, &mut |batch| {
        events += batch.len();
        Ok(())
    })?;
    watch.report("read", events);
    let watch = Watch::start();
    let loaded = load(store, Columns::NoContext, &NoProgress)?;
    watch.report("load (sorted, deduplicated)", loaded.len());
    Ok(())
}

fn peak_memory_mb(status: &Path) -> Option<u64> {
    let text = fs_err::read_to_string(status).ok()?;
    let line = text.lines().find(|line| line.starts_with("VmHWM:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? / 1024)
}
