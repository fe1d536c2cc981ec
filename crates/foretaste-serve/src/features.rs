//! Published features in a running server: the reader that requests pin, and taking up what is
//! published later. Whatever cannot be taken up, the version before it serves on.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use foretaste_core::{Error, ErrorKind, EventWeights, Result, TimeMs};
use foretaste_online::{FeatureReader, Follower, LiveEvent, Looked, Stale};
use serde::{Deserialize, Serialize};
use tracing::{error, info};

use crate::apart::apart;
use crate::bundles::reason_of;
use crate::live::recent::RecentEvent;
use crate::metrics::Metrics;

/// What becomes of values that are older than their set allows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StaleValues {
    /// They are given, and named.
    #[default]
    Serve,
    /// They are missing.
    Missing,
}

/// The section `[serve.features]` of the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FeaturesConfig {
    /// Folder of published features; empty where there is none.
    pub folder: PathBuf,
    /// How often it is looked at, in ms.
    pub check_ms: u64,
    /// Whether files are published packed; they are read in either form.
    pub packed: bool,
    /// What becomes of values that are older than their set allows.
    pub stale: StaleValues,
}

impl Default for FeaturesConfig {
    fn default() -> Self {
        Self { folder: PathBuf::new(), packed: false, check_ms: 1_000, stale: StaleValues::Serve }
    }
}

impl FeaturesConfig {
    /// Checks what types cannot say.
    ///
    /// # Errors
    /// `Config`, naming the key.
    pub(crate) fn check(&self) -> Result<()> {
        let wrong = |text: &str| Err(Error::new(ErrorKind::Config, text.to_owned()));
        if self.check_ms == 0 {
            return wrong("serve.features.check_ms is 0; set it to at least 1");
        }
        if self.folder.to_string_lossy().contains("://") {
            return wrong("serve.features.folder must be a folder: files are mapped into memory");
        }
        Ok(())
    }
}

/// The present reader and who makes the next one.
pub(crate) struct Features {
    present: ArcSwap<FeatureReader>,
    /// Held while the folder is looked at; requests never wait for it.
    follower: Mutex<Option<Follower>>,
    stale: Stale,
    metrics: Arc<Metrics>,
}

impl Features {
    /// Nothing is read yet.
    pub(crate) fn new(config: &FeaturesConfig, metrics: Arc<Metrics>) -> Self {
        let folder = Some(config.folder.as_path()).filter(|f| *f != Path::new(""));
        let stale = match config.stale {
            StaleValues::Serve => Stale::Serve,
            StaleValues::Missing => Stale::Missing,
        };
        let follower = Mutex::new(folder.map(Follower::new));
        Self { present: ArcSwap::default(), follower, stale, metrics }
    }

    /// Pins the present reader for one request.
    pub(crate) fn pin(&self) -> Arc<FeatureReader> {
        self.present.load_full()
    }

    /// What becomes of stale values.
    pub(crate) fn stale(&self) -> Stale {
        self.stale
    }

    /// Takes up what was published since the last time. True when something was.
    ///
    /// # Errors
    /// Those of looking at the folder. A set that fails its checks is logged and counted, and keeps
    /// its version.
    pub(crate) fn follow(&self) -> Result<bool> {
        let mut follower = self.follower.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(follower) = follower.as_mut() else { return Ok(false) };
        let present = self.pin();
        let Looked { next, taken, failures } = apart(|| follower.look(&present)).flatten()?;
        for (set, failure) in &failures {
            error!(set, error = %failure, "published features refused; the old ones serve on");
            self.metrics.features.failed(set, reason_of(failure.kind()));
        }
        let Some(next) = next else { return Ok(false) };
        for (set, version) in &taken {
            info!(set, version, "published features are live");
            self.metrics.features.taken(set);
        }
        self.present.store(Arc::new(next));
        Ok(true)
    }

    /// Shows what is there at `now_ms`.
    pub(crate) fn show(&self, now_ms: TimeMs) {
        self.metrics.features.show(&self.pin(), now_ms);
    }
}

/// Events of a user as features of the moment take them: without kinds that are not things that a
/// user does. What was published says which those are; else those that weigh nothing.
pub(crate) fn live_events<'a>(
    reader: &FeatureReader,
    weights: &EventWeights,
    events: impl Iterator<Item = &'a RecentEvent>,
) -> Vec<LiveEvent<'a>> {
    let is_passive = |kind: &str| match reader.last_events() {
        Some(last) => last.is_passive(kind),
        None => weights.kinds.get(kind).is_some_and(|weight| *weight == 0.0),
    };
    let live = events.filter(|event| !is_passive(&event.kind)).map(|event| LiveEvent {
        item: &event.item,
        kind: &event.kind,
        value: event.value,
        time_ms: event.time_ms,
    });
    live.collect()
}
