//! Which channels take part in one request, with which weights: the scene's settings bound to the
//! channels that the bundle really has.

use std::sync::Arc;

use foretaste_bundle::LoadedChannel;
use foretaste_core::ItemIdx;

use crate::batch::Ahead;
use crate::outcome::{BuiltIn, ChannelId, Degraded, Fallback};
use crate::query::Said;
use crate::recall::{LatestRecall, ListRecall, ModelRecall, Recall, TableRecall};
use crate::run::Request;
use crate::scene::ChannelConfig;

/// A channel that takes part.
pub(crate) struct Planned<'a> {
    pub id: ChannelId,
    pub weight: f32,
    /// Items that the answer owes to it.
    pub quota: usize,
    /// Multiply-adds that it may take; 0: any number.
    pub budget: usize,
    pub recall: Box<dyn Recall + 'a>,
}

/// Items with weights, shared by the channels that are asked with them.
pub(crate) type Asked = Arc<[(ItemIdx, f32)]>;

/// The scene's channels, asked with the user's past, in order of their names. `None` names a
/// request that the past serves; a fallback adds its own channel at full weight, and all but
/// `session` drop the channels that need a past.
pub(crate) fn channels<'a>(
    request: &Request<'a>,
    asked: &Asked,
    fallback: Option<Fallback>,
) -> Vec<Planned<'a>> {
    let personal = matches!(fallback, None | Some(Fallback::Session));
    let mut planned: Vec<(&str, Planned<'a>)> = Vec::new();
    for (name, id, mut setting) in settings(request) {
        let is_stand_in = fallback.and_then(stand_in) == Some(id);
        if is_stand_in {
            setting.weight = Some(setting.weight.unwrap_or(0.0).max(1.0));
        }
        let weight = setting.weight.unwrap_or(0.0);
        if (weight == 0.0 && setting.quota == 0) || (is_asked(id) && !personal) {
            continue;
        }
        // What was searched ahead was searched without a budget.
        let usable = fallback.is_none() && setting.work_budget == 0;
        let ahead = if usable { request.ahead } else { &[] };
        if let Some(recall) = recall(request, (id, setting.ef_search), (asked, ahead)) {
            let quota = setting.quota * request.k / request.scene.config().k;
            let (quota, budget) = (quota.min(setting.quota), setting.work_budget);
            planned.push((name, Planned { id, weight, quota, budget, recall }));
        }
    }
    planned.sort_by_key(|&(name, _)| name);
    planned.into_iter().map(|(_, channel)| channel).collect()
}

/// The names in the scene that mean nothing to this bundle.
pub(crate) fn missing(request: &Request<'_>) -> Vec<Degraded> {
    let names = request.scene.config().channels.keys();
    let unknown = names.filter(|name| request.snapshot.channel_named(name).is_none());
    unknown.map(|name| Degraded::ChannelMissing(name.clone())).collect()
}

/// The bundle's channels that have a weight in the scene, in order of their names.
pub(crate) fn models<'a>(request: &Request<'a>) -> Vec<(ChannelId, f32, &'a LoadedChannel)> {
    let channels = request.snapshot.bundle.channels();
    let model = |(_, id, setting): (&str, ChannelId, ChannelConfig)| match id {
        ChannelId::Bundle(i) => Some((id, setting.weight?, &channels[usize::from(i)])),
        ChannelId::BuiltIn(_) | ChannelId::External(_) => None,
    };
    let mut models: Vec<_> = settings(request).filter_map(model).collect();
    models.retain(|&(_, weight, _)| weight > 0.0);
    models.sort_by_key(|(_, _, channel)| channel.name());
    models
}

/// The work that a channel of the bundle may do for a request.
pub(crate) fn work_budget(request: &Request<'_>, channel: &LoadedChannel) -> usize {
    let named = request.scene.config().channels.get(channel.name());
    named.map_or(0, |setting| setting.work_budget)
}

/// The channel that a fallback puts in the place of the user's past.
pub(crate) fn stand_in(fallback: Fallback) -> Option<ChannelId> {
    match fallback {
        Fallback::Session => None,
        Fallback::Segment => Some(ChannelId::BuiltIn(BuiltIn::Segment)),
        Fallback::Popular => Some(ChannelId::BuiltIn(BuiltIn::Popular)),
        Fallback::Static => Some(ChannelId::BuiltIn(BuiltIn::Static)),
    }
}

fn is_asked(id: ChannelId) -> bool {
    matches!(id, ChannelId::Bundle(_) | ChannelId::BuiltIn(BuiltIn::Session))
}

/// Every channel that exists, with the scene's setting for it.
fn settings<'a>(
    request: &Request<'a>,
) -> impl Iterator<Item = (&'a str, ChannelId, ChannelConfig)> {
    let (snapshot, scene) = (request.snapshot, request.scene.config());
    let models = snapshot.bundle.channels().iter().enumerate().map(move |(i, channel)| {
        let default = if scene.bundle_channels { channel.weight() } else { 0.0 };
        let named = scene.channels.get(channel.name());
        let learned = ChannelConfig { weight: Some(default), ..ChannelConfig::default() };
        let setting = named.map_or(learned, |c| ChannelConfig {
            weight: Some(c.weight.unwrap_or(channel.weight())),
            ..*c
        });
        (channel.name(), ChannelId::Bundle(i as u16), setting)
    });
    let real = |c: &BuiltIn| snapshot.channel_named(c.name()) == Some(ChannelId::BuiltIn(*c));
    let built_in = BuiltIn::ALL.into_iter().filter(real).map(|channel| {
        let setting = scene.channels.get(channel.name()).copied().unwrap_or_default();
        (channel.name(), ChannelId::BuiltIn(channel), setting)
    });
    let external = snapshot.externals.iter().enumerate().filter_map(move |(i, name)| {
        let (id, setting) = (ChannelId::External(i as u16), scene.channels.get(name)?);
        (snapshot.channel_named(name) == Some(id)).then_some((name.as_str(), id, *setting))
    });
    models.chain(built_in).chain(external)
}

/// The channel bound to this request; `None` when it has nothing to ask with.
fn recall<'a>(
    request: &Request<'a>,
    (id, ef_search): (ChannelId, usize),
    (asked, ahead): (&Asked, &'a [Ahead<'a>]),
) -> Option<Box<dyn Recall + 'a>> {
    let snapshot = request.snapshot;
    let channel = match id {
        ChannelId::Bundle(i) => {
            let model = &snapshot.bundle.channels()[usize::from(i)];
            let found = ahead.iter().find(|ahead| ahead.channel == usize::from(i));
            let recall = ModelRecall::new(model, asked.clone()).broadly(ef_search);
            return Some(Box::new(recall.searched(found.map(|ahead| ahead.found))));
        }
        ChannelId::External(i) => return Some(Box::new(external_list(request, i)?)),
        ChannelId::BuiltIn(channel) => channel,
    };
    Some(match channel {
        BuiltIn::Popular => Box::new(TableRecall::new(
            &snapshot.tables.popular.scores,
            Some(&snapshot.tables.by_popularity),
        )),
        BuiltIn::Trending(window) => {
            Box::new(TableRecall::new(&snapshot.trends.table(window).scores, None))
        }
        BuiltIn::Latest => Box::new(LatestRecall::new(
            snapshot.bundle.items(),
            &snapshot.tables.by_age,
            request.query.now_ms,
        )),
        BuiltIn::Segment => Box::new(segment(request)),
        BuiltIn::Session => {
            let model = snapshot.strongest_model()?;
            let session = request.query.usable_session(snapshot.bundle.n_items());
            Box::new(ModelRecall::new(model, session.into()).broadly(ef_search))
        }
        BuiltIn::Static => Box::new(fixed_list(request)),
    })
}

/// What a channel outside of the process said; `None` where it was not asked or did not answer.
fn external_list(request: &Request<'_>, channel: u16) -> Option<ListRecall> {
    let said = request.query.external.iter().find(|external| external.channel == channel)?;
    let Said::Items(items) = &said.said else { return None };
    let n_items = request.snapshot.bundle.n_items();
    Some(ListRecall::new(items.iter().filter(|(i, _)| (*i as usize) < n_items).copied().collect()))
}

/// The channels outside of the process that were asked and did not answer.
pub(crate) fn unanswered(request: &Request<'_>) -> impl Iterator<Item = Degraded> {
    request.query.external.iter().filter_map(|external| {
        let id = ChannelId::External(external.channel);
        match external.said {
            Said::Items(_) => None,
            Said::Late => Some(Degraded::ChannelLate(id)),
            Said::Nothing => Some(Degraded::ChannelAway(id)),
        }
    })
}

/// What is popular among users who share an attribute with this one: the sum over attributes.
fn segment(request: &Request<'_>) -> ListRecall {
    let bundle = &request.snapshot.bundle;
    let known = request.query.attributes.iter().filter_map(|key| bundle.segment(key));
    let pairs =
        known.flat_map(|(items, weights)| items.iter().copied().zip(weights.iter().copied()));
    ListRecall::new(pairs.collect())
}

/// The scene's list in its order, first 1, last 1 / length.
fn fixed_list(request: &Request<'_>) -> ListRecall {
    let ids = &request.scene.config().static_items;
    let known = ids.iter().filter_map(|id| request.snapshot.bundle.items().index_of(id));
    let mut items: Vec<ItemIdx> = Vec::with_capacity(ids.len());
    known.for_each(|item| {
        if !items.contains(&item) {
            items.push(item);
        }
    });
    let n = items.len() as f32;
    let place = |(at, item)| (item, (n - at as f32) / n);
    ListRecall::new(items.into_iter().enumerate().map(place).collect())
}
