//! However many miss, one computes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use tokio::sync::{Notify, oneshot};

use foretaste_cache::Share;

use crate::world::{cache, fresh, item, key, never};

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_misses_of_one_key_compute_once() {
    let (cache, _) = cache();
    let cache = Arc::new(cache);
    let (computed, go) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
    let mut tasks = Vec::new();
    for _ in 0..1_000 {
        let (cache, computed, go) = (Arc::clone(&cache), Arc::clone(&computed), Arc::clone(&go));
        tasks.push(tokio::spawn(async move {
            let compute = || async {
                computed.fetch_add(1, Relaxed);
                go.notified().await;
                Ok(fresh("value"))
            };
            cache
                .load(&key("hot"), Share::Process, compute)
                .await
                .expect("computed")
                .value()
                .cloned()
        }));
    }
    while cache.stats().coalesced < 999 {
        tokio::task::yield_now().await;
    }
    go.notify_one();
    for task in tasks {
        assert_eq!(task.await.expect("no panic").expect("a value"), "value");
    }
    assert_eq!(computed.load(Relaxed), 1);
    assert_eq!(cache.stats().computed, 1);
    cache.load(&key("hot"), Share::Process, never).await.expect("stored");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_computation_that_is_dropped_hands_over() {
    let (cache, _) = cache();
    let cache = Arc::new(cache);
    let (started, has_started) = oneshot::channel();
    let first = tokio::spawn({
        let cache = Arc::clone(&cache);
        async move {
            let compute = || async {
                started.send(()).expect("awaited");
                std::future::pending().await
            };
            cache.load(&key("a"), Share::Process, compute).await
        }
    });
    has_started.await.expect("started");
    let second = tokio::spawn({
        let cache = Arc::clone(&cache);
        async move { cache.load(&key("a"), Share::Process, || async { Ok(fresh("two")) }).await }
    });
    while cache.stats().coalesced < 1 {
        tokio::task::yield_now().await;
    }
    first.abort();
    let loaded = second.await.expect("no panic").expect("computed");
    assert_eq!(loaded.value().expect("a value"), "two");
}

#[tokio::test]
async fn an_error_goes_to_everybody_who_waited_and_is_not_stored() {
    let (cache, _) = cache();
    let name = key("a");
    let failing = || async {
        tokio::task::yield_now().await;
        Err("planted".to_owned())
    };
    let both = tokio::join!(
        cache.load(&name, Share::Process, failing),
        cache.load(&name, Share::Process, never)
    );
    assert_eq!(both.0.expect_err("planted"), "planted");
    assert_eq!(both.1.expect_err("planted"), "planted");
    let loaded = cache
        .load(&key("a"), Share::Process, || async { Ok(fresh("good")) })
        .await
        .expect("computed");
    assert_eq!(loaded.value().expect("a value"), "good");
}

#[tokio::test]
async fn who_comes_after_a_change_does_not_join_a_flight_from_before_it() {
    let (cache, _) = cache();
    let (early, late) = (Notify::new(), Notify::new());
    let name = key("a");
    let old = cache.load(&name, Share::Process, || async {
        early.notify_one();
        late.notified().await;
        Ok(fresh("old").depends_on([item("x")]))
    });
    let new = async {
        early.notified().await;
        cache.invalidate(&[item("x")]);
        let new = cache
            .load(&name, Share::Process, || async { Ok(fresh("new").depends_on([item("x")])) });
        let new = new.await.expect("computed");
        late.notify_one();
        new
    };
    let (old, new) = tokio::join!(old, new);
    assert_eq!(old.expect("computed").value().expect("a value"), "old");
    assert_eq!(new.value().expect("a value"), "new");
    let stored = cache.load(&key("a"), Share::Process, never).await.expect("stored");
    assert_eq!(stored.value().expect("a value"), "new", "the old value is not stored over it");
    assert_eq!(cache.stats().outdated, 1);
}
