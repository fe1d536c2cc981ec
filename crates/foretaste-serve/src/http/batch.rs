//! Recommendations for several users in one request: what is ready is taken, what another replica
//! has is fetched in one operation, and the rest is computed in a few jobs that search for many
//! users at once.
//! What goes wrong for one user is that user's problem alone.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use foretaste_cache::{KeyBuf, Share};
use foretaste_pipeline::{Scene, Scratch, Stop};
use futures_util::future::join_all;
use hyper::header::{CONTENT_TYPE, HeaderValue};

use super::answering::Terms;
use super::asked::{self, InScene};
use super::computing::{Made, Question, look_up, recommend_together, stopped_at, to_json};
use super::problem::Problem;
use super::records;
use super::respond::{Manner, with_bundle};
use super::told::recall_until;
use crate::app::App;
use crate::prepare::Asked;
use crate::pressure::{Rung, Urgency};
use crate::ready::{Wanted, unframed};
use crate::snapshots::Pinned;

/// Users computed by one job: enough that reading the vectors is shared, few enough that single
/// requests do not wait long behind it.
const USERS_PER_JOB: usize = 32;

/// One user's answer as it is kept, or what went wrong.
pub(crate) type Part = Result<Bytes, Problem>;

pub(crate) async fn batch(
    State(app): State<Arc<App>>,
    request: Request,
) -> Result<Response, Problem> {
    let terms = Manner::of(request.headers()).terms;
    app.admit(terms.urgency.min(Urgency::Batch))?;
    let (users, in_scene) = asked::batch(&app, request).await?;
    let (pinned, parts) = answers(&app, terms, (&users, in_scene)).await?;
    let mut response = written(&pinned, &users, &parts).into_response();
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    Ok(with_bundle(&pinned, response))
}

/// What the users of a batch are answered, in their order, whatever the protocol.
///
/// # Errors
/// 400 for an unknown scene, 503 before the first bundle went live.
pub(crate) async fn answers(
    app: &Arc<App>,
    terms: Terms,
    (users, (scene, shared)): (&[String], InScene),
) -> Result<(Arc<Pinned>, Vec<Part>), Problem> {
    let until = recall_until(&app.config, terms.waits);
    let scene = app.scene(scene.as_deref())?;
    let pinned = app.pin()?;
    let stop = Stop::new();
    let parts = parts(app, (&pinned, scene, until), (users, &shared), &stop);
    let parts = stopped_at(Some(until), &stop, parts).await;
    Ok((pinned, parts))
}

/// What all users of a batch share: the snapshot, the scene, and when recall has to be over.
type Within<'a> = (&'a Arc<Pinned>, &'a Scene, Instant);

/// The parts in the order of the users.
async fn parts(
    app: &Arc<App>,
    within: Within<'_>,
    (users, shared): (&[String], &Asked),
    stop: &Stop,
) -> Vec<Part> {
    let mut parts: Vec<Option<Part>> = Vec::with_capacity(users.len());
    let mut missing = Vec::new();
    for (at, user) in users.iter().enumerate() {
        let asked = Asked { user: Some(user.clone()), ..shared.clone() };
        let part = match question(app, within, asked).await {
            Err(problem) => Some(Err(problem)),
            Ok((key, question)) => {
                let found = key.as_ref().and_then(|key| app.ready.find(key));
                let value = found.and_then(|found| found.loaded.value().cloned());
                if value.is_none() {
                    missing.push(Missing { at, key, question });
                }
                value.map(Ok)
            }
        };
        parts.push(part);
    }
    fetch(app, &mut parts, &mut missing).await;
    let heard = missing.into_iter().map(|Missing { at, key, question }| async move {
        Missing { at, key, question: question.heard(app).await }
    });
    let missing = join_all(heard).await;
    compute(app, &mut parts, missing, stop).await;
    parts.into_iter().map(|part| part.unwrap_or_else(|| Err(Problem::internal()))).collect()
}

/// A user whose answer is not ready.
struct Missing {
    at: usize,
    key: Option<KeyBuf>,
    question: Question,
}

async fn question(
    app: &Arc<App>,
    (pinned, scene, until): Within<'_>,
    asked: Asked,
) -> Result<(Option<KeyBuf>, Question), Problem> {
    records::id("user", asked.user.as_deref().unwrap_or_default())?;
    let (asked, known) = look_up(app, pinned, asked).await?;
    let key = app.ready.key(pinned, scene, &Wanted::Recommend, (&asked, &known));
    let question = Question::new(Arc::clone(pinned), scene, (Wanted::Recommend, asked), known);
    Ok((key, question.until(until)))
}

/// Takes what other replicas have.
async fn fetch(app: &App, parts: &mut [Option<Part>], missing: &mut Vec<Missing>) {
    let keys: Vec<KeyBuf> = missing.iter().filter_map(|m| m.key.clone()).collect();
    if app.ready.cache().fetch(&keys).await == 0 {
        return;
    }
    missing.retain(|m| {
        let found = m.key.as_ref().and_then(|key| app.ready.cache().probe(key));
        let value = found.and_then(|found| found.loaded.value().cloned());
        let is_missing = value.is_none();
        if let Some(value) = value {
            parts[m.at] = Some(Ok(value));
        }
        is_missing
    });
}

/// Computes the rest, several users a job, and keeps it.
async fn compute(
    app: &Arc<App>,
    parts: &mut [Option<Part>],
    mut missing: Vec<Missing>,
    stop: &Stop,
) {
    let began = app.ready.cache().begin();
    let n_jobs = missing.len().div_ceil(USERS_PER_JOB);
    let mut jobs = Vec::with_capacity(n_jobs);
    for left in (1..=n_jobs).rev() {
        // All jobs are of one size, so that none shares what it reads with few only.
        let some = missing.split_off(missing.len() - missing.len() / left);
        let (app, stop) = (Arc::clone(app), stop.clone());
        jobs.push(tokio::spawn(async move {
            let shared = Arc::clone(&app);
            let places: Vec<usize> = some.iter().map(|m| m.at).collect();
            let job = move |scratch: &mut Scratch| {
                let made = work(&shared, &some, &stop, scratch);
                made.into_iter().zip(some).collect::<Vec<_>>()
            };
            (places, app.compute(job).await)
        }));
    }
    for job in jobs {
        let Ok((places, made)) = job.await else { continue };
        match made {
            Err(problem) => {
                places.into_iter().for_each(|at| parts[at] = Some(Err(problem.clone())));
            }
            Ok(made) => {
                for (made, Missing { at, key, question }) in made {
                    parts[at] = Some(made.map(|made| {
                        let kept = made.kept.clone();
                        if let Some(key) = key {
                            let fresh = made.fresh(&question.wanted);
                            app.ready.cache().keep(began, &key, Share::Replicas, fresh);
                        }
                        kept
                    }));
                }
            }
        }
    }
}

/// The answers of some users, together; where that fails, or the time is over, each user's alone.
fn work(
    app: &App,
    some: &[Missing],
    stop: &Stop,
    scratch: &mut Scratch,
) -> Vec<Result<Made, Problem>> {
    if !stop.is_set() {
        let questions: Vec<&Question> = some.iter().map(|m| &m.question).collect();
        if let Ok(made) = caught(app, scratch, |s| recommend_together(app, &questions, s)) {
            return made.into_iter().map(Ok).collect();
        }
    }
    let alone = |m: &Missing| {
        scratch.set_stop(stop.clone());
        caught(app, scratch, |scratch| m.question.work(app, Rung::Whole, scratch))
    };
    some.iter().map(alone).collect()
}

/// What `job` makes; a panic is its problem alone.
fn caught<T>(
    app: &App,
    scratch: &mut Scratch,
    job: impl FnOnce(&mut Scratch) -> Result<T, Problem>,
) -> Result<T, Problem> {
    catch_unwind(AssertUnwindSafe(|| job(scratch))).unwrap_or_else(|_| {
        *scratch = Scratch::default();
        app.metrics.panics.inc();
        Err(Problem::internal())
    })
}

/// The body: answers as they are kept, put together.
fn written(pinned: &Pinned, users: &[String], parts: &[Part]) -> Vec<u8> {
    let answers = parts.iter().flatten().map(Bytes::len).sum::<usize>();
    let mut out = Vec::with_capacity(answers + 200 * users.len());
    out.extend_from_slice(b"{\"bundle\":");
    out.extend(to_json(&*pinned.bundle_id));
    out.extend_from_slice(b",\"results\":[");
    for (at, (user, part)) in users.iter().zip(parts).enumerate() {
        out.extend_from_slice(if at == 0 { b"{\"user\":" } else { b",{\"user\":" });
        out.extend(to_json(user));
        match part {
            Ok(kept) => {
                out.extend_from_slice(b",\"answer\":");
                out.extend_from_slice(&unframed(kept).1);
            }
            Err(problem) => {
                out.extend_from_slice(b",\"problem\":");
                out.extend(to_json(problem));
            }
        }
        out.push(b'}');
    }
    out.extend_from_slice(b"]}");
    out
}
