//! Start and stop: bind, let the current bundle serve, accept, and leave without failing anyone.

use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use foretaste_core::{Error, ErrorKind, Result};
use foretaste_pipeline::Scenes;
use foretaste_store::Store;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, sleep};
use tracing::{debug, info, warn};

use crate::app::{App, now_ms};
use crate::config::{ServeConfig, millis};
use crate::grpc;
use crate::http::{Front, Listener};
use crate::live::feed::Feed;
use crate::metrics::process_bytes;
use crate::net::accept::Site;
use crate::net::connection::Speech;
use crate::replicas;
use crate::warm::{AT_START, warm};

/// How often the cache is asked to give back what is above its mark.
const CACHE_TICK_MS: u64 = 1_000;
/// Ticks after the cache gave back for a process short of memory in which it is not asked again:
/// an allocator takes its time.
const SHED_REST: u32 = 10;
/// How often the length of the event log is looked at, in ms.
const SEAL_TICK_MS: u64 = 1_000;
/// How often a shared store is asked for events of other processes.
const NEWS_TICK_MS: u64 = 250;

/// Where a server listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// For clients.
    pub public: SocketAddr,
    /// For operators, where they have a listener of their own.
    pub admin: Option<SocketAddr>,
    /// For gRPC, where there is a listener.
    pub grpc: Option<SocketAddr>,
}

/// A server that is bound but does not answer yet.
pub struct Server {
    app: Arc<App>,
    public: TcpListener,
    admin: Option<TcpListener>,
    grpc: Option<TcpListener>,
    addresses: Addresses,
}

impl Server {
    /// Rebuilds live state, lets the current bundle serve if there is one, and binds.
    ///
    /// # Errors
    /// `Config` for wrong settings, `Io` when an address cannot be bound, else the store's. A
    /// bundle that fails its checks is not an error: the server starts, not ready.
    pub async fn bind(
        config: ServeConfig,
        store: Arc<dyn Store>,
        bundles_root: PathBuf,
        scenes: Scenes,
    ) -> Result<Self> {
        let public = listen(config.listen).await?;
        let admin = listen_if(config.admin_listen).await?;
        let grpc = listen_if(config.grpc_listen).await?;
        let address = |l: &Option<TcpListener>| l.as_ref().map(TcpListener::local_addr).transpose();
        let addresses = Addresses {
            public: public.local_addr()?,
            admin: address(&admin)?,
            grpc: address(&grpc)?,
        };
        let opened = tokio::task::spawn_blocking(move || {
            let app = App::open(config, store, bundles_root, scenes)?;
            follow(&app);
            take_up_features(&app);
            app.note_readiness();
            let app = Arc::new(app);
            keep_warm(&app);
            Ok::<_, Error>(app)
        });
        let app = opened.await.map_err(|e| Error::internal("start-up").with_source(e))??;
        Ok(Self { app, public, admin, grpc, addresses })
    }

    /// Where it listens.
    pub fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// The way in for changes of the store that the server did not make itself.
    pub fn feed(&self) -> Feed {
        Feed::new(&self.app)
    }

    /// Whether a bundle is live.
    pub fn is_ready(&self) -> bool {
        self.app.is_ready()
    }

    /// Serves until `shutdown` resolves: then readiness turns false, requests are still answered
    /// for `drain_ms`, accepting stops, and requests in flight are finished.
    ///
    /// # Errors
    /// `Internal` when a listener's task fails.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> Result<()> {
        let Self { app, public, admin, grpc, addresses } = self;
        let Addresses { public: at, admin: operators_at, grpc: grpc_at } = addresses;
        info!(public = %at, admin = ?operators_at, grpc = ?grpc_at, "listening");
        let (stop, stopped) = watch::channel(false);
        let own_admin = admin.is_some();
        let loopback = at.ip().is_loopback();
        let shared = Listener {
            clients: true,
            operators: !own_admin && loopback,
            metrics: !own_admin && loopback || app.config.public_metrics,
        };
        let http = |routes| (Front::new(&app, routes), Speech::Http);
        let mut sites = vec![spawn_site(&app, public, http(shared), stopped.clone())];
        if let Some(listener) = admin {
            let operators = Listener { clients: false, operators: true, metrics: true };
            sites.push(spawn_site(&app, listener, http(operators), stopped.clone()));
        }
        if let Some(listener) = grpc {
            let (router, health) = grpc::router(&app);
            let front = (Front::of(router), Speech::Grpc);
            sites.push(spawn_site(&app, listener, front, stopped.clone()));
            sites.push(tokio::spawn(health.follow(stopped)));
        }
        let background = [
            tokio::spawn(watch_bundles(Arc::clone(&app))),
            tokio::spawn(watch_features(Arc::clone(&app))),
            tokio::spawn(publish_trends(Arc::clone(&app))),
            tokio::spawn(keep_cache_within_budget(Arc::clone(&app))),
            tokio::spawn(share_cache(Arc::clone(&app))),
            tokio::spawn(replicas::speak(Arc::clone(&app))),
            tokio::spawn(replicas::listen(Arc::clone(&app))),
            tokio::spawn(seal_log(Arc::clone(&app))),
            tokio::spawn(hear_others(Arc::clone(&app))),
        ];
        shutdown.await;
        info!("shutting down: not ready, still serving");
        app.start_draining();
        sleep(millis(app.config.timeouts.drain_ms)).await;
        // A listener that has already ended has nobody left to tell.
        let _ = stop.send(true);
        for site in sites {
            site.await.map_err(|e| Error::internal("listener").with_source(e))?;
        }
        background.iter().for_each(tokio::task::JoinHandle::abort);
        Ok(())
    }
}

async fn listen_if(address: Option<SocketAddr>) -> Result<Option<TcpListener>> {
    match address {
        Some(address) => Ok(Some(listen(address).await?)),
        None => Ok(None),
    }
}

async fn listen(address: SocketAddr) -> Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|e| {
        let text = format!("cannot listen on {address}; choose another port or stop its owner");
        Error::new(ErrorKind::Io, text).with_source(e)
    })
}

fn spawn_site(
    app: &Arc<App>,
    listener: TcpListener,
    front: (Front, Speech),
    mut stopped: watch::Receiver<bool>,
) -> tokio::task::JoinHandle<()> {
    let site = Site::new(
        front,
        &app.config.timeouts,
        app.config.max_connections,
        Arc::clone(&app.metrics),
    );
    tokio::spawn(async move {
        let stop = async move {
            // An error means that the server is gone, which is a reason to stop, too.
            let _ = stopped.wait_for(|stop| *stop).await;
        };
        let listener = Arc::new(listener);
        let accept = || {
            let listener = Arc::clone(&listener);
            async move { listener.accept().await }
        };
        site.run(accept, stop).await;
    })
}

async fn watch_bundles(app: Arc<App>) {
    let mut tick = ticks(app.config.watch_ms);
    loop {
        tick.tick().await;
        let app = Arc::clone(&app);
        if tokio::task::spawn_blocking(move || follow(&app)).await.is_err() {
            warn!("looking for a new bundle panicked");
        }
    }
}

/// Takes up the current bundle; failures are logged and counted where they happen.
fn follow(app: &App) {
    match app.bundles.follow_current() {
        Ok(true) => {
            app.note_readiness();
        }
        Ok(false) => {}
        Err(error) => warn!(%error, "the current bundle cannot be taken up"),
    }
}

async fn watch_features(app: Arc<App>) {
    let mut tick = ticks(app.config.features.check_ms);
    loop {
        tick.tick().await;
        let app = Arc::clone(&app);
        if tokio::task::spawn_blocking(move || take_up_features(&app)).await.is_err() {
            warn!("looking for published features panicked");
        }
    }
}

/// Takes up what was published; sets that fail are logged and counted where that happens.
fn take_up_features(app: &App) {
    if let Err(error) = app.features.follow() {
        warn!(%error, "published features cannot be looked at");
    }
}

/// Makes answers ahead now, and before each bundle that goes live later.
fn keep_warm(app: &Arc<App>) {
    if let Some(pinned) = app.snapshots.pin() {
        warm(app, &pinned, AT_START);
    }
    let server = Arc::downgrade(app);
    app.bundles.before_live(Box::new(move |next| {
        if let Some(app) = server.upgrade() {
            warm(&app, next, Duration::MAX);
        }
    }));
}

async fn publish_trends(app: Arc<App>) {
    let mut tick = ticks(app.config.trends_ms);
    loop {
        tick.tick().await;
        let app = Arc::clone(&app);
        let published = tokio::task::spawn_blocking(move || app.snapshots.publish_trends(now_ms()));
        if published.await.is_err() {
            warn!("publishing trends panicked");
        }
    }
}

async fn share_cache(app: Arc<App>) {
    app.ready.cache().run_shared().await;
}

async fn keep_cache_within_budget(app: Arc<App>) {
    let mut tick = ticks(CACHE_TICK_MS);
    let mut rest = 0;
    loop {
        tick.tick().await;
        let app = Arc::clone(&app);
        let memory_is_short = rest == 0 && is_short_of_memory(app.config.memory_bytes);
        rest = if memory_is_short { SHED_REST } else { rest.saturating_sub(1) };
        let give_back = move || match memory_is_short {
            true => app.ready.cache().shed(),
            false => app.ready.cache().keep_within_budget(),
        };
        match tokio::task::spawn_blocking(give_back).await {
            Ok(0) => {}
            Ok(dropped) => debug!(dropped, memory_is_short, "the cache gave back memory"),
            Err(_) => warn!("giving back the cache's memory panicked"),
        }
    }
}

/// Whether the process itself holds more than four fifths of `most`.
fn is_short_of_memory(most: u64) -> bool {
    most > 0 && process_bytes("RssAnon").is_some_and(|held| held as u64 > most / 5 * 4)
}

async fn seal_log(app: Arc<App>) {
    let mut tick = ticks(SEAL_TICK_MS);
    loop {
        tick.tick().await;
        let app = Arc::clone(&app);
        match tokio::task::spawn_blocking(move || app.seal_log()).await {
            Ok(Ok(0)) => {}
            Ok(Ok(events)) => info!(events, "the event log was moved to long-term storage"),
            Ok(Err(error)) => warn!(%error, "the event log cannot be moved; it grows on"),
            Err(_) => warn!("moving the event log panicked"),
        }
    }
}

/// Where processes share a store, what one of them stores counts in the answers of all.
async fn hear_others(app: Arc<App>) {
    let mut tick = ticks(NEWS_TICK_MS);
    let (mut after, mut is_deaf) = (app.rebuilt_through, false);
    loop {
        tick.tick().await;
        match app.on_store_thread(move |app, store| app.hear_others(store, after)).await {
            Ok(Ok(None)) => return,
            Ok(Ok(Some(last))) => {
                if std::mem::take(&mut is_deaf) {
                    info!("events of other processes are heard of again");
                }
                after = last;
            }
            Ok(Err(error)) => {
                if !std::mem::replace(&mut is_deaf, true) {
                    warn!(%error, "events of other processes are not heard of");
                }
            }
            Err(_) => warn!("hearing of events of other processes panicked"),
        }
    }
}

fn ticks(ms: u64) -> tokio::time::Interval {
    let mut tick = interval(Duration::from_millis(ms));
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    tick
}
