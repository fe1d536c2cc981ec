//! The one way to an answer, whatever protocol it is asked in: look up what is known, find the
//! answer among those that are ready, else compute it on a worker once for all who want it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use foretaste_cache::{Found, KeyBuf, Loaded, Source as Where};
use foretaste_pipeline::{Listing, Scene};

use super::computing::{Question, kept, look_up, make, renew};
use super::problem::Problem;
use super::told::recall_until;
use crate::app::App;
use crate::prepare::Asked;
use crate::pressure::Urgency;
use crate::ready::Wanted;
use crate::snapshots::Pinned;
use crate::stages::StageTimes;

/// Scene of similar items where the request names none.
const SIMILAR_SCENE: &str = "similar";

/// What a caller says about how it wants to be answered, whatever the form of the answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    /// The caller does not want what was kept.
    pub(crate) no_cache: bool,
    /// When the request began, and how long the caller waits, where it says so.
    pub(crate) waits: (Instant, Option<Duration>),
    /// What may be given up for it.
    pub(crate) urgency: Urgency,
}

/// Where an answer came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    Hit,
    Stale,
    Miss,
    Bypass,
}

impl Source {
    pub(crate) fn of(found: &Found) -> Self {
        if found.is_stale { Self::Stale } else { Self::Hit }
    }

    /// As `X-Cache` says it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Hit => "HIT",
            Self::Stale => "STALE",
            Self::Miss => "MISS",
            Self::Bypass => "BYPASS",
        }
    }
}

/// An answer as it is kept, and where it is.
pub(crate) enum Held {
    /// Nowhere else.
    Loose(Bytes),
    /// In the cache under this key.
    Cached(KeyBuf, Loaded),
}

/// An answer.
pub(crate) struct Answer {
    pub(crate) pinned: Arc<Pinned>,
    pub(crate) source: Source,
    pub(crate) held: Held,
    pub(crate) times: Arc<StageTimes>,
}

impl Answer {
    /// As it is kept: fingerprint and JSON.
    pub(crate) fn kept(&self) -> Bytes {
        match &self.held {
            Held::Loose(bytes) => bytes.clone(),
            Held::Cached(_, loaded) => loaded.value().cloned().unwrap_or_default(),
        }
    }

    /// Seconds since it was made.
    pub(crate) fn age_seconds(&self) -> u64 {
        match &self.held {
            Held::Loose(_) => 0,
            Held::Cached(_, loaded) => loaded.age_ms / 1_000,
        }
    }
}

/// Answers `wanted` in `scene`.
///
/// # Errors
/// 503 when too many wait or no bundle is live, 500 for a defect.
pub(crate) async fn answer(
    app: &Arc<App>,
    terms: Terms,
    pinned: Arc<Pinned>,
    scene: &Scene,
    (wanted, asked): (Wanted, Asked),
) -> Result<Answer, Problem> {
    let (asked, known) = look_up(app, &pinned, asked).await?;
    let key = match terms.no_cache {
        true => None,
        false => app.ready.key(&pinned, scene, &wanted, (&asked, &known)),
    };
    let found = key.as_ref().and_then(|key| app.ready.find(key));
    let until = recall_until(&app.config, terms.waits);
    let question = Question::new(Arc::clone(&pinned), scene, (wanted, asked), known);
    let question = question.until(until).of(terms.urgency);
    let times = Arc::clone(&question.times);
    let (source, held) = match (key, found) {
        (None, _) => (Source::Bypass, Held::Loose(make(app, question).await?.kept)),
        (Some(key), Some(found)) => {
            if found.renew {
                renew(app, key.clone(), question);
            }
            (Source::of(&found), Held::Cached(key, found.loaded))
        }
        (Some(key), None) => {
            let share = question.wanted.share();
            let loaded = app.ready.cache().load(&key, share, || kept(app, question)).await?;
            let source = match loaded.source {
                Where::Computed => Source::Miss,
                Where::Process | Where::Replicas => Source::Hit,
            };
            (source, Held::Cached(key, loaded))
        }
    };
    Ok(Answer { pinned, source, held, times })
}

/// Answers what somebody is recommended.
///
/// # Errors
/// As [`answer`]; 400 for an unknown scene.
pub(crate) async fn recommended(
    app: &Arc<App>,
    terms: Terms,
    (scene, asked): (Option<String>, Asked),
) -> Result<Answer, Problem> {
    let scene = app.scene(scene.as_deref())?;
    answer(app, terms, app.pin()?, scene, (Wanted::Recommend, asked)).await
}

/// Answers what is like the item `id`.
///
/// # Errors
/// As [`recommended`]; 404 for an unknown item.
pub(crate) async fn alike(
    app: &Arc<App>,
    terms: Terms,
    id: String,
    (scene, asked): (Option<String>, Asked),
) -> Result<Answer, Problem> {
    let scene = app.scene(Some(scene.as_deref().unwrap_or(SIMILAR_SCENE)))?;
    let pinned = app.pin()?;
    let item = pinned.snapshot.bundle.items().index_of(&id);
    let item = item.ok_or_else(|| Problem::not_found("this bundle has no item with this id"))?;
    answer(app, terms, pinned, scene, (Wanted::Similar { id, item }, asked)).await
}

/// Answers a list that is the same for everyone.
///
/// # Errors
/// As [`answer`].
pub(crate) async fn listed(
    app: &Arc<App>,
    terms: Terms,
    which: Listing,
    asked: Asked,
) -> Result<Answer, Problem> {
    answer(app, terms, app.pin()?, app.scene(None)?, (Wanted::List(which), asked)).await
}
