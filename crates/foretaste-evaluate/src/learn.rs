//! Channel weights from data: hold items out, fit on the rest, let the pipeline score, ascend.
//!
//! Items are held out of every user's past (holding out from a sample only was seen to prefer
//! other channels than a real test does), and weights are learned on a sample of the users. Small
//! data keeps the weights that the trainers propose.

use std::path::Path;
use std::sync::Arc;

use foretaste_bundle::{Bundle, BundleContents, Channel, GraphChoice, GraphConfig};
use foretaste_core::{Progress, Result, Rng, UserIdx};
use foretaste_pipeline::{
    ChannelId, ChannelScores, Query, SceneConfig, Scratch, Snapshot, channel_scores,
};
use rayon::prelude::{IntoParallelIterator, ParallelIterator};
use serde::{Deserialize, Serialize};

use crate::assemble::Assembled;
use crate::blend::{self, Blend, BlendConfig, Pool};
use crate::contents;
use crate::held_out::HeldOut;
use crate::replay;
use crate::split::{self, Split, SplitMethod};

/// Fits all channels of a profile on the given data: the trainers with their settings bound.
pub type Fit<'a> = dyn Fn(&Assembled) -> Result<Vec<Channel>> + 'a;

/// How weights are learned.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LearnConfig {
    /// Whether weights are learned at all.
    pub enabled: bool,
    /// How items are held out; `None`: the last share of each user where times are known, else a
    /// random one.
    pub method: Option<SplitMethod>,
    /// Share of each user's items that is held out, where `method` does not say.
    pub share: f64,
    /// Users whose candidates are scored.
    pub users: usize,
    /// Fewer users with held-out items than this: nothing is learned.
    pub least_users: usize,
    /// The search for weights.
    pub blend: BlendConfig,
}

impl Default for LearnConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            method: None,
            share: 0.2,
            users: 3_000,
            least_users: 100,
            blend: BlendConfig::default(),
        }
    }
}

/// Items that a channel proposes to the pool, more than for an answer: in smaller pools chance
/// takes useful channels out.
const PROPOSALS: usize = 100;
/// Users per chunk of work.
const CHUNK: usize = 32;

/// What was learned: weights per group of channels that are one model.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Learned {
    /// Names of the groups, in order of the channels.
    pub channels: Vec<String>,
    /// Weights and objectives in that order; `weights` are for scores divided by the channel's
    /// own scale, the largest is 1.
    pub blend: Blend,
    /// How items were held out, in words.
    pub split: String,
}

impl Learned {
    /// The weight of a channel.
    pub fn weight(&self, channel: &str) -> Option<f32> {
        let at = self.channels.iter().position(|c| c == group(channel))?;
        self.blend.weights.get(at).copied()
    }
}

/// The model that a channel is part of: one model may need two channels (`spectral` and
/// `spectral_near`), which then share one scale and one weight.
fn group(channel: &str) -> &str {
    channel.strip_suffix("_near").unwrap_or(channel)
}

/// Groups in order of first appearance, and the group of each channel.
pub(crate) fn groups(channels: &[String]) -> (Vec<String>, Vec<usize>) {
    let mut names: Vec<String> = Vec::new();
    let of = channels.iter().map(|channel| {
        let found = names.iter().position(|n| n == group(channel));
        found.unwrap_or_else(|| {
            names.push(group(channel).to_owned());
            names.len() - 1
        })
    });
    let of = of.collect();
    (names, of)
}

/// Learns weights for the channels that `fit` makes. `None` when there is too little data
/// ([`LearnConfig::least_users`]) or only one channel.
///
/// # Errors
/// When fitting fails, or the temporary bundle below `scratch` cannot be written.
///
/// # Cost
/// One fit on 1 - share of the data, one bundle on disk, one search of all channels per sampled
/// user. Memory: candidates x channels x 4 bytes per sampled user, about 100 MB in all.
pub fn learn(
    data: &Assembled,
    fit: &Fit<'_>,
    config: &LearnConfig,
    (scratch, seed): (&Path, u64),
    progress: &dyn Progress,
) -> Result<Option<Learned>> {
    let method = method(data, config, seed);
    let parts = split::split(&data.interactions, &method, None)?;
    let judged = sample(&parts.held_out, config.users, seed);
    if !config.enabled || judged.len() < config.least_users {
        return Ok(None);
    }
    let Scored { groups, proposed, pool } = scored(data, parts, &judged, fit, (scratch, progress))?;
    if groups.len() < 2 {
        return Ok(None);
    }
    progress.start("learning weights", None, "");
    let mut blend = blend::learn(&pool, &proposed, &config.blend);
    progress.finish();
    rescale(&mut blend);
    Ok(Some(Learned { channels: groups, blend, split: method.describe() }))
}

/// From weights of scores divided by the pool's scales to weights of the scores themselves.
fn rescale(blend: &mut Blend) {
    blend.weights.iter_mut().zip(&blend.scales).for_each(|(w, scale)| *w /= scale);
    let top = blend.weights.iter().copied().fold(0.0, f32::max);
    if top > 0.0 {
        blend.weights.iter_mut().for_each(|w| *w /= top);
    }
    blend.scales.fill(1.0);
}

fn method(data: &Assembled, config: &LearnConfig, seed: u64) -> SplitMethod {
    let timed = data.interactions.last_ms.iter().filter(|&&t| t != 0).count();
    let has_times = timed > 0 && timed * 10 >= data.interactions.last_ms.len() * 9;
    let share = config.share;
    config.method.clone().unwrap_or(match has_times {
        true => SplitMethod::LastShare { share },
        false => SplitMethod::Random { share, seed },
    })
}

/// At most `n` of the users with held-out items, ascending.
pub(crate) fn sample(held_out: &HeldOut, n: usize, seed: u64) -> Vec<UserIdx> {
    let mut users = held_out.users();
    Rng::new(seed ^ 0x5EED).shuffle(&mut users);
    users.truncate(n);
    users.sort_unstable();
    users
}

/// Every channel's scores for a sample of users, channels of one model joined to a group.
pub(crate) struct Scored {
    /// Names of the groups.
    pub(crate) groups: Vec<String>,
    /// The weight that the trainers propose for each.
    pub(crate) proposed: Vec<f32>,
    /// The scores, one column per group.
    pub(crate) pool: Pool,
}

/// Fits on the training part and collects every channel's scores for the judged users.
pub(crate) fn scored(
    data: &Assembled,
    parts: Split,
    judged: &[UserIdx],
    fit: &Fit<'_>,
    (scratch, progress): (&Path, &dyn Progress),
) -> Result<Scored> {
    let Split { train, held_out } = parts;
    let reduced = data.with(train);
    let channels = fit(&reduced)?;
    let names: Vec<String> = channels.iter().map(|c| c.name.clone()).collect();
    let (groups, group_of) = groups(&names);
    let mut proposed = vec![0.0f32; groups.len()];
    for (channel, &group) in channels.iter().zip(&group_of) {
        proposed[group] = proposed[group].max(channel.weight);
    }
    let exact = GraphConfig { build: GraphChoice::Never, ..GraphConfig::default() };
    let (_folder, snapshot) = temporary(scratch, &contents::of(reduced, channels, exact))?;
    let pool = collect(&snapshot, (&names, &group_of), judged, &held_out, progress)?;
    Ok(Scored { groups, proposed, pool })
}

/// Writes and opens a bundle in a folder below `scratch` that is removed with the first result.
pub(crate) fn temporary(
    scratch: &Path,
    contents: &BundleContents,
) -> Result<(tempfile::TempDir, Snapshot)> {
    fs_err::create_dir_all(scratch)?;
    let folder = tempfile::Builder::new().prefix(".learning-").tempdir_in(scratch)?;
    let id = foretaste_bundle::write(folder.path(), contents)?;
    let bundle = Bundle::open(folder.path(), &id)?;
    Ok((folder, Snapshot::new(Arc::new(bundle))))
}

/// The pool of the given users, a column per group of channels. Users whose past is held out
/// completely, or who were served by a fallback, say nothing about channels and are left out.
fn collect(
    snapshot: &Snapshot,
    (names, group_of): (&[String], &[usize]),
    users: &[UserIdx],
    held_out: &HeldOut,
    progress: &dyn Progress,
) -> Result<Pool> {
    let scene = SceneConfig { candidates: PROPOSALS, ..replay::only(names) }.resolve("learning")?;
    progress.start("scoring a sample of users", Some(users.len() as u64), "users");
    let one = |scratch: &mut Scratch, user: UserIdx| {
        let query = Query::for_user(&snapshot.bundle, user, 0);
        let scores = channel_scores(snapshot, &scene, &query, scratch);
        (user, (!query.history.is_empty() && scores.fallback.is_none()).then_some(scores))
    };
    let chunk = |users: &[UserIdx]| {
        let mut scratch = Scratch::default();
        let out: Vec<_> = users.iter().map(|&u| one(&mut scratch, u)).collect();
        progress.advance(users.len() as u64);
        out
    };
    let chunks: Vec<&[UserIdx]> = users.chunks(CHUNK).collect();
    let all: Vec<Vec<_>> = chunks.into_par_iter().map(chunk).collect();
    progress.finish();
    let n_groups = group_of.iter().max().map_or(0, |last| last + 1);
    let mut pool = Pool::new(n_groups);
    for (user, scores) in all.into_iter().flatten() {
        if let Some(scores) = scores {
            let columns = columns(&scores, n_groups, group_of);
            pool.push(&scores.items, &columns, held_out.of(user));
        }
    }
    pool.finish();
    Ok(pool)
}

/// One column of scaled scores per group; zeros for one that took no part.
fn columns(scores: &ChannelScores, n_groups: usize, group_of: &[usize]) -> Vec<Vec<f32>> {
    let mut columns = vec![vec![0.0; scores.items.len()]; n_groups];
    for column in &scores.channels {
        if let ChannelId::Bundle(at) = column.channel
            && let Some(&group) = group_of.get(usize::from(at))
        {
            let place = columns[group].iter_mut().zip(&column.raw);
            place.for_each(|(sum, raw)| *sum += raw / column.scale);
        }
    }
    columns
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_channels_of_one_model_share_one_weight() {
        let names = ["ease", "spectral_near", "spectral", "ials"].map(str::to_owned);
        let (groups, of) = groups(&names);
        assert_eq!(
            (groups.as_slice(), of.as_slice()),
            (&["ease".to_owned(), "spectral".to_owned(), "ials".to_owned()][..], &[0, 1, 1, 2][..],)
        );
        let blend = Blend { weights: vec![1.0, 0.5, 0.0], ..Blend::default() };
        let learned = Learned { channels: groups, blend, ..Learned::default() };
        let weights: Vec<Option<f32>> = names.iter().map(|n| learned.weight(n)).collect();
        assert_eq!(weights, [Some(1.0), Some(0.5), Some(0.5), Some(0.0)]);
    }

    #[test]
    fn weights_of_rescaled_scores_rank_as_before() {
        let mut blend =
            Blend { weights: vec![1.0, 0.5], scales: vec![2.0, 0.1], ..Blend::default() };
        rescale(&mut blend);
        assert_eq!(blend.weights, [0.1, 1.0]);
    }
}
