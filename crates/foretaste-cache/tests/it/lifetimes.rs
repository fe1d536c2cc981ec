//! Entries live as long as their use deserves, and one caller renews them.

use foretaste_cache::{Fresh, Share};

use crate::world::{cache, fresh, get, key, never, put};

const MINUTE: u64 = 60_000;

#[tokio::test]
async fn a_new_entry_is_stale_after_half_an_hour_and_gone_five_minutes_later() {
    let (cache, clock) = cache();
    put(&cache, "a", fresh("one")).await;
    clock.advance(30 * MINUTE - 1);
    let found = cache.find(&key("a")).expect("fresh");
    assert_eq!((found.is_stale, found.renew, found.loaded.age_ms), (false, false, 30 * MINUTE - 1));
    clock.advance(1);
    let found = cache.find(&key("a")).expect("stale");
    assert_eq!((found.is_stale, found.renew), (true, true));
    let found = cache.find(&key("a")).expect("stale");
    assert_eq!((found.is_stale, found.renew), (true, false), "one caller renews");
    clock.advance(40 * MINUTE);
    assert!(cache.find(&key("a")).is_none());
    let stats = cache.stats();
    assert_eq!((stats.l1.hits, stats.l1.stale, stats.l1.misses), (1, 2, 1));
}

#[tokio::test]
async fn use_prolongs_and_renewal_halves_what_was_earned() {
    let (cache, clock) = cache();
    put(&cache, "a", fresh("one")).await;
    for _ in 0..20 {
        get(&cache, "a");
    }
    clock.advance(108 * MINUTE);
    let found = cache.find(&key("a")).expect("ageing");
    assert_eq!((found.is_stale, found.renew), (false, true), "renewed ahead of its end");
    put(&cache, "a", fresh("two")).await;
    assert_eq!(get(&cache, "a").as_deref(), Some("two"));
    clock.advance(119 * MINUTE);
    assert!(!cache.find(&key("a")).expect("ten hits are left of twenty").is_stale);
}

#[tokio::test]
async fn nothing_is_remembered_for_half_a_minute() {
    let (cache, clock) = cache();
    put(&cache, "a", Fresh::new(None)).await;
    let found = cache.load(&key("a"), Share::Process, never).await.expect("remembered");
    assert_eq!(found.value(), None);
    clock.advance(30_000);
    assert!(cache.find(&key("a")).is_none());
}
