//! What every handler shares: the store's door, live state, snapshots, workers, metrics.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use foretaste_core::{Error, ErrorKind, Event, Result, TimeMs};
use foretaste_pipeline::{Executor, Scene, Scenes, Scratch, Stop};
use foretaste_store::{AppendOutcome, RowChanges, Store};
use tokio::sync::{Semaphore, SemaphorePermit, watch};
use tracing::info;

use crate::bundles::{Bundles, Live};
use crate::config::{ServeConfig, millis};
use crate::cpu::{CpuPool, Refused};
use crate::external::Externals;
use crate::features::Features;
use crate::http::problem::Problem;
use crate::ladder::Ladder;
use crate::live::erased::Erased;
use crate::live::rebuild::rebuild;
use crate::live::recent::Recent;
use crate::metrics::{Metrics, ReasonLabel, StageLabel};
use crate::pressure::{self, Rung, Urgency};
use crate::ready::{self, ReadyAnswers, of_item, of_user};
use crate::replicas::{News, Replicas};
use crate::snapshots::{Pinned, Snapshots};

/// Bodies above 64 KiB in memory at a time: at 8 MiB each, 256 MiB.
const LARGE_BODIES: usize = 32;

/// The server behind its routes.
pub(crate) struct App {
    pub(crate) config: ServeConfig,
    pub(crate) scenes: Scenes,
    pub(crate) ladder: Ladder,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) snapshots: Arc<Snapshots>,
    pub(crate) bundles: Arc<Bundles>,
    pub(crate) features: Features,
    pub(crate) recent: Arc<Recent>,
    pub(crate) erased: Erased,
    pub(crate) ready: Arc<ReadyAnswers>,
    pub(crate) externals: Arc<Externals>,
    pub(crate) replicas: Replicas,
    store: Arc<dyn Store>,
    store_slots: Semaphore,
    large_bodies: Semaphore,
    cpu: CpuPool<Scratch>,
    /// Who helps with an answer while there is no other to compute.
    helpers: Executor,
    draining: AtomicBool,
    readiness: watch::Sender<bool>,
    /// Events in the store's log, about.
    log_events: AtomicU64,
    /// The last event of the store that live state began with.
    pub(crate) rebuilt_through: u64,
}

/// Threads that do nothing but help.
fn helpers(n_threads: usize) -> Result<Executor> {
    if n_threads == 0 {
        return Ok(Executor::Inline);
    }
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(n_threads)
        .thread_name(|i| format!("helper-{i}"))
        .build()
        .map_err(|e| Error::new(ErrorKind::Exhausted, "threads that help").with_source(e))?;
    Ok(Executor::helped_by(Arc::new(pool)))
}

impl App {
    /// Rebuilds live state from the store and starts the workers.
    ///
    /// # Errors
    /// `Config` for a wrong setting, the store's for unreadable state.
    pub(crate) fn open(
        config: ServeConfig,
        store: Arc<dyn Store>,
        bundles_root: std::path::PathBuf,
        scenes: Scenes,
    ) -> Result<Self> {
        config.check()?;
        let metrics = Metrics::new();
        let recent = Arc::new(Recent::new(config.live_events_per_user, config.live_events));
        let rebuilt = rebuild(&recent, store.as_ref(), (&bundles_root, config.live_events))?;
        metrics.live_evicted.inc_by(rebuilt.evicted);
        metrics.live_events.set(recent.len() as i64);
        info!(events = recent.len(), "live state rebuilt");
        let externals = Arc::new(Externals::new(&config.channels, Arc::clone(&metrics))?);
        let snapshots = Arc::new(Snapshots::new(externals.names()));
        let ready = Arc::new(ReadyAnswers::new(&config.cache, Arc::clone(&externals)));
        let live = Live {
            store: Arc::clone(&store),
            snapshots: Arc::clone(&snapshots),
            recent: Arc::clone(&recent),
            ready: Arc::clone(&ready),
        };
        let bundles = Bundles::new(bundles_root, live, Arc::clone(&metrics));
        Ok(Self {
            erased: Erased::open(store.as_ref())?,
            store_slots: Semaphore::new(config.store_calls),
            large_bodies: Semaphore::new(LARGE_BODIES),
            cpu: CpuPool::start(
                config.workers(),
                (config.cpu_queue, millis(config.queue_target_ms)),
                Arc::clone(&metrics),
            )?,
            helpers: helpers(config.helpers())?,
            ladder: Ladder::of(&scenes)?,
            draining: AtomicBool::new(false),
            readiness: watch::Sender::new(false),
            rebuilt_through: rebuilt.through_seq,
            log_events: AtomicU64::new(store.log_events()?),
            features: Features::new(&config.features, Arc::clone(&metrics)),
            bundles: Arc::new(bundles),
            replicas: Replicas::new(ready.cache().is_shared()),
            config,
            scenes,
            metrics,
            snapshots,
            recent,
            ready,
            externals,
            store,
        })
    }

    /// Moves the events of a long log to long-term storage; returns how many. Live state keeps
    /// them.
    pub(crate) fn seal_log(&self) -> Result<u64> {
        let events = self.log_events.load(Relaxed);
        if events < self.config.seal_events {
            return Ok(0);
        }
        self.store.seal()?;
        self.log_events.fetch_sub(events, Relaxed);
        Ok(events)
    }

    /// Pins the present snapshot for one request.
    ///
    /// # Errors
    /// 503 before the first bundle went live.
    pub(crate) fn pin(&self) -> Result<Arc<Pinned>, Problem> {
        self.snapshots.pin().ok_or_else(|| {
            Problem::unavailable("no-bundle", "no bundle is live yet: train one or promote one")
        })
    }

    /// The scene of a request.
    ///
    /// # Errors
    /// 400 naming the scenes there are.
    pub(crate) fn scene(&self, name: Option<&str>) -> Result<&Scene, Problem> {
        let name = name.unwrap_or(&self.config.default_scene);
        self.scenes.get(name).ok_or_else(|| {
            let names: Vec<&str> = self.scenes.iter().map(Scene::name).collect();
            Problem::invalid(format!("unknown scene; there are: {}", names.join(", ")))
        })
    }

    /// Calls the store on a thread that may block.
    ///
    /// # Errors
    /// 503 when too many calls are in flight, else the store's error as a problem.
    pub(crate) async fn store<T: Send + 'static>(
        self: &Arc<Self>,
        call: impl FnOnce(&Self, &dyn Store) -> Result<T> + Send + 'static,
    ) -> Result<T, Problem> {
        let Ok(_slot) = self.store_slots.try_acquire() else {
            self.metrics.shed.get_or_create(&ReasonLabel { reason: "store_calls" }).inc();
            return Err(Problem::unavailable("busy", "too many writes at once; try again"));
        };
        match self.on_store_thread(call).await {
            Ok(result) => result.map_err(Problem::from),
            Err(_) => {
                self.metrics.panics.inc();
                Err(Problem::internal())
            }
        }
    }

    /// A place among the large bodies that may be in memory at a time.
    ///
    /// # Errors
    /// 503 when there is none.
    pub(crate) fn large_body(&self) -> Result<SemaphorePermit<'_>, Problem> {
        self.large_bodies.try_acquire().map_err(|_| {
            self.metrics.shed.get_or_create(&ReasonLabel { reason: "large_bodies" }).inc();
            Problem::unavailable("busy", "too many large batches at once; try again")
        })
    }

    /// How much of an answer there is time for.
    ///
    /// # Errors
    /// 503 when there is time for none.
    pub(crate) fn admit(&self, urgency: Urgency) -> Result<Rung, Problem> {
        let pressure = self.cpu.pressure();
        self.metrics.pressure.set(f64::from(pressure));
        let rung = pressure::rung(pressure, urgency);
        if rung == Rung::Refused { Err(self.shed(urgency)) } else { Ok(rung) }
    }

    /// Lets so many jobs seem to wait that take so long, until the next job.
    #[cfg(test)]
    pub(crate) fn pretend(&self, waiting: usize, took: std::time::Duration) {
        self.cpu.pretend(waiting, took);
    }

    /// What such a caller is told where there is time for nothing that is not ready.
    pub(crate) fn refusal(&self, urgency: Urgency) -> Option<Problem> {
        let is_over = pressure::rung(self.cpu.pressure(), urgency) == Rung::Refused;
        is_over.then(|| self.shed(urgency))
    }

    fn shed(&self, urgency: Urgency) -> Problem {
        let reason = urgency.name();
        self.metrics.shed.get_or_create(&ReasonLabel { reason }).inc();
        Problem::unavailable("busy", "too many requests wait; try again")
    }

    /// Computes on a worker.
    ///
    /// # Errors
    /// 503 when the queue is full, 500 when the job panicked.
    pub(crate) async fn compute<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Scratch) -> T + Send + 'static,
    ) -> Result<T, Problem> {
        let executor = if self.cpu.is_idle() { self.helpers.clone() } else { Executor::Inline };
        let helped = move |scratch: &mut Scratch| {
            scratch.set_executor(executor);
            scratch.set_stop(Stop::default());
            job(scratch)
        };
        self.cpu.run(helped).await.map_err(|refused| match refused {
            Refused::Full => Problem::unavailable("busy", "too many requests wait; try again"),
            Refused::Closed => Problem::unavailable("stopping", "the server is shutting down"),
            Refused::Panicked => Problem::internal(),
        })
    }

    /// Stores events; once they are durable they count in the next answer.
    pub(crate) async fn write_events(
        self: &Arc<Self>,
        events: Vec<Event>,
    ) -> Result<AppendOutcome, Problem> {
        self.store(move |app, store| {
            let outcome = store.append_events(&events)?;
            app.metrics.events_written.inc_by(outcome.accepted as u64);
            app.log_events.fetch_add(outcome.accepted as u64, Relaxed);
            app.metrics.events_duplicate.inc_by(outcome.duplicates as u64);
            if outcome.accepted > 0 {
                app.take_notice(&events);
                if app.replicas.has_others() {
                    app.tell(events.into_iter().map(News::Event));
                }
            }
            Ok(outcome)
        })
        .await
    }

    /// Calls the store on a thread that may block, on behalf of nobody who waits.
    pub(crate) async fn on_store_thread<T: Send + 'static>(
        self: &Arc<Self>,
        call: impl FnOnce(&Self, &dyn Store) -> T + Send + 'static,
    ) -> Result<T, tokio::task::JoinError> {
        let app = Arc::clone(self);
        tokio::task::spawn_blocking(move || call(&app, app.store.as_ref())).await
    }

    /// Lets events count from now on.
    pub(crate) fn take_notice(&self, events: &[Event]) {
        for event in events {
            let recorded = self.recent.record(event);
            self.metrics.live_evicted.inc_by(recorded.evicted as u64);
            if recorded.is_new {
                self.snapshots.count(event);
            }
        }
        self.metrics.live_events.set(self.recent.len() as i64);
    }

    /// Takes up events that other processes have stored since `after_seq`, and says how far it
    /// got; `None` where there cannot be any.
    pub(crate) fn hear_others(&self, store: &dyn Store, after_seq: u64) -> Result<Option<u64>> {
        store.news(after_seq, &mut |_, event| {
            self.take_notice(std::slice::from_ref(&event));
            Ok(())
        })
    }

    /// Takes up what others have stored.
    ///
    /// # Errors
    /// The store's, when it cannot say whether an item is hidden; all else has been taken up.
    pub(crate) fn take_changes(&self, changes: &RowChanges) -> Result<()> {
        for event in self.recent.retract(&changes.retracted) {
            self.snapshots.uncount(&event);
        }
        self.log_events.fetch_add(changes.events.len() as u64, Relaxed);
        self.take_notice(&changes.events);
        self.users_changed(changes.users.iter().map(String::as_str));
        let mut hidden = Vec::with_capacity(changes.items.len());
        for id in &changes.items {
            let stored = self.store.item(id)?;
            hidden.push((id.as_str(), stored.is_none_or(|item| item.hidden)));
        }
        self.set_hidden(&hidden);
        Ok(())
    }

    /// Publishes that these items are hidden or shown, and gives up the answers that show what is
    /// hidden now.
    pub(crate) fn set_hidden(&self, changes: &[(&str, bool)]) {
        self.snapshots.set_hidden(changes);
        let hidden = changes.iter().filter(|(_, hide)| *hide);
        let hidden: Vec<_> = hidden.map(|(id, _)| of_item(id)).collect();
        if !hidden.is_empty() {
            self.ready.cache().invalidate(&hidden);
        }
    }

    /// Gives up what is kept about these users.
    pub(crate) fn users_changed<'a>(&self, ids: impl Iterator<Item = &'a str>) {
        self.ready.cache().invalidate(&ids.map(of_user).collect::<Vec<_>>());
    }

    /// Forgets a user: what is stored, what is in memory, what is kept in any cache.
    ///
    /// # Errors
    /// The store's; then it may have to be done again.
    pub(crate) fn erase(&self, store: &dyn Store, id: &str, at_ms: TimeMs) -> Result<()> {
        store.delete_user(id)?;
        self.erased.add(store, id, at_ms)?;
        self.recent.erase(id);
        self.metrics.live_events.set(self.recent.len() as i64);
        self.users_changed([id].into_iter());
        self.ready.cache().clear_prefix(&ready::answers_of(id));
        Ok(())
    }

    /// As [`App::set_hidden`], and tells the others what has changed.
    pub(crate) fn hide(&self, changes: &[(&str, bool)]) {
        let news = |&(id, hidden): &(&str, bool)| {
            let is_new = self.is_hidden_now(id) != hidden;
            is_new.then(|| News::Hidden { item: id.to_owned(), hidden })
        };
        let news: Vec<News> = changes.iter().filter_map(news).collect();
        self.set_hidden(changes);
        self.tell(news);
    }

    /// Whether requests are welcome: a bundle is live and nobody asked to stop.
    pub(crate) fn is_ready(&self) -> bool {
        !self.is_draining() && self.snapshots.pin().is_some()
    }

    /// Turns readiness off for good.
    pub(crate) fn start_draining(&self) {
        self.draining.store(true, Relaxed);
        self.note_readiness();
    }

    /// Tells whoever follows it whether requests are welcome now.
    pub(crate) fn note_readiness(&self) {
        let is_ready = self.is_ready();
        self.metrics.ready.set(i64::from(is_ready));
        self.readiness.send_replace(is_ready);
    }

    /// Whether requests are welcome, now and whenever that changes.
    pub(crate) fn readiness(&self) -> watch::Receiver<bool> {
        self.readiness.subscribe()
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Relaxed)
    }

    /// Records the time since `since` for a stage and starts the next one.
    pub(crate) fn stage(metrics: &Metrics, stage: &'static str, since: Instant) -> Instant {
        let now = Instant::now();
        let seconds = now.duration_since(since).as_secs_f64();
        metrics.stages.get_or_create(&StageLabel { stage }).observe(seconds);
        now
    }
}

/// The wall clock.
pub(crate) fn now_ms() -> TimeMs {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX)
}
