//! What every channel says about the candidates of one request, for learning the channels'
//! weights: the same mask, the same searches and the same scores as in [`crate::run()`].

use foretaste_core::ItemIdx;

use crate::outcome::{ChannelId, Fallback};
use crate::run::{Request, Scratch};
use crate::{Query, Scene, Snapshot, fallback, mask};

/// Candidates of one request as columns.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ChannelScores {
    /// The candidates, ascending.
    pub items: Vec<ItemIdx>,
    /// One column per channel that took part, in order of the channels' names.
    pub channels: Vec<ChannelColumn>,
    /// What served instead of the user's past.
    pub fallback: Option<Fallback>,
}

/// One channel's column.
#[derive(Clone, Debug, PartialEq)]
pub struct ChannelColumn {
    /// The channel.
    pub channel: ChannelId,
    /// Its weight in the scene.
    pub weight: f32,
    /// What its raw scores are divided by.
    pub scale: f32,
    /// Raw score per candidate; the merged score is the sum of `weight * raw / scale`.
    pub raw: Vec<f32>,
}

/// Recall and exact scores of one request. A channel with weight 0 in the scene takes no part, so
/// learning starts from a scene that gives every channel a positive weight.
pub fn channel_scores(
    snapshot: &Snapshot,
    scene: &Scene,
    query: &Query,
    scratch: &mut Scratch,
) -> ChannelScores {
    let request = Request::new(snapshot, scene, query);
    mask::build(&request, &mut scratch.allowed);
    let (plan, fallback) = fallback::recall(&request, scratch);
    scratch.candidates.score(&plan);
    let column = |(channel, raw): (&crate::plan::Planned<'_>, &Vec<f32>)| ChannelColumn {
        channel: channel.id,
        weight: channel.weight,
        scale: channel.recall.scale(),
        raw: raw.clone(),
    };
    let channels = plan.iter().zip(&scratch.candidates.raw).map(column).collect();
    ChannelScores { items: scratch.candidates.items.clone(), channels, fallback }
}
