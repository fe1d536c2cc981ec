//! The log that replicas share keeps its order, is read on from any place, and is bounded.

use crate::redis_server::Server;
use crate::replica::{Replica, eventually};

const BEGINNING: &str = "0";

fn entries(numbers: std::ops::Range<usize>) -> Vec<Vec<u8>> {
    numbers.map(|n| n.to_string().into_bytes()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_appends_all_read_in_its_order_and_from_where_they_stopped() {
    let Some(server) = Server::start(&[]) else { return };
    let (a, b) = (Replica::new(&server.url()).await, Replica::new(&server.url()).await);
    assert!(a.cache.is_shared());
    assert_eq!(b.cache.read_log(BEGINNING).await, Some(vec![]));
    assert!(a.cache.append_log(&entries(0..600)).await);
    let (mut read, mut after) = (Vec::new(), BEGINNING.to_owned());
    loop {
        let some = b.cache.read_log(&after).await.expect("reachable");
        let Some((place, _)) = some.last() else { break };
        after.clone_from(place);
        read.extend(some.into_iter().map(|(_, bytes)| bytes.to_vec()));
    }
    assert_eq!(read, entries(0..600));
    assert!(b.cache.append_log(&entries(600..601)).await);
    let rest = b.cache.read_log(&after).await.expect("reachable");
    assert_eq!(rest.iter().map(|(_, bytes)| &**bytes).collect::<Vec<_>>(), [b"600"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_is_bounded() {
    let Some(server) = Server::start(&[]) else { return };
    let replica = Replica::new(&server.url()).await;
    for _ in 0..60 {
        assert!(replica.cache.append_log(&vec![Vec::new(); 1_000]).await);
    }
    let (mut n, mut after) = (0, BEGINNING.to_owned());
    loop {
        let some = replica.cache.read_log(&after).await.expect("reachable");
        let Some((place, _)) = some.last() else { break };
        after.clone_from(place);
        n += some.len();
    }
    // Redis trims whole nodes of its tree, so a few more may stay.
    assert!((50_000..51_000).contains(&n), "{n}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_server_nothing_is_taken_and_nothing_is_read() {
    let Some(server) = Server::start(&[]) else { return };
    let replica = Replica::new(&server.url()).await;
    server.kill();
    eventually("noticed", || !replica.cache.stats().link.is_up).await;
    assert!(!replica.cache.append_log(&entries(0..1)).await);
    assert_eq!(replica.cache.read_log(BEGINNING).await, None);
}
