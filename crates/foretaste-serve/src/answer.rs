//! What goes out: outcomes of the pipeline in external ids and names, ready for JSON. Dense
//! indices end here.

use std::borrow::Cow;

use foretaste_core::ItemIdx;
use foretaste_pipeline::{
    Degraded, Explanation, Fallback, Outcome, ReasonNote, SlateItem, Snapshot, TrendWindow,
};
use serde::{Deserialize, Serialize};

use crate::snapshots::Pinned;

/// Recommended, similar or listed items, best first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Slate<'a> {
    /// Bundle that answered.
    pub bundle: Cow<'a, str>,
    /// Scene whose settings applied; absent in lists that are the same for everyone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scene: Option<Cow<'a, str>>,
    /// The items.
    pub items: Vec<Recommended<'a>>,
    /// What served instead of the user's own past, if anything: `session`, `segment`, `popular`,
    /// `static`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fallback: Option<Cow<'a, str>>,
    /// What could not be done as configured.
    pub degraded: Vec<Cow<'a, str>>,
    /// Distinct items that were considered.
    pub n_candidates: usize,
}

/// One item of an answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Recommended<'a> {
    /// The owner's id.
    pub item_id: Cow<'a, str>,
    /// Comparable within this answer only.
    pub score: f32,
    /// Title; empty when not known.
    pub title: Cow<'a, str>,
    /// Categories, most general first.
    pub categories: Vec<Cow<'a, str>>,
    /// Price in the catalogue's currency.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<f32>,
    /// Channels that speak for it, with their shares of the score, largest first.
    pub channels: Vec<ChannelShare<'a>>,
    /// Items of the user's past that led to it, where reasons were wanted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub because: Vec<Because<'a>>,
    /// Something true that speaks for it: `popular`, `popular in <category>`, `new`,
    /// `trending (hour)`, ...
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<Cow<'a, str>>,
}

/// A channel's part in a score.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ChannelShare<'a> {
    /// Name of the channel.
    pub channel: Cow<'a, str>,
    /// Share of the score; all shares of an item sum to 1.
    pub share: f32,
}

/// An item of the user's past that led to a recommendation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Because<'a> {
    /// The owner's id.
    pub item_id: Cow<'a, str>,
    /// Title; empty when not known.
    pub title: Cow<'a, str>,
    /// Share of the score.
    pub share: f32,
}

/// Why an item is, or is not, in a user's answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Explained<'a> {
    /// Bundle that answered.
    pub bundle: Cow<'a, str>,
    /// Scene whose settings applied.
    pub scene: Cow<'a, str>,
    /// The user.
    pub user: Cow<'a, str>,
    /// The item.
    pub item_id: Cow<'a, str>,
    /// Its title; empty when not known.
    pub title: Cow<'a, str>,
    /// The first filter that keeps it out: `hidden`, `seen`, `owned`, `excluded`, `scene_filter`,
    /// `request_filter`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub removed_by: Option<Cow<'a, str>>,
    /// Merged score.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score: Option<f32>,
    /// 1-based place by merged score.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rank: Option<usize>,
    /// 1-based place in the answer, after diversity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<usize>,
    /// Lowest merged score in the answer: what the item would have to beat.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slate_floor: Option<f32>,
    /// What every channel says.
    pub channels: Vec<ChannelOpinion<'a>>,
    /// Items of the user's past that lead to it.
    pub because: Vec<Because<'a>>,
    /// Something true that speaks for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<Cow<'a, str>>,
    /// What served instead of the user's own past.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fallback: Option<Cow<'a, str>>,
    /// What could not be done as configured.
    pub degraded: Vec<Cow<'a, str>>,
}

/// What one channel says about an item.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ChannelOpinion<'a> {
    /// Name of the channel.
    pub channel: Cow<'a, str>,
    /// Its weight in the scene.
    pub weight: f32,
    /// Its own score.
    pub raw: f32,
    /// `weight * raw / scale`: comparable between channels.
    pub calibrated: f32,
    /// Its part in the merged score.
    pub part: f32,
    /// 1-based place by this channel alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rank: Option<usize>,
    /// Whether it was among the channel's proposals.
    pub proposed: bool,
}

/// The answer of a request in `scene`.
pub(crate) fn slate<'a>(
    pinned: &'a Pinned,
    scene: Option<&'a str>,
    outcome: &Outcome,
) -> Slate<'a> {
    let snapshot = &pinned.snapshot;
    Slate {
        bundle: (&*pinned.bundle_id).into(),
        scene: scene.map(Cow::from),
        items: outcome.slate.iter().map(|item| recommended(snapshot, item)).collect(),
        fallback: fallback_name(outcome.fallback),
        degraded: outcome.degraded.iter().map(|d| degraded_text(snapshot, d)).collect(),
        n_candidates: outcome.n_candidates,
    }
}

fn recommended<'a>(snapshot: &'a Snapshot, item: &SlateItem) -> Recommended<'a> {
    let items = snapshot.bundle.items();
    let price = items.price(item.item);
    let share = |&(channel, share): &_| ChannelShare {
        channel: snapshot.channel_name(channel).into(),
        share,
    };
    Recommended {
        item_id: items.id(item.item).into(),
        score: item.score,
        title: items.title(item.item).into(),
        categories: categories(snapshot, item.item).map(Cow::from).collect(),
        price: price.is_finite().then_some(price),
        channels: item.channels.iter().map(share).collect(),
        because: because(snapshot, &item.because),
        note: item.note.map(|note| note_text(snapshot, note)),
    }
}

/// Names of an item's categories.
pub(crate) fn categories(snapshot: &Snapshot, item: ItemIdx) -> impl Iterator<Item = &str> {
    let items = snapshot.bundle.items();
    items.categories(item).iter().map(|&code| items.category_name(code))
}

fn because<'a>(snapshot: &'a Snapshot, pairs: &[(ItemIdx, f32)]) -> Vec<Because<'a>> {
    let items = snapshot.bundle.items();
    let one = |&(item, share): &(ItemIdx, f32)| Because {
        item_id: items.id(item).into(),
        title: items.title(item).into(),
        share,
    };
    pairs.iter().map(one).collect()
}

fn fallback_name(fallback: Option<Fallback>) -> Option<Cow<'static, str>> {
    fallback.map(|f| f.name().into())
}

fn note_text(snapshot: &Snapshot, note: ReasonNote) -> Cow<'static, str> {
    match note {
        ReasonNote::Trending(TrendWindow::Hour) => "trending (hour)".into(),
        ReasonNote::Trending(TrendWindow::Day) => "trending (day)".into(),
        ReasonNote::Trending(TrendWindow::Week) => "trending (week)".into(),
        ReasonNote::New => "new".into(),
        ReasonNote::Popular => "popular".into(),
        ReasonNote::PopularInCategory(code) => {
            format!("popular in {}", snapshot.bundle.items().category_name(code)).into()
        }
    }
}

fn degraded_text(snapshot: &Snapshot, degraded: &Degraded) -> Cow<'static, str> {
    let text = match degraded {
        Degraded::ChannelMissing(name) => format!("channel {name} is not in this bundle"),
        Degraded::ChannelFailed(id) => {
            format!("channel {} gave no finite score", snapshot.channel_name(*id))
        }
        Degraded::ChannelLate(id) => {
            format!("channel {} was late and is left out", snapshot.channel_name(*id))
        }
        Degraded::ChannelAway(id) => {
            format!("channel {} gave no answer and is left out", snapshot.channel_name(*id))
        }
        Degraded::ChannelCut(id) => {
            format!("channel {} used up its budget of work", snapshot.channel_name(*id))
        }
        Degraded::CapsRelaxed(n) => format!("{n} places break a cap: nothing else was left"),
        Degraded::QuotaUnmet { channel, missing } => {
            format!("channel {} is {missing} short of its quota", snapshot.channel_name(*channel))
        }
    };
    text.into()
}

/// The word under which a degradation is counted.
pub(crate) fn degraded_reason(degraded: &Degraded) -> &'static str {
    match degraded {
        Degraded::ChannelMissing(_) => "channel_missing",
        Degraded::ChannelFailed(_) => "channel_failed",
        Degraded::ChannelLate(_) => "channel_late",
        Degraded::ChannelAway(_) => "channel_away",
        Degraded::ChannelCut(_) => "channel_cut",
        Degraded::CapsRelaxed(_) => "caps_relaxed",
        Degraded::QuotaUnmet { .. } => "quota_unmet",
    }
}

/// The explanation of an item for `user` in `scene`.
pub(crate) fn explained<'a>(
    pinned: &'a Pinned,
    (scene, user): (&'a str, &'a str),
    explanation: &Explanation,
) -> Explained<'a> {
    let snapshot = &pinned.snapshot;
    let items = snapshot.bundle.items();
    let opinion = |c: &foretaste_pipeline::ChannelExplanation| ChannelOpinion {
        channel: snapshot.channel_name(c.channel).into(),
        weight: c.weight,
        raw: c.raw,
        calibrated: c.calibrated,
        part: c.part,
        rank: c.rank,
        proposed: c.proposed,
    };
    Explained {
        bundle: (&*pinned.bundle_id).into(),
        scene: scene.into(),
        user: user.into(),
        item_id: items.id(explanation.item).into(),
        title: items.title(explanation.item).into(),
        removed_by: explanation.removed_by.map(|f| f.name().into()),
        score: explanation.total,
        rank: explanation.rank,
        position: explanation.position,
        slate_floor: explanation.slate_floor,
        channels: explanation.channels.iter().map(opinion).collect(),
        because: because(snapshot, &explanation.because),
        note: explanation.note.map(|note| note_text(snapshot, note)),
        fallback: fallback_name(explanation.fallback),
        degraded: explanation.degraded.iter().map(|d| degraded_text(snapshot, d)).collect(),
    }
}
