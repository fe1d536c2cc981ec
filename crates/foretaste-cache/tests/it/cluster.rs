//! A Redis Cluster of three nodes: keys spread over all of them, scans reach all of them.

use std::process::Command;
use std::time::Duration;

use foretaste_cache::{KeyBuf, RedisConfig, Share, Source};

use crate::redis_server::{Server, free_port};
use crate::replica::{Replica, eventually};
use crate::world::{fresh, item, key, never};

/// Three nodes that have found each other.
async fn cluster() -> Option<Vec<Server>> {
    let arguments = ["--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf"];
    // Nodes talk to each other on a second port, 10,000 above the first.
    let low_port = || loop {
        let port = free_port();
        if port < 55_000 {
            break port;
        }
    };
    let start = |_| Server::start_at(low_port(), &arguments);
    let nodes: Vec<Server> = (0..3).map(start).collect::<Option<Vec<_>>>()?;
    let addresses: Vec<String> = nodes.iter().map(|n| format!("127.0.0.1:{}", n.port)).collect();
    let created = Command::new("redis-cli")
        .args(["--cluster", "create"])
        .args(&addresses)
        .args(["--cluster-replicas", "0", "--cluster-yes"])
        .output()
        .expect("redis-cli");
    assert!(created.status.success(), "{created:?}");
    let agree =
        || nodes.iter().all(|node| node.ask(&["CLUSTER", "INFO"]).contains("cluster_state:ok"));
    eventually("the nodes agree", agree).await;
    Some(nodes)
}

fn config(nodes: &[Server]) -> RedisConfig {
    RedisConfig {
        urls: nodes.iter().map(Server::url).collect(),
        cluster: true,
        operation_ms: 2_000,
        connect_ms: 2_000,
        ..RedisConfig::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_share_through_a_cluster() {
    let Some(nodes) = cluster().await else { return };
    let (a, b) = (Replica::with(config(&nodes)), Replica::with(config(&nodes)));
    for replica in [&a, &b] {
        eventually("connected", || replica.cache.stats().link.is_up).await;
        replica.caught_up().await;
    }
    let names: Vec<String> = (0..60).map(|n| format!("user {n}")).collect();
    for name in &names {
        let value = || async { Ok(fresh(name).depends_on([item(name)])) };
        a.cache.load(&key(name), Share::Replicas, value).await.expect("computed");
    }
    a.stored(60).await;
    let sizes: Vec<usize> = nodes
        .iter()
        .map(|node| node.ask(&["--scan", "--pattern", "foretaste:test/*"]).lines().count())
        .collect();
    assert!(sizes.iter().all(|n| *n >= 5) && sizes.iter().sum::<usize>() == 60, "{sizes:?}");
    let found = b.cache.load(&key("user 0"), Share::Replicas, never).await.expect("found");
    assert_eq!(found.source, Source::Replicas);
    let keys: Vec<KeyBuf> = names.iter().map(|name| key(name)).collect();
    assert_eq!(b.cache.fetch(&keys).await, 59);
    a.cache.invalidate(&[item("user 7")]);
    eventually("the other replica hears", || b.cache.find(&key("user 7")).is_none()).await;
    assert!(b.cache.find(&key("user 8")).is_some());
    a.cache.clear_prefix(&KeyBuf::new("test"));
    eventually("all nodes are scanned", || a.cache.stats().shared.invalidated == 60).await;
    eventually("the other replica hears", || b.cache.find(&key("user 8")).is_none()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_node_costs_its_keys_and_no_more() {
    let Some(mut nodes) = cluster().await else { return };
    let a = Replica::with(RedisConfig { operation_ms: 50, ..config(&nodes) });
    eventually("connected", || a.cache.stats().link.is_up).await;
    nodes.pop().expect("three").kill();
    let started = std::time::Instant::now();
    for n in 0..100 {
        let key = key(&format!("user {n}"));
        let load = a.cache.load(&key, Share::Replicas, || async { Ok(fresh("value")) });
        assert_eq!(load.await.expect("a value whatever happens").value().expect("it"), "value");
    }
    assert!(started.elapsed() < Duration::from_secs(100 / 10), "{:?}", started.elapsed());
}
