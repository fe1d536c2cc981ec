//! The share of requests that the cache answers when a few users ask often, most ask seldom, and
//! events keep changing what they would get.

use foretaste_cache::{CacheConfig, Clock, Fresh, KeyBuf, Share, TieredCache};
use foretaste_core::Rng;

use crate::world::{Sure, config};

const USERS: usize = 100_000;
const REQUESTS: usize = 600_000;

/// Rank by Zipf's law with exponent 1, by inversion of the continuous law.
fn zipf(rng: &mut Rng) -> usize {
    ((USERS as f64).powf(rng.f64()) as usize).saturating_sub(1).min(USERS - 1)
}

/// The share of hits after as many requests again have filled the cache; every `per_event`-th
/// request is followed by an event of a user by the same law, which makes another key.
async fn hit_rate(max_entries: usize, per_event: usize) -> f64 {
    let config = CacheConfig { max_entries, max_bytes: 1 << 30, ..config() };
    let cache: Sure = TieredCache::new(&config, Clock::default());
    let mut rng = Rng::new(7);
    let mut versions = vec![0_u64; USERS];
    let mut before = cache.stats().l1;
    for i in 0..2 * REQUESTS {
        if i == REQUESTS {
            before = cache.stats().l1;
        }
        let user = zipf(&mut rng);
        let key = KeyBuf::new("r").end_path().number(user as u64).number(versions[user]).clone();
        if cache.find(&key).is_none() {
            let value = || async { Ok(Fresh::new(Some(bytes::Bytes::from_static(&[0; 64])))) };
            let Ok(_) = cache.renew(&key, Share::Process, value).await;
        }
        if i % per_event == 0 {
            versions[zipf(&mut rng)] += 1;
        }
    }
    let after = cache.stats().l1;
    let (hits, misses) = (after.hits - before.hits, after.misses - before.misses);
    hits as f64 / (hits + misses) as f64
}

#[tokio::test]
async fn most_answers_are_ready_under_zipf_with_events() {
    let (roomy, tight) = (hit_rate(200_000, 20).await, hit_rate(20_000, 20).await);
    assert!(roomy >= 0.85, "{roomy}");
    assert!(tight >= 0.70 && tight < roomy, "a tenth of the entries: {tight}");
}
