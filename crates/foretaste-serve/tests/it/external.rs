//! Channels outside of the process: what they say counts; what they do not say is left out, named
//! and not kept.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use foretaste_pipeline::{ChannelConfig, SceneConfig, Scenes};
use foretaste_serve::{ExternalConfig, ServeConfig};
use foretaste_store::MemoryStore;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::client::{Response, get, ids, post, request};
use crate::world::{World, eventually, patient};

const GOOD: &str = r#"{"items":[
    {"item_id":"item-30","score":0.5},{"item_id":"item-32","score":2.0},
    {"item_id":"unknown","score":9.0},{"item_id":"item-34","score":null},
    {"item_id":"item-36","score":-1.0},{"item_id":"item-32","score":0.1}]}"#;

/// How the channel answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mood {
    Good,
    Other,
    Slow,
    Hung,
    Garbage,
    Huge,
    Sick,
    Abrupt,
}

/// A channel: a server of its own.
struct Far {
    at: SocketAddr,
    mood: Arc<Mutex<Mood>>,
    asked: Arc<Mutex<Vec<String>>>,
    serving: JoinHandle<()>,
}

impl Far {
    async fn start(mood: Mood) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let at = listener.local_addr().expect("address");
        let (mood, asked) = (Arc::new(Mutex::new(mood)), Arc::default());
        let (its_mood, its_asked) = (Arc::clone(&mood), Arc::clone(&asked));
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(talk(stream, Arc::clone(&its_mood), Arc::clone(&its_asked)));
            }
        });
        Self { at, mood, asked, serving }
    }

    fn set(&self, mood: Mood) {
        *self.mood.lock().expect("mood") = mood;
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().expect("asked").clone()
    }
}

async fn talk(mut stream: TcpStream, mood: Arc<Mutex<Mood>>, asked: Arc<Mutex<Vec<String>>>) {
    let mut head = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(n @ 1..) = stream.read(&mut buffer).await {
        head.extend_from_slice(&buffer[..n]);
        if !head.ends_with(b"\r\n\r\n") {
            continue;
        }
        let text = String::from_utf8_lossy(&head).into_owned();
        asked.lock().expect("asked").push(text.split(' ').nth(1).unwrap_or_default().to_owned());
        head.clear();
        let mood = *mood.lock().expect("mood");
        let (status, body) = match mood {
            Mood::Good => (200, GOOD.to_owned()),
            Mood::Other => (200, r#"{"items":[{"item_id":"item-38","score":1}]}"#.to_owned()),
            Mood::Slow => {
                tokio::time::sleep(Duration::from_secs(2)).await;
                (200, GOOD.to_owned())
            }
            Mood::Hung => std::future::pending().await,
            Mood::Garbage => (200, "<html>not a list</html>".to_owned()),
            Mood::Huge => (200, format!("{{\"items\":[]{}}}", " ".repeat(1 << 20))),
            Mood::Sick => (500, GOOD.to_owned()),
            Mood::Abrupt => return,
        };
        let length = body.len();
        let answer = format!("HTTP/1.1 {status} X\r\ncontent-length: {length}\r\n\r\n{body}");
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

fn channel(at: SocketAddr) -> ExternalConfig {
    ExternalConfig {
        url: format!("http://{at}/near/{{user}}?scene={{scene}}&n={{n}}"),
        budget_ms: 10_000,
        ttl_s: 3_600,
        ..ExternalConfig::default()
    }
}

async fn world(channel: ExternalConfig) -> World {
    world_of(patient(), channel).await
}

async fn world_of(config: ServeConfig, channel: ExternalConfig) -> World {
    let far = ChannelConfig { weight: Some(5.0), quota: 0, ..Default::default() };
    let scene = SceneConfig {
        k: 5,
        channels: [("far".to_owned(), far)].into(),
        ..SceneConfig::evaluation()
    };
    let plain = SceneConfig { k: 5, ..SceneConfig::evaluation() };
    let scenes = BTreeMap::from([("default".to_owned(), scene), ("plain".to_owned(), plain)]);
    let config = ServeConfig { channels: [("far".to_owned(), channel)].into(), ..config };
    let scenes = Scenes::new(scenes).expect("valid scenes");
    World::of_scenes(config, Arc::new(MemoryStore::new()), scenes).await
}

fn far_share(slate: &Value, item: &str) -> Option<f64> {
    let items = slate["items"].as_array().expect("items");
    let item = items.iter().find(|i| i["item_id"] == item)?;
    let shares = item["channels"].as_array().expect("channels");
    shares.iter().find(|c| c["channel"] == "far").and_then(|c| c["share"].as_f64())
}

async fn counted(world: &World, result: &str) -> bool {
    let line = format!("foretaste_external_calls_total{{channel=\"far\",result=\"{result}\"}}");
    get(world.at, "/metrics").await.body.contains(&line)
}

#[tokio::test(flavor = "multi_thread")]
async fn its_list_counts_by_its_weight_is_explained_and_is_asked_for_once() {
    let far = Far::start(Mood::Good).await;
    let world = world(channel(far.at)).await;
    let first = get(world.at, "/v1/recommend/u1?k=3").await.expect(200);
    let slate = first.json();
    assert_eq!((ids(&slate)[0].as_str(), &slate["degraded"]), ("item-32", &json!([])));
    assert!(far_share(&slate, "item-32").expect("its channel") > 0.99);
    assert_eq!(far.asked(), ["/near/u1?scene=default&n=60"]);
    let again = get(world.at, "/v1/recommend/u1?k=3").await.expect(200);
    assert_eq!((again.header("x-cache"), &again.body), (Some("HIT"), &first.body));
    assert_eq!(far.asked().len(), 1, "a kept answer asks nobody");

    let explained = get(world.at, "/v1/explain/u1/item-30?k=3").await.expect(200).json();
    let said = explained["channels"].as_array().expect("channels");
    let said = said.iter().find(|c| c["channel"] == "far").expect("the channel");
    assert_eq!((&said["raw"], &said["weight"]), (&json!(0.5), &json!(5.0)));
    assert_eq!(said["calibrated"], json!(1.25), "weight * raw / the best");
    for dropped in ["item-34", "item-36"] {
        let path = format!("/v1/explain/u1/{dropped}");
        let explained = get(world.at, &path).await.expect(200).json();
        let said = explained["channels"].as_array().expect("channels");
        assert!(said.iter().all(|c| c["channel"] != "far" || c["raw"] == json!(0.0)), "{said:?}");
    }
    request(world.at, "PATCH", "/v1/items/item-32", r#"{"hidden":true}"#).await.expect(200);
    let hidden = get(world.at, "/v1/recommend/u1?k=40").await.items();
    assert!(!hidden.contains(&"item-32".to_owned()) && hidden.contains(&"item-30".to_owned()));
    assert!(counted(&world, "answered").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_use_it_and_who_is_nobody_does_not_ask() {
    let far = Far::start(Mood::Good).await;
    let world = world(channel(far.at)).await;
    get(world.at, "/v1/recommend/u1?scene=plain").await.expect(200);
    get(world.at, "/v1/popular").await.expect(200);
    get(world.at, "/v1/similar/item-3").await.expect(200);
    let session = post(world.at, "/v1/session/recommend", r#"{"items":["item-20"]}"#).await;
    assert_eq!(session.expect(200).json()["degraded"], json!([]));
    assert_eq!(far.asked(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_asks_for_each_of_its_users() {
    let far = Far::start(Mood::Good).await;
    let world = world(channel(far.at)).await;
    let body = json!({ "users": ["u0", "u1", "new one"], "k": 2 }).to_string();
    let batch = post(world.at, "/v1/recommend:batch", &body).await.expect(200).json();
    for result in batch["results"].as_array().expect("results") {
        assert!(far_share(&result["answer"], "item-32").is_some(), "{result}");
    }
    let mut asked = far.asked();
    asked.sort();
    let expected = ["/near/new%20one", "/near/u0", "/near/u1"];
    assert_eq!(asked, expected.map(|path| format!("{path}?scene=default&n=60")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_leaves_time_for_the_channels_inside() {
    let far = Far::start(Mood::Hung).await;
    let config = ServeConfig { deadline_ms: 4_000, ..patient() };
    let world = world_of(config, channel(far.at)).await;
    let body = json!({ "users": ["u0", "u1"], "k": 2 }).to_string();
    let batch = post(world.at, "/v1/recommend:batch", &body).await.expect(200).json();
    for result in batch["results"].as_array().expect("results") {
        let degraded = &result["answer"]["degraded"];
        assert_eq!(*degraded, json!(["channel far was late and is left out"]), "{result}");
    }
    let alone = get(world.at, "/v1/recommend/u2?k=2").await.expect(200).json();
    assert_eq!(alone["degraded"], json!(["channel far was late and is left out"]), "{alone}");
}

/// Asks once and checks that the answer is right without the channel.
async fn without(world: &World, user: &str) -> Response {
    let response = get(world.at, &format!("/v1/recommend/{user}?k=3")).await.expect(200);
    let plain = get(world.at, &format!("/v1/recommend/{user}?k=3&scene=plain")).await.items();
    assert_eq!(response.items(), plain);
    response
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_late_is_left_out_and_the_answer_is_not_kept() {
    for mood in [Mood::Slow, Mood::Hung] {
        let far = Far::start(mood).await;
        let world = world(ExternalConfig { budget_ms: 100, ..channel(far.at) }).await;
        let response = without(&world, "u1").await;
        let expected = json!(["channel far was late and is left out"]);
        assert_eq!(response.json()["degraded"], expected);
        assert!(counted(&world, "late").await);
        far.set(Mood::Good);
        eventually("the channel answers in time", || async {
            far_share(&get(world.at, "/v1/recommend/u1?k=3").await.json(), "item-32").is_some()
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_used_is_left_out_and_the_answer_is_not_kept() {
    let far = Far::start(Mood::Garbage).await;
    let patient = ExternalConfig { breaker_failures: 1_000, ..channel(far.at) };
    let world = world(patient).await;
    for (mood, result) in [
        (Mood::Garbage, "malformed"),
        (Mood::Huge, "too_long"),
        (Mood::Sick, "status"),
        (Mood::Abrupt, "connection"),
    ] {
        far.set(mood);
        let response = without(&world, "u1").await;
        let expected = json!(["channel far gave no answer and is left out"]);
        assert_eq!(response.json()["degraded"], expected, "{mood:?}");
        assert!(counted(&world, result).await, "{mood:?}");
    }
    far.set(Mood::Good);
    let slate = get(world.at, "/v1/recommend/u1?k=3").await.expect(200).json();
    assert!(far_share(&slate, "item-32").is_some());
    far.set(Mood::Abrupt); // for the connection that is still open
    far.serving.abort();
    assert!(far.serving.await.expect_err("aborted").is_cancelled());
    without(&world, "u2").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_fails_often_is_left_alone_for_a_while_and_comes_back() {
    let far = Far::start(Mood::Sick).await;
    let config = ExternalConfig { breaker_failures: 3, breaker_pause_ms: 3_000, ..channel(far.at) };
    let world = world(config).await;
    for n in 0..10 {
        without(&world, &format!("u{n}")).await;
    }
    let asked = far.asked().len();
    assert!((3..10).contains(&asked), "{asked} of 10 asked");
    assert!(counted(&world, "paused").await);
    far.set(Mood::Good);
    eventually("it is asked again", || async {
        far_share(&get(world.at, "/v1/recommend/u1?k=3").await.json(), "item-32").is_some()
    })
    .await;
    let metrics = get(world.at, "/metrics").await.body;
    assert!(metrics.contains("foretaste_external_paused{channel=\"far\"} 0"));
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_with_its_lists_do_not_outlive_them() {
    let far = Far::start(Mood::Good).await;
    let world = world(ExternalConfig { ttl_s: 1, ..channel(far.at) }).await;
    let slate = get(world.at, "/v1/recommend/u1?k=3").await.expect(200).json();
    assert!(far_share(&slate, "item-32").is_some());
    far.set(Mood::Other);
    eventually("its new list is in the answer", || async {
        far_share(&get(world.at, "/v1/recommend/u1?k=3").await.json(), "item-38").is_some()
    })
    .await;
}
