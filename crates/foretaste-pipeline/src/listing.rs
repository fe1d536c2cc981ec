//! Lists that are the same for everyone: trending, popular, latest. They are ordinary requests
//! with a scene of one channel, so that filters, fill-up and reasons are those of every request.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::outcome::{BuiltIn, Fallback};
use crate::scene::ChannelConfig;
use crate::{Outcome, Query, Scene, SceneConfig, Scratch, Snapshot, TrendWindow};

/// A list that is the same for everyone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Listing {
    /// What is touched much at present.
    Trending(TrendWindow),
    /// What was touched most over the data window.
    Popular,
    /// What is new in the catalogue.
    Latest,
}

impl Listing {
    fn channel(self) -> BuiltIn {
        match self {
            Self::Trending(window) => BuiltIn::Trending(window),
            Self::Popular => BuiltIn::Popular,
            Self::Latest => BuiltIn::Latest,
        }
    }

    fn scene(self) -> Scene {
        let only = ChannelConfig { weight: Some(1.0), quota: 0, ..Default::default() };
        let config = SceneConfig {
            channels: BTreeMap::from([(self.channel().name().to_owned(), only)]),
            bundle_channels: false,
            fallback: vec![Fallback::Popular],
            ..SceneConfig::similar()
        };
        config.resolve("listing").expect("one channel is within all bounds")
    }
}

/// A listing for the query's filter, exclude list and k; its user plays no part. When it has too
/// few items, popular ones fill it up.
pub fn listing(
    snapshot: &Snapshot,
    listing: Listing,
    query: &Query,
    scratch: &mut Scratch,
) -> Outcome {
    crate::run(snapshot, &listing.scene(), query, scratch)
}
