//! `/v1/features` as a client meets it: what was published, what happened since, and new versions
//! without a restart.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use foretaste_core::feature::{Class, Entity};
use foretaste_online::{
    Cell, ColumnHead, ColumnKind, Head, LastEvent, LastEventsDraft, Publisher, ValuesDraft,
};
use foretaste_serve::{FeaturesConfig, ServeConfig, StaleValues};
use foretaste_store::MemoryStore;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::client::{get, post, request};
use crate::world::{World, eventually, patient};

fn now_ms() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.expect("after 1970").as_millis() as i64
}

fn head(set: &str, as_of_ms: i64) -> Head {
    Head {
        set: set.into(),
        class: if set == "facts" { Class::Static } else { Class::Dynamic },
        ttl: Duration::from_secs(300),
        as_of_ms,
        synced_ms: as_of_ms,
        schema_hash: String::new(),
        source: as_of_ms.to_string(),
    }
}

/// A set of one column: `values` by id.
fn publish(root: &Path, head: &Head, (entity, values): (Entity, &[(&str, f64)])) {
    let column = ColumnHead { name: format!("{}_n", head.set), kind: ColumnKind::Number };
    let mut draft = ValuesDraft::new(entity, vec![column]).expect("draft");
    for (id, value) in values {
        draft.push(&[id], std::iter::once(Cell::Number(*value))).expect("row");
    }
    Publisher::open(root, now_ms()).expect("publisher").values(head, &draft).expect("published");
}

fn publish_facts(root: &Path) {
    let columns = [("brand", ColumnKind::Text), ("price", ColumnKind::Number)];
    let columns = columns.map(|(name, kind)| ColumnHead { name: name.into(), kind });
    let mut draft = ValuesDraft::new(Entity::Item, columns.into()).expect("draft");
    let rows = [("item-1", Cell::Text("acme"), 9.5), ("item-2", Cell::Missing, 3.0)];
    for (id, brand, price) in rows {
        draft.push(&[id], [brand, Cell::Number(price)].into_iter()).expect("row");
    }
    let publisher = Publisher::open(root, now_ms()).expect("publisher");
    publisher.values(&head("facts", now_ms()), &draft).expect("published");
}

async fn world(stale: StaleValues) -> (World, TempDir) {
    let folder = tempfile::tempdir().expect("folder");
    publish_facts(folder.path());
    publish(folder.path(), &head("taste", now_ms()), (Entity::User, &[("u1", 0.25)]));
    let features =
        FeaturesConfig { folder: folder.path().into(), check_ms: 20, stale, ..Default::default() };
    let config = ServeConfig { features, ..patient() };
    (World::with(config, Arc::new(MemoryStore::new()), true).await, folder)
}

async fn ask(world: &World, body: Value) -> Value {
    post(world.at, "/v1/features", &body.to_string()).await.expect(200).json()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_read_gives_user_items_and_the_moment() {
    let (world, _folder) = world(StaleValues::Serve).await;
    let answer = ask(&world, json!({ "user": "u1", "items": ["item-2", "item-1", "no"] })).await;
    assert_eq!(answer["user"]["columns"], json!(["taste_n"]));
    assert_eq!(answer["user"]["values"], json!([0.25]));
    let columns = answer["items"]["columns"].as_array().expect("columns").clone();
    assert_eq!(columns[..3], [json!("brand"), json!("price"), json!("now_hour")]);
    let rows = &answer["items"]["rows"];
    assert_eq!((&rows[0]["item_id"], rows.as_array().expect("rows").len()), (&json!("item-2"), 3));
    let first_two = |row: usize| rows[row]["values"].as_array().expect("values")[..2].to_vec();
    assert_eq!(first_two(0), [Value::Null, json!(3.0)]);
    assert_eq!(first_two(1), [json!("acme"), json!(9.5)]);
    assert_eq!(first_two(2), [Value::Null, Value::Null]);
    let sets = answer["sets"].as_array().expect("sets");
    let facts = sets.iter().find(|set| set["name"] == "facts").expect("facts");
    assert_eq!((&facts["class"], &facts["entity"]), (&json!("static"), &json!("item")));
    assert_eq!((&facts["wanted"], &facts["found"]), (&json!(3), &json!(2)));
    assert_eq!((&facts["stale"], &facts["ttl_s"]), (&json!(false), &json!(300)));
    assert!(facts["age_s"].as_f64().expect("age") < 300.0, "{facts}");
    let list = get(world.at, "/v1/features").await.expect(200).json();
    assert_eq!((&list["key"], &list["sets"][0]["version"]), (&answer["key"], &facts["version"]));
    assert_eq!(list["sets"][0]["columns"], json!(["brand", "price"]));
    let metrics = get(world.at, "/metrics").await.expect(200).body;
    for line in [
        "foretaste_feature_reads_total 1",
        "foretaste_feature_rows_total{set=\"facts\",result=\"found\"} 2",
        "foretaste_feature_rows_total{set=\"facts\",result=\"missing\"} 1",
        "foretaste_feature_ttl_seconds{set=\"taste\"} 300",
        "foretaste_feature_reloads_total{set=\"taste\"} 1",
    ] {
        assert!(metrics.contains(&format!("\n{line}")), "{line}: {metrics}");
    }
    let version = facts["version"].as_str().expect("version");
    assert!(metrics.contains(&format!("set=\"facts\",version=\"{version}\"")), "{metrics}");
    assert!(metrics.contains("foretaste_feature_age_seconds{set=\"facts\"}"), "{metrics}");
}

/// The value of a feature of the moment for the first item.
fn of_moment(answer: &Value, name: &str) -> Option<f64> {
    let columns = answer["items"]["columns"].as_array().expect("columns");
    let at = columns.iter().position(|c| c == name).expect("a column");
    answer["items"]["rows"][0]["values"][at].as_f64()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_counts_in_the_very_next_read_and_what_is_erased_in_none() {
    let (world, folder) = world(StaleValues::Serve).await;
    let now = now_ms();
    let mut last = LastEventsDraft::new(vec!["impression".into()]);
    last.item("item-1", Some("odd"), now - 86_400_000).expect("item");
    last.item("item-3", Some("odd"), 0).expect("item");
    for (item, ago_ms) in [("item-1", 40_000_000), ("item-3", 30_000)] {
        let event = LastEvent { item, kind: "view", value: 1.0, time_ms: now - ago_ms };
        last.event("u1", event).expect("event");
    }
    let publisher = Publisher::open(folder.path(), now).expect("publisher");
    publisher.last_events(&head("now", now), &last).expect("published");
    drop(publisher);
    let question = json!({ "user": "u1", "items": ["item-1"] });
    eventually("last events are live", || async {
        of_moment(&ask(&world, question.clone()).await, "now_events_24h") == Some(2.0)
    })
    .await;
    let before = ask(&world, question.clone()).await;
    assert_eq!(of_moment(&before, "now_item_events"), Some(1.0));
    assert_eq!(of_moment(&before, "now_category_matches"), Some(2.0));
    assert!((of_moment(&before, "now_item_age_days").expect("age") - 1.0).abs() < 0.1);
    // One that is published already, one that is new, and one that is nothing a user did.
    let same = json!({ "user": "u1", "item": "item-3", "kind": "view", "time_ms": now - 30_000 });
    let new = json!({ "user": "u1", "item": "item-1", "kind": "click" });
    let seen = json!({ "user": "u1", "item": "item-1", "kind": "impression" });
    post(world.at, "/v1/events", &json!([same, new, seen]).to_string()).await.expect(200);
    tokio::time::sleep(Duration::from_millis(2)).await;
    let after = ask(&world, question.clone()).await;
    assert_eq!(of_moment(&after, "now_events_24h"), Some(3.0));
    assert_eq!(of_moment(&after, "now_item_events"), Some(2.0));
    assert!(of_moment(&after, "now_seconds_since_item").expect("since") < 60.0);
    let then = json!({ "user": "u1", "items": ["item-1"], "at_ms": now - 10_000, "sets": ["now"] });
    let then = ask(&world, then).await;
    assert_eq!((of_moment(&then, "now_item_events"), &then["user"]), (Some(1.0), &Value::Null));

    request(world.at, "DELETE", "/v1/users/u1", "").await.expect(200);
    let erased = ask(&world, question).await;
    assert_eq!(of_moment(&erased, "now_events_24h"), Some(0.0), "{erased}");
    assert_eq!(of_moment(&erased, "now_seconds_since_event"), None);
    assert_eq!(erased["user"]["values"], json!([null]), "{erased}");
    let metrics = get(world.at, "/metrics").await.expect(200).body;
    let withheld = "foretaste_feature_rows_total{set=\"taste\",result=\"withheld\"} 1";
    assert!(metrics.contains(withheld), "{metrics}");
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_are_taken_up_while_it_runs_and_damaged_ones_are_not() {
    let (world, folder) = world(StaleValues::Serve).await;
    let question = json!({ "user": "u1", "columns": ["taste_n"] });
    let first = ask(&world, question.clone()).await;
    publish(folder.path(), &head("taste", now_ms()), (Entity::User, &[("u1", 0.75)]));
    eventually("the new version is live", || async {
        ask(&world, question.clone()).await["user"]["values"] == json!([0.75])
    })
    .await;
    let second = ask(&world, question.clone()).await;
    assert_ne!(first["key"], second["key"], "whatever was kept under the old key is not found");
    fs_err::write(folder.path().join("taste/CURRENT"), "{}\nnothing\n").expect("damaged");
    let refused = "foretaste_feature_reload_failures_total{set=\"taste\",result=\"corrupt\"} 1";
    eventually("the damage is counted", || async {
        get(world.at, "/metrics").await.body.contains(refused)
    })
    .await;
    assert_eq!(ask(&world, question.clone()).await["user"], second["user"], "the old one stays");
    publish(folder.path(), &head("taste", now_ms()), (Entity::User, &[("u1", 1.5)]));
    eventually("the next version heals", || async {
        ask(&world, question.clone()).await["user"]["values"] == json!([1.5])
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stale_values_are_named_or_missing_as_the_setting_says() {
    for (stale, expected) in [(StaleValues::Serve, json!(2.0)), (StaleValues::Missing, json!(null))]
    {
        let (world, folder) = world(stale).await;
        let old = head("old", now_ms() - 301_000);
        publish(folder.path(), &old, (Entity::Item, &[("item-1", 2.0)]));
        let question = json!({ "items": ["item-1"], "sets": ["old"] });
        eventually("it is live", || async {
            post(world.at, "/v1/features", &question.to_string()).await.status == 200
        })
        .await;
        let answer = ask(&world, question).await;
        assert_eq!(answer["sets"][0]["stale"], true, "{answer}");
        assert_eq!(answer["sets"][0]["withheld"] == true, expected.is_null(), "{answer}");
        assert_eq!(answer["items"]["rows"][0]["values"][0], expected, "{answer}");
        let metrics = get(world.at, "/metrics").await.expect(200).body;
        assert!(metrics.contains("foretaste_feature_stale_reads_total{set=\"old\"}"), "{metrics}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_question_is_said() {
    let (world, _folder) = world(StaleValues::Serve).await;
    let many: Vec<String> = (0..501).map(|n| n.to_string()).collect();
    let late = now_ms() + 2 * 86_400_000;
    for (body, said) in [
        (json!({}), "name a user, items, or both"),
        (json!({ "items": many }), "items: 501 entries; at most 500"),
        (json!({ "items": ["a"], "sets": ["none"] }), "there are: facts, taste, now"),
        (json!({ "items": ["a"], "columns": ["price", "none"] }), "columns.1"),
        (json!({ "items": [""] }), "items"),
        (json!({ "user": "u", "at_ms": late }), "at_ms"),
        (json!({ "usr": "u" }), "unknown field"),
    ] {
        let problem = post(world.at, "/v1/features", &body.to_string()).await.expect(400).json();
        assert!(problem["detail"].as_str().expect("detail").contains(said), "{body}: {problem}");
    }
    let plain = World::new().await;
    let answer = ask(&plain, json!({ "user": "u1", "items": ["item-4"] })).await;
    assert_eq!((&answer["sets"], &answer["user"]), (&json!([]), &Value::Null));
    let age = of_moment(&answer, "now_item_age_days").expect("the bundle knows its age");
    assert!(age > 365.0, "{age}");
}
