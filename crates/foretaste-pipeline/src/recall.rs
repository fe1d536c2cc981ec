//! Channels at work: ways to find candidates for one request, behind one trait.
//!
//! [`ModelRecall`] asks a model of the bundle with a list of items (the user's past or session);
//! [`TableRecall`] and [`LatestRecall`] read what is the same for everyone; [`ListRecall`] a short
//! list that was looked up for this request. A new channel is one more implementation, a variant of
//! `BuiltIn` and an arm in `plan::recall`.

use std::sync::Arc;

use foretaste_bundle::{ChannelScratch, ItemTable, LoadedChannel, Scan};
use foretaste_core::topk::{TopK, by_rank};
use foretaste_core::{BitSet, ItemIdx, TimeMs};

use crate::batch::Found;

/// A way to find candidates for one request. All scores are raw; [`Recall::scale`] makes them
/// comparable. Methods other than `prepare` need it to have been called with the same scratch.
pub trait Recall: Sync {
    /// Does the work that the other methods share.
    fn prepare(&self, _scratch: &mut ChannelScratch) {}

    /// Writes the best `n` items of `allowed` into `out`: distinct, finite scores, ordered by
    /// [`by_rank`]. Items about which the channel knows nothing are not proposed.
    fn search(
        &self,
        allowed: &BitSet,
        n: usize,
        scratch: &mut ChannelScratch,
        out: &mut Vec<(ItemIdx, f32)>,
    );

    /// The scores of given items, the same as `search` gives them; 0 where the channel knows
    /// nothing.
    ///
    /// # Shapes
    /// `out` is as long as `items`.
    fn score(&self, items: &[ItemIdx], scratch: &ChannelScratch, out: &mut [f32]);

    /// Which of the items that the channel was asked with led to `item`, in units of the raw
    /// score. It may use up what `prepare` left: afterwards `search` and `score` need another
    /// `prepare`, further `contributions` do not.
    fn contributions(
        &self,
        _item: ItemIdx,
        _scratch: &mut ChannelScratch,
        out: &mut Vec<(ItemIdx, f32)>,
    ) {
        out.clear();
    }

    /// Multiply-adds of `prepare` and `search`, roughly.
    fn work(&self) -> usize {
        0
    }

    /// The part of `work` that threads may share; 0 where they may not.
    fn shareable_work(&self) -> usize {
        0
    }

    /// The search as a scan that threads may share, in the place of `search`; `None` where it finds
    /// nothing. Asked only where there is shareable work.
    fn scan<'a>(
        &'a self,
        _allowed: &'a BitSet,
        _n: usize,
        _scratch: &'a mut ChannelScratch,
    ) -> Option<Scan<'a>> {
        None
    }

    /// What a raw score is divided by. Positive for a channel that has something to say.
    fn scale(&self) -> f32;

    /// True when the answer depends on the items that the channel was asked with.
    fn is_personal(&self) -> bool {
        false
    }
}

/// A model of the bundle, asked with a list of items.
pub struct ModelRecall<'a> {
    channel: &'a LoadedChannel,
    asked_with: Arc<[(ItemIdx, f32)]>,
    /// What was found out for many requests together.
    searched: Option<Found<'a>>,
    /// Breadth of a walk through a graph; 0: as the channel does.
    ef: usize,
}

impl<'a> ModelRecall<'a> {
    /// Asks `channel` with items and their weights (ascending by item, distinct, positive).
    pub fn new(channel: &'a LoadedChannel, asked_with: Arc<[(ItemIdx, f32)]>) -> Self {
        Self { channel, asked_with, searched: None, ef: 0 }
    }

    /// Lets walks through a graph keep the best `ef` nodes on their way.
    pub(crate) fn broadly(self, ef: usize) -> Self {
        Self { ef, ..self }
    }

    /// Takes over what was found out for many users together, instead of finding it out.
    pub(crate) fn searched(self, searched: Option<Found<'a>>) -> Self {
        Self { searched, ..self }
    }
}

impl Recall for ModelRecall<'_> {
    fn prepare(&self, scratch: &mut ChannelScratch) {
        match self.searched {
            Some(Found::Items(searched)) => scratch.set_vector(&searched.vector),
            Some(Found::Sums(..)) => {}
            None if self.asked_with.is_empty() => {}
            None => self.channel.prepare(&self.asked_with, scratch),
        }
    }

    fn search(
        &self,
        allowed: &BitSet,
        n: usize,
        scratch: &mut ChannelScratch,
        out: &mut Vec<(ItemIdx, f32)>,
    ) {
        out.clear();
        match self.searched {
            Some(Found::Items(searched)) => out.extend_from_slice(&searched.found),
            Some(Found::Sums(_, summed)) => out.extend_from_slice(&summed.found),
            None if self.asked_with.is_empty() => {}
            None => self.channel.search_broadly(allowed, (n, self.ef), scratch, out),
        }
    }

    fn score(&self, items: &[ItemIdx], scratch: &ChannelScratch, out: &mut [f32]) {
        match self.searched {
            Some(Found::Sums(panelled, summed)) => panelled.score(summed, items, out),
            _ if self.asked_with.is_empty() => out.fill(0.0),
            _ => self.channel.score(items, scratch, out),
        }
    }

    fn contributions(
        &self,
        item: ItemIdx,
        scratch: &mut ChannelScratch,
        out: &mut Vec<(ItemIdx, f32)>,
    ) {
        out.clear();
        if !self.asked_with.is_empty() {
            self.channel.contributions(item, &self.asked_with, scratch, out);
        }
    }

    fn work(&self) -> usize {
        match (self.searched, self.asked_with.len()) {
            (Some(_), _) | (None, 0) => 0,
            (None, n) => self.channel.work(n),
        }
    }

    fn shareable_work(&self) -> usize {
        match (self.searched, self.asked_with.len()) {
            (Some(_), _) | (None, 0) => 0,
            (None, _) => self.channel.shareable_work(),
        }
    }

    fn scan<'a>(
        &'a self,
        allowed: &'a BitSet,
        n: usize,
        scratch: &'a mut ChannelScratch,
    ) -> Option<Scan<'a>> {
        self.channel.scan(allowed, n, scratch)
    }

    fn scale(&self) -> f32 {
        self.channel.scale()
    }

    fn is_personal(&self) -> bool {
        true
    }
}

/// A measure of all items that is the same for everyone: popularity, a trend.
#[derive(Debug)]
pub struct TableRecall<'a> {
    /// Per item, within 0..=1.
    scores: &'a [f32],
    /// Items in descending order of their scores, where it is known; else all are looked at.
    order: Option<&'a [ItemIdx]>,
}

impl<'a> TableRecall<'a> {
    /// A channel over one score per item (0 where there is nothing to say) and, if it is known,
    /// their order by [`by_rank`].
    pub fn new(scores: &'a [f32], order: Option<&'a [ItemIdx]>) -> Self {
        Self { scores, order }
    }
}

impl Recall for TableRecall<'_> {
    fn search(
        &self,
        allowed: &BitSet,
        n: usize,
        _scratch: &mut ChannelScratch,
        out: &mut Vec<(ItemIdx, f32)>,
    ) {
        out.clear();
        let scored = |i: ItemIdx| (i, self.scores[i as usize]);
        if let Some(order) = self.order {
            let shown = order.iter().filter(|&&i| allowed.contains(i)).map(|&i| scored(i));
            out.extend(shown.take_while(|&(_, s)| s > 0.0).take(n));
            return;
        }
        let mut top = TopK::new(n);
        let speaking = allowed.iter().map(scored).filter(|&(_, s)| s > 0.0);
        speaking.for_each(|(i, s)| top.push(i, s));
        out.extend(top.drain_sorted());
    }

    fn score(&self, items: &[ItemIdx], _scratch: &ChannelScratch, out: &mut [f32]) {
        out.iter_mut().zip(items).for_each(|(s, &i)| *s = self.scores[i as usize]);
    }

    fn scale(&self) -> f32 {
        1.0
    }
}

/// Age at which the channel `latest` halves its score: four weeks.
pub const LATEST_HALF_LIFE_MS: f64 = 28.0 * 24.0 * 3600.0 * 1000.0;

/// What is new in the catalogue: 1 for an item of this moment, half for each
/// [`LATEST_HALF_LIFE_MS`] of age, 0 when the age is not known.
pub struct LatestRecall<'a> {
    items: &'a ItemTable,
    by_age: &'a [ItemIdx],
    now_ms: TimeMs,
}

impl<'a> LatestRecall<'a> {
    /// A channel over items with known times of creation, newest first.
    pub fn new(items: &'a ItemTable, by_age: &'a [ItemIdx], now_ms: TimeMs) -> Self {
        Self { items, by_age, now_ms }
    }

    fn of(&self, item: ItemIdx) -> f32 {
        match self.items.created_ms(item) {
            ..=0 => 0.0,
            at => (-((self.now_ms - at).max(0) as f64 / LATEST_HALF_LIFE_MS)).exp2() as f32,
        }
    }
}

impl Recall for LatestRecall<'_> {
    fn search(
        &self,
        allowed: &BitSet,
        n: usize,
        _scratch: &mut ChannelScratch,
        out: &mut Vec<(ItemIdx, f32)>,
    ) {
        out.clear();
        let shown = self.by_age.iter().filter(|&&i| allowed.contains(i));
        out.extend(shown.map(|&i| (i, self.of(i))).take_while(|&(_, s)| s > 0.0).take(n));
        out.sort_by(by_rank);
    }

    fn score(&self, items: &[ItemIdx], _scratch: &ChannelScratch, out: &mut [f32]) {
        out.iter_mut().zip(items).for_each(|(s, &i)| *s = self.of(i));
    }

    fn scale(&self) -> f32 {
        1.0
    }
}

/// A short list of items that was looked up for this request: a segment, a fixed list.
#[derive(Debug, Default)]
pub struct ListRecall {
    /// Ascending by item, positive scores.
    scores: Vec<(ItemIdx, f32)>,
    scale: f32,
}

impl ListRecall {
    /// A list of items with scores; scores of one item are summed, what is not positive and
    /// finite is dropped. Calibrated scores are relative to the best.
    pub fn new(pairs: Vec<(ItemIdx, f32)>) -> Self {
        let mut scores = crate::query::merged(pairs);
        scores.retain(|&(_, s)| s.is_finite() && s > 0.0);
        let best = scores.iter().map(|&(_, s)| s).fold(0.0, f32::max);
        Self { scores, scale: if best > 0.0 { best } else { 1.0 } }
    }
}

impl Recall for ListRecall {
    fn search(
        &self,
        allowed: &BitSet,
        n: usize,
        _scratch: &mut ChannelScratch,
        out: &mut Vec<(ItemIdx, f32)>,
    ) {
        out.clear();
        out.extend(self.scores.iter().filter(|&&(i, _)| allowed.contains(i)));
        out.sort_unstable_by(by_rank);
        out.truncate(n);
    }

    fn score(&self, items: &[ItemIdx], _scratch: &ChannelScratch, out: &mut [f32]) {
        for (score, item) in out.iter_mut().zip(items) {
            let at = self.scores.binary_search_by_key(item, |&(i, _)| i);
            *score = at.map_or(0.0, |at| self.scores[at].1);
        }
    }

    fn scale(&self) -> f32 {
        self.scale
    }
}
