//! A small world for tests of this module.

use std::path::Path;
use std::sync::Arc;

use foretaste_bundle::{BundleContents, ManifestHead, Popularity};
use foretaste_cache::CacheConfig;
use foretaste_core::{Csr, IdTable, Interactions, Item};
use foretaste_pipeline::Scenes;
use foretaste_store::MemoryStore;

use crate::app::App;
use crate::config::ServeConfig;

/// Three items, one user.
fn contents() -> BundleContents {
    let item = |i| Item { item_id: format!("i{i}"), ..Item::default() };
    BundleContents {
        manifest: ManifestHead { profile: "test".into(), ..ManifestHead::default() },
        items: (0..3).map(item).collect(),
        users: IdTable::from_iter(["u".to_owned()]),
        histories: Interactions {
            matrix: Csr::from_rows(3, [vec![(0, 1.0)]]),
            last_ms: vec![1],
            ..Interactions::default()
        },
        popularity: Popularity::zeros(3),
        ..BundleContents::default()
    }
}

/// A server on them, one answer at a time.
pub(crate) fn app(folder: &Path, keeps: bool) -> Arc<App> {
    let id = foretaste_bundle::write(folder, &contents()).expect("bundle");
    foretaste_bundle::activate(folder, &id).expect("activate");
    let cache = CacheConfig { enabled: keeps, ..CacheConfig::default() };
    let config = ServeConfig { cpu_threads: 1, queue_target_ms: 10, cache, ..Default::default() };
    let store = Arc::new(MemoryStore::new());
    let app = App::open(config, store, folder.to_owned(), Scenes::built_in()).expect("app");
    app.bundles.follow_current().expect("the bundle");
    Arc::new(app)
}
