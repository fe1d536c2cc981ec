//! What it costs to find an entry in process, with one and with two threads: a thousand hot keys,
//! and a Zipf mix of ten times more keys than fit (the time then includes making the key and
//! filling the misses). CPU time of the threads, so that a busy machine does not count.
//!
//! `cargo run --release -p foretaste-cache --example l1_get`
#![allow(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::convert::Infallible;
use std::hint::black_box;
use std::sync::Arc;

use bytes::Bytes;
use foretaste_cache::{CacheConfig, Clock, Dependency, Fresh, KeyBuf, Share, TieredCache};
use foretaste_core::Rng;

const CAPACITY: usize = 100_000;
const KEYS: usize = 1_000_000;
const GETS: usize = 2_000_000;
const ROUNDS: usize = 5;

type Cache = TieredCache<Infallible>;

fn main() {
    println!("cores {}", std::thread::available_parallelism().map_or(1, usize::from));
    for threads in [1, 2] {
        let hot = median(|| run(threads, |rng| rng.below(1_000)));
        let zipf = median(|| run(threads, |rng| zipf(rng, KEYS)));
        println!(
            "{threads} threads: hot {:.0} ns a get (hit rate {:.3}), zipf {:.0} ns (hit rate {:.3})",
            hot.0, hot.1, zipf.0, zipf.1
        );
    }
    let ms = median(|| (invalidation_ms(), 0.0)).0;
    println!("invalidating one thing among {CAPACITY} entries: {ms:.1} ms");
}

/// One pass over entries that depend on twenty items each.
fn invalidation_ms() -> f64 {
    let config = CacheConfig { max_entries: CAPACITY, max_bytes: 1 << 30, ..Default::default() };
    let cache: Cache = TieredCache::new(&config, Clock::default());
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("runtime");
    let items: Vec<_> = (0..1_000).map(|i| Dependency::new("item", &i.to_string())).collect();
    runtime.block_on(async {
        for i in 0..CAPACITY {
            let slate = (0..20).map(|n| items[(i * 7 + n) % items.len()]);
            let value = Fresh::new(Some(Bytes::from_static(&[0; 64]))).depends_on(slate);
            let Ok(_) = cache.renew(&key(i), Share::Process, || async { Ok(value) }).await;
        }
    });
    let started = cpu_ns();
    black_box(cache.invalidate(&[Dependency::new("item", "none")]));
    (cpu_ns() - started) as f64 / 1e6
}

/// Rank by Zipf's law with exponent 1, by inversion of the continuous law.
fn zipf(rng: &mut Rng, n: usize) -> usize {
    ((n as f64).powf(rng.f64()) as usize).saturating_sub(1).min(n - 1)
}

fn median(mut measure: impl FnMut() -> (f64, f64)) -> (f64, f64) {
    let mut rounds: Vec<(f64, f64)> = (0..ROUNDS).map(|_| measure()).collect();
    rounds.sort_by(|a, b| a.0.total_cmp(&b.0));
    rounds[ROUNDS / 2]
}

/// Nanoseconds a get takes on its thread, and the share of hits.
fn run(threads: usize, next: impl Fn(&mut Rng) -> usize + Copy + Send) -> (f64, f64) {
    let config = CacheConfig { max_entries: CAPACITY, max_bytes: 1 << 30, ..Default::default() };
    let cache: Arc<Cache> = Arc::new(TieredCache::new(&config, Clock::default()));
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("runtime");
    runtime.block_on(async {
        for i in 0..1_000 {
            fill(&cache, &key(i)).await;
        }
    });
    let before = cache.stats().l1;
    let took: Vec<u64> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|thread| {
                let cache = Arc::clone(&cache);
                scope.spawn(move || worker(&cache, thread as u64, next))
            })
            .collect();
        workers.into_iter().map(|w| w.join().expect("no panic")).collect()
    });
    let after = cache.stats().l1;
    let (hits, misses) = (after.hits - before.hits, after.misses - before.misses);
    let gets = (GETS * threads) as f64;
    (took.iter().sum::<u64>() as f64 / gets, hits as f64 / (hits + misses) as f64)
}

fn worker(cache: &Cache, seed: u64, next: impl Fn(&mut Rng) -> usize) -> u64 {
    let mut rng = Rng::new(seed);
    let asked: Vec<usize> = (0..GETS).map(|_| next(&mut rng)).collect();
    let hot: Vec<KeyBuf> = (0..1_000).map(key).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("runtime");
    let started = cpu_ns();
    for i in asked {
        match hot.get(i) {
            Some(key) if black_box(cache.find(key)).is_some() => {}
            _ => {
                let key = key(i);
                if black_box(cache.find(&key)).is_none() {
                    runtime.block_on(fill(cache, &key));
                }
            }
        }
    }
    cpu_ns() - started
}

/// CPU time of this thread.
fn cpu_ns() -> u64 {
    let text = fs_err::read_to_string("/proc/thread-self/schedstat").expect("Linux");
    text.split(' ').next().and_then(|ns| ns.parse().ok()).expect("a number")
}

/// As long as the key of a recommendation.
fn key(i: usize) -> KeyBuf {
    let mut key = KeyBuf::new("recommend");
    key.segment("tenant").segment("homepage").segment("user-1234").end_path();
    key.number(i as u64).number(7).number(20).text("2026-11-21-0123456789abcdef");
    key
}

async fn fill(cache: &Cache, key: &KeyBuf) {
    let value = Fresh::new(Some(Bytes::from_static(&[0; 64])));
    let Ok(_) = cache.renew(key, Share::Process, || async { Ok(value) }).await;
}
