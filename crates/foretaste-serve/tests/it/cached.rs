//! Answers that are kept are the answers that would be computed, and say where they came from.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use foretaste_cache::CacheConfig;
use foretaste_core::Rng;
use foretaste_serve::ServeConfig;
use foretaste_store::MemoryStore;
use serde_json::json;

use crate::client::{Response, get, get_with, post, request};
use crate::world::{World, patient, write_bundle};

async fn world(enabled: bool) -> World {
    let cache = CacheConfig { enabled, warm_users: 0, ..CacheConfig::default() };
    // Trends move answers by the clock; here only what is done may move them.
    let config = ServeConfig { cache, trends_ms: 3_600_000, ..patient() };
    World::with(config, Arc::new(MemoryStore::new()), true).await
}

fn source(response: &Response) -> &str {
    response.header("x-cache").unwrap_or("none")
}

async fn metric(at: SocketAddr, name: &str) -> u64 {
    let text = get(at, "/metrics").await.body;
    let line = text.lines().find(|l| l.starts_with(name)).unwrap_or_else(|| panic!("{name}"));
    line.rsplit(' ').next().and_then(|n| n.parse().ok()).expect("a number")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_second_answer_is_the_first_one_kept() {
    let world = world(true).await;
    for path in [
        "/v1/recommend/u1?k=4",
        "/v1/recommend/stranger",
        "/v1/similar/item-3?k=3",
        "/v1/trending?window=1h",
        "/v1/popular?category=odd",
        "/v1/latest",
    ] {
        let first = get(world.at, path).await.expect(200);
        let second = get(world.at, path).await.expect(200);
        assert_eq!((source(&first), source(&second)), ("MISS", "HIT"), "{path}");
        assert_eq!((first.header("age"), second.header("age")), (None, Some("0")), "{path}");
        for name in ["etag", "content-type", "x-foretaste-bundle", "cache-control"] {
            assert!(first.header(name).is_some(), "{path}: {name}");
            assert_eq!(first.header(name), second.header(name), "{path}");
        }
        assert_eq!(first.body, second.body, "{path}");
    }
    let hits = metric(world.at, "foretaste_cache_lookups_total{tier=\"l1\",result=\"hit\"}").await;
    assert_eq!(hits, 7, "six answers, and that nothing is known about the stranger");
    assert!(metric(world.at, "foretaste_cache_bytes{tier=\"l1\"}").await > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_question_in_other_words_is_the_same_entry() {
    let world = world(true).await;
    get(world.at, "/v1/recommend/u1?k=5&exclude=item-9&exclude=item-7").await.expect(200);
    let again = [
        get(world.at, "/v1/recommend/u1?exclude=item-7&exclude=item-9&exclude=item-7").await,
        get(world.at, "/v1/recommend/u1?exclude=item-7&exclude=unknown&exclude=item-9&k=5").await,
        post(world.at, "/v1/recommend/u1", r#"{"exclude":["item-7","item-9"]}"#).await,
    ];
    assert!(again.iter().all(|r| source(r) == "HIT"), "{again:?}");
    let others = [
        get(world.at, "/v1/recommend/u1?k=4&exclude=item-9&exclude=item-7").await,
        get(world.at, "/v1/recommend/u1?k=5&exclude=item-9").await,
        get(world.at, "/v1/recommend/u3?k=5&exclude=item-9&exclude=item-7").await,
        get(world.at, "/v1/recommend/u1?k=5&exclude=item-9&exclude=item-7&reasons=true").await,
    ];
    assert!(others.iter().all(|r| source(r) == "MISS"), "{others:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_share_an_answer_as_long_as_nothing_tells_them_apart() {
    let world = world(true).await;
    get(world.at, "/v1/recommend/stranger-1").await.expect(200);
    assert_eq!(source(&get(world.at, "/v1/recommend/stranger-2").await), "HIT");
    let user = json!({ "user_id": "stranger-2", "attributes": { "country": "DE" } });
    post(world.at, "/v1/users", &user.to_string()).await.expect(200);
    assert_eq!(source(&get(world.at, "/v1/recommend/stranger-2").await), "MISS");
    assert_eq!(source(&get(world.at, "/v1/recommend/stranger-1").await), "HIT");
    request(world.at, "DELETE", "/v1/users/stranger-2", "").await.expect(200);
    let event = json!({ "user": "stranger-1", "item": "item-9", "kind": "view" });
    post(world.at, "/v1/events", &event.to_string()).await.expect(200);
    assert_eq!(source(&get(world.at, "/v1/recommend/stranger-1").await), "MISS");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_client_has_is_not_sent_again() {
    let world = world(true).await;
    let path = "/v1/recommend/u1";
    let first = get(world.at, path).await.expect(200);
    let etag = first.header("etag").expect("a tag").to_owned();
    let known = format!("if-none-match: \"other\", {etag}\r\n");
    let second = get_with(world.at, path, &known).await;
    assert_eq!((second.status, second.body.as_str()), (304, ""));
    assert_eq!((second.header("etag"), source(&second)), (Some(etag.as_str()), "HIT"));
    let event = json!({ "user": "u1", "item": "item-20", "kind": "view" });
    post(world.at, "/v1/events", &event.to_string()).await.expect(200);
    assert_eq!(get_with(world.at, path, &known).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn long_answers_are_compressed_once_and_short_ones_never() {
    let world = world(true).await;
    let path = "/v1/recommend/u1?k=20";
    let plain = get(world.at, path).await.expect(200);
    assert!(plain.body.len() > 1_000 && plain.header("content-encoding").is_none());
    for (accepts, name) in [("gzip", "gzip"), ("br", "br"), ("gzip, br, zstd", "zstd")] {
        let header = format!("accept-encoding: {accepts}\r\n");
        for _ in 0..2 {
            let small = get_with(world.at, path, &header).await;
            assert_eq!((small.status, source(&small)), (200, "HIT"), "{small:?}");
            assert_eq!(small.header("content-encoding"), Some(name));
            assert_eq!(small.header("etag"), plain.header("etag"));
            assert_eq!(small.header("vary"), Some("accept-encoding"));
            let length = small.header("content-length").and_then(|n| n.parse::<usize>().ok());
            assert!(length.expect("a length") < plain.body.len() / 2, "{small:?}");
        }
        let short = get_with(world.at, "/v1/recommend/u1?k=1", &header).await;
        assert_eq!(short.header("content-encoding"), None);
    }
    let entries = metric(world.at, "foretaste_cache_entries{tier=\"l1\"}").await;
    assert_eq!(entries, 5, "two answers, and three forms of one");
    request(world.at, "PATCH", "/v1/items/item-7", r#"{"hidden":true}"#).await.expect(200);
    let entries = metric(world.at, "foretaste_cache_entries{tier=\"l1\"}").await;
    assert_eq!(entries, 0, "they all show the item");
    assert_eq!(metric(world.at, "foretaste_cache_computed_total").await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_and_clients_that_ask_for_it_pass_by() {
    let world = world(true).await;
    get(world.at, "/v1/popular").await.expect(200);
    for asks in ["no-cache", "max-age=0, no-store"] {
        let header = format!("cache-control: {asks}\r\n");
        assert_eq!(source(&get_with(world.at, "/v1/popular", &header).await), "BYPASS");
    }
    let session = json!({ "items": ["item-20"], "k": 2 }).to_string();
    assert_eq!(source(&post(world.at, "/v1/session/recommend", &session).await), "BYPASS");
    let off = crate::cached::world(false).await;
    get(off.at, "/v1/popular").await.expect(200);
    assert_eq!(source(&get(off.at, "/v1/popular").await), "BYPASS");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_misses_of_one_answer_compute_it_once() {
    let world = world(true).await;
    let at = world.at;
    let clients: Vec<_> = (0..1_000)
        .map(|_| tokio::spawn(async move { get(at, "/v1/recommend/u1").await }))
        .collect();
    let mut bodies = BTreeMap::new();
    for client in clients {
        let response = client.await.expect("no panic").expect(200);
        *bodies.entry(response.body).or_insert(0) += 1;
    }
    assert_eq!(bodies.into_values().collect::<Vec<_>>(), [1_000]);
    assert_eq!(metric(at, "foretaste_cache_computed_total").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erased_user_leaves_nothing_behind() {
    let world = world(true).await;
    get(world.at, "/v1/recommend/u1").await.expect(200);
    get(world.at, "/v1/recommend/u3").await.expect(200);
    let entries = "foretaste_cache_entries{tier=\"l1\"}";
    assert_eq!(metric(world.at, entries).await, 2);
    request(world.at, "DELETE", "/v1/users/u1", "").await.expect(200);
    assert_eq!(metric(world.at, entries).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_active_finds_an_answer_ready_at_the_start_and_after_a_swap() {
    let config = ServeConfig { cache: CacheConfig::default(), ..patient() };
    let store = Arc::new(MemoryStore::new());
    let mut world = World::with(config.clone(), store.clone(), true).await;
    for path in ["/v1/popular", "/v1/latest", "/v1/trending"] {
        assert_eq!(source(&get(world.at, path).await), "HIT", "{path}");
    }
    let event = json!({ "user": "u1", "item": "item-20", "kind": "view" });
    post(world.at, "/v1/events", &event.to_string()).await.expect(200);
    let path = "/v1/recommend/u1?k=4";
    assert_eq!(source(&get(world.at, path).await), "MISS");
    let next = write_bundle(world.folder.path(), 2);
    let body = json!({ "id": next.as_str() }).to_string();
    post(world.at, "/v1/admin/bundles:promote", &body).await.expect(200);
    let ready = get(world.at, path).await.expect(200);
    assert_eq!((source(&ready), ready.header("x-foretaste-bundle")), ("HIT", Some(next.as_str())));
    assert_eq!(get_with(world.at, path, "cache-control: no-cache\r\n").await.body, ready.body);
    world.ask_to_stop();
    let world = World::in_folder(config, store, world.stopped().await).await;
    assert_eq!(source(&get(world.at, "/v1/recommend/u1").await), "HIT");
}

/// One world with the cache and one without, done the same to.
struct Twins {
    cached: World,
    plain: World,
}

impl Twins {
    async fn both(&self, method: &str, path: &str, body: &str) {
        let [a, b] = [self.cached.at, self.plain.at].map(|at| request(at, method, path, body));
        let (a, b) = (a.await, b.await);
        assert_eq!((a.status, a.body), (b.status, b.body), "{method} {path} {body}");
    }

    async fn same(&self, path: &str, body: Option<&str>) {
        let ask = async |at| match body {
            Some(body) => post(at, path, body).await,
            None => get(at, path).await,
        };
        let (kept, computed) = (ask(self.cached.at).await, ask(self.plain.at).await);
        assert_eq!((kept.status, &kept.body), (computed.status, &computed.body), "{path} {kept:?}");
        assert_eq!(kept.header("etag"), computed.header("etag"), "{path}");
    }

    async fn question(&self, rng: &mut Rng) {
        let user = ["u0", "u1", "u2", "stranger", "nobody"][rng.below(5)];
        match rng.below(8) {
            0 => self.same("/v1/similar/item-3?k=6", None).await,
            1 => self.same("/v1/trending?window=24h&k=7", None).await,
            2 => self.same("/v1/popular?k=30&category=even", None).await,
            3 => {
                let body = json!({ "k": 6, "filter": { "price": { "min": rng.below(3) } } });
                self.same(&format!("/v1/recommend/{user}"), Some(&body.to_string())).await;
            }
            n => {
                let path =
                    format!("/v1/recommend/{user}?k={}&reasons={}", 5 + n, rng.below(2) == 0);
                self.same(&path, None).await;
            }
        }
    }

    async fn change(&self, rng: &mut Rng, bundles: &[String; 2]) {
        let user = ["u0", "u1", "stranger"][rng.below(3)];
        let item = format!("item-{}", rng.below(20));
        match rng.below(12) {
            0 | 1 => {
                let body = json!({ "hidden": rng.below(2) == 0 }).to_string();
                self.both("PATCH", &format!("/v1/items/{item}"), &body).await;
            }
            2 => {
                let body = json!({ "id": bundles[rng.below(2)] }).to_string();
                self.both("POST", "/v1/admin/bundles:promote", &body).await;
            }
            3 => self.both("DELETE", &format!("/v1/users/{user}"), "").await,
            4 => {
                let country = ["DE", "FR"][rng.below(2)];
                let body = json!({ "user_id": user, "attributes": { "country": country } });
                self.both("POST", "/v1/users", &body.to_string()).await;
            }
            5 => {
                let body = json!({ "item_id": item, "hidden": rng.below(2) == 0 }).to_string();
                self.both("POST", "/v1/items", &body).await;
            }
            n => {
                let kind = ["view", "click", "order", "impression"][n % 4];
                let time_ms = crate::world::AS_OF_MS + rng.below(1_000_000) as i64;
                let event = json!({ "user": user, "item": item, "kind": kind, "time_ms": time_ms });
                self.both("POST", "/v1/events", &event.to_string()).await;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn with_the_cache_off_every_answer_is_the_same() {
    for seed in 0..8 {
        let twins = Twins { cached: world(true).await, plain: world(false).await };
        let bundles = [1, 2].map(|n| {
            let id = write_bundle(twins.cached.folder.path(), n);
            write_bundle(twins.plain.folder.path(), n);
            id.as_str().to_owned()
        });
        let mut rng = Rng::new(seed);
        for _ in 0..150 {
            println!("seed {seed}");
            if rng.below(3) == 0 {
                twins.change(&mut rng, &bundles).await;
            } else {
                twins.question(&mut rng).await;
            }
        }
        let hits =
            metric(twins.cached.at, "foretaste_cache_lookups_total{tier=\"l1\",result=\"hit\"}");
        assert!(hits.await > 10, "seed {seed}");
    }
}

/// Writers and readers at once; after every acknowledged write the writer's own next question is
/// answered as it would be without the cache.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_was_acknowledged_is_in_the_next_answer_under_load() {
    let world = world(true).await;
    let at = world.at;
    let tasks = (0..4).map(|n: u64| {
        tokio::spawn(async move {
            let mut rng = Rng::new(n);
            for _ in 0..100 {
                let user = format!("u{n}");
                let item = format!("item-{}", rng.below(30));
                match rng.below(6) {
                    0 => {
                        let hide = rng.below(2) == 0;
                        // Each writer hides items of its own, so that it knows what to expect.
                        let own = format!("item-{}", 30 + 2 * n);
                        let body = json!({ "hidden": hide }).to_string();
                        request(at, "PATCH", &format!("/v1/items/{own}"), &body).await.expect(200);
                        let popular = get(at, "/v1/popular?k=40").await.items();
                        assert_eq!(popular.contains(&own), !hide, "{own}");
                    }
                    1 | 2 => {
                        let event = json!({ "user": user, "item": item, "kind": "order" });
                        post(at, "/v1/events", &event.to_string()).await.expect(200);
                        let next = get(at, &format!("/v1/recommend/{user}?k=40")).await.items();
                        assert!(!next.contains(&item), "{user} owns {item}: {next:?}");
                    }
                    _ => {
                        get(at, "/v1/popular?k=40").await.expect(200);
                        get(at, &format!("/v1/recommend/{user}?k=40")).await.expect(200);
                    }
                }
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.expect("every answer as it should be");
    }
}
