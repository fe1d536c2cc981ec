//! A small catalogue with a known answer, and a server on it.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use foretaste_bundle::{
    BundleContents, BundleId, Channel, ChannelModel, ItemItem, ManifestHead, Popularity,
};
use foretaste_cache::CacheConfig;
use foretaste_core::{Csr, IdTable, Interactions, Item, Result};
use foretaste_pipeline::{SceneConfig, Scenes};
use foretaste_serve::{Addresses, ServeConfig, Server, Timeouts};
use foretaste_store::{MemoryStore, Store};
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

pub const N_ITEMS: usize = 40;
pub const N_USERS: usize = 20;
/// The end of the bundle's data.
pub const AS_OF_MS: i64 = 1_700_000_000_000;

/// Users like items of their own parity; user `u` has used three of them.
pub fn contents(seed: u64) -> BundleContents {
    let histories = Csr::from_rows(
        N_ITEMS,
        (0..N_USERS as u32)
            .map(|u| (0..3).map(|n| (u % 2 + 2 * n, 1.0)).collect::<Vec<_>>())
            .collect::<Vec<_>>(),
    );
    let last_ms = vec![AS_OF_MS; histories.nnz()];
    BundleContents {
        manifest: ManifestHead {
            profile: "test".into(),
            seed,
            as_of_ms: AS_OF_MS,
            window: (AS_OF_MS - 1_000, AS_OF_MS),
            n_events: 60,
            config_hash: "00".into(),
            config: serde_json::json!({ "seed": seed }),
            quality: serde_json::Value::Null,
        },
        items: (0..N_ITEMS).map(item).collect(),
        users: (0..N_USERS).map(|u| format!("u{u}")).collect::<IdTable>(),
        histories: Interactions { matrix: histories, last_ms, ..Interactions::default() },
        popularity: popularity(),
        channels: vec![Channel {
            name: "item_item".into(),
            scale: 1.0,
            weight: 1.0,
            model: ChannelModel::ItemItem(ItemItem { similar: similar(), history_exponent: 0.0 }),
        }],
        ..BundleContents::default()
    }
}

fn item(i: usize) -> Item {
    Item {
        item_id: if i == N_ITEMS - 1 { "item/39 é".into() } else { format!("item-{i}") },
        title: format!("Title {i}"),
        categories: vec![["even", "odd"][i % 2].into()],
        price: Some(i as f64),
        created_ms: AS_OF_MS - 1_000 * i as i64,
        ..Item::default()
    }
}

fn popularity() -> Popularity {
    let falling: Vec<f32> = (0..N_ITEMS).map(|i| (N_ITEMS - i) as f32).collect();
    let zeros = Popularity::zeros(N_ITEMS);
    Popularity { total: falling.clone(), week: falling.clone(), day: falling, ..zeros }
}

fn similar() -> Csr {
    let row = |i: usize| {
        let same = (0..N_ITEMS).filter(move |&j| j != i && j % 2 == i % 2);
        same.map(|j| (j as u32, 1.0 / (1.0 + i.abs_diff(j) as f32))).collect::<Vec<_>>()
    };
    Csr::from_rows(N_ITEMS, (0..N_ITEMS).map(row).collect::<Vec<_>>())
}

/// A server with its folder; dropping it stops it hard.
pub struct World {
    pub at: SocketAddr,
    pub addresses: Addresses,
    pub store: Arc<dyn Store>,
    pub folder: TempDir,
    stop: Option<oneshot::Sender<()>>,
    running: Option<JoinHandle<Result<()>>>,
}

/// Patient with clients, because machines that run tests may stand still for seconds.
pub fn patient() -> ServeConfig {
    let timeouts = Timeouts {
        first_byte_ms: 60_000,
        header_ms: 60_000,
        body_ms: 60_000,
        idle_ms: 60_000,
        write_ms: 60_000,
        request_ms: 60_000,
        ..quick().timeouts
    };
    ServeConfig { timeouts, deadline_ms: 60_000, ..quick() }
}

/// Short timeouts, so that tests of them are quick.
pub fn quick() -> ServeConfig {
    ServeConfig {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        cpu_threads: 2,
        // Nothing is made ahead unless a test is about that.
        cache: CacheConfig { warm_users: 0, ..CacheConfig::default() },
        watch_ms: 20,
        trends_ms: 20,
        timeouts: Timeouts {
            first_byte_ms: 300,
            header_ms: 300,
            body_ms: 300,
            idle_ms: 600,
            write_ms: 500,
            request_ms: 60_000,
            drain_ms: 300,
            shutdown_ms: 5_000,
            ..Timeouts::default()
        },
        ..ServeConfig::default()
    }
}

pub fn scenes() -> Scenes {
    let plain = SceneConfig { k: 5, ..SceneConfig::evaluation() };
    Scenes::new([("default".to_owned(), plain)].into()).expect("a valid scene")
}

impl World {
    /// A server with the planted bundle and an empty store in memory.
    pub async fn new() -> Self {
        Self::with(patient(), Arc::new(MemoryStore::new()), true).await
    }

    /// The same, quick to lose its patience.
    pub async fn impatient() -> Self {
        Self::with(quick(), Arc::new(MemoryStore::new()), true).await
    }

    pub async fn with(config: ServeConfig, store: Arc<dyn Store>, has_bundle: bool) -> Self {
        let folder = tempfile::tempdir().expect("folder");
        if has_bundle {
            let id = write_bundle(folder.path(), 1);
            foretaste_bundle::activate(folder.path(), &id).expect("activate");
        }
        Self::in_folder(config, store, folder).await
    }

    /// A server with the planted bundle and scenes of its own.
    pub async fn of_scenes(config: ServeConfig, store: Arc<dyn Store>, scenes: Scenes) -> Self {
        let folder = tempfile::tempdir().expect("folder");
        let id = write_bundle(folder.path(), 1);
        foretaste_bundle::activate(folder.path(), &id).expect("activate");
        Self::serving(config, store, (folder, scenes)).await
    }

    pub async fn in_folder(config: ServeConfig, store: Arc<dyn Store>, folder: TempDir) -> Self {
        Self::serving(config, store, (folder, scenes())).await
    }

    async fn serving(
        config: ServeConfig,
        store: Arc<dyn Store>,
        (folder, scenes): (TempDir, Scenes),
    ) -> Self {
        let root = folder.path().to_owned();
        let bound = Server::bind(config, Arc::clone(&store), root, scenes);
        let server = bound.await.expect("bind");
        let addresses = server.addresses();
        let (stop, stopped) = oneshot::channel();
        let running = tokio::spawn(server.run(async move {
            let _ = stopped.await;
        }));
        Self {
            at: addresses.public,
            addresses,
            store,
            folder,
            stop: Some(stop),
            running: Some(running),
        }
    }

    /// Asks the server to stop.
    pub fn ask_to_stop(&mut self) {
        self.stop.take().expect("stopped once").send(()).expect("running");
    }

    /// Waits until the server has stopped, and gives its folder back.
    pub async fn stopped(mut self) -> TempDir {
        let running = self.running.take().expect("joined once");
        running.await.expect("no panic").expect("clean end");
        self.folder
    }
}

/// Writes a bundle that differs from others by its seed.
pub fn write_bundle(root: &Path, seed: u64) -> BundleId {
    foretaste_bundle::write(root, &contents(seed)).expect("bundle")
}

/// Waits for something that must happen soon.
pub async fn eventually<F: Future<Output = bool>>(what: &str, mut happened: impl FnMut() -> F) {
    for _ in 0..6_000 {
        if happened().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("did not happen: {what}");
}
