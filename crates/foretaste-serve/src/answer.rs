//! What goes out: outcomes of the pipeline in external ids and names, ready for JSON. Dense
//! indices end here.

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
pub struct Slate {
    /// Bundle that answered.
    pub bundle: String,
    /// Scene whose settings applied; absent in lists that are the same for everyone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scene: Option<String>,
    /// The items.
    pub items: Vec<Recommended>,
    /// What served instead of the user's own past, if anything: `session`, `segment`, `popular`,
    /// `static`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fallback: Option<String>,
    /// What could not be done as configured.
    pub degraded: Vec<String>,
    /// Distinct items that were considered.
    pub n_candidates: usize,
}

/// One item of an answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Recommended {
    /// The owner's id.
    pub item_id: String,
    /// Comparable within this answer only.
    pub score: f32,
    /// Title; empty when not known.
    pub title: String,
    /// Categories, most general first.
    pub categories: Vec<String>,
    /// Price in the catalogue's currency.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<f32>,
    /// Channels that speak for it, with their shares of the score, largest first.
    pub channels: Vec<ChannelShare>,
    /// Items of the user's past that led to it, where reasons were wanted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub because: Vec<Because>,
    /// Something true that speaks for it: `popular`, `popular in <category>`, `new`,
    /// `trending (hour)`, ...
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// A channel's part in a score.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ChannelShare {
    /// Name of the channel.
    pub channel: String,
    /// Share of the score; all shares of an item sum to 1.
    pub share: f32,
}

/// An item of the user's past that led to a recommendation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Because {
    /// The owner's id.
    pub item_id: String,
    /// Title; empty when not known.
    pub title: String,
    /// Share of the score.
    pub share: f32,
}

/// Why an item is, or is not, in a user's answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Explained {
    /// Bundle that answered.
    pub bundle: String,
    /// Scene whose settings applied.
    pub scene: String,
    /// The user.
    pub user: String,
    /// The item.
    pub item_id: String,
    /// Its title; empty when not known.
    pub title: String,
    /// The first filter that keeps it out: `hidden`, `seen`, `owned`, `excluded`, `scene_filter`,
    /// `request_filter`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub removed_by: Option<String>,
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
    pub channels: Vec<ChannelOpinion>,
    /// Items of the user's past that lead to it.
    pub because: Vec<Because>,
    /// Something true that speaks for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// What served instead of the user's own past.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fallback: Option<String>,
    /// What could not be done as configured.
    pub degraded: Vec<String>,
}

/// What one channel says about an item.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ChannelOpinion {
    /// Name of the channel.
    pub channel: String,
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
pub(crate) fn slate(pinned: &Pinned, scene: Option<&str>, outcome: &Outcome) -> Slate {
    let snapshot = &pinned.snapshot;
    Slate {
        bundle: pinned.bundle_id.to_string(),
        scene: scene.map(str::to_owned),
        items: outcome.slate.iter().map(|item| recommended(snapshot, item)).collect(),
        fallback: fallback_name(outcome.fallback),
        degraded: outcome.degraded.iter().map(|d| degraded_text(snapshot, d)).collect(),
        n_candidates: outcome.n_candidates,
    }
}

fn recommended(snapshot: &Snapshot, item: &SlateItem) -> Recommended {
    let items = snapshot.bundle.items();
    let price = items.price(item.item);
    let share = |&(channel, share): &(_, f32)| ChannelShare {
        channel: snapshot.channel_name(channel).to_owned(),
        share,
    };
    Recommended {
        item_id: items.id(item.item).to_owned(),
        score: item.score,
        title: items.title(item.item).to_owned(),
        categories: categories(snapshot, item.item),
        price: price.is_finite().then_some(price),
        channels: item.channels.iter().map(share).collect(),
        because: because(snapshot, &item.because),
        note: item.note.map(|note| note_text(snapshot, note)),
    }
}

/// Names of an item's categories.
pub(crate) fn categories(snapshot: &Snapshot, item: ItemIdx) -> Vec<String> {
    let items = snapshot.bundle.items();
    items.categories(item).iter().map(|&code| items.category_name(code).to_owned()).collect()
}

fn because(snapshot: &Snapshot, pairs: &[(ItemIdx, f32)]) -> Vec<Because> {
    let items = snapshot.bundle.items();
    let one = |&(item, share): &(ItemIdx, f32)| Because {
        item_id: items.id(item).to_owned(),
        title: items.title(item).to_owned(),
        share,
    };
    pairs.iter().map(one).collect()
}

fn fallback_name(fallback: Option<Fallback>) -> Option<String> {
    fallback.map(|f| f.name().to_owned())
}

fn note_text(snapshot: &Snapshot, note: ReasonNote) -> String {
    match note {
        ReasonNote::Trending(TrendWindow::Hour) => "trending (hour)".to_owned(),
        ReasonNote::Trending(TrendWindow::Day) => "trending (day)".to_owned(),
        ReasonNote::Trending(TrendWindow::Week) => "trending (week)".to_owned(),
        ReasonNote::New => "new".to_owned(),
        ReasonNote::Popular => "popular".to_owned(),
        ReasonNote::PopularInCategory(code) => {
            format!("popular in {}", snapshot.bundle.items().category_name(code))
        }
    }
}

fn degraded_text(snapshot: &Snapshot, degraded: &Degraded) -> String {
    match degraded {
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
    }
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
pub(crate) fn explained(
    pinned: &Pinned,
    scene: &str,
    user: &str,
    explanation: &Explanation,
) -> Explained {
    let snapshot = &pinned.snapshot;
    let items = snapshot.bundle.items();
    let opinion = |c: &foretaste_pipeline::ChannelExplanation| ChannelOpinion {
        channel: snapshot.channel_name(c.channel).to_owned(),
        weight: c.weight,
        raw: c.raw,
        calibrated: c.calibrated,
        part: c.part,
        rank: c.rank,
        proposed: c.proposed,
    };
    Explained {
        bundle: pinned.bundle_id.to_string(),
        scene: scene.to_owned(),
        user: user.to_owned(),
        item_id: items.id(explanation.item).to_owned(),
        title: items.title(explanation.item).to_owned(),
        removed_by: explanation.removed_by.map(|f| f.name().to_owned()),
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
