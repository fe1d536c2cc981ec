//! The shared tier may be killed, hang, be full, answer nonsense or be somebody else: callers get
//! their values, within the budget, and the tier is used again soon after it is well.

use std::time::{Duration, Instant};

use foretaste_cache::{RedisConfig, Share, Source};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::redis_server::{Server, free_port};
use crate::replica::{Replica, eventually};
use crate::world::{fresh, key, never};

/// Loads a key that nobody has asked for yet.
async fn miss(replica: &Replica, name: &str) -> Source {
    let key = key(name);
    let load = replica.cache.load(&key, Share::Replicas, || async { Ok(fresh("value")) });
    let loaded = load.await.expect("a value whatever happens");
    assert_eq!(loaded.value().expect("a value"), "value");
    loaded.source
}

/// The time of the slowest of some misses.
async fn slowest(replica: &Replica, name: &str, n: usize) -> Duration {
    let mut worst = Duration::ZERO;
    for i in 0..n {
        let started = Instant::now();
        miss(replica, &format!("{name} {i}")).await;
        worst = worst.max(started.elapsed());
    }
    worst
}

/// The tier is in use again within ten seconds: what one stores the other finds.
async fn is_well(a: &Replica, b: &Replica, name: &str) {
    let started = Instant::now();
    for i in 0.. {
        assert!(started.elapsed() < Duration::from_secs(10), "{:?}", a.cache.stats());
        let name = format!("{name} {i}");
        miss(a, &name).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
        if miss(b, &name).await == Source::Replicas {
            break;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_and_started_again() {
    let Some(server) = Server::start(&[]) else { return };
    let url = server.url();
    let (a, b) = (Replica::new(&url).await, Replica::new(&url).await);
    miss(&a, "before").await;
    a.stored(1).await;
    let port = server.kill();
    for i in 0..200 {
        assert_eq!(miss(&a, &format!("down {i}")).await, Source::Computed);
    }
    let stats = a.cache.stats();
    assert!(!stats.link.is_up && stats.link.bypassed >= 190, "{stats:?}");
    assert!(a.cache.find(&key("before")).is_some(), "what is in process serves on");
    let _server = Server::start_at(port, &[]).expect("it was installed a moment ago");
    is_well(&a, &b, "after").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hung_and_awake_again() {
    let Some(server) = Server::start(&[]) else { return };
    let urls = vec![server.url()];
    let redis = RedisConfig { urls, operation_ms: 8, connect_ms: 500, ..RedisConfig::default() };
    let (a, b) = (Replica::with(redis), Replica::new(&server.url()).await);
    eventually("connected", || a.cache.stats().link.is_up).await;
    miss(&a, "before").await;
    server.signal("STOP");
    let started = Instant::now();
    slowest(&a, "hung", 200).await;
    // Four operations run out of time, then the tier is passed by.
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
    let stats = a.cache.stats();
    assert!(!stats.link.is_up && stats.link.late >= 4 && stats.link.late <= 8, "{stats:?}");
    server.signal("CONT");
    is_well(&a, &b, "after").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn full_of_what_it_may_not_evict() {
    let Some(server) = Server::start(&["--maxmemory-policy", "noeviction"]) else { return };
    let (a, b) = (Replica::new(&server.url()).await, Replica::new(&server.url()).await);
    miss(&a, "before").await;
    a.stored(1).await;
    server.ask(&["CONFIG", "SET", "maxmemory", "100kb"]);
    for i in 0..100 {
        assert_eq!(miss(&a, &format!("full {i}")).await, Source::Computed);
    }
    eventually("refused", || a.cache.stats().link.refused > 0).await;
    assert!(a.cache.stats().link.is_up, "reads go on: {:?}", a.cache.stats());
    b.cache.load(&key("before"), Share::Replicas, never).await.expect("reads go on");
    server.ask(&["CONFIG", "SET", "maxmemory", "0"]);
    is_well(&a, &b, "after").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_are_not_ours_are_misses_and_go() {
    let Some(server) = Server::start(&[]) else { return };
    let (a, b) = (Replica::new(&server.url()).await, Replica::new(&server.url()).await);
    for name in ["one", "two"] {
        miss(&a, name).await;
    }
    a.stored(2).await;
    let names = server.ask(&["--scan", "--pattern", "foretaste:test/*"]);
    let names: Vec<&str> = names.lines().collect();
    // The value of one key under the name of the other, and an object of another program.
    server.ask(&["COPY", names[0], names[1], "REPLACE"]);
    server.ask(&["SET", names[0], "cos\nsystem\n(S'true'\ntR."]);
    for name in ["one", "two"] {
        assert_eq!(miss(&b, name).await, Source::Computed, "{name}");
    }
    assert_eq!(b.cache.stats().link.damaged, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_talks_nonsense() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let url = format!("redis://{}/", listener.local_addr().expect("address"));
    let nonsense = tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut buffer = [0; 4_096];
                while stream.read(&mut buffer).await.is_ok_and(|n| n > 0) {
                    let said = stream.write_all(b"$-7\r\n*2\r\n\x00\xff+OK\r\n:x\r\n").await;
                    if said.is_err() {
                        break;
                    }
                }
            });
        }
    });
    let a = Replica::unconnected(&url);
    for i in 0..100 {
        assert_eq!(miss(&a, &format!("nonsense {i}")).await, Source::Computed);
    }
    assert!(!a.cache.stats().link.is_up, "it never proved to be a primary");
    nonsense.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_of_redis_is_not_written_to_and_the_new_primary_is_found() {
    let Some(first) = Server::start(&[]) else { return };
    let second = Server::start(&["--replicaof", "127.0.0.1", &first.port.to_string()]);
    let second = second.expect("it was installed a moment ago");
    let urls = vec![first.url(), second.url()];
    let redis = RedisConfig { urls, operation_ms: 2_000, ..RedisConfig::default() };
    let (a, b) = (Replica::with(redis.clone()), Replica::with(redis));
    eventually("connected", || a.cache.stats().link.is_up && b.cache.stats().link.is_up).await;
    miss(&a, "before").await;
    a.stored(1).await;
    second.ask(&["REPLICAOF", "NO", "ONE"]);
    first.ask(&["REPLICAOF", "127.0.0.1", &second.port.to_string()]);
    is_well(&a, &b, "after").await;
    assert!(!second.ask(&["--scan", "--pattern", "foretaste:test/after*"]).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn never_there_at_all() {
    let a = Replica::unconnected(&format!("redis://127.0.0.1:{}/", free_port()));
    for i in 0..100 {
        assert_eq!(miss(&a, &format!("{i}")).await, Source::Computed);
    }
    assert_eq!(a.cache.stats().link.bypassed, 100);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_cut_off_drops_what_it_has() {
    let Some(server) = Server::start(&[]) else { return };
    let a = Replica::new(&server.url()).await;
    miss(&a, "kept").await;
    assert!(a.cache.find(&key("kept")).is_some());
    server.ask(&["CLIENT", "KILL", "TYPE", "pubsub"]);
    eventually("dropped", || a.cache.find(&key("kept")).is_none()).await;
}
