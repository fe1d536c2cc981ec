//! What one replica computed is there for all, and a change that one acknowledges reaches all.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use foretaste_cache::{Class, KeyBuf, Share, Source};

use crate::redis_server::Server;
use crate::replica::{Replica, eventually};
use crate::world::{fresh, item, key, never};

#[tokio::test(flavor = "multi_thread")]
async fn what_one_computed_the_other_finds() {
    let Some(server) = Server::start(&[]) else { return };
    let (a, b) = (Replica::new(&server.url()).await, Replica::new(&server.url()).await);
    let value = || async { Ok(fresh("value").depends_on([item("x")])) };
    let computed = a.cache.load(&key("k"), Share::Replicas, value).await.expect("computed");
    assert_eq!(computed.source, Source::Computed);
    a.stored(1).await;
    let found = b.cache.load(&key("k"), Share::Replicas, never).await.expect("found");
    assert_eq!(
        (found.source, found.value().expect("a value").as_ref()),
        (Source::Replicas, &b"value"[..])
    );
    let again = b.cache.find(&key("k")).expect("in process now");
    assert_eq!(again.loaded.source, Source::Process);
    assert_eq!(b.cache.stats().shared.hits, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_for_one_process_stays_there() {
    let Some(server) = Server::start(&[]) else { return };
    let (a, b) = (Replica::new(&server.url()).await, Replica::new(&server.url()).await);
    a.cache.load(&key("own"), Share::Process, || async { Ok(fresh("a")) }).await.expect("a");
    a.cache.load(&key("all"), Share::Replicas, || async { Ok(fresh("a")) }).await.expect("a");
    a.stored(1).await;
    let own = b.cache.load(&key("own"), Share::Process, || async { Ok(fresh("b")) }).await;
    assert_eq!(own.expect("b").source, Source::Computed);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_reaches_the_other_replicas_and_outdates_what_is_shared() {
    let Some(server) = Server::start(&[]) else { return };
    let (a, b) = (Replica::new(&server.url()).await, Replica::new(&server.url()).await);
    let old = || async { Ok(fresh("old").depends_on([item("x")])) };
    a.cache.load(&key("k"), Share::Replicas, old).await.expect("computed");
    a.stored(1).await;
    b.cache.load(&key("k"), Share::Replicas, never).await.expect("found");
    a.cache.invalidate(&[item("x")]);
    eventually("the other replica drops it", || b.cache.find(&key("k")).is_none()).await;
    for replica in [&a, &b] {
        let new = || async { Ok(fresh("new").depends_on([item("x")])) };
        let loaded = replica.cache.load(&key("k"), Share::Replicas, new).await.expect("computed");
        assert_eq!(loaded.value().expect("a value"), "new");
    }
    let late = Replica::new(&server.url()).await;
    eventually("a later replica hears of it", || late.cache.stats().link.is_up).await;
    late.caught_up().await;
    let third = || async { Ok(fresh("third").depends_on([item("x")])) };
    let loaded = late.cache.load(&key("k"), Share::Replicas, third).await.expect("computed");
    assert_eq!(loaded.value().expect("a value"), "third", "younger than the change by too little");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_are_fetched_at_once() {
    let Some(server) = Server::start(&[]) else { return };
    let (a, b) = (Replica::new(&server.url()).await, Replica::new(&server.url()).await);
    for name in ["one", "two", "three"] {
        a.cache.load(&key(name), Share::Replicas, || async { Ok(fresh(name)) }).await.expect(name);
    }
    a.stored(3).await;
    b.cache.load(&key("one"), Share::Replicas, never).await.expect("found");
    let keys = ["one", "none", "three", "two"].map(key);
    assert_eq!(b.cache.fetch(&keys).await, 2);
    for name in ["one", "two", "three"] {
        let found = b.cache.find(&key(name)).expect("in process").loaded;
        assert_eq!(found.value().expect("a value"), name);
    }
    assert!(b.cache.find(&key("none")).is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prefix_is_cleared_everywhere() {
    let Some(server) = Server::start(&[]) else { return };
    let (a, b) = (Replica::new(&server.url()).await, Replica::new(&server.url()).await);
    for name in ["ann", "ann b/c", "bob"] {
        a.cache.load(&key(name), Share::Replicas, || async { Ok(fresh(name)) }).await.expect(name);
    }
    a.stored(3).await;
    for name in ["ann", "bob"] {
        b.cache.load(&key(name), Share::Replicas, never).await.expect("found");
    }
    a.cache.clear_prefix(KeyBuf::new("test").segment("ann"));
    eventually("the scan is done", || a.cache.stats().shared.invalidated == 1).await;
    eventually("the other replica drops it", || b.cache.find(&key("ann")).is_none()).await;
    assert!(b.cache.find(&key("bob")).is_some());
    let fourth = Replica::new(&server.url()).await;
    fourth.cache.load(&key("bob"), Share::Replicas, never).await.expect("still there");
    fourth.cache.load(&key("ann b/c"), Share::Replicas, never).await.expect("still there");
    let gone = fourth.cache.load(&key("ann"), Share::Replicas, || async { Ok(fresh("n")) }).await;
    assert_eq!(gone.expect("computed").source, Source::Computed);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_replica_computes_what_all_want_at_once() {
    let Some(server) = Server::start(&[]) else { return };
    let (a, b) = (Replica::new(&server.url()).await, Replica::new(&server.url()).await);
    let computed = Arc::new(AtomicUsize::new(0));
    let ask = |replica: &Replica| {
        let (cache, computed) = (Arc::clone(&replica.cache), Arc::clone(&computed));
        tokio::spawn(async move {
            let compute = || async {
                computed.fetch_add(1, Relaxed);
                tokio::task::yield_now().await;
                Ok(fresh("list").class(Class::Hot))
            };
            cache.load(&key("list"), Share::Leased, compute).await.expect("a list")
        })
    };
    for asked in [ask(&a), ask(&b), ask(&a), ask(&b)] {
        assert_eq!(asked.await.expect("no panic").value().expect("a value"), "list");
    }
    assert_eq!(computed.load(Relaxed), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_proves_to_be_asked_for_often_is_kept_as_hot() {
    let Some(server) = Server::start(&[]) else { return };
    let a = Replica::new(&server.url()).await;
    a.cache.load(&key("k"), Share::Replicas, || async { Ok(fresh("v")) }).await.expect("v");
    a.stored(1).await;
    let before = server.ttl_ms();
    for _ in 0..20 {
        a.cache.find(&key("k")).expect("kept");
    }
    eventually("it is promoted", || server.ttl_ms() > before).await;
    assert_eq!(a.cache.stats().link.promoted, 1);
    assert!((1_700_000..=1_800_000).contains(&before) && server.ttl_ms() > 7_000_000);
}
