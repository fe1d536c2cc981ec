//! gRPC as a real client meets it: the answers of HTTP, statuses, deadlines, health.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use foretaste_proto::v1::filter::{Attribute, Condition, List, Price};
use foretaste_proto::v1::foretaste_client::ForetasteClient;
use foretaste_proto::v1::recommend_batch_response::result::Outcome;
use foretaste_proto::v1::trending_request::Window;
use foretaste_proto::v1::{
    Event, Filter, ListRequest, RecommendBatchRequest, RecommendRequest, RecommendSessionRequest,
    Settings, SimilarRequest, Slate, TrendingRequest, WriteEventsRequest,
};
use foretaste_serve::{ServeConfig, Timeouts};
use foretaste_store::MemoryStore;
use hyper::body::{Body, Frame};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tonic::transport::Channel;
use tonic::{Code, Request, Response};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_types::StatusExt;

use crate::client::{get, post};
use crate::world::{World, eventually, patient};

fn with_grpc(config: ServeConfig) -> ServeConfig {
    ServeConfig { grpc_listen: Some(SocketAddr::from(([127, 0, 0, 1], 0))), ..config }
}

async fn world() -> (World, ForetasteClient<Channel>) {
    let world = World::with(with_grpc(patient()), Arc::new(MemoryStore::new()), true).await;
    let client = ForetasteClient::new(channel(&world).await);
    (world, client)
}

async fn channel(world: &World) -> Channel {
    let at = world.addresses.grpc.expect("a gRPC listener");
    let endpoint = Channel::from_shared(format!("http://{at}")).expect("address");
    endpoint.connect().await.expect("connect")
}

fn settings(k: u32) -> Option<Settings> {
    Some(Settings { k, ..Settings::default() })
}

fn of(user: &str, k: u32) -> RecommendRequest {
    RecommendRequest { user: user.into(), settings: settings(k), ..RecommendRequest::default() }
}

fn filter(condition: Condition) -> Filter {
    Filter { condition: Some(condition) }
}

fn ids(slate: &Slate) -> Vec<&str> {
    slate.items.iter().map(|item| &*item.item_id).collect()
}

/// The slate as HTTP writes it, with absent fields left out as there.
fn as_json(slate: &Slate) -> Value {
    let item = |item: &foretaste_proto::v1::Item| {
        let channels = item.channels.iter();
        let channels = channels.map(|c| json!({ "channel": c.channel, "share": c.share }));
        let because = item.because.iter();
        let because =
            because.map(|b| json!({ "item_id": b.item_id, "title": b.title, "share": b.share }));
        let because: Vec<Value> = because.collect();
        without_absent(json!({
            "item_id": item.item_id, "score": item.score, "title": item.title,
            "categories": item.categories, "price": item.price,
            "channels": channels.collect::<Vec<_>>(),
            "because": (!because.is_empty()).then_some(because), "note": item.note,
        }))
    };
    without_absent(json!({
        "bundle": slate.bundle, "scene": slate.scene, "fallback": slate.fallback,
        "items": slate.items.iter().map(item).collect::<Vec<_>>(),
        "degraded": slate.degraded, "n_candidates": slate.n_candidates,
    }))
}

fn without_absent(mut value: Value) -> Value {
    value.as_object_mut().expect("object").retain(|_, v| !v.is_null());
    value
}

/// What HTTP answers, with floats as narrow as messages carry them.
fn narrow(value: Value) -> Value {
    match value {
        Value::Number(n) if n.is_f64() => json!(n.as_f64().expect("f64") as f32),
        Value::Array(all) => all.into_iter().map(narrow).collect(),
        Value::Object(map) => map.into_iter().map(|(k, v)| (k, narrow(v))).collect(),
        other => other,
    }
}

#[track_caller]
fn same(grpc: &Response<Slate>, http: &crate::client::Response) {
    assert_eq!(http.status, 200, "{http:?}");
    assert_eq!(as_json(grpc.get_ref()), narrow(http.json()));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_method_answers_what_http_answers() {
    let (world, mut client) = world().await;
    let at = world.at;
    let request = RecommendRequest {
        settings: Some(Settings {
            k: 6,
            reasons: true,
            exclude: vec!["item-9".into()],
            filter: Some(filter(Condition::Category("odd".into()))),
            ..Settings::default()
        }),
        ..of("u1", 6)
    };
    let path = "/v1/recommend/u1?k=6&reasons=true&exclude=item-9&category=odd";
    let body =
        json!({ "k": 6, "reasons": true, "exclude": ["item-9"], "filter": { "category": "odd" } });
    let grpc = client.recommend(request.clone()).await.expect("answer");
    assert_eq!(
        ids(grpc.get_ref()),
        ["item-7", "item-11", "item-13", "item-15", "item-17", "item-19"]
    );
    assert!(!grpc.get_ref().items[0].because.is_empty());
    same(&grpc, &get(at, path).await);
    same(&grpc, &post(at, "/v1/recommend/u1", &body.to_string()).await);
    let again = client.recommend(request).await.expect("answer");
    assert_eq!(
        (grpc.metadata().get("x-cache"), again.metadata().get("x-cache")),
        (Some(&"MISS".parse().expect("word")), Some(&"HIT".parse().expect("word")))
    );

    let session = RecommendSessionRequest {
        items: vec!["item-20".into()],
        settings: settings(3),
        ..RecommendSessionRequest::default()
    };
    let grpc = client.recommend_session(session).await.expect("answer");
    same(&grpc, &post(at, "/v1/session/recommend", r#"{"items":["item-20"],"k":3}"#).await);

    let similar = SimilarRequest { item: "item/39 é".into(), settings: settings(4) };
    let grpc = client.similar(similar).await.expect("answer");
    same(&grpc, &get(at, "/v1/similar/item%2F39%20%C3%A9?k=4").await);

    let list = ListRequest { k: 7, ..ListRequest::default() };
    same(&client.popular(list.clone()).await.expect("answer"), &get(at, "/v1/popular?k=7").await);
    same(&client.latest(list.clone()).await.expect("answer"), &get(at, "/v1/latest?k=7").await);
    for (window, word) in [(Window::Unspecified, "24h"), (Window::Hour, "1h"), (Window::Week, "7d")]
    {
        let trending = TrendingRequest { window: window.into(), list: Some(list.clone()) };
        let grpc = client.trending(trending).await.expect("answer");
        same(&grpc, &get(at, &format!("/v1/trending?k=7&window={word}")).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_mean_what_they_mean_over_http() {
    let (world, mut client) = world().await;
    let all = |filters| Condition::And(List { filters });
    let condition = all(vec![
        filter(Condition::Or(List {
            filters: vec![
                filter(Condition::Category("odd".into())),
                filter(Condition::Tag("none".into())),
            ],
        })),
        filter(Condition::Price(Price { min: Some(30.0), max: None })),
        filter(Condition::Not(Box::new(filter(Condition::Attribute(Attribute {
            key: "a".into(),
            value: "b".into(),
        }))))),
        filter(Condition::CreatedAfterMs(1)),
    ]);
    let settings = Some(Settings { k: 2, filter: Some(filter(condition)), ..Settings::default() });
    let grpc =
        client.recommend(RecommendRequest { settings, ..of("u1", 2) }).await.expect("answer");
    let body = json!({ "k": 2, "filter": { "and": [
        { "or": [{ "category": "odd" }, { "tag": "none" }] }, { "price": { "min": 30 } },
        { "not": { "attribute": { "key": "a", "value": "b" } } }, { "created_after_ms": 1 },
    ] } });
    same(&grpc, &post(world.at, "/v1/recommend/u1", &body.to_string()).await);
    assert_eq!(ids(grpc.get_ref()), ["item-31", "item-33"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_keeps_its_users_apart_and_events_count_at_once() {
    let (world, mut client) = world().await;
    let users = || vec!["u0".into(), String::new(), "u7".into()];
    let batch = RecommendBatchRequest { users: users(), settings: settings(3) };
    let before = client.recommend_batch(batch.clone()).await.expect("answer").into_inner();
    let Some(Outcome::Slate(slate)) = &before.results[0].outcome else { panic!("{before:?}") };
    let http = get(world.at, "/v1/recommend/u0?k=3").await.json();
    assert_eq!(as_json(slate), narrow(http));
    let Some(Outcome::Problem(problem)) = &before.results[1].outcome else { panic!("{before:?}") };
    assert_eq!(problem.code, Code::InvalidArgument as i32);
    let event = |item: &str| Event {
        event_id: item.into(),
        user: "u7".into(),
        item: item.into(),
        kind: "order".into(),
        ..Event::default()
    };
    let events = || WriteEventsRequest { events: vec![event("item-21"), event("item-23")] };
    let written = client.write_events(events()).await.expect("stored").into_inner();
    assert_eq!((written.accepted, written.duplicates), (2, 0));
    let written = client.write_events(events()).await.expect("stored").into_inner();
    assert_eq!((written.accepted, written.duplicates), (0, 2));
    let after = client.recommend_batch(batch).await.expect("answer").into_inner();
    assert_eq!(after.results[0], before.results[0]);
    assert_ne!(after.results[2], before.results[2], "the events count");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_has_a_code_and_names_the_field() {
    let (_world, mut client) = world().await;
    let code = |status: tonic::Status| (status.code(), status.message().to_owned());
    let (found, said) = code(client.recommend(of("u1", 501)).await.expect_err("k"));
    assert_eq!(found, Code::InvalidArgument);
    assert!(said.contains("1 to 500"), "{said}");
    let unknown = Settings { scene: "none".into(), ..Settings::default() };
    let unknown = RecommendRequest { settings: Some(unknown), ..of("u1", 0) };
    assert_eq!(client.recommend(unknown).await.expect_err("scene").code(), Code::InvalidArgument);
    let empty = Settings { filter: Some(Filter::default()), ..Settings::default() };
    let empty = RecommendRequest { settings: Some(empty), ..of("u1", 0) };
    assert_eq!(client.recommend(empty).await.expect_err("filter").code(), Code::InvalidArgument);
    let deep = (0..50).fold(filter(Condition::Tag("t".into())), |inner, _| {
        filter(Condition::Not(Box::new(inner)))
    });
    let deep = Settings { filter: Some(deep), ..Settings::default() };
    let deep = RecommendRequest { settings: Some(deep), ..of("u1", 0) };
    assert!(client.recommend(deep).await.is_err());
    let missing = SimilarRequest { item: "none".into(), settings: None };
    assert_eq!(client.similar(missing).await.expect_err("item").code(), Code::NotFound);

    let good =
        Event { user: "u".into(), item: "i".into(), kind: "view".into(), ..Event::default() };
    let bad = Event { user: String::new(), ..good.clone() };
    let events = WriteEventsRequest { events: vec![good.clone(), bad] };
    let status = client.write_events(events).await.expect_err("a user without id");
    let wrong = status.get_details_bad_request().expect("which field");
    assert_eq!(wrong.field_violations[0].field, "1.user");
    let many = WriteEventsRequest { events: vec![good.clone(); 10_001] };
    assert_eq!(client.write_events(many).await.expect_err("many").code(), Code::InvalidArgument);
    let long = Event { kind: "x".repeat(2 << 20), ..good };
    let status = client.write_events(WriteEventsRequest { events: vec![long] }).await;
    assert_eq!(status.expect_err("long").code(), Code::OutOfRange);
}

/// The body of a call whose message does not arrive.
struct Never;

impl Body for Never {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Pending
    }
}

/// The status of a call that is never finished, by a client that leaves its deadline to the server.
async fn never_finished(world: &World, timeout: &str) -> Option<String> {
    let at = world.addresses.grpc.expect("a gRPC listener");
    let stream = TcpStream::connect(at).await.expect("connect");
    let (mut sender, connection) =
        http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.expect("handshake");
    let connection = tokio::spawn(connection);
    let call = hyper::Request::post(format!("http://{at}/foretaste.v1.Foretaste/Recommend"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("grpc-timeout", timeout)
        .body(Never)
        .expect("request");
    let response = sender.send_request(call).await.expect("response");
    connection.abort();
    let status = response.headers().get("grpc-status");
    status.and_then(|status| status.to_str().ok()).map(str::to_owned)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_is_kept_and_a_wrong_one_refused() {
    let (world, mut client) = world().await;
    assert_eq!(never_finished(&world, "50m").await, Some("4".to_owned()), "DEADLINE_EXCEEDED");
    let mut call = Request::new(of("u1", 5));
    call.metadata_mut().insert("grpc-timeout", "soon".parse().expect("word"));
    assert_eq!(client.recommend(call).await.expect_err("wrong").code(), Code::InvalidArgument);
    let mut call = Request::new(of("u1", 5));
    call.set_timeout(Duration::from_secs(60));
    call.metadata_mut().insert("x-request-id", "mine-1".parse().expect("word"));
    call.metadata_mut().insert("cache-control", "max-age=0, no-store".parse().expect("word"));
    let answer = client.recommend(call).await.expect("in time");
    assert_eq!(answer.metadata().get("x-request-id"), Some(&"mine-1".parse().expect("word")));
    assert_eq!(answer.metadata().get("x-cache"), Some(&"BYPASS".parse().expect("word")));
    let metrics = get(world.at, "/metrics").await.body;
    for status in [200, 400, 503] {
        let line = format!(
            "method=\"GRPC\",route=\"/foretaste.v1.Foretaste/Recommend\",status=\"{status}\""
        );
        assert!(metrics.contains(&line), "{line}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_bundle_calls_are_told_when_to_come_back() {
    let world = World::with(with_grpc(patient()), Arc::new(MemoryStore::new()), false).await;
    let mut health = HealthClient::new(channel(&world).await);
    let check = health.check(HealthCheckRequest::default()).await.expect("health").into_inner();
    assert_eq!(check.status(), ServingStatus::NotServing);
    let mut client = ForetasteClient::new(channel(&world).await);
    let status = client.recommend(of("u1", 1)).await.expect_err("no bundle");
    assert_eq!(status.code(), Code::Unavailable);
    let retry = status.get_details_retry_info().expect("when");
    assert_eq!(retry.retry_delay, Some(Duration::from_secs(1)));
    let id = crate::world::write_bundle(world.folder.path(), 1);
    foretaste_bundle::activate(world.folder.path(), &id).expect("activate");
    eventually("serving", || async {
        let mut health = health.clone();
        let request = HealthCheckRequest { service: "foretaste.v1.Foretaste".into() };
        health.check(request).await.expect("health").into_inner().status() == ServingStatus::Serving
    })
    .await;
    client.recommend(of("u1", 1)).await.expect("a bundle");
}

#[tokio::test(flavor = "multi_thread")]
async fn while_draining_health_says_so_and_calls_are_still_answered() {
    // On a busy machine a call may take seconds.
    let timeouts = Timeouts { drain_ms: 10_000, ..patient().timeouts };
    let config = with_grpc(ServeConfig { timeouts, ..patient() });
    let mut world = World::with(config, Arc::new(MemoryStore::new()), true).await;
    let mut client = ForetasteClient::new(channel(&world).await);
    let mut health = HealthClient::new(channel(&world).await);
    let mut watched =
        health.watch(HealthCheckRequest::default()).await.expect("watch").into_inner();
    let first = watched.message().await.expect("status").expect("status");
    assert_eq!(first.status(), ServingStatus::Serving);
    world.ask_to_stop();
    let next = watched.message().await.expect("status").expect("status");
    assert_eq!(next.status(), ServingStatus::NotServing);
    client.recommend(of("u1", 5)).await.expect("still answered");
    while watched.message().await.expect("no error").is_some() {}
    world.stopped().await;
}
