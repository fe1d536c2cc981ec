//! From external ids to a query: the user's past as the bundle knows it, plus what has happened
//! since. The only stage that looks outside the snapshot; after it everything is pure.

use foretaste_core::{ItemIdx, TimeMs};
use foretaste_pipeline::{External, FilterExpr, HistoryEntry, Query, Scene};

use crate::live::recent::{RecentEvent, RecentOf};
use crate::snapshots::Pinned;

/// What a request asks, in the words of the outside.
#[derive(Clone, Debug, Default)]
pub(crate) struct Asked {
    /// The user; `None` for sessions without one.
    pub(crate) user: Option<String>,
    /// Items of the running session, oldest first.
    pub(crate) session: Vec<String>,
    /// Known properties of the user.
    pub(crate) attributes: Vec<String>,
    /// Items that the caller does not want.
    pub(crate) exclude: Vec<String>,
    /// What the items should be like.
    pub(crate) filter: Option<FilterExpr>,
    /// Items wanted; 0 = the scene's page size.
    pub(crate) k: usize,
    /// Whether to say why.
    pub(crate) reasons: bool,
}

/// What is known about the user beyond the bundle.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known {
    /// Recent events.
    pub(crate) recent: RecentOf,
    /// The user's events up to this time were erased; the bundle may still hold them.
    pub(crate) erased_ms: Option<TimeMs>,
    /// Whether the bundle or recent events say anything about the user. Without it nothing in an
    /// answer depends on who asks.
    pub(crate) has_past: bool,
    /// The time of the request.
    pub(crate) now_ms: TimeMs,
    /// What channels outside of the process said.
    pub(crate) external: Vec<External>,
}

/// The query of a request.
pub(crate) fn query(pinned: &Pinned, scene: &Scene, asked: &Asked, known: &Known) -> Query {
    let items = pinned.snapshot.bundle.items();
    let resolve = |ids: &[String]| -> Vec<ItemIdx> {
        ids.iter().filter_map(|id| items.index_of(id)).collect()
    };
    let mut query = Query {
        history: history(pinned, asked.user.as_deref(), known.erased_ms),
        session: resolve(&asked.session),
        attributes: asked.attributes.clone(),
        exclude: resolve(&asked.exclude),
        filter: asked.filter.clone(),
        k: asked.k,
        external: known.external.clone(),
        now_ms: known.now_ms,
        want_reasons: asked.reasons,
        ..Query::default()
    };
    own(pinned, scene, (asked.user.as_deref(), known.erased_ms), &mut query);
    add_recent(pinned, scene, &*known.recent.events, &mut query);
    query
}

/// Whether the bundle has a past of this user.
pub(crate) fn has_history(pinned: &Pinned, user: &str) -> bool {
    let bundle = &pinned.snapshot.bundle;
    bundle.users().index_of(user).is_some_and(|u| !bundle.history(u).0.is_empty())
}

fn history(pinned: &Pinned, user: Option<&str>, erased_ms: Option<TimeMs>) -> Vec<HistoryEntry> {
    let bundle = &pinned.snapshot.bundle;
    let Some(user) = user.and_then(|id| bundle.users().index_of(id)) else { return Vec::new() };
    let mut history = Query::for_user(bundle, user, 0).history;
    if let Some(erased_ms) = erased_ms {
        history.retain(|entry| entry.time_ms > erased_ms);
    }
    history
}

/// What the bundle knows the user to own, without what was erased.
fn own(
    pinned: &Pinned,
    scene: &Scene,
    (user, erased_ms): (Option<&str>, Option<TimeMs>),
    query: &mut Query,
) {
    let bundle = &pinned.snapshot.bundle;
    let filters = &scene.config().filters;
    if let Some(user) = user.filter(|_| filters.owned).and_then(|id| bundle.users().index_of(id)) {
        let owned = bundle.history_of_kinds(user, &filters.owned_kinds);
        let kept = owned.filter(|&(_, time)| erased_ms.is_none_or(|erased| time > erased));
        query.owned.extend(kept.map(|(item, _)| item));
    }
}

/// Folds recent events into the past. The bundle already holds an event when its entry of that
/// user and item was last touched at or after the event; such an event is only "owned", where
/// its kind says so: the set of kinds in the bundle may be older.
fn add_recent<'a>(
    pinned: &Pinned,
    scene: &Scene,
    events: impl IntoIterator<Item = &'a RecentEvent>,
    query: &mut Query,
) {
    let items = pinned.snapshot.bundle.items();
    let owned_kinds = &scene.config().filters.owned_kinds;
    let held_until: Vec<(ItemIdx, TimeMs)> =
        query.history.iter().map(|entry| (entry.item, entry.time_ms)).collect();
    for event in events {
        let Some(item) = event.item_in(items) else { continue };
        if owned_kinds.iter().any(|kind| **kind == *event.kind) {
            query.owned.push(item);
        }
        // The bundle's entries stand first, ascending by item; new ones follow.
        let in_bundle = held_until.binary_search_by_key(&item, |held| held.0).ok();
        let held = in_bundle.is_some_and(|at| held_until[at].1 >= event.time_ms);
        let newer = || query.history[held_until.len()..].iter().position(|e| e.item == item);
        let at = in_bundle.or_else(|| newer().map(|at| held_until.len() + at));
        let weight = pinned.weights.of(&event.kind, event.value);
        if held || weight <= 0.0 {
            query.seen.push(item);
            continue;
        }
        let weight = weight * pinned.weights.decay(event.time_ms, pinned.as_of_ms);
        match at {
            Some(at) => {
                let entry = &mut query.history[at];
                entry.weight = pinned.weights.fold(entry.weight, weight);
                entry.time_ms = entry.time_ms.max(event.time_ms);
            }
            None => query.history.push(HistoryEntry { item, weight, time_ms: event.time_ms }),
        }
    }
}
