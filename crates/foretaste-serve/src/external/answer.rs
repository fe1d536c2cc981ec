//! What a channel answered, in indices of the snapshot that will use it.

use std::borrow::Cow;

use foretaste_core::ItemIdx;
use serde::Deserialize;

use crate::snapshots::Pinned;

#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow)]
    items: Vec<Found<'a>>,
}

#[derive(Deserialize)]
struct Found<'a> {
    #[serde(borrow)]
    item_id: Cow<'a, str>,
    score: Option<f64>,
}

/// The known items with finite scores, each once with its best; `None` for what is not an answer.
pub(super) fn items(body: &[u8], pinned: &Pinned) -> Option<Vec<(ItemIdx, f32)>> {
    let answer: Answer<'_> = serde_json::from_slice(body).ok()?;
    let known = pinned.snapshot.bundle.items();
    let of = |found: &Found<'_>| Some((known.index_of(&found.item_id)?, found.score? as f32));
    let mut items: Vec<(ItemIdx, f32)> = answer.items.iter().filter_map(of).collect();
    items.retain(|(_, score)| score.is_finite());
    items.sort_unstable_by(|a, b| a.0.cmp(&b.0).then(b.1.total_cmp(&a.1)));
    items.dedup_by_key(|(item, _)| *item);
    Some(items)
}
