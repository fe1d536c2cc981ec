//! What depends on a thing goes when the thing changes, through other entries, too.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};

use bytes::Bytes;
use foretaste_cache::{Clock, Dependency, Fresh, KeyBuf, Share, TieredCache};

use crate::world::{Sure, cache, config, fresh, get, item, key, put};

#[tokio::test]
async fn only_dependents_go() {
    let (cache, _) = cache();
    put(&cache, "a", fresh("1").depends_on([item("x"), item("y")])).await;
    put(&cache, "b", fresh("2").depends_on([item("y")])).await;
    put(&cache, "c", fresh("3")).await;
    assert_eq!(cache.invalidate(&[item("x"), item("none")]), 1);
    assert_eq!(get(&cache, "a"), None);
    assert_eq!((get(&cache, "b").as_deref(), get(&cache, "c").as_deref()), (Some("2"), Some("3")));
    assert_eq!(cache.invalidate(&[Dependency::new("user", "x")]), 0);
    assert_eq!(cache.stats().l1.invalidated, 1);
}

#[tokio::test]
async fn dependents_of_dependents_go_even_when_the_link_has_been_evicted() {
    let (cache, _) = cache();
    let user = Dependency::new("user", "ann");
    put(&cache, "profile", fresh("p").depends_on([user])).await;
    let profile = cache.find(&key("profile")).expect("stored").loaded;
    put(&cache, "features", fresh("f").made_from(&profile)).await;
    let features = cache.find(&key("features")).expect("stored").loaded;
    put(&cache, "answer", fresh("a").made_from(&features).depends_on([item("x")])).await;
    cache.clear_prefix(KeyBuf::new("test").segment("profile"));
    cache.clear_prefix(KeyBuf::new("test").segment("features"));
    assert_eq!(get(&cache, "answer").as_deref(), Some("a"));
    assert_eq!(cache.invalidate(&[user]), 1);
    assert_eq!(get(&cache, "answer"), None);
}

#[tokio::test]
async fn another_form_of_a_value_goes_with_it() {
    let (cache, _) = cache();
    put(&cache, "a", fresh("plain").depends_on([item("x")])).await;
    let plain = cache.find(&key("a")).expect("stored").loaded;
    cache.keep_variant(&key("a"), &plain, (&key("a+gzip"), Bytes::from_static(b"small")));
    assert_eq!(get(&cache, "a+gzip").as_deref(), Some("small"));
    assert_eq!(cache.invalidate(&[item("x")]), 2);
    cache.keep_variant(&key("a"), &plain, (&key("a+gzip"), Bytes::from_static(b"small")));
    assert_eq!(get(&cache, "a+gzip"), None, "the original is outdated");
}

#[tokio::test]
async fn a_prefix_clears_its_kind_only() {
    let (cache, _) = cache();
    for name in ["a", "ab", "b"] {
        put(&cache, name, fresh(name)).await;
    }
    assert_eq!(cache.clear_prefix(KeyBuf::new("test").segment("a")), 1);
    assert_eq!((get(&cache, "a"), get(&cache, "ab").as_deref()), (None, Some("ab")));
    assert_eq!(cache.clear_prefix(&KeyBuf::new("other")), 0);
    assert_eq!(cache.clear(), 2);
}

/// Writers change a number and invalidate; readers must never see a number older than the last
/// one that was acknowledged before they asked.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nobody_sees_what_was_outdated_before_the_question() {
    let cache: Arc<Sure> = Arc::new(TieredCache::new(&config(), Clock::default()));
    let [truth, acknowledged, reads] = [(); 3].map(|()| Arc::new(AtomicU64::new(0)));
    let done = Arc::new(AtomicBool::new(false));
    let mut readers = Vec::new();
    for _ in 0..4 {
        let (cache, truth, reads) = (Arc::clone(&cache), Arc::clone(&truth), Arc::clone(&reads));
        let (acknowledged, done) = (Arc::clone(&acknowledged), Arc::clone(&done));
        readers.push(tokio::spawn(async move {
            while !done.load(SeqCst) {
                let least = acknowledged.load(SeqCst);
                let seen = read(&cache, &truth).await;
                assert!(seen >= least, "saw {seen} after {least} was acknowledged");
                reads.fetch_add(1, SeqCst);
            }
        }));
    }
    let mut n = 0;
    while reads.load(SeqCst) < 50_000 && readers.iter().all(|r| !r.is_finished()) {
        n += 1;
        truth.store(n, SeqCst);
        cache.invalidate(&[item("x")]);
        acknowledged.store(n, SeqCst);
        let enough = 5 * n;
        while reads.load(SeqCst) < enough && readers.iter().all(|r| !r.is_finished()) {
            tokio::task::yield_now().await;
        }
    }
    done.store(true, SeqCst);
    for reader in readers {
        reader.await.expect("no stale answer");
    }
    assert!(cache.stats().l1.hits > 0, "{:?}", cache.stats());
}

async fn read(cache: &Sure, truth: &AtomicU64) -> u64 {
    let loaded = match cache.find(&key("n")) {
        Some(found) => found.loaded,
        None => {
            let compute = || async {
                let n = truth.load(SeqCst);
                tokio::task::yield_now().await;
                let bytes = Bytes::copy_from_slice(&n.to_le_bytes());
                Ok(Fresh::new(Some(bytes)).depends_on([item("x")]))
            };
            let Ok(loaded) = cache.load(&key("n"), Share::Process, compute).await;
            loaded
        }
    };
    let bytes = loaded.value().expect("a value").as_ref().try_into().expect("eight bytes");
    u64::from_le_bytes(bytes)
}
