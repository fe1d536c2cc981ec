//! All routes, in one list: what is not here is not served, and what is here is described.

use hyper::Method;

use super::admin::{self, BundleCard, BundleChoice, BundleShelf};
use super::asked::{self, BatchAnswer, BatchBody, RecommendBody, SessionBody};
use super::batch;
use super::browse::{self, ItemList, UserList};
use super::features::{self, FeatureAnswer, FeatureCatalogue, FeaturesBody};
use super::health::{self, Alive, Ready};
use super::recommend;
use super::records::{EventRecord, ItemPatch, ItemRecord, UserPatch, UserRecord, Written};
use super::route::{Plane, Route};
use super::write;
use crate::answer::{Explained, Slate};

const GET: Method = Method::GET;
const POST: Method = Method::POST;
const PATCH: Method = Method::PATCH;
const DELETE: Method = Method::DELETE;

/// Every route of the server.
pub(crate) fn routes() -> Vec<Route> {
    let all = [writes(), records(), answers(), lists(), features(), operations(), admin()];
    all.into_iter().flatten().collect()
}

fn writes() -> Vec<Route> {
    vec![
        Route::new(POST, "/v1/events", ("write_events", "Store events"), write::post_events)
            .takes_one_or_many::<EventRecord>()
            .gives::<Written>(),
        Route::new(POST, "/v1/items", ("write_items", "Add or replace items"), write::post_items)
            .takes_one_or_many::<ItemRecord>()
            .gives::<Written>(),
        Route::new(POST, "/v1/users", ("write_users", "Add or replace users"), write::post_users)
            .takes_one_or_many::<UserRecord>()
            .gives::<Written>(),
    ]
}

fn records() -> Vec<Route> {
    let (item, user) = ("/v1/items/{id}", "/v1/users/{id}");
    vec![
        Route::new(GET, item, ("read_item", "An item's record"), write::get_item)
            .gives::<ItemRecord>(),
        Route::new(PATCH, item, ("change_item", "Change or hide an item"), write::patch_item)
            .takes::<ItemPatch>()
            .gives::<ItemRecord>(),
        Route::new(DELETE, item, ("delete_item", "Delete an item"), write::delete_item)
            .gives::<Written>(),
        Route::new(GET, user, ("read_user", "A user's record"), write::get_user)
            .gives::<UserRecord>(),
        Route::new(PATCH, user, ("change_user", "Change a user"), write::patch_user)
            .takes::<UserPatch>()
            .gives::<UserRecord>(),
        Route::new(
            DELETE,
            user,
            ("delete_user", "Delete a user and all events of the user"),
            write::delete_user,
        )
        .gives::<Written>(),
    ]
}

fn answers() -> Vec<Route> {
    let recommend = "/v1/recommend/{user}";
    vec![
        Route::new(GET, recommend, ("recommend", "Items for a user"), recommend::recommend)
            .params(&asked::RECOMMEND)
            .gives::<Slate<'static>>(),
        Route::new(
            POST,
            recommend,
            ("recommend_with", "Items for a user, with a filter, session or attributes"),
            recommend::recommend,
        )
        .takes::<RecommendBody>()
        .gives::<Slate<'static>>(),
        Route::new(
            POST,
            "/v1/recommend:batch",
            ("recommend_batch", "Items for several users"),
            batch::batch,
        )
        .takes::<BatchBody>()
        .gives::<BatchAnswer>(),
        Route::new(
            POST,
            "/v1/session/recommend",
            ("recommend_session", "Items for a session without a user"),
            recommend::session,
        )
        .takes::<SessionBody>()
        .gives::<Slate<'static>>(),
        Route::new(
            GET,
            "/v1/explain/{user}/{item}",
            ("explain", "Why an item is, or is not, in a user's answer"),
            recommend::explained,
        )
        .params(&recommend::EXPLAIN)
        .gives::<Explained<'static>>(),
    ]
}

fn lists() -> Vec<Route> {
    let (similar, items, users) = ("/v1/similar/{item}", "/v1/items", "/v1/users");
    vec![
        Route::new(GET, similar, ("similar", "Items like an item"), recommend::similar_items)
            .params(&recommend::SIMILAR)
            .gives::<Slate<'static>>(),
        Route::new(GET, "/v1/trending", ("trending", "What moves now"), recommend::trending)
            .params(&recommend::TRENDING)
            .gives::<Slate<'static>>(),
        Route::new(GET, "/v1/popular", ("popular", "What is used most"), recommend::popular)
            .params(&recommend::LISTING)
            .gives::<Slate<'static>>(),
        Route::new(GET, "/v1/latest", ("latest", "What is new"), recommend::latest)
            .params(&recommend::LISTING)
            .gives::<Slate<'static>>(),
        Route::new(GET, items, ("browse_items", "Find items of the bundle"), browse::items)
            .params(&browse::BROWSE)
            .gives::<ItemList>(),
        Route::new(GET, users, ("browse_users", "Find users of the bundle"), browse::users)
            .params(&browse::BROWSE)
            .gives::<UserList>(),
    ]
}

fn features() -> Vec<Route> {
    let path = "/v1/features";
    vec![
        Route::new(GET, path, ("list_features", "Published feature sets"), features::catalogue)
            .gives::<FeatureCatalogue>(),
        Route::new(
            POST,
            path,
            ("read_features", "Features of a user and of items, in one read"),
            features::read,
        )
        .takes::<FeaturesBody>()
        .gives::<FeatureAnswer>(),
    ]
}

fn operations() -> Vec<Route> {
    vec![
        Route::new(GET, "/health/live", ("live", "Whether the process runs"), health::live)
            .on(Plane::Both)
            .gives::<Alive>(),
        Route::new(GET, "/health/ready", ("ready", "Whether requests are welcome"), health::ready)
            .on(Plane::Both)
            .gives::<Ready>(),
        Route::new(GET, "/metrics", ("metrics", "Metrics for Prometheus"), health::metrics)
            .on(Plane::Metrics)
            .gives_text(health::METRICS_TYPE),
        Route::new(GET, "/openapi.json", ("openapi", "This description"), health::openapi)
            .on(Plane::Both)
            .gives_text("application/json"),
        Route::new(GET, "/", ("page", "A page to look around"), health::page)
            .gives_text("text/html"),
    ]
}

fn admin() -> Vec<Route> {
    vec![
        Route::new(GET, "/v1/admin/bundles", ("list_bundles", "All bundles"), admin::list)
            .on(Plane::Admin)
            .gives::<BundleShelf>(),
        Route::new(
            POST,
            "/v1/admin/bundles:load",
            ("load_bundle", "Check a bundle and keep it in memory"),
            admin::load,
        )
        .on(Plane::Admin)
        .takes::<BundleChoice>()
        .gives::<BundleCard>(),
        Route::new(
            POST,
            "/v1/admin/bundles:promote",
            ("promote_bundle", "Let a bundle answer"),
            admin::promote,
        )
        .on(Plane::Admin)
        .takes::<BundleChoice>()
        .gives::<BundleCard>(),
        Route::new(
            POST,
            "/v1/admin/bundles:rollback",
            ("roll_back_bundle", "Let the bundle before answer again"),
            admin::roll_back,
        )
        .on(Plane::Admin)
        .gives::<BundleCard>(),
    ]
}
