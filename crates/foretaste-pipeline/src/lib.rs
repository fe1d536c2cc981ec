//! The request as data: recall, merge, filter, diversify, explain.
//!
//! A request is a pure function of a [`Snapshot`], a [`Scene`] and a [`Query`]; the scratch only
//! saves allocations. No clock, no lock, no file, no global: the caller brings all of it in the
//! query and takes the [`Outcome`] away.
//!
//! ```text
//! Scratch::default()
//! run(&Snapshot, &Scene, &Query, &mut Scratch) -> Outcome
//! similar(&Snapshot, &Scene, ItemIdx, &Query, &mut Scratch) -> Outcome
//! listing(&Snapshot, Listing, &Query, &mut Scratch) -> Outcome
//! explain(&Snapshot, &Scene, &Query, ItemIdx, &mut Scratch) -> Explanation
//! channel_scores(&Snapshot, &Scene, &Query, &mut Scratch) -> ChannelScores
//! Snapshot::new(Arc<Bundle>), .with_hidden(Arc<BitSet>), .with_trends(Arc<Trends>)
//! Scenes::built_in(), Scenes::new(BTreeMap<String, SceneConfig>)?, .get("evaluation")
//! Query::for_user(&Bundle, UserIdx, k)
//! ```
