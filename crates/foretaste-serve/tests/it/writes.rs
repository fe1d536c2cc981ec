//! What is written is validated, durable before it is acknowledged, and read back.

use std::sync::Arc;

use foretaste_core::{Error, ErrorKind, Event, EventBatch, Item, Result, User};
use foretaste_serve::ServeConfig;
use foretaste_store::{
    AppendOutcome, BulkWriter, Columns, Counts, MemoryStore, Sink, Source, Store,
};
use serde_json::json;

use crate::client::{get, post, request};
use crate::world::{World, eventually, patient};

#[tokio::test(flavor = "multi_thread")]
async fn single_and_batch_events_are_counted_and_idempotent() {
    let world = World::new().await;
    let at = world.at;
    let one = json!({ "event_id": "e1", "user": "u0", "item": "item-8", "kind": "view" });
    let first = post(at, "/v1/events", &one.to_string()).await.expect(200).json();
    assert_eq!(first, json!({ "accepted": 1, "duplicates": 0 }));
    let two = json!([one, { "event_id": "e2", "user": "u0", "item": "item-9", "kind": "view" }]);
    let second = post(at, "/v1/events", &two.to_string()).await.expect(200).json();
    assert_eq!(second, json!({ "accepted": 1, "duplicates": 1 }));
    let mut stored = Vec::new();
    let keep = &mut |_, event: Event| {
        stored.push(event.event_id.unwrap_or_default());
        Ok(())
    };
    world.store.tail(0, keep).expect("tail");
    assert_eq!(stored, ["e1", "e2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_record_is_named_and_nothing_of_its_batch_is_stored() {
    let world = World::new().await;
    let good = json!({ "user": "u", "item": "i", "kind": "view" });
    let bad = json!({ "user": "u", "item": "", "kind": "view" });
    let batch = json!([good, bad]).to_string();
    let problem = post(world.at, "/v1/events", &batch).await.expect(400).json();
    assert_eq!(
        (&problem["errors"][0]["index"], &problem["errors"][0]["field"]),
        (&json!(1), &json!("item"))
    );
    let unknown = r#"[{"user":"u","item":"i","kind":"view","valeu":3}]"#;
    let problem = post(world.at, "/v1/events", unknown).await.expect(400).json();
    assert!(problem["detail"].as_str().expect("detail").contains("unknown field"), "{problem}");
    assert_eq!(world.store.counts().expect("counts").events, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn items_and_users_are_read_changed_and_deleted() {
    let world = World::new().await;
    let at = world.at;
    let item = json!({ "item_id": "a b", "title": "T", "attributes": { "x": "1" } });
    post(at, "/v1/items", &item.to_string()).await.expect(200);
    let read = get(at, "/v1/items/a%20b").await.expect(200).json();
    assert_eq!((&read["title"], &read["attributes"]["x"]), (&json!("T"), &json!("1")));
    let patch = r#"{"title":"New","price":2.5}"#;
    request(at, "PATCH", "/v1/items/a%20b", patch).await.expect(200);
    let read = get(at, "/v1/items/a%20b").await.expect(200).json();
    assert_eq!(
        (&read["title"], &read["price"], &read["attributes"]["x"]),
        (&json!("New"), &json!(2.5), &json!("1"))
    );
    request(at, "DELETE", "/v1/items/a%20b", "").await.expect(200);
    get(at, "/v1/items/a%20b").await.expect(404);
    let users = r#"[{"user_id":"n1","attributes":{"country":"DE"}},{"user_id":"n2"}]"#;
    post(at, "/v1/users", users).await.expect(200);
    request(at, "PATCH", "/v1/users/n1", r#"{"attributes":{"plan":"pro"}}"#).await.expect(200);
    let read = get(at, "/v1/users/n1").await.expect(200).json();
    assert_eq!(read["attributes"], json!({ "country": "DE", "plan": "pro" }));
    request(at, "PATCH", "/v1/users/none", "{}").await.expect(404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_user_is_a_stranger_even_to_the_old_bundle_and_after_a_restart() {
    let world = World::new().await;
    let stranger = get(world.at, "/v1/recommend/stranger").await.items();
    assert_ne!(get(world.at, "/v1/recommend/u1").await.items(), stranger);
    request(world.at, "DELETE", "/v1/users/u1", "").await.expect(200);
    assert_eq!(get(world.at, "/v1/recommend/u1").await.items(), stranger);
    let store = Arc::clone(&world.store);
    let mut world = world;
    world.ask_to_stop();
    let world = World::in_folder(patient(), store, world.stopped().await).await;
    assert_eq!(get(world.at, "/v1/recommend/u1").await.items(), stranger);
}

#[tokio::test(flavor = "multi_thread")]
async fn events_and_hides_count_again_after_a_restart() {
    let mut world = World::new().await;
    let event = json!({ "user": "u0", "item": "item-21", "kind": "order" });
    post(world.at, "/v1/events", &event.to_string()).await.expect(200);
    request(world.at, "PATCH", "/v1/items/item-6", r#"{"hidden":true}"#).await.expect(200);
    let before = get(world.at, "/v1/recommend/u0").await.items();
    let store = Arc::clone(&world.store);
    world.ask_to_stop();
    let world = World::in_folder(patient(), store, world.stopped().await).await;
    assert_eq!(get(world.at, "/v1/recommend/u0").await.items(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_log_is_moved_and_its_events_count_after_a_restart_all_the_same() {
    let store = Arc::new(MemoryStore::new());
    let config = ServeConfig { seal_events: 2, ..patient() };
    let mut world = World::with(config.clone(), store, true).await;
    for item in ["item-21", "item-23", "item-25"] {
        let event = json!({ "user": "u0", "item": item, "kind": "order", "event_id": item });
        post(world.at, "/v1/events", &event.to_string()).await.expect(200);
    }
    let before = get(world.at, "/v1/recommend/u0").await.items();
    let store = Arc::clone(&world.store);
    eventually("the log is moved", || async { store.counts().unwrap().log_events < 2 }).await;
    assert_eq!(get(world.at, "/v1/recommend/u0").await.items(), before);
    world.ask_to_stop();
    let world = World::in_folder(config, store, world.stopped().await).await;
    assert_eq!(get(world.at, "/v1/recommend/u0").await.items(), before);
    let metrics = get(world.at, "/metrics").await.body;
    assert!(metrics.contains("foretaste_live_events 3"), "{metrics}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_refuses_means_503_and_nothing_is_acknowledged() {
    let store = Arc::new(Refusing(MemoryStore::new()));
    let world = World::with(patient(), store, true).await;
    let before = get(world.at, "/v1/recommend/u0").await.body;
    let event = json!({ "user": "u0", "item": "item-21", "kind": "order" });
    let refused = post(world.at, "/v1/events", &event.to_string()).await.expect(503);
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert!(!refused.body.contains("/secret/disk"), "{refused:?}");
    assert_eq!(get(world.at, "/v1/recommend/u0").await.body, before);
    let metrics = get(world.at, "/metrics").await.body;
    assert!(metrics.contains("foretaste_events_written_total 0"), "{metrics}");
}

/// A store whose disk is full.
struct Refusing(MemoryStore);

impl Store for Refusing {
    fn append_events(&self, _: &[Event]) -> Result<AppendOutcome> {
        Err(Error::new(ErrorKind::Io, "no space left on /secret/disk"))
    }
    fn bulk(&self, source: &Source) -> Result<Box<dyn BulkWriter + '_>> {
        self.0.bulk(source)
    }
    fn has_source(&self, digest: &str) -> Result<bool> {
        self.0.has_source(digest)
    }
    fn read_events(&self, columns: Columns, sink: Sink<'_, EventBatch>) -> Result<()> {
        self.0.read_events(columns, sink)
    }
    fn read_events_since(
        &self,
        since_ms: i64,
        columns: Columns,
        sink: Sink<'_, EventBatch>,
    ) -> Result<()> {
        self.0.read_events_since(since_ms, columns, sink)
    }
    fn tail(&self, after_seq: u64, sink: &mut dyn FnMut(u64, Event) -> Result<()>) -> Result<u64> {
        self.0.tail(after_seq, sink)
    }
    fn put_items(&self, items: &[Item]) -> Result<()> {
        self.0.put_items(items)
    }
    fn put_users(&self, users: &[User]) -> Result<()> {
        self.0.put_users(users)
    }
    fn item(&self, id: &str) -> Result<Option<Item>> {
        self.0.item(id)
    }
    fn user(&self, id: &str) -> Result<Option<User>> {
        self.0.user(id)
    }
    fn delete_item(&self, id: &str) -> Result<bool> {
        self.0.delete_item(id)
    }
    fn delete_user(&self, id: &str) -> Result<bool> {
        self.0.delete_user(id)
    }
    fn set_hidden(&self, id: &str, hidden: bool) -> Result<bool> {
        self.0.set_hidden(id, hidden)
    }
    fn hidden(&self) -> Result<Vec<String>> {
        self.0.hidden()
    }
    fn items(&self, sink: Sink<'_, Item>) -> Result<()> {
        self.0.items(sink)
    }
    fn users(&self, sink: Sink<'_, User>) -> Result<()> {
        self.0.users(sink)
    }
    fn control(&self, key: &str) -> Result<Option<String>> {
        self.0.control(key)
    }
    fn set_control(&self, key: &str, value: Option<&str>) -> Result<()> {
        self.0.set_control(key, value)
    }
    fn counts(&self) -> Result<Counts> {
        self.0.counts()
    }
    fn log_events(&self) -> Result<u64> {
        self.0.log_events()
    }
    fn seal(&self) -> Result<()> {
        self.0.seal()
    }
}
