//! What comes out of a request: the slate with its reasons, and an account of the work, in which
//! every item of the catalogue and every candidate is kept or counted once.

use std::fmt;

use foretaste_core::ItemIdx;
use serde::{Deserialize, Serialize};

use crate::snapshot::TrendWindow;

/// A channel of one snapshot; [`crate::Snapshot::channel_name`] gives its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ChannelId {
    /// Number of a channel of the bundle.
    Bundle(u16),
    /// A channel that every snapshot has.
    BuiltIn(BuiltIn),
    /// Number of a channel that is asked outside of the process, before the request is run.
    External(u16),
}

/// The channels that need no model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BuiltIn {
    /// What most users touched, over the whole data window.
    Popular,
    /// What is touched much at present.
    Trending(TrendWindow),
    /// What is new in the catalogue.
    Latest,
    /// What is popular among users with the same attributes.
    Segment,
    /// What goes with the items of the running session.
    Session,
    /// The scene's fixed list.
    Static,
}

impl BuiltIn {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Popular,
        Self::Trending(TrendWindow::Hour),
        Self::Trending(TrendWindow::Day),
        Self::Trending(TrendWindow::Week),
        Self::Latest,
        Self::Segment,
        Self::Session,
        Self::Static,
    ];

    /// The name in scenes and answers.
    pub fn name(self) -> &'static str {
        match self {
            Self::Popular => "popular",
            Self::Trending(TrendWindow::Hour) => "trending_hour",
            Self::Trending(TrendWindow::Day) => "trending_day",
            Self::Trending(TrendWindow::Week) => "trending_week",
            Self::Latest => "latest",
            Self::Segment => "segment",
            Self::Session => "session",
            Self::Static => "static",
        }
    }

    /// The channel with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|c| c.name() == name)
    }
}

/// The answer to one request.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    /// The items, best first, distinct, at most k.
    pub slate: Vec<SlateItem>,
    /// What could not be done as configured.
    pub degraded: Vec<Degraded>,
    /// Set when the user's own past could not serve; names what served instead.
    pub fallback: Option<Fallback>,
    /// Distinct items that the channels proposed (fill-ups included).
    pub n_candidates: usize,
    /// The account of the work.
    pub work: StageWork,
}

/// One item of the answer and why it is there.
#[derive(Clone, Debug, PartialEq)]
pub struct SlateItem {
    /// The item.
    pub item: ItemIdx,
    /// Merged score: finite, comparable within this answer only.
    pub score: f32,
    /// Channels that speak for it with their shares of the score, largest first; the shares are
    /// positive and sum to 1.
    pub channels: Vec<(ChannelId, f32)>,
    /// Items of the user's past that led to it (at most 3) with their shares of the score,
    /// largest first. Empty when reasons were not wanted or nothing of the past led to it.
    pub because: Vec<(ItemIdx, f32)>,
    /// Something true about the item that speaks for it.
    pub note: Option<ReasonNote>,
}

/// A true statement about an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReasonNote {
    /// Among the most touched of the window.
    Trending(TrendWindow),
    /// Created within [`crate::reasons::NEW_MS`] before the request.
    New,
    /// Among the most popular of this category (a code of the item table).
    PopularInCategory(u32),
    /// Among the most popular of the whole catalogue.
    Popular,
}

/// What could not be done as configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Degraded {
    /// The scene names a channel that this bundle does not have.
    ChannelMissing(String),
    /// The channel gave no finite score and was left out.
    ChannelFailed(ChannelId),
    /// The channel had not ended when the request's time was over, and was left out.
    ChannelLate(ChannelId),
    /// The channel is outside of the process and gave no usable answer; it was left out.
    ChannelAway(ChannelId),
    /// The channel used up its budget of work; what it had found by then takes part.
    ChannelCut(ChannelId),
    /// So many slots of the slate break a cap, because every candidate would have.
    CapsRelaxed(usize),
    /// The slate has so many items fewer of a channel than its quota.
    QuotaUnmet {
        /// The channel.
        channel: ChannelId,
        /// Items missing.
        missing: usize,
    },
}

/// What served a request that the user's own past could not serve, in the order of trial.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fallback {
    /// The items of the running session.
    Session,
    /// Users with the same attributes.
    Segment,
    /// Popularity.
    Popular,
    /// The scene's fixed list, then the catalogue in its own order.
    Static,
}

impl Fallback {
    /// The name in answers.
    pub fn name(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::Segment => "segment",
            Self::Popular => "popular",
            Self::Static => "static",
        }
    }
}

/// A filter, in the order of application; an item is counted at the first that removes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FilterKind {
    /// Hidden by the operator.
    Hidden,
    /// The user has seen it.
    Seen,
    /// The user owns it.
    Owned,
    /// In the request's exclude list.
    Excluded,
    /// Does not match the scene's expression.
    Scene,
    /// Does not match the request's expression.
    Request,
}

impl FilterKind {
    /// All, in order of application.
    pub const ALL: [Self; 6] =
        [Self::Hidden, Self::Seen, Self::Owned, Self::Excluded, Self::Scene, Self::Request];

    /// The name in answers.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hidden => "hidden",
            Self::Seen => "seen",
            Self::Owned => "owned",
            Self::Excluded => "excluded",
            Self::Scene => "scene_filter",
            Self::Request => "request_filter",
        }
    }
}

/// Where every item went. `n_items = allowed + sum(removed)`; `n_candidates = slate + unused +
/// unrankable`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StageWork {
    /// Items of the catalogue.
    pub n_items: usize,
    /// Items that passed all filters.
    pub allowed: usize,
    /// Items removed, per filter in order of application; filters that did nothing are absent.
    pub removed: Vec<(FilterKind, usize)>,
    /// Items proposed, per channel.
    pub proposed: Vec<(ChannelId, usize)>,
    /// Candidates without a finite score.
    pub unrankable: usize,
    /// Candidates that had no place in the slate.
    pub unused: usize,
    /// Items of the slate that popularity added because the channels found too few.
    pub filled: usize,
}

impl fmt::Display for FilterKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for Fallback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A new channel needs a number here, and with it a place in [`BuiltIn::ALL`].
    fn place(channel: BuiltIn) -> usize {
        match channel {
            BuiltIn::Popular => 0,
            BuiltIn::Trending(TrendWindow::Hour) => 1,
            BuiltIn::Trending(TrendWindow::Day) => 2,
            BuiltIn::Trending(TrendWindow::Week) => 3,
            BuiltIn::Latest => 4,
            BuiltIn::Segment => 5,
            BuiltIn::Session => 6,
            BuiltIn::Static => 7,
        }
    }

    /// The same for [`FilterKind::ALL`], which is the order of application.
    fn turn(filter: FilterKind) -> usize {
        match filter {
            FilterKind::Hidden => 0,
            FilterKind::Seen => 1,
            FilterKind::Owned => 2,
            FilterKind::Excluded => 3,
            FilterKind::Scene => 4,
            FilterKind::Request => 5,
        }
    }

    #[test]
    fn all_channels_and_filters_are_listed_in_order() {
        let places: Vec<usize> = BuiltIn::ALL.into_iter().map(place).collect();
        assert_eq!(places, (0..8).collect::<Vec<_>>());
        let turns: Vec<usize> = FilterKind::ALL.into_iter().map(turn).collect();
        assert_eq!(turns, (0..6).collect::<Vec<_>>());
    }
}
