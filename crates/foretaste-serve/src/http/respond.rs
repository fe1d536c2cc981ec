//! The one way to an answer: pin a snapshot, look up what is known, find the answer among those
//! that are ready, else compute it on a worker once for all who want it, and send it.

use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use foretaste_cache::{Dependency, Found, Fresh, KeyBuf, Loaded, Share, Source as Where};
use foretaste_core::Result as CoreResult;
use foretaste_pipeline::{Outcome, Query, Scene, Scratch, listing, run, similar};
use hyper::header::{
    AGE, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG, HeaderName, HeaderValue,
    IF_NONE_MATCH, VARY,
};
use hyper::{HeaderMap, StatusCode};
use serde::Serialize;

use super::asked::pairs;
use super::encoding::{Encoding, LEAST_BYTES};
use super::problem::Problem;
use crate::answer;
use crate::app::{App, now_ms};
use crate::metrics::{Metrics, ReasonLabel};
use crate::prepare::{self, Asked, Known};
use crate::pressure::Urgency;
use crate::ready::{self, Wanted, framed, of_user, reframed, unframed};
use crate::snapshots::Pinned;

/// Names the bundle of an answer.
const BUNDLE: HeaderName = HeaderName::from_static("x-foretaste-bundle");
/// Says where an answer came from.
const X_CACHE: HeaderName = HeaderName::from_static("x-cache");
/// Headers of an answer, those of every response included.
const HEADERS: usize = 12;
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// What a request's head says about how it wants its answer.
#[derive(Clone, Debug, Default)]
pub(crate) struct Manner {
    /// The client does not want what was kept.
    pub(crate) no_cache: bool,
    /// What the client has already.
    if_none_match: Option<HeaderValue>,
    /// The compressed form it likes best.
    encoding: Option<Encoding>,
}

impl Manner {
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let refuses = |value: &HeaderValue| {
            let words = value.to_str().unwrap_or_default();
            words.contains("no-cache") || words.contains("no-store")
        };
        Self {
            no_cache: headers.get(CACHE_CONTROL).is_some_and(refuses),
            if_none_match: headers.get(IF_NONE_MATCH).cloned(),
            encoding: Encoding::accepted(headers),
        }
    }
}

impl Manner {
    /// The compressed form that this answer is wanted in; short ones are sent as they are.
    fn form_of(&self, kept: &Bytes) -> Option<Encoding> {
        self.encoding.filter(|_| kept.len() >= LEAST_BYTES)
    }
}

/// Where an answer came from, as `X-Cache` says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    Hit,
    Stale,
    Miss,
    Bypass,
}

impl Source {
    fn of(found: &Found) -> Self {
        if found.is_stale { Self::Stale } else { Self::Hit }
    }

    fn name(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Hit => "HIT",
            Self::Stale => "STALE",
            Self::Miss => "MISS",
            Self::Bypass => "BYPASS",
        })
    }
}

/// Everything that one answer is made from.
#[derive(Clone)]
pub(crate) struct Question {
    pinned: Arc<Pinned>,
    /// Name of a scene that exists.
    scene: Arc<str>,
    wanted: Wanted,
    asked: Asked,
    known: Known,
}

impl Question {
    pub(crate) fn new(
        pinned: Arc<Pinned>,
        scene: &Scene,
        (wanted, asked): (Wanted, Asked),
        known: Known,
    ) -> Self {
        Self { pinned, scene: scene.name().into(), wanted, asked, known }
    }
}

/// Answers `wanted` in `scene`.
///
/// # Errors
/// 503 when too many wait or no bundle is live, 500 for a defect.
pub(crate) async fn answer(
    app: &Arc<App>,
    manner: &Manner,
    pinned: Arc<Pinned>,
    scene: &Scene,
    (wanted, asked): (Wanted, Asked),
) -> Result<Response, Problem> {
    let (asked, known) = look_up(app, &pinned, asked).await?;
    let key = match manner.no_cache {
        true => None,
        false => app.ready.key(&pinned, scene, &wanted, (&asked, &known)),
    };
    let found = key.as_ref().and_then(|key| app.ready.find(key));
    let question = Question::new(Arc::clone(&pinned), scene, (wanted, asked), known);
    let (source, key, loaded) = match (key, found) {
        (None, _) => {
            let (bytes, ..) = compute(app, question).await?;
            let form = match manner.form_of(&bytes) {
                None => Form { encoding: None, kept: bytes },
                Some(encoding) => compressed(app, encoding, bytes).await?,
            };
            return Ok(out(&pinned, manner, (Source::Bypass, 0), form));
        }
        (Some(key), Some(found)) => {
            if found.renew {
                renew(app, key.clone(), question);
            }
            (Source::of(&found), key, found.loaded)
        }
        (Some(key), None) => {
            let share = question.wanted.share();
            let loaded = app.ready.cache().load(&key, share, || kept(app, question)).await?;
            let source = match loaded.source {
                Where::Computed => Source::Miss,
                Where::Process | Where::Replicas => Source::Hit,
            };
            (source, key, loaded)
        }
    };
    let form = match ready_form(app, manner, &key, &loaded) {
        Some(form) => form,
        None => make_form(app, manner, &key, &loaded).await?,
    };
    Ok(out(&pinned, manner, (source, loaded.age_ms / 1_000), form))
}

/// The response to what was found, if it is there in the form that the client wants. Sees to the
/// renewal where that is this request's duty.
pub(crate) fn ready_response(
    app: &Arc<App>,
    manner: &Manner,
    (key, found): (KeyBuf, Found),
    question: Question,
) -> Option<Response> {
    let form = ready_form(app, manner, &key, &found.loaded);
    let pinned = Arc::clone(&question.pinned);
    let (source, age_ms) = (Source::of(&found), found.loaded.age_ms);
    if found.renew {
        renew(app, key, question);
    }
    Some(out(&pinned, manner, (source, age_ms / 1_000), form?))
}

/// An answer as it is kept, as it is or compressed.
struct Form {
    encoding: Option<Encoding>,
    kept: Bytes,
}

/// The form that the client wants, if it is there.
fn ready_form(app: &App, manner: &Manner, key: &KeyBuf, loaded: &Loaded) -> Option<Form> {
    let kept = loaded.value().cloned().unwrap_or_default();
    let Some(encoding) = manner.form_of(&kept) else { return Some(Form { encoding: None, kept }) };
    let found = app.ready.cache().probe(key.clone().number(encoding.number()))?;
    let kept = found.loaded.value()?.clone();
    Some(Form { encoding: Some(encoding), kept })
}

/// Makes the form that the client wants, and keeps it as long as the answer.
async fn make_form(
    app: &Arc<App>,
    manner: &Manner,
    key: &KeyBuf,
    loaded: &Loaded,
) -> Result<Form, Problem> {
    let kept = loaded.value().cloned().unwrap_or_default();
    let Some(encoding) = manner.form_of(&kept) else { return Ok(Form { encoding: None, kept }) };
    let form = compressed(app, encoding, kept).await?;
    let name = key.clone().number(encoding.number()).clone();
    app.ready.cache().keep_variant(key, loaded, (&name, form.kept.clone()));
    Ok(form)
}

async fn compressed(app: &App, encoding: Encoding, kept: Bytes) -> Result<Form, Problem> {
    let kept = app.compute(move |_| reframed(&kept, |body, out| encoding.compress(body, out)));
    let kept = kept.await?.map_err(|_| Problem::internal())?;
    Ok(Form { encoding: Some(encoding), kept: kept.into() })
}

async fn kept(app: &Arc<App>, question: Question) -> Result<Fresh, Problem> {
    let class = question.wanted.class();
    let (bytes, depends_on, is_whole) = compute(app, question).await?;
    let fresh = Fresh::new(Some(bytes)).depends_on(depends_on).class(class);
    Ok(if is_whole { fresh } else { fresh.passing() })
}

/// Computes an answer anew while the old one serves. The queue of the workers bounds how many.
fn renew(app: &Arc<App>, key: KeyBuf, question: Question) {
    let app = Arc::clone(app);
    tokio::spawn(async move {
        let share = question.wanted.share();
        let renewed = app.ready.cache().renew(&key, share, || kept(&app, question)).await;
        if renewed.is_err() {
            let reason = ReasonLabel { reason: "renewal" };
            app.metrics.shed.get_or_create(&reason).inc();
        }
    });
}

/// An answer as it is kept, what it depends on, and whether it is all that it should be.
async fn compute(
    app: &Arc<App>,
    question: Question,
) -> Result<(Bytes, Vec<Dependency>, bool), Problem> {
    let rung = app.admit(Urgency::Interactive)?;
    let shared = Arc::clone(app);
    let Question { pinned, scene, wanted, asked, known } = question;
    let user = asked.user.clone().filter(|_| known.has_past);
    on_worker(app, &pinned, &scene, (asked, known), move |job, scratch| {
        let (snapshot, query) = (&job.pinned.snapshot, &job.query);
        let (scene, lack) = shared.ladder.instead(job.scene, rung);
        let (named, lack, outcome) = match wanted {
            Wanted::Recommend => (true, lack, run(snapshot, scene, query, scratch)),
            Wanted::Similar { item, .. } => {
                (true, lack, similar(snapshot, scene, item, query, scratch))
            }
            Wanted::List(which) => (false, None, listing(snapshot, which, query, scratch)),
        };
        let bytes = job.respond(named.then_some(job.scene.name()), &outcome, lack);
        let depends_on = ready::dependencies(job.pinned, user.as_deref(), &outcome);
        Ok((bytes.into(), depends_on, lack.is_none()))
    })
    .await
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
    (Known { recent, erased_ms, has_past, now_ms }, has_taste)
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
}

impl Job<'_> {
    /// The answer as it is kept; `lack` is what the pressure took from it.
    fn respond(
        &self,
        scene: Option<&str>,
        outcome: &Outcome,
        lack: Option<&'static str>,
    ) -> Vec<u8> {
        let ranked = App::stage(self.metrics, "pipeline", self.prepared);
        count_degraded(self.metrics, outcome);
        let mut slate = answer::slate(self.pinned, scene, outcome);
        if let Some(reason) = lack {
            self.metrics.degraded.get_or_create(&ReasonLabel { reason }).inc();
            slate.degraded.push(reason.to_owned());
        }
        // Only maps with keys that are not text can fail, and answers have none.
        let bytes = framed(|out| serde_json::to_writer(out, &slate).unwrap_or_default());
        App::stage(self.metrics, "respond", ranked);
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
        let started = Instant::now();
        let metrics = &shared.metrics;
        let scene = shared.scene(Some(&scene))?;
        let query = prepare::query(&at, scene, &asked, &known);
        let prepared = App::stage(metrics, "prepare", started);
        let job_here = Job { metrics, pinned: &at, scene, query, prepared };
        Ok::<_, Problem>(job(&job_here, scratch)?)
    })
    .await?
}

fn out(
    pinned: &Pinned,
    manner: &Manner,
    (source, age_seconds): (Source, u64),
    form: Form,
) -> Response {
    let (fingerprint, body) = unframed(&form.kept);
    let etag = etag(fingerprint);
    let is_known = manner.if_none_match.as_ref().is_some_and(|known| matches(known, &etag));
    let mut response = Response::new(Body::empty());
    let headers = response.headers_mut();
    headers.reserve(HEADERS);
    headers.insert(ETAG, etag);
    headers.insert(VARY, HeaderValue::from_static("accept-encoding"));
    headers.insert(X_CACHE, source.name());
    headers.insert(BUNDLE, pinned.bundle_header.clone());
    if matches!(source, Source::Hit | Source::Stale) {
        headers.insert(AGE, HeaderValue::from(age_seconds));
    }
    if is_known {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        return response;
    }
    headers.insert(CONTENT_TYPE, JSON);
    if let Some(encoding) = form.encoding {
        headers.insert(CONTENT_ENCODING, encoding.name());
    }
    *response.body_mut() = Body::from(body);
    response
}

/// Weak, because compressed forms share it: `W/"` and sixteen hexadecimal digits.
fn etag(fingerprint: u64) -> HeaderValue {
    let mut tag = *b"W/\"0000000000000000\"";
    for (at, digit) in tag[3..19].iter_mut().enumerate() {
        *digit = b"0123456789abcdef"[(fingerprint >> (60 - 4 * at)) as usize & 15];
    }
    HeaderValue::from_bytes(&tag).expect("hexadecimal digits")
}

/// Whether one of the client's tags is ours; `*` is any.
fn matches(known: &HeaderValue, etag: &HeaderValue) -> bool {
    let weak = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    let ours = weak(etag.to_str().unwrap_or_default());
    let known = known.to_str().unwrap_or_default();
    known.trim() == "*" || known.split(',').any(|tag| weak(tag) == ours)
}

/// Names the bundle of a response.
pub(crate) fn with_bundle(pinned: &Pinned, mut response: Response) -> Response {
    response.headers_mut().insert(BUNDLE, pinned.bundle_header.clone());
    response
}

/// JSON of an answer.
pub(crate) fn to_json(body: &impl Serialize) -> Vec<u8> {
    // Only maps with keys that are not text can fail, and answers have none.
    serde_json::to_vec(body).unwrap_or_default()
}

/// Counts what an answer had to do without.
pub(crate) fn count_degraded(metrics: &Metrics, outcome: &Outcome) {
    for degraded in &outcome.degraded {
        let reason = answer::degraded_reason(degraded);
        metrics.degraded.get_or_create(&ReasonLabel { reason }).inc();
    }
    if let Some(fallback) = outcome.fallback {
        let reason = fallback.name();
        metrics.fallbacks.get_or_create(&ReasonLabel { reason }).inc();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(known: &'static str, expected: bool) {
        let etag = HeaderValue::from_static("W/\"0a\"");
        assert_eq!(matches(&HeaderValue::from_static(known), &etag), expected, "{known}");
    }

    #[test]
    fn tags_are_compared_weakly() {
        check("W/\"0a\"", true);
        check("\"0a\"", true);
        check("\"1\", W/\"0a\"", true);
        check("*", true);
        check("\"0b\"", false);
        check("", false);
    }
}
