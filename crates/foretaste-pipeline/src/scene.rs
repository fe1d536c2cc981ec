//! Scenes: named placements with all their settings. [`SceneConfig`] is what an operator writes,
//! [`Scene`] is what a request uses; only checked configurations become scenes.

use std::collections::BTreeMap;

use foretaste_core::{Error, ErrorKind, Limits, Result};
use serde::{Deserialize, Serialize};

use crate::FilterExpr;
use crate::diversify::{CapConfig, DiversityConfig};
use crate::outcome::Fallback;

/// Items that each channel proposes unless the scene says otherwise. On gowalla and ml-1m,
/// Recall@20 and NDCG@20 of the blends of both profiles are the same, to four digits, with 40 to
/// 500 candidates.
pub const CANDIDATES: usize = 60;
/// Channels that one scene may name; with the bundle's own they stay below 64 in a request.
const MOST_CHANNELS: usize = 32;
/// Breadth of a search through a graph.
const MOST_EF: usize = 20_000;
/// Candidates that each channel may be asked for.
const MOST_CANDIDATES: usize = 10_000;

/// One scene as written in a configuration; every field has a default.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SceneConfig {
    /// Items in an answer when the request does not say.
    pub k: usize,
    /// How scores of channels become one score.
    pub merge: Merge,
    /// Items that each channel proposes.
    pub candidates: usize,
    /// Settings by channel name: the bundle's channels, and `popular`, `trending_hour`,
    /// `trending_day`, `trending_week`, `latest`, `segment`, `session`, `static`; and channels
    /// outside of the process by their own names.
    pub channels: BTreeMap<String, ChannelConfig>,
    /// True: the bundle's channels take part with their learned weights unless `channels` says
    /// otherwise. False: only what `channels` names takes part.
    pub bundle_channels: bool,
    /// What is never in an answer of this scene.
    pub filters: FilterConfig,
    /// Diversity of the answer.
    pub diversity: DiversityConfig,
    /// Who serves users without a usable past, in this order.
    pub fallback: Vec<Fallback>,
    /// External ids of the fixed list: the channel and the fallback `static`.
    pub static_items: Vec<String>,
}

/// Settings of one channel in one scene.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ChannelConfig {
    /// Weight in the merged score; without it the bundle's learned weight, and 0 for built-in
    /// channels. A channel with weight 0 and no quota is off.
    pub weight: Option<f32>,
    /// At least this many items of an answer of `k` are among the channel's best `4 k` proposals,
    /// when it proposes as many; smaller answers get their share of it.
    pub quota: usize,
    /// Where the channel has a graph: nodes that a search keeps on its way, efSearch. 0: 1.5 for
    /// each item that is looked for, and 64.
    pub ef_search: usize,
    /// Multiply-adds that the channel may take for one request, 0: any number. What it found until
    /// then takes part, and the answer names the channel.
    pub work_budget: usize,
}

/// How scores of channels become one score.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Merge {
    /// Sum of `weight * raw / scale`; every channel scores every candidate.
    #[default]
    Calibrated,
    /// Sum of `weight / (60 + rank)` over the channels that propose the item.
    Rrf,
}

/// What is never in an answer of a scene. Hidden and excluded items are never in any answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FilterConfig {
    /// Leave out what the user has seen: the request's history, session and seen list.
    pub seen: bool,
    /// Leave out what the user owns.
    pub owned: bool,
    /// Kinds of events that make a user own an item; read by whoever prepares the query.
    pub owned_kinds: Vec<String>,
    /// Leave out what does not match.
    pub only: Option<FilterExpr>,
}

impl Default for SceneConfig {
    fn default() -> Self {
        Self {
            k: 20,
            merge: Merge::Calibrated,
            candidates: CANDIDATES,
            channels: BTreeMap::new(),
            bundle_channels: true,
            filters: FilterConfig::default(),
            diversity: DiversityConfig::default(),
            fallback: vec![
                Fallback::Session,
                Fallback::Segment,
                Fallback::Popular,
                Fallback::Static,
            ],
            static_items: Vec::new(),
        }
    }
}

impl Default for FilterConfig {
    fn default() -> Self {
        Self { seen: true, owned: true, owned_kinds: vec!["order".to_owned()], only: None }
    }
}

impl SceneConfig {
    /// The scene that measures a bundle: its channels with their learned weights, seen items left
    /// out, nothing that trades relevance for anything else.
    pub fn evaluation() -> Self {
        Self::default()
    }

    /// The scene for a start page: mild diversity, otherwise as measured.
    pub fn homepage() -> Self {
        let cap = CapConfig { attribute: "leaf_category".to_owned(), at_most: 5, window: 10 };
        let diversity = DiversityConfig { mmr_lambda: 0.9, caps: vec![cap], ..Default::default() };
        Self { diversity, ..Self::default() }
    }

    /// The scene for "similar items": what the user has seen may be shown, and near doubles are
    /// what is asked for.
    pub fn similar() -> Self {
        let filters =
            FilterConfig { seen: false, owned: false, owned_kinds: Vec::new(), only: None };
        Self { filters, ..Self::default() }
    }

    /// Checks the settings.
    ///
    /// # Errors
    /// `Config`, naming the scene's field, its bound and its value.
    pub fn resolve(self, name: &str) -> Result<Scene> {
        let bad =
            |text: String| Err(Error::new(ErrorKind::Config, format!("scene {name}: {text}")));
        let most_k = Limits::DEFAULT.k;
        if self.k == 0 || self.k > most_k {
            return bad(format!("k = {} is not within 1..={most_k}", self.k));
        }
        if self.candidates == 0 || self.candidates > MOST_CANDIDATES {
            let n = self.candidates;
            return bad(format!("candidates = {n} is not within 1..={MOST_CANDIDATES}"));
        }
        if self.channels.len() > MOST_CHANNELS {
            return bad(format!("more than {MOST_CHANNELS} channels"));
        }
        let wrong = |w: f32| !w.is_finite() || w < 0.0;
        if let Some((channel, _)) = self.channels.iter().find(|(_, c)| c.weight.is_some_and(wrong))
        {
            return bad(format!("channel {channel}: the weight must be finite and not negative"));
        }
        if let Some((channel, c)) = self.channels.iter().find(|(_, c)| c.ef_search > MOST_EF) {
            let ef = c.ef_search;
            return bad(format!("channel {channel}: ef_search = {ef} is not within 0..={MOST_EF}"));
        }
        if self.channels.values().map(|c| c.quota).sum::<usize>() > self.k {
            return bad(format!("the quotas of its channels sum to more than k = {}", self.k));
        }
        self.diversity.check().map_err(|e| e.context(format!("scene {name}")))?;
        if let Some(only) = &self.filters.only {
            only.check().map_err(|e| e.context(format!("scene {name}")))?;
        }
        Ok(Scene { name: name.to_owned(), config: self })
    }
}

/// A checked scene.
#[derive(Clone, Debug, PartialEq)]
pub struct Scene {
    name: String,
    config: SceneConfig,
}

impl Scene {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its settings.
    pub fn config(&self) -> &SceneConfig {
        &self.config
    }

    /// Whether a channel that has no learned weight takes part.
    pub fn uses(&self, channel: &str) -> bool {
        let setting = self.config.channels.get(channel);
        setting.is_some_and(|c| c.weight.is_some_and(|w| w > 0.0) || c.quota > 0)
    }
}

/// All scenes of an installation by name: the built-in `default`, `homepage`, `similar` and
/// `evaluation`, overlaid with the configured ones.
#[derive(Clone, Debug)]
pub struct Scenes {
    by_name: BTreeMap<String, Scene>,
}

impl Scenes {
    /// The built-in scenes and `configured`, which replace built-in ones of the same name; only
    /// `evaluation` cannot be replaced, so that figures mean the same everywhere.
    ///
    /// # Errors
    /// `Config`, naming the scene and the setting.
    pub fn new(configured: BTreeMap<String, SceneConfig>) -> Result<Self> {
        if configured.contains_key("evaluation") {
            let text = "scene evaluation: it is fixed; give yours another name";
            return Err(Error::new(ErrorKind::Config, text));
        }
        let mut all = BTreeMap::from([
            ("default".to_owned(), SceneConfig::homepage()),
            ("homepage".to_owned(), SceneConfig::homepage()),
            ("similar".to_owned(), SceneConfig::similar()),
            ("evaluation".to_owned(), SceneConfig::evaluation()),
        ]);
        all.extend(configured);
        let resolved = all.into_iter().map(|(name, config)| {
            let scene = config.resolve(&name)?;
            Ok((name, scene))
        });
        Ok(Self { by_name: resolved.collect::<Result<_>>()? })
    }

    /// The built-in scenes alone.
    pub fn built_in() -> Self {
        Self::new(BTreeMap::new()).expect("the built-in scenes are within all bounds")
    }

    /// A scene by name.
    pub fn get(&self, name: &str) -> Option<&Scene> {
        self.by_name.get(name)
    }

    /// All scenes in order of their names.
    pub fn iter(&self) -> impl Iterator<Item = &Scene> {
        self.by_name.values()
    }
}
