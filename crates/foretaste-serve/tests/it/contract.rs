//! The description at `/openapi.json` and the routes say the same; answers have the described
//! shape; operators' routes are where they belong; metrics are well-formed.

use std::net::SocketAddr;
use std::sync::Arc;

use foretaste_serve::{Explained, ServeConfig, Slate};
use foretaste_store::MemoryStore;
use serde_json::Value;

use crate::client::{get, request};
use crate::world::{World, patient};

async fn description(at: SocketAddr) -> Value {
    get(at, "/openapi.json").await.expect(200).json()
}

fn operations(description: &Value) -> Vec<(String, String)> {
    let paths = description["paths"].as_object().expect("paths");
    let of = |(path, item): (&String, &Value)| {
        let methods = item.as_object().expect("operations").keys().cloned().collect::<Vec<_>>();
        methods.into_iter().map(|m| (m.to_uppercase(), path.clone())).collect::<Vec<_>>()
    };
    paths.iter().flat_map(of).collect()
}

/// Everything that the product promises.
const PROMISED: [(&str, &str); 31] = [
    ("GET", "/"),
    ("DELETE", "/v1/items/{id}"),
    ("DELETE", "/v1/users/{id}"),
    ("GET", "/health/live"),
    ("GET", "/health/ready"),
    ("GET", "/metrics"),
    ("GET", "/openapi.json"),
    ("GET", "/v1/admin/bundles"),
    ("GET", "/v1/explain/{user}/{item}"),
    ("GET", "/v1/features"),
    ("GET", "/v1/items"),
    ("GET", "/v1/items/{id}"),
    ("GET", "/v1/latest"),
    ("GET", "/v1/popular"),
    ("GET", "/v1/recommend/{user}"),
    ("GET", "/v1/similar/{item}"),
    ("GET", "/v1/trending"),
    ("GET", "/v1/users"),
    ("GET", "/v1/users/{id}"),
    ("PATCH", "/v1/items/{id}"),
    ("PATCH", "/v1/users/{id}"),
    ("POST", "/v1/admin/bundles:load"),
    ("POST", "/v1/admin/bundles:promote"),
    ("POST", "/v1/admin/bundles:rollback"),
    ("POST", "/v1/events"),
    ("POST", "/v1/features"),
    ("POST", "/v1/items"),
    ("POST", "/v1/recommend/{user}"),
    ("POST", "/v1/recommend:batch"),
    ("POST", "/v1/session/recommend"),
    ("POST", "/v1/users"),
];

#[tokio::test(flavor = "multi_thread")]
async fn the_description_lists_exactly_the_promised_routes_and_each_is_served() {
    let world = World::new().await;
    let description = description(world.at).await;
    assert!(description["openapi"].as_str().expect("version").starts_with("3.1"));
    let mut described = operations(&description);
    described.sort();
    let mut promised: Vec<_> =
        PROMISED.iter().map(|&(m, p)| (m.to_owned(), p.to_owned())).collect();
    promised.sort();
    assert_eq!(described, promised);
    for (method, path) in described {
        let path = path.replace("{user}", "u1").replace("{item}", "item-1").replace("{id}", "x1");
        let response = request(world.at, &method, &path, "").await;
        assert_ne!(response.status, 405, "{method} {path}");
        let unrouted = response.body.contains("no such route");
        assert!(!unrouted, "{method} {path}: {response:?}");
    }
    for (path, _) in description["paths"].as_object().expect("paths") {
        let path = path.replace("{user}", "u1").replace("{item}", "item-1").replace("{id}", "x1");
        request(world.at, "PUT", &path, "").await.expect(405);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_reference_of_the_description_resolves() {
    let world = World::new().await;
    let description = description(world.at).await;
    let mut references = Vec::new();
    collect(&description, &mut references);
    assert!(references.len() > 20);
    for reference in references {
        let pointer = reference.strip_prefix('#').expect("local");
        assert!(description.pointer(pointer).is_some(), "{reference}");
    }
    let paths = description["paths"].as_object().expect("paths");
    let mut names: Vec<&str> = paths
        .values()
        .flat_map(|item| item.as_object().expect("item").values())
        .filter_map(|operation| operation["operationId"].as_str())
        .collect();
    names.sort_unstable();
    let n = names.len();
    names.dedup();
    assert_eq!((n, names.len()), (PROMISED.len(), PROMISED.len()));
}

fn collect(value: &Value, into: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            into.extend(map.get("$ref").and_then(Value::as_str).map(str::to_owned));
            map.values().for_each(|v| collect(v, into));
        }
        Value::Array(list) => list.iter().for_each(|v| collect(v, into)),
        _ => {}
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_have_the_described_fields_and_no_others() {
    let world = World::new().await;
    let description = description(world.at).await;
    for (path, schema) in [
        ("/v1/recommend/u1?reasons=true", "Slate"),
        ("/v1/recommend/stranger", "Slate"),
        ("/v1/similar/item-3", "Slate"),
        ("/v1/explain/u1/item-7", "Explained"),
        ("/v1/items?limit=3", "ItemList"),
        ("/v1/users?prefix=u1", "UserList"),
        ("/v1/admin/bundles", "BundleShelf"),
        ("/health/live", "Alive"),
    ] {
        let response = get(world.at, path).await.expect(200);
        matches_schema(&description, schema, &response.json());
        match schema {
            "Slate" => drop(serde_json::from_str::<Slate>(&response.body).expect(path)),
            "Explained" => drop(serde_json::from_str::<Explained>(&response.body).expect(path)),
            _ => {}
        }
    }
}

/// Required fields are there, unknown ones are not, and referenced parts fit, too.
fn matches_schema(description: &Value, name: &str, value: &Value) {
    let schema = &description["components"]["schemas"][name];
    let properties = schema["properties"].as_object().unwrap_or_else(|| panic!("{name}: {schema}"));
    let object = value.as_object().unwrap_or_else(|| panic!("{name}: {value}"));
    for required in schema["required"].as_array().into_iter().flatten() {
        assert!(object.contains_key(required.as_str().expect("name")), "{name}: no {required}");
    }
    for (key, value) in object {
        let property = properties.get(key).unwrap_or_else(|| panic!("{name}: undescribed {key}"));
        let part = property["items"]["$ref"].as_str().and_then(|r| r.rsplit('/').next());
        if let (Some(part), Some(values)) = (part, value.as_array()) {
            values.iter().for_each(|value| matches_schema(description, part, value));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_routes_are_on_their_own_listener_only() {
    let admin_listen = Some(SocketAddr::from(([127, 0, 0, 1], 0)));
    let config = ServeConfig { admin_listen, ..patient() };
    let world = World::with(config, Arc::new(MemoryStore::new()), true).await;
    let admin = world.addresses.admin.expect("admin");
    for path in ["/v1/admin/bundles", "/metrics"] {
        get(world.at, path).await.expect(404);
        get(admin, path).await.expect(200);
    }
    get(admin, "/v1/recommend/u1").await.expect(404);
    get(admin, "/health/ready").await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_public_address_does_not_serve_operators() {
    let listen = SocketAddr::from(([0, 0, 0, 0], 0));
    let world =
        World::with(ServeConfig { listen, ..patient() }, Arc::new(MemoryStore::new()), true).await;
    let at = SocketAddr::from(([127, 0, 0, 1], world.at.port()));
    for path in ["/v1/admin/bundles", "/metrics"] {
        get(at, path).await.expect(404);
    }
    get(at, "/v1/recommend/u1").await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_count_by_template_and_never_by_id() {
    let world = World::new().await;
    get(world.at, "/v1/recommend/u1").await.expect(200);
    get(world.at, "/v1/recommend/a-very-special-user").await.expect(200);
    get(world.at, "/v1/nothing").await.expect(404);
    let metrics = get(world.at, "/metrics").await.expect(200);
    let text = &metrics.body;
    let counted = "foretaste_http_request_duration_seconds_count{method=\"GET\",\
        route=\"/v1/recommend/{user}\",status=\"200\"} 2";
    assert!(text.contains(counted), "{text}");
    assert!(text.contains("route=\"none\",status=\"404\"} 1"), "{text}");
    assert!(!text.contains("a-very-special-user"));
    for stage in ["queue_wait", "prepare", "pipeline", "respond"] {
        let name = format!("foretaste_stage_duration_seconds_count{{stage=\"{stage}\"}} 2");
        assert!(text.contains(&name), "{stage}: {text}");
    }
    assert!(text.contains("foretaste_ready 1"), "{text}");
    assert!(text.trim_end().ends_with("# EOF"));
}
