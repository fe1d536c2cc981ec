//! Bundles going live: load, promote, roll back, and noticing that `CURRENT` has changed. A
//! bundle is checked as a whole before anything is swapped; whatever fails, the old one serves.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use foretaste_bundle::{Bundle, BundleId};
use foretaste_core::{Error, ErrorKind, Result};
use foretaste_store::Store;
use tracing::{debug, error, info};

use crate::apart::{apart, at_leisure};
use crate::live::recent::Recent;
use crate::metrics::{BundleLabels, Metrics, ReasonLabel};
use crate::ready::{ReadyAnswers, of_bundle};
use crate::snapshots::{Checked, Pinned, Snapshots};

/// A bundle that failed is looked at again after this time even if `CURRENT` has not changed:
/// the failure may have been the machine's, not the bundle's.
const RETRY: Duration = Duration::from_secs(60);

/// The folder of bundles and what of it is in memory.
pub(crate) struct Bundles {
    root: PathBuf,
    live: Live,
    metrics: Arc<Metrics>,
    before: OnceLock<BeforeLive>,
    /// Held while a bundle is opened: at most two are in memory beside the one that serves.
    turn: Mutex<Turn>,
}

/// What is to be done with a snapshot before it serves.
pub(crate) type BeforeLive = Box<dyn Fn(&Arc<Pinned>) + Send + Sync>;

/// What a bundle that goes live meets.
pub(crate) struct Live {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) snapshots: Arc<Snapshots>,
    pub(crate) recent: Arc<Recent>,
    pub(crate) ready: Arc<ReadyAnswers>,
}

#[derive(Default)]
struct Turn {
    /// The last bundle that was loaded ahead of its promotion.
    ahead: Option<Checked>,
    failed: Option<(BundleId, Instant)>,
}

/// What a bundle is, for operators.
#[derive(Clone, Debug)]
pub(crate) struct BundleSummary {
    pub(crate) id: String,
    pub(crate) profile: String,
    pub(crate) as_of_ms: i64,
    pub(crate) n_items: usize,
    pub(crate) n_users: usize,
    pub(crate) channels: Vec<String>,
}

impl BundleSummary {
    fn of(checked: &Checked) -> Self {
        let bundle = &checked.bundle;
        let head = bundle.manifest();
        Self {
            id: checked.id.to_string(),
            profile: head.profile.clone(),
            as_of_ms: head.as_of_ms,
            n_items: bundle.n_items(),
            n_users: bundle.n_users(),
            channels: bundle.channels().iter().map(|c| c.name().to_owned()).collect(),
        }
    }
}

impl Bundles {
    pub(crate) fn new(root: PathBuf, live: Live, metrics: Arc<Metrics>) -> Self {
        Self { root, live, metrics, before: OnceLock::new(), turn: Mutex::default() }
    }

    /// From now on `before` sees each snapshot before it serves.
    pub(crate) fn before_live(&self, before: BeforeLive) {
        // It is set once, when the server has been put together.
        let _ = self.before.set(before);
    }

    /// Opens and checks a bundle without letting it serve; it stays in memory for `promote`.
    ///
    /// # Errors
    /// Those of opening it; counted.
    pub(crate) fn load(&self, id: &BundleId) -> Result<BundleSummary> {
        let mut turn = self.turn();
        let checked = self.open(&mut turn, id)?;
        let summary = BundleSummary::of(&checked);
        turn.ahead = Some(checked);
        Ok(summary)
    }

    /// Lets a bundle serve and records it as `CURRENT`.
    ///
    /// # Errors
    /// Those of opening it or of writing `CURRENT`; the old bundle serves on.
    pub(crate) fn promote(&self, id: &BundleId) -> Result<BundleSummary> {
        let mut turn = self.turn();
        let checked = self.open(&mut turn, id)?;
        foretaste_bundle::activate(&self.root, id)?;
        self.go_live(&mut turn, checked)
    }

    /// Lets the bundle before the present one serve again.
    ///
    /// # Errors
    /// `NotFound` when there is none, else as [`Bundles::promote`].
    pub(crate) fn roll_back(&self) -> Result<BundleSummary> {
        let previous = foretaste_bundle::previous(&self.root)?.ok_or_else(|| {
            Error::new(ErrorKind::NotFound, "there is no bundle before the current one")
        })?;
        self.promote(&previous)
    }

    /// Looks at `CURRENT` and lets another bundle serve if it says so. True when one went live.
    ///
    /// # Errors
    /// Those of opening it; each failing bundle is reported once, then tried again from time to
    /// time.
    pub(crate) fn follow_current(&self) -> Result<bool> {
        // In this order: what was read before the turn may have been replaced meanwhile.
        let mut turn = self.turn();
        let Some(id) = foretaste_bundle::current(&self.root)? else { return Ok(false) };
        if self.live_id().is_some_and(|live| *live == *id.as_str()) {
            return Ok(false);
        }
        let is_fresh = |at: &Instant| at.elapsed() < RETRY;
        if turn.failed.as_ref().is_some_and(|(failed, at)| *failed == id && is_fresh(at)) {
            return Ok(false);
        }
        let checked = self.open(&mut turn, &id)?;
        self.go_live(&mut turn, checked)?;
        Ok(true)
    }

    /// Ids of all bundles in the folder, the live one, and the one that would follow a rollback.
    ///
    /// # Errors
    /// `Io` when the folder cannot be read.
    pub(crate) fn list(&self) -> Result<Vec<String>> {
        let ids = foretaste_bundle::list(&self.root)?;
        Ok(ids.iter().map(|id| id.as_str().to_owned()).collect())
    }

    /// Id of the bundle that serves.
    pub(crate) fn live_id(&self) -> Option<Arc<str>> {
        self.live.snapshots.pin().map(|pinned| Arc::clone(&pinned.bundle_id))
    }

    fn turn(&self) -> std::sync::MutexGuard<'_, Turn> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open(&self, turn: &mut Turn, id: &BundleId) -> Result<Checked> {
        let name = id.as_str();
        if let Some(ahead) = turn.ahead.take_if(|ahead| *ahead.id == *name) {
            return Ok(ahead);
        }
        turn.ahead = None;
        match apart(|| Bundle::open(&self.root, id)).flatten() {
            Ok(bundle) => Ok(Checked { id: name.into(), bundle: Arc::new(bundle) }),
            Err(failure) => {
                turn.failed = Some((id.clone(), Instant::now()));
                let reason = reason_of(failure.kind());
                self.metrics.reload_failures.get_or_create(&ReasonLabel { reason }).inc();
                error!(bundle = name, error = %failure, "bundle refused; the old one serves on");
                Err(failure)
            }
        }
    }

    fn go_live(&self, turn: &mut Turn, checked: Checked) -> Result<BundleSummary> {
        let before = self.live_id();
        let Live { store, snapshots, recent, ready } = &self.live;
        if let Some(prepare) = self.before.get() {
            let next = apart(|| snapshots.preview(&checked, store.as_ref())).flatten();
            if let Err(failure) = next.and_then(|next| at_leisure(|| prepare(&next))) {
                debug!(error = %failure, "no answers are made ahead");
            }
        }
        if let Err(failure) = snapshots.go_live(&checked, store.as_ref(), recent) {
            turn.failed = Some((checked.bundle.id().clone(), Instant::now()));
            let reason = "store";
            self.metrics.reload_failures.get_or_create(&ReasonLabel { reason }).inc();
            return Err(failure);
        }
        turn.failed = None;
        if let Some(before) = before.filter(|before| *before != checked.id) {
            ready.cache().invalidate(&[of_bundle(&before)]);
        }
        let summary = BundleSummary::of(&checked);
        let labels = BundleLabels { bundle: summary.id.clone(), profile: summary.profile.clone() };
        self.metrics.bundle_live(&labels, summary.as_of_ms as f64 / 1_000.0);
        info!(bundle = summary.id, items = summary.n_items, users = summary.n_users, "live");
        Ok(summary)
    }
}

/// A failure to open what was published, as a label.
pub(crate) fn reason_of(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::NotFound => "not_found",
        ErrorKind::Corrupt => "corrupt",
        ErrorKind::Unsupported => "unsupported",
        _ => "io",
    }
}
