//! Replaying held-out behaviour through [`foretaste_pipeline::run`]: what is measured is what is
//! served. Each channel alone, popularity and chance stand beside the blend for comparison.

use foretaste_bundle::Bundle;
use foretaste_core::{BitSet, Error, ItemIdx, Limits, Progress, Result, Rng, UserIdx};
use foretaste_pipeline::{ChannelConfig, Query, Scene, SceneConfig, Scratch, Snapshot};
use serde::{Deserialize, Serialize};

use crate::facts::ItemFacts;
use crate::held_out::HeldOut;
use crate::learn;
use crate::measure::Measure;
use crate::report::{System, SystemKind};

/// What to replay.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ReplayConfig {
    /// Cuts; the largest is the length of the lists.
    pub ks: Vec<usize>,
    /// The cut of all figures that have only one; one of `ks`.
    pub main_k: usize,
    /// Users to judge, drawn by the seed; `None`: all with held-out items.
    pub users: Option<usize>,
    /// Users to judge channels alone and baselines by, a sample of those of the blend. `None`: the
    /// same, which is what a comparison needs; a sample saves time where only the blend counts.
    pub comparison_users: Option<usize>,
    /// Everything random follows from it.
    pub seed: u64,
}

impl Default for ReplayConfig {
    fn default() -> Self {
        Self { ks: vec![5, 10, 20, 50], main_k: 20, users: None, comparison_users: None, seed: 42 }
    }
}

/// Measures the blend, every channel of the bundle alone, popularity and chance, in this order.
///
/// # Errors
/// `Invalid` when the cuts are unusable or no user of the bundle has held-out items.
pub fn replay(
    snapshot: &Snapshot,
    held_out: &HeldOut,
    config: &ReplayConfig,
    progress: &dyn Progress,
) -> Result<Vec<System>> {
    check(config)?;
    let all = held_out.users();
    let known = all.into_iter().filter(|&u| (u as usize) < snapshot.bundle.n_users()).collect();
    let judged = some_of(known, config.users, config.seed);
    if judged.is_empty() {
        return Err(Error::invalid("evaluation: no user of the bundle has held-out items"));
    }
    let fewer = some_of(judged.clone(), config.comparison_users, config.seed ^ 1);
    let replay = Replay { snapshot, held_out, config, facts: &facts_of(&snapshot.bundle) };
    let blend = (SceneConfig::evaluation(), SystemKind::Blend, "blend", None);
    let models = models(&snapshot.bundle);
    let models = models.iter().map(|(name, channels, weight)| {
        (only(channels), SystemKind::Channel, name.as_str(), Some(*weight))
    });
    let popular = (only(&["popular".to_owned()]), SystemKind::Baseline, "popular", None);
    let mut systems = Vec::new();
    for (scene, kind, name, weight) in std::iter::once(blend).chain(models).chain([popular]) {
        let users = if kind == SystemKind::Blend { &judged } else { &fewer };
        let scene = scene.resolve(name)?;
        progress.start(&format!("replaying {name}"), Some(users.len() as u64), "users");
        let quality = replay.measure(users).run(
            Scratch::default,
            |scratch, user, list| {
                replay.rank(&scene, user, scratch, list);
            },
            progress,
        );
        progress.finish();
        systems.push(System { name: name.to_owned(), kind, weight, quality });
    }
    systems.push(replay.chance(&fewer));
    Ok(systems)
}

fn check(config: &ReplayConfig) -> Result<()> {
    let ascending = config.ks.windows(2).all(|w| w[0] < w[1]);
    let longest = config.ks.last().copied().unwrap_or(0);
    if !ascending || config.ks.contains(&0) || !config.ks.contains(&config.main_k) {
        let text = format!(
            "evaluation: the cuts {:?} must ascend from 1 and contain the main cut {}",
            config.ks, config.main_k
        );
        return Err(Error::invalid(text));
    }
    if longest > Limits::DEFAULT.k {
        let text =
            format!("evaluation: a list has at most {} items, not {longest}", Limits::DEFAULT.k);
        return Err(Error::invalid(text));
    }
    Ok(())
}

/// The models of a bundle: name, channels (one, or two that share scale and weight), weight.
fn models(bundle: &Bundle) -> Vec<(String, Vec<String>, f32)> {
    let channels: Vec<String> = bundle.channels().iter().map(|c| c.name().to_owned()).collect();
    let (names, group_of) = learn::groups(&channels);
    let model = |(group, name): (usize, String)| {
        let own = |at: &usize| group_of[*at] == group;
        let members: Vec<usize> = (0..channels.len()).filter(own).collect();
        let weight = members.first().map_or(0.0, |&at| bundle.channels()[at].weight());
        (name, members.iter().map(|&at| channels[at].clone()).collect(), weight)
    };
    names.into_iter().enumerate().map(model).collect()
}

/// The evaluation scene with some channels at the same weight instead of the blend.
pub(crate) fn only(channels: &[String]) -> SceneConfig {
    let level = ChannelConfig { weight: Some(1.0), quota: 0, ..Default::default() };
    SceneConfig {
        channels: channels.iter().map(|name| (name.clone(), level)).collect(),
        bundle_channels: false,
        ..SceneConfig::evaluation()
    }
}

/// At most `n` of the users, drawn by the seed, ascending.
fn some_of(mut users: Vec<UserIdx>, n: Option<usize>, seed: u64) -> Vec<UserIdx> {
    if let Some(n) = n
        && n < users.len()
    {
        Rng::new(seed).shuffle(&mut users);
        users.truncate(n);
        users.sort_unstable();
    }
    users
}

/// Tags and categories are numbered apart; this bit keeps them so in one list of labels.
const TAG: u32 = 1 << 31;

/// Facts from the histories and the catalogue of a bundle.
pub fn facts_of(bundle: &Bundle) -> ItemFacts {
    let mut counts = vec![0u32; bundle.n_items()];
    for user in 0..bundle.n_users() as UserIdx {
        bundle.history(user).0.iter().for_each(|&i| counts[i as usize] += 1);
    }
    let items = bundle.items();
    let labels = (0..bundle.n_items() as ItemIdx).map(|i| {
        let tags = items.tags(i).iter().map(|&code| code | TAG);
        let mut labels: Vec<u32> = items.categories(i).iter().copied().chain(tags).collect();
        labels.sort_unstable();
        labels
    });
    ItemFacts::new(&counts, bundle.n_users(), labels.collect())
}

struct Replay<'a> {
    snapshot: &'a Snapshot,
    held_out: &'a HeldOut,
    config: &'a ReplayConfig,
    facts: &'a ItemFacts,
}

impl<'a> Replay<'a> {
    fn measure<'b>(&'b self, users: &'b [UserIdx]) -> Measure<'b> {
        Measure {
            facts: self.facts,
            held_out: self.held_out,
            users,
            history: Box::new(|user| self.snapshot.bundle.history(user).0),
            ks: &self.config.ks,
            main_k: self.config.main_k,
        }
    }

    fn longest(&self) -> usize {
        self.config.ks.last().copied().unwrap_or(0)
    }

    fn rank(&self, scene: &Scene, user: UserIdx, scratch: &mut Scratch, list: &mut Vec<ItemIdx>) {
        let mut query = Query::for_user(&self.snapshot.bundle, user, self.longest());
        query.own(&self.snapshot.bundle, user, scene);
        let outcome = foretaste_pipeline::run(self.snapshot, scene, &query, scratch);
        list.extend(outcome.slate.iter().map(|s| s.item));
    }

    /// Lists drawn at random from what the user may be shown.
    fn chance(&self, users: &[UserIdx]) -> System {
        let n = self.snapshot.bundle.n_items();
        let draw = |taken: &mut BitSet, user: UserIdx, list: &mut Vec<ItemIdx>| {
            taken.clone_from(&self.snapshot.hidden);
            self.snapshot.bundle.history(user).0.iter().for_each(|&i| taken.insert(i));
            let wanted = self.longest().min(n - taken.count());
            let mut rng = Rng::stream(self.config.seed, u64::from(user));
            while list.len() < wanted {
                let item = rng.below(n) as ItemIdx;
                if !taken.contains(item) {
                    taken.insert(item);
                    list.push(item);
                }
            }
        };
        let quality =
            self.measure(users).run(|| BitSet::empty(n), draw, &foretaste_core::NoProgress);
        System { name: "random".to_owned(), kind: SystemKind::Baseline, weight: None, quality }
    }
}
