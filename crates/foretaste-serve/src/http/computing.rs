//! Making an answer: what is known about the user, the query, the pipeline on a worker, and the
//! bytes as they are kept.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use foretaste_cache::{Dependency, Fresh, KeyBuf, Loaded, Share};
use foretaste_core::Result as CoreResult;
use foretaste_pipeline::{
    Batch, Degraded, Outcome, Query, Scene, Scratch, Snapshot, Stop, listing, run, similar,
};
use serde::Serialize;

use super::asked::pairs;
use super::problem::Problem;
use crate::answer;
use crate::app::{App, now_ms};
use crate::metrics::{ChannelLabel, Metrics, ReasonLabel};
use crate::prepare::{self, Asked, Known};
use crate::pressure::{Rung, Urgency};
use crate::ready::{self, Wanted, framed, of_user};
use crate::snapshots::Pinned;
use crate::stages::{Stage, StageTimes};

/// Everything that one answer is made from.
#[derive(Clone)]
pub(crate) struct Question {
    pub(crate) pinned: Arc<Pinned>,
    /// Name of a scene that exists.
    scene: Arc<str>,
    pub(crate) wanted: Wanted,
    asked: Asked,
    known: Known,
    /// When recall has to be over.
    until: Option<Instant>,
    urgency: Urgency,
    pub(crate) times: Arc<StageTimes>,
}

impl Question {
    pub(crate) fn new(
        pinned: Arc<Pinned>,
        scene: &Scene,
        (wanted, asked): (Wanted, Asked),
        known: Known,
    ) -> Self {
        let (scene, urgency) = (scene.name().into(), Urgency::Interactive);
        Self { pinned, scene, wanted, asked, known, until: None, urgency, times: Arc::default() }
    }

    /// The same question from a caller who does not wait for ever.
    pub(crate) fn until(self, until: Instant) -> Self {
        Self { until: Some(until), ..self }
    }

    /// The same question for which so much may be given up.
    pub(crate) fn of(self, urgency: Urgency) -> Self {
        Self { urgency, ..self }
    }

    /// The same question with what channels outside of the process say to it.
    pub(crate) async fn heard(mut self, app: &App) -> Self {
        let scene = app.scenes.get(&self.scene).filter(|_| self.wanted.is_of_user());
        if let Some(scene) = scene {
            self.known.external =
                app.externals.ask(&self.pinned, scene, &self.asked, self.until).await;
        }
        self
    }

    /// The same question when nobody waits for its answer.
    fn at_leisure(self) -> Self {
        let times = Arc::default();
        Self { until: None, urgency: Urgency::Renewal, times, ..self }
    }

    /// Makes the answer on a worker.
    ///
    /// # Errors
    /// Those of the pipeline, as problems.
    pub(crate) fn work(
        &self,
        app: &App,
        rung: Rung,
        scratch: &mut Scratch,
    ) -> Result<Made, Problem> {
        let job = self.begin(app)?;
        let (snapshot, query) = (&job.pinned.snapshot, &job.query);
        let (scene, lack) = app.ladder.instead(job.scene, rung);
        let (named, lack, outcome) = match self.wanted {
            Wanted::Recommend => (true, lack, run(snapshot, scene, query, scratch)),
            Wanted::Similar { item, .. } => {
                (true, lack, similar(snapshot, scene, item, query, scratch))
            }
            Wanted::List(which) => (false, None, listing(snapshot, which, query, scratch)),
        };
        Ok(self.made(&job, named, (&outcome, lack)))
    }

    fn begin<'a>(&'a self, app: &'a App) -> Result<Job<'a>, Problem> {
        let job = Job::begin(app, &self.pinned, &self.scene, (&self.asked, &self.known))?;
        self.times.note(Stage::Prepare, job.took);
        Ok(job)
    }

    fn made(
        &self,
        job: &Job<'_>,
        named: bool,
        (outcome, lack): (&Outcome, Option<&'static str>),
    ) -> Made {
        let kept = job.respond(named.then_some(job.scene.name()), (outcome, lack), &self.times);
        let user = self.asked.user.as_deref().filter(|_| self.known.has_past);
        let depends_on = ready::dependencies(job.pinned, user, outcome);
        let is_without =
            |d: &Degraded| matches!(d, Degraded::ChannelLate(_) | Degraded::ChannelAway(_));
        let is_whole = lack.is_none() && !outcome.degraded.iter().any(is_without);
        Made { kept: kept.into(), depends_on, is_whole }
    }
}

/// Recommendations of one scene from one snapshot, made on a worker: vectors are searched for all
/// of them together.
///
/// # Errors
/// The problem of the first that has one.
pub(crate) fn recommend_together(
    app: &App,
    questions: &[&Question],
    scratch: &mut Scratch,
) -> Result<Vec<Made>, Problem> {
    let begun = questions.iter().map(|question| question.begin(app));
    let mut jobs = begun.collect::<Result<Vec<_>, Problem>>()?;
    let Some(&Job { pinned, scene, .. }) = jobs.first() else { return Ok(Vec::new()) };
    let queries: Vec<Query> = jobs.iter_mut().map(|job| std::mem::take(&mut job.query)).collect();
    let began = Instant::now();
    let outcomes = Batch::new(&pinned.snapshot, scene).run(&queries, scratch);
    let share = began.elapsed() / questions.len() as u32;
    let made = questions.iter().zip(jobs).zip(&outcomes).map(|((question, job), outcome)| {
        let prepared = Instant::now().checked_sub(share).unwrap_or(job.prepared);
        question.made(&Job { prepared, ..job }, true, (outcome, None))
    });
    Ok(made.collect())
}

/// Makes an answer for the cache.
///
/// # Errors
/// As [`make`].
pub(crate) async fn kept(app: &Arc<App>, question: Question) -> Result<Fresh, Problem> {
    let wanted = question.wanted.clone();
    Ok(make(app, question).await?.fresh(&wanted))
}

/// Computes an answer anew while the old one serves. The queue of the workers bounds how many.
pub(crate) fn renew(app: &Arc<App>, key: KeyBuf, question: Question) {
    let app = Arc::clone(app);
    tokio::spawn(async move {
        let (share, question) = (question.wanted.share(), question.at_leisure());
        let renewed = app.ready.cache().renew(&key, share, || kept(&app, question)).await;
        if renewed.is_err() {
            let reason = ReasonLabel { reason: "renewal" };
            app.metrics.shed.get_or_create(&reason).inc();
        }
    });
}

/// An answer that was made.
pub(crate) struct Made {
    /// As it is kept.
    pub(crate) kept: Bytes,
    depends_on: Vec<Dependency>,
    /// All that it should be: nothing was given up for pressure.
    is_whole: bool,
}

impl Made {
    /// The same for the cache.
    pub(crate) fn fresh(self, wanted: &Wanted) -> Fresh {
        let fresh = Fresh::new(Some(self.kept)).depends_on(self.depends_on).class(wanted.class());
        if self.is_whole { fresh } else { fresh.passing() }
    }
}

/// Makes an answer.
///
/// # Errors
/// 503 when too many wait, 500 for a defect.
pub(crate) async fn make(app: &Arc<App>, question: Question) -> Result<Made, Problem> {
    let rung = app.admit(question.urgency)?;
    let question = question.heard(app).await;
    let (shared, until, queued) = (Arc::clone(app), question.until, Instant::now());
    let stop = until.map_or_else(Stop::default, |_| Stop::new());
    let sign = stop.clone();
    let made = app.compute(move |scratch| {
        question.times.note(Stage::Queue, queued.elapsed());
        scratch.set_stop(sign);
        question.work(&shared, rung, scratch)
    });
    stopped_at(until, &stop, made).await?
}

/// Sets the sign when the time is over, and goes on waiting.
pub(crate) async fn stopped_at<T>(
    until: Option<Instant>,
    stop: &Stop,
    work: impl Future<Output = T>,
) -> T {
    let Some(until) = until else { return work.await };
    if until <= Instant::now() {
        stop.set();
        return work.await;
    }
    tokio::pin!(work);
    tokio::select! {
        biased;
        done = &mut work => return done,
        () = tokio::time::sleep_until(until.into()) => stop.set(),
    }
    work.await
}

/// What is known about the user beyond the bundle; asks for stored attributes only where there is
/// no past.
pub(crate) async fn look_up(
    app: &Arc<App>,
    pinned: &Pinned,
    mut asked: Asked,
) -> Result<(Asked, Known), Problem> {
    let (known, has_taste) = known(app, pinned, asked.user.as_deref());
    if let Some(user) = &asked.user
        && !has_taste
        && asked.attributes.is_empty()
    {
        asked.attributes = attributes(app, user).await?;
    }
    Ok((asked, known))
}

/// What is in memory about the user, and whether it says what the user likes.
pub(crate) fn known(app: &App, pinned: &Pinned, user: Option<&str>) -> (Known, bool) {
    let now_ms = now_ms();
    let Some(user) = user else { return (Known { now_ms, ..Known::default() }, false) };
    let erased_ms = app.erased.at_ms(user);
    let recent = app.recent.of(user);
    let in_bundle = prepare::has_history(pinned, user);
    let has_past = in_bundle || !recent.events.is_empty();
    let has_taste = !recent.events.is_empty() || in_bundle && erased_ms.is_none();
    let external = Vec::new();
    (Known { recent, erased_ms, has_past, now_ms, external }, has_taste)
}

/// The stored attributes of a user.
async fn attributes(app: &Arc<App>, user: &str) -> Result<Vec<String>, Problem> {
    let key = KeyBuf::new("attributes").segment("").segment(user).end_path().clone();
    let loaded: Loaded = match app.ready.is_enabled().then(|| app.ready.find(&key)).flatten() {
        Some(found) if !found.is_stale => found.loaded,
        _ => {
            let owner = user.to_owned();
            let read = || async {
                let stored = app.store(move |_, store| store.user(&owner)).await?;
                let pairs = stored.map(|user| pairs(&user.attributes)).filter(|p| !p.is_empty());
                let value = pairs.map(|pairs| Bytes::from(to_json(&pairs)));
                Ok(Fresh::new(value).depends_on([of_user(user)]))
            };
            if !app.ready.is_enabled() {
                return Ok(parsed(read().await?.value()));
            }
            app.ready.cache().load(&key, Share::Process, read).await?
        }
    };
    Ok(parsed(loaded.value()))
}

fn parsed(pairs: Option<&Bytes>) -> Vec<String> {
    // What `attributes` wrote is a list of text.
    pairs.map_or_else(Vec::new, |p| serde_json::from_slice(p).unwrap_or_default())
}

/// One answer being computed on a worker.
pub(crate) struct Job<'a> {
    metrics: &'a Metrics,
    pub(crate) pinned: &'a Pinned,
    pub(crate) scene: &'a Scene,
    pub(crate) query: Query,
    /// When the query was ready.
    prepared: Instant,
    /// How long that took.
    took: Duration,
}

impl<'a> Job<'a> {
    /// Prepares the query.
    fn begin(
        app: &'a App,
        pinned: &'a Pinned,
        scene: &str,
        (asked, known): (&Asked, &Known),
    ) -> Result<Self, Problem> {
        let started = Instant::now();
        let scene = app.scene(Some(scene))?;
        let query = prepare::query(pinned, scene, asked, known);
        let prepared = App::stage(&app.metrics, "prepare", started);
        let took = prepared.duration_since(started);
        Ok(Self { metrics: &app.metrics, pinned, scene, query, prepared, took })
    }

    /// The answer as it is kept; `lack` is what the pressure took from it.
    fn respond(
        &self,
        scene: Option<&str>,
        (outcome, lack): (&Outcome, Option<&'static str>),
        times: &StageTimes,
    ) -> Vec<u8> {
        let ranked = App::stage(self.metrics, "pipeline", self.prepared);
        times.note(Stage::Pipeline, ranked.duration_since(self.prepared));
        count_degraded(self.metrics, &self.pinned.snapshot, outcome);
        let mut slate = answer::slate(self.pinned, scene, outcome);
        if let Some(reason) = lack {
            self.metrics.degraded.get_or_create(&ReasonLabel { reason }).inc();
            slate.degraded.push(reason.into());
        }
        // Only maps with keys that are not text can fail, and answers have none.
        let bytes = framed(|out| serde_json::to_writer(out, &slate).unwrap_or_default());
        let written = App::stage(self.metrics, "respond", ranked);
        times.note(Stage::Respond, written.duration_since(ranked));
        bytes
    }
}

/// Prepares the query and does `job`, both on a worker.
///
/// # Errors
/// Those of `job`; 503 when too many wait.
pub(crate) async fn on_worker<T: Send + 'static>(
    app: &Arc<App>,
    pinned: &Arc<Pinned>,
    scene: &str,
    (asked, known): (Asked, Known),
    job: impl FnOnce(&Job<'_>, &mut Scratch) -> CoreResult<T> + Send + 'static,
) -> Result<T, Problem> {
    let (shared, at, scene) = (Arc::clone(app), Arc::clone(pinned), scene.to_owned());
    app.compute(move |scratch| {
        let begun = Job::begin(&shared, &at, &scene, (&asked, &known))?;
        Ok::<_, Problem>(job(&begun, scratch)?)
    })
    .await?
}

/// JSON of an answer.
pub(crate) fn to_json(body: &(impl Serialize + ?Sized)) -> Vec<u8> {
    // Only maps with keys that are not text can fail, and answers have none.
    serde_json::to_vec(body).unwrap_or_default()
}

/// Counts what an answer had to do without.
fn count_degraded(metrics: &Metrics, snapshot: &Snapshot, outcome: &Outcome) {
    for degraded in &outcome.degraded {
        if let Degraded::ChannelLate(id) = degraded {
            let channel = snapshot.channel_name(*id).to_owned();
            metrics.channels_late.get_or_create(&ChannelLabel { channel }).inc();
        }
        let reason = answer::degraded_reason(degraded);
        metrics.degraded.get_or_create(&ReasonLabel { reason }).inc();
    }
    if let Some(fallback) = outcome.fallback {
        let reason = fallback.name();
        metrics.fallbacks.get_or_create(&ReasonLabel { reason }).inc();
    }
}
