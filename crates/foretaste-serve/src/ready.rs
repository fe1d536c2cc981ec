//! Answers that are ready: what they are kept under, and what they depend on.
//!
//! The key of an answer holds everything that the answer is made from: the bundle and what is
//! hidden, the user's recent events, erasures, trends where they rank, and what was asked. So an
//! event or a hide is another key, and no answer is ever served that was made from less than what
//! had been acknowledged. Invalidation only takes back memory and personal data.

use std::sync::Arc;

use bytes::Bytes;
use foretaste_cache::{
    CacheConfig, Class, Clock, Dependency, Found, Key, KeyBuf, Share, TieredCache,
};
use foretaste_core::{ItemIdx, TimeMs};
use foretaste_pipeline::{Listing, Outcome, Scene, TrendWindow};
use xxhash_rust::xxh3::xxh3_64;

use crate::external::Externals;
use crate::http::problem::Problem;
use crate::prepare::{Asked, Known};
use crate::snapshots::Pinned;

/// The tenant of every key; a process serves one.
const TENANT: &str = "";
/// The kind of keys of what users are recommended.
const RECOMMEND: &str = "recommend";
/// An answer is kept as its fingerprint and its body.
const FINGERPRINT_BYTES: usize = 8;
/// Room for an answer of twenty items, so that writing it seldom moves it.
const TYPICAL_BYTES: usize = 4 << 10;

/// The cache of answers.
pub(crate) struct ReadyAnswers {
    cache: TieredCache<Problem>,
    enabled: bool,
    trends_ms: i64,
    externals: Arc<Externals>,
}

/// What kind of answer is wanted.
#[derive(Clone, Debug)]
pub(crate) enum Wanted {
    Recommend,
    /// Items like this one.
    Similar {
        id: String,
        item: ItemIdx,
    },
    List(Listing),
}

impl Wanted {
    /// Who else may use such an answer. Trends are this replica's own; lists are wanted by
    /// everybody at once.
    pub(crate) fn share(&self) -> Share {
        match self {
            Self::List(Listing::Trending(_)) => Share::Process,
            Self::List(_) => Share::Leased,
            Self::Recommend | Self::Similar { .. } => Share::Replicas,
        }
    }

    /// Whether channels outside of the process have a say.
    pub(crate) fn is_of_user(&self) -> bool {
        matches!(self, Self::Recommend)
    }

    pub(crate) fn class(&self) -> Class {
        match self {
            Self::List(_) => Class::Hot,
            Self::Recommend | Self::Similar { .. } => Class::Cold,
        }
    }
}

impl ReadyAnswers {
    pub(crate) fn new(config: &CacheConfig, externals: Arc<Externals>) -> Self {
        Self {
            cache: TieredCache::new(config, Clock::default()),
            enabled: config.enabled,
            trends_ms: config.trends_ms as i64,
            externals,
        }
    }

    pub(crate) fn is_enabled(&self) -> bool {
        self.enabled
    }

    /// The cache itself, for whoever keeps or drops things.
    pub(crate) fn cache(&self) -> &TieredCache<Problem> {
        &self.cache
    }

    /// The key of an answer; `None` when it is not worth keeping: sessions hardly repeat.
    pub(crate) fn key(
        &self,
        pinned: &Pinned,
        scene: &Scene,
        wanted: &Wanted,
        (asked, known): (&Asked, &Known),
    ) -> Option<KeyBuf> {
        if !self.enabled || !asked.session.is_empty() {
            return None;
        }
        let mut key = match wanted {
            Wanted::Recommend => {
                let user = asked.user.as_deref().filter(|_| known.has_past).unwrap_or_default();
                let mut key = KeyBuf::new(RECOMMEND);
                key.segment(TENANT).segment(user).segment(scene.name()).end_path();
                key.number(known.recent.version).number(known.erased_ms.unwrap_or(0) as u64);
                key.number(self.trends_of(pinned, scene));
                key.number(self.lists_of(scene, known.now_ms));
                key
            }
            Wanted::Similar { id, .. } => {
                let mut key = KeyBuf::new("similar");
                key.segment(TENANT).segment(id).segment(scene.name()).end_path();
                key.number(self.trends_of(pinned, scene));
                key
            }
            Wanted::List(which) => {
                let mut key = KeyBuf::new("list");
                key.segment(TENANT).segment(list_name(*which)).end_path();
                let moves = matches!(which, Listing::Trending(_));
                key.number(if moves { pinned.trends.number } else { 0 });
                key
            }
        };
        key.number(pinned.tag);
        let page = if matches!(wanted, Wanted::List(_)) { 0 } else { scene.config().k };
        add_asked(&mut key, pinned, page, asked);
        Some(key)
    }

    /// Trends as coarse as answers that rank by them may be late; 0 where they do not rank.
    fn trends_of(&self, pinned: &Pinned, scene: &Scene) -> u64 {
        let ranks = scene.config().channels.iter().any(|(name, channel)| {
            name.starts_with("trending") && (channel.weight > Some(0.0) || channel.quota > 0)
        });
        if ranks { (pinned.trends.at_ms / self.trends_ms) as u64 } else { 0 }
    }

    /// The time, as coarse as lists from outside of the process may be old; 0 where there are none.
    fn lists_of(&self, scene: &Scene, now_ms: TimeMs) -> u64 {
        self.externals.ttl_ms(scene).map_or(0, |ttl_ms| (now_ms / ttl_ms) as u64)
    }

    /// Plain recommendations that were asked for most, most first.
    pub(crate) fn most_asked(&self, most: usize) -> Vec<PlainForm> {
        let keys = self.cache.most_used(&KeyBuf::new(RECOMMEND), most);
        keys.iter().filter_map(PlainForm::of).collect()
    }

    /// Looks for an answer in process.
    pub(crate) fn find(&self, key: &KeyBuf) -> Option<Found> {
        self.cache.find(key)
    }
}

/// Recommendations without anything of one request alone: for whom, in which scene, how many, and
/// whether with reasons.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct PlainForm {
    pub(crate) user: String,
    pub(crate) scene: String,
    pub(crate) k: usize,
    pub(crate) reasons: bool,
}

impl PlainForm {
    /// What was asked by whom has this key, where that was all.
    fn of(key: &Key) -> Option<Self> {
        let (segments, inputs) = key.parts()?;
        let [_, _, user, scene] = <[String; 4]>::try_from(segments).ok()?;
        let (numbers, rest) = inputs.as_chunks::<8>();
        // As `key` writes them: five that are not asked, the form, nothing excluded, no attributes.
        let &[.., form, excluded, attributes] = numbers else { return None };
        let is_plain = numbers.len() == 8 && rest.is_empty() && excluded == attributes;
        let form = u64::from_le_bytes(form);
        (is_plain && excluded == [0; 8] && !user.is_empty()).then_some(Self {
            user,
            scene,
            k: (form / 2) as usize,
            reasons: form % 2 == 1,
        })
    }
}

fn list_name(which: Listing) -> &'static str {
    match which {
        Listing::Trending(TrendWindow::Hour) => "trending_hour",
        Listing::Trending(TrendWindow::Day) => "trending_day",
        Listing::Trending(TrendWindow::Week) => "trending_week",
        Listing::Popular => "popular",
        Listing::Latest => "latest",
    }
}

/// What was asked, in one order and without what changes nothing.
fn add_asked(key: &mut KeyBuf, pinned: &Pinned, page: usize, asked: &Asked) {
    let k = if asked.k == 0 { page } else { asked.k };
    key.number(k as u64 * 2 + u64::from(asked.reasons));
    let items = pinned.snapshot.bundle.items();
    let mut exclude: Vec<&str> = asked.exclude.iter().map(String::as_str).collect();
    exclude.retain(|id| items.index_of(id).is_some());
    add_set(key, exclude);
    add_set(key, asked.attributes.iter().map(String::as_str).collect());
    if let Some(filter) = &asked.filter {
        // A filter is made of lists and words, which always have a JSON form.
        key.text(&serde_json::to_string(filter).unwrap_or_default());
    }
}

fn add_set(key: &mut KeyBuf, mut texts: Vec<&str>) {
    texts.sort_unstable();
    texts.dedup();
    key.number(texts.len() as u64);
    texts.into_iter().for_each(|text| {
        key.text(text);
    });
}

/// An answer as it is kept: `write` adds the body.
pub(crate) fn framed(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(TYPICAL_BYTES);
    bytes.resize(FINGERPRINT_BYTES, 0);
    write(&mut bytes);
    let fingerprint = xxh3_64(&bytes[FINGERPRINT_BYTES..]);
    bytes[..FINGERPRINT_BYTES].copy_from_slice(&fingerprint.to_le_bytes());
    bytes.shrink_to_fit();
    bytes
}

/// The same answer with its body in another form, under the same fingerprint.
pub(crate) fn reframed(
    kept: &Bytes,
    change: impl FnOnce(&[u8], &mut Vec<u8>) -> std::io::Result<()>,
) -> std::io::Result<Vec<u8>> {
    let (fingerprint, body) = kept.split_at(FINGERPRINT_BYTES);
    let mut bytes = Vec::with_capacity(kept.len() / 2);
    bytes.extend_from_slice(fingerprint);
    change(body, &mut bytes)?;
    bytes.shrink_to_fit();
    Ok(bytes)
}

/// Fingerprint and body of an answer as it was kept.
pub(crate) fn unframed(kept: &Bytes) -> (u64, Bytes) {
    let mut fingerprint = [0; FINGERPRINT_BYTES];
    fingerprint.copy_from_slice(&kept[..FINGERPRINT_BYTES]);
    (u64::from_le_bytes(fingerprint), kept.slice(FINGERPRINT_BYTES..))
}

/// Everything that an answer shows or was made from.
pub(crate) fn dependencies(
    pinned: &Pinned,
    user: Option<&str>,
    shown: &Outcome,
) -> Vec<Dependency> {
    let items = pinned.snapshot.bundle.items();
    let mut all: Vec<_> = shown.slate.iter().map(|s| of_item(items.id(s.item))).collect();
    all.push(of_bundle(&pinned.bundle_id));
    all.extend(user.map(of_user));
    all
}

/// The beginning of the keys of all answers of a user.
pub(crate) fn answers_of(user: &str) -> KeyBuf {
    KeyBuf::new(RECOMMEND).segment(TENANT).segment(user).clone()
}

pub(crate) fn of_item(id: &str) -> Dependency {
    Dependency::new("item", id)
}

pub(crate) fn of_user(id: &str) -> Dependency {
    Dependency::new("user", id)
}

pub(crate) fn of_bundle(id: &str) -> Dependency {
    Dependency::new("bundle", id)
}
