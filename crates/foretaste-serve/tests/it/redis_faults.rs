//! A Redis that dies, hangs, is full, talks garbage or has become a replica: answers stay right,
//! none is an error, and the cache is shared again once Redis is well, without a restart.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use foretaste_cache::{CacheConfig, RedisConfig};
use foretaste_serve::ServeConfig;
use foretaste_store::MemoryStore;

use crate::client::get;
use crate::redis::{Redis, has};
use crate::world::{World, eventually, patient};

const GARBAGE: [&[u8]; 4] =
    [b"$-5\r\n", b"\x00\xff\xfe\r\n", b"*99999999\r\n", b"+OK\r\n+OK\r\n:7\r\n"];

/// A server that gives Redis little time.
async fn shared(port: u16) -> World {
    let urls = vec![format!("redis://127.0.0.1:{port}/")];
    let redis = RedisConfig { urls, operation_ms: 50, ..RedisConfig::default() };
    let cache = CacheConfig { redis, warm_users: 0, ..CacheConfig::default() };
    let config = ServeConfig { cache, trends_ms: 3_600_000, ..patient() };
    World::with(config, Arc::new(MemoryStore::new()), true).await
}

/// The same server without any cache.
async fn alone() -> World {
    let cache = CacheConfig { enabled: false, ..CacheConfig::default() };
    let config = ServeConfig { cache, trends_ms: 3_600_000, ..patient() };
    World::with(config, Arc::new(MemoryStore::new()), true).await
}

/// How many answers the server has put into Redis.
async fn stored(world: &World) -> u64 {
    let metrics = get(world.at, "/metrics").await.body;
    let mut lines = metrics.lines();
    let of = |line: &str| {
        let count = line.strip_prefix("foretaste_cache_stored_total{tier=\"redis\"} ")?;
        count.parse().ok()
    };
    lines.find_map(of).unwrap_or(0)
}

/// Every user in a form that nobody has asked for before: right, and not from any cache.
async fn answers_are_right(world: &World, alone: &World, round: usize) {
    for user in 0..10 {
        let path = format!("/v1/recommend/u{user}?k={}", 1 + round);
        let right = get(alone.at, &path).await.items();
        let response = get(world.at, &path).await;
        assert_eq!(response.items(), right, "{path}");
    }
}

/// New answers reach Redis.
async fn recovered(world: &World, round: &mut usize) {
    eventually("Redis is used again", || {
        *round += 1;
        let path = format!(
            "/v1/recommend/u1?k=3&exclude=item-{}&exclude=item-{}",
            *round % 37,
            *round / 37
        );
        async move {
            let before = stored(world).await;
            assert_eq!(get(world.at, &path).await.status, 200);
            tokio::time::sleep(Duration::from_millis(20)).await;
            stored(world).await > before
        }
    })
    .await;
}

/// An inline command, whose answer must begin as expected.
fn command(port: u16, text: &str, expected: &str) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("connect");
    stream.write_all(format!("{text}\r\n").as_bytes()).expect("send");
    let mut answer = [0; 64];
    let n = stream.read(&mut answer).expect("answer");
    let answer = String::from_utf8_lossy(&answer[..n]);
    assert!(answer.starts_with(expected), "{text}: {answer}");
}

fn signal(redis: &Redis, name: &str) {
    let sent = Command::new("kill").args([name, &redis.id().to_string()]).status();
    assert!(sent.expect("kill").success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_is_killed_comes_back_at_its_place() {
    let Some(mut redis) = Redis::start() else { return };
    let (world, alone, mut round) = (shared(redis.port).await, alone().await, 0);
    recovered(&world, &mut round).await;
    redis.kill();
    answers_are_right(&world, &alone, 1).await;
    eventually("noticed", || async { has(&world, "cache_redis_up 0").await }).await;
    answers_are_right(&world, &alone, 2).await;
    let _again = Redis::start_at(redis.port).expect("it was there before");
    recovered(&world, &mut round).await;
    answers_are_right(&world, &alone, 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_hangs_is_not_waited_for() {
    let Some(redis) = Redis::start() else { return };
    let (world, alone, mut round) = (shared(redis.port).await, alone().await, 0);
    recovered(&world, &mut round).await;
    signal(&redis, "-STOP");
    answers_are_right(&world, &alone, 1).await;
    eventually("noticed", || async { has(&world, "cache_redis_up 0").await }).await;
    answers_are_right(&world, &alone, 2).await;
    signal(&redis, "-CONT");
    recovered(&world, &mut round).await;
    answers_are_right(&world, &alone, 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_is_full_or_a_replica_takes_nothing_and_harms_nobody() {
    let Some(redis) = Redis::start() else { return };
    let (world, alone, mut round) = (shared(redis.port).await, alone().await, 0);
    recovered(&world, &mut round).await;
    for (at, (fault, mended)) in [
        ("CONFIG SET maxmemory 1", "CONFIG SET maxmemory 0"),
        ("REPLICAOF 127.0.0.1 1", "REPLICAOF NO ONE"),
    ]
    .into_iter()
    .enumerate()
    {
        command(redis.port, fault, "+OK");
        let refusal = if at == 0 { "-OOM" } else { "-READONLY" };
        command(redis.port, "SET refused 1", refusal);
        answers_are_right(&world, &alone, 1 + 2 * at).await;
        command(redis.port, mended, "+OK");
        recovered(&world, &mut round).await;
        answers_are_right(&world, &alone, 2 + 2 * at).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_talks_garbage_in_the_place_of_redis_is_not_believed() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let port = listener.local_addr().expect("address").port();
    let over = Arc::new(AtomicBool::new(false));
    let ends = Arc::clone(&over);
    let talking = std::thread::spawn(move || {
        for (stream, saying) in listener.incoming().zip(GARBAGE.iter().cycle()) {
            if ends.load(Relaxed) {
                return;
            }
            let Ok(mut stream) = stream else { continue };
            std::thread::spawn(move || {
                let mut buffer = [0; 1024];
                while let Ok(1..) = stream.read(&mut buffer) {
                    if stream.write_all(saying).is_err() {
                        return;
                    }
                }
            });
        }
    });
    let (world, alone, mut round) = (shared(port).await, alone().await, 0);
    for round in 1..=3 {
        answers_are_right(&world, &alone, round).await;
    }
    over.store(true, Relaxed);
    drop(TcpStream::connect(("127.0.0.1", port)).expect("wakes it"));
    talking.join().expect("it ends");
    let Some(_redis) = Redis::start_at(port) else { return };
    recovered(&world, &mut round).await;
    answers_are_right(&world, &alone, 4).await;
}
